"""From a spool's bytes to pieces of text: whole lines where they fit, never half a character, each stream in order.

One cutter per reader and session. Its positions (one per stream) are exact after every piece, so a reader that
stores them after it has passed a piece on can be killed at any time and go on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from cowork.holder.spool import STDERR, STDOUT
from cowork.wire.codec import is_stream_json
from cowork.wire.text import complete_prefix, decode_output

if TYPE_CHECKING:
    from cowork.sessions.spool import SpoolReader

PIECE = 256 * 1024
"""Most bytes of one piece."""
_WORD = 4096
"""Bytes of the longest path (PATH_MAX)."""
_FULL = PIECE // 2
"""A line this long is passed on in parts rather than gathered further."""

# Filled and emptied within one call, so one is enough for all cutters of a process.
_buffer = bytearray(PIECE)
_view = memoryview(_buffer)


class Transform(Protocol):
    """What is done with bytes before they are text."""

    @property
    def needles(self) -> tuple[bytes, ...]:
        """Bytes that hold none of these stay as they are."""

    def __call__(self, data: bytes) -> bytes:
        """The bytes to be shown."""


class Piece(NamedTuple):
    """Text to be shown as ``stream``; ``stdout`` and ``stderr`` are the positions once it has been taken."""

    stream: int
    text: str
    stdout: int
    stderr: int


class _Held:
    """The beginning of a line whose end has not come, and where its bytes are in the spool."""

    __slots__ = ("data", "extents", "midline")

    def __init__(self) -> None:
        self.midline = False
        """Whether the piece before ended within a line, so that what follows is no line's beginning."""
        self.data = b""
        self.extents: list[tuple[int, int]] = []

    def offset_at(self, index: int) -> int:
        """Spool offset of byte ``index`` (< length)."""
        for start, length in self.extents:
            if index < length:
                return start + index
            index -= length
        raise IndexError(index)

    def drop(self, count: int) -> None:
        """Forget the first ``count`` bytes."""
        self.data = self.data[count:]
        extents = []
        for start, length in self.extents:
            cut = min(count, length)
            count -= cut
            if length > cut:
                extents.append((start + cut, length - cut))
        self.extents = extents


class Cutter:
    """Cuts what lies between its positions and the head. ``transform`` is applied to every piece before it is text."""

    def __init__(
        self, reader: SpoolReader, stdout: int = 0, stderr: int = 0, *,
        transform: Transform | None = None,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._transform = transform
        self._taken = [0, stdout, stderr]
        self._scan = min(stdout, stderr)
        self._held = {STDOUT: _Held(), STDERR: _Held()}

    @property
    def scanned(self) -> int:
        """Offset up to which bytes have been looked at."""
        return self._scan

    @property
    def holding(self) -> bool:
        """Whether the beginning of a line waits for its end."""
        return bool(self._held[STDOUT].data or self._held[STDERR].data)

    def next(self, head: int, *, flush: bool = False, ended: bool = False) -> Piece | None:
        """The next piece before ``head``, or None when there is none (yet).

        ``flush``: lines without an end are wanted too, but for half a character. ``ended``: nothing will follow,
        so that half a character is wanted as well (as U+FFFD, one per byte).

        Raises:
            FileNotFoundError: the bytes were recycled; ``skip_to`` goes on where there are some.
        """
        while self._scan < head:
            stream, end = self._reader.run_at(self._scan, head)
            if self._scan < self._taken[stream]:
                self._scan = min(end, self._taken[stream])
                continue
            piece = self._take(stream, end)
            if piece is not None:
                return piece
        if flush or ended:
            for stream, held in self._held.items():
                cut = len(held.data) if ended else complete_prefix(held.data, len(held.data))
                if cut:
                    _view[:cut] = held.data[:cut]
                    text = self._text(cut)
                    held.drop(cut)
                    return self._piece(stream, stream, text)
        return None

    def skip_to(self, offset: int) -> None:
        """Go on from ``offset``: what was before it is no longer there."""
        for stream, held in self._held.items():
            held.drop(len(held.data))
            self._taken[stream] = max(self._taken[stream], offset)
        self._scan = max(self._scan, offset)

    def _take(self, stream: int, end: int) -> Piece | None:
        """Read on in a run; a piece if a line (or a very long part of one) is complete."""
        held = self._held[stream]
        kept = len(held.data)
        _view[:kept] = held.data
        got = self._reader.read_into(_view[kept : min(PIECE, kept + end - self._scan)], self._scan)
        if got == 0:
            raise FileNotFoundError("the spool is shorter than announced")
        total = kept + got
        shown = stream
        cut = _buffer.rfind(b"\n", kept, total) + 1
        if cut and stream == STDERR and b"{" in _buffer[:cut]:
            cut, shown = _same_kind(_buffer, cut, midline=held.midline)
        if not cut and total >= _FULL:
            cut = complete_prefix(_buffer, total)
            if self._transform is not None:
                cut = _between_words(cut)
        if cut < kept or not cut:
            held.extents.append((self._scan, got))
            held.data = bytes(_view[:total])
            self._scan += got
            if not cut:
                return None
            text = self._text(cut)
            held.drop(cut)
        else:
            text = self._text(cut)
            held.drop(kept)
            self._scan += cut - kept
        return self._piece(stream, shown, text)

    def _text(self, cut: int) -> str:
        """The first ``cut`` bytes of the buffer as text; copied only if there is something to transform."""
        if self._transform is not None:
            for needle in self._transform.needles:
                # One byte first: that search is the C library's, and thirty times as fast as any other.
                if _buffer.find(needle[:1], 0, cut) >= 0 and _buffer.find(needle, 0, cut) >= 0:
                    return decode_output(self._transform(bytes(_view[:cut])))
        return decode_output(_view[:cut])

    def _piece(self, stream: int, shown: int, text: str) -> Piece:
        self._held[stream].midline = not text.endswith("\n")
        for number, held in self._held.items():
            position = held.offset_at(0) if held.data else self._scan
            self._taken[number] = max(self._taken[number], position)
        return Piece(shown, text, self._taken[STDOUT], self._taken[STDERR])


def _between_words(cut: int) -> int:
    """A place at or before ``cut`` in the buffer where no path can be cut in two; ``cut`` if there is none near."""
    places = [_buffer.rfind(mark, max(0, cut - _WORD), cut) + 1 for mark in (b'"', b" ", b",")]
    return max(places) or cut


def _same_kind(buffer: bytearray, cut: int, *, midline: bool) -> tuple[int, int]:
    """How many of the first ``cut`` bytes of stderr are lines of one kind, and as which stream they are shown.

    Older releases of the CLI print stream-json on stderr; clients expect it as stdout.
    """
    at = 0
    first: bool | None = None
    while at < cut:
        end = buffer.find(b"\n", at, cut) + 1
        kind = buffer[at] == 0x7B and not (midline and at == 0) and is_stream_json(buffer[at:end])
        if first is None:
            first = kind
        elif kind != first:
            break
        at = end
    return at, STDOUT if first else STDERR
