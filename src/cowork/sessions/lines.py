"""Whole lines of what a session has printed on stdout, from any offset, while it goes on printing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cowork.holder.spool import STDOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cowork.sessions.spool import SpoolReader

_PIECE = 1 << 20
LONGEST = 64 * 1024 * 1024
"""Bytes of the longest line that is put together; a longer one is passed over, since it would be held in memory."""


class LineReader:
    """Cuts stdout at its newlines; what stderr printed between is passed over.

    ``position`` is where to begin next time: the offset of the first byte of the line whose end has not come, so a
    reader made with it sees every line once.
    """

    def __init__(self, reader: SpoolReader, position: int = 0) -> None:
        self.position = position
        self.lost = 0
        """Bytes that had been recycled before they were read here."""
        self._reader = reader
        self._scan = position
        self._begun: list[bytes] = []
        self._cut = False
        self._buffer = memoryview(bytearray(_PIECE))

    def lines(self, head: int) -> Iterator[tuple[int, bytes]]:
        """The lines before ``head`` whose ends have come: the first byte's offset, and the bytes without newline."""
        while self._scan < head:
            try:
                stream, end = self._reader.run_at(self._scan, head)
            except FileNotFoundError:
                if not self._skip(head):
                    return
                continue
            if stream != STDOUT:
                self._scan = end
                continue
            got = self._reader.read_into(self._buffer[: min(_PIECE, end - self._scan)], self._scan)
            if not got:
                return  # shorter than announced: a disk that lost its end
            yield from self._cut_at_newlines(bytes(self._buffer[:got]))

    def rest(self) -> tuple[int, bytes] | None:
        """The line whose end has not come, of a session that has ended; None if there is none."""
        data = b"".join(self._begun)
        return (self.position, data) if data and not self._cut else None

    def _cut_at_newlines(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        *ends, rest = data.split(b"\n")
        for part in ends:
            begin, line = self.position, b"".join([*self._begun, part]) if self._begun else part
            # Before the line is given away: whoever has found what they looked for asks for no more, and goes on later.
            self.position = self._scan = self._scan + len(part) + 1
            self._begun.clear()
            if self._cut:
                self._cut = False  # the end of a line whose beginning is gone
            else:
                yield begin, line
        if rest:
            if not self._begun:
                self.position = self._scan
            self._scan += len(rest)
            self._begun.append(rest)
            if self._scan - self.position > LONGEST:
                self._begun.clear()
                self._cut = True

    def _skip(self, head: int) -> bool:
        """Go on with the oldest byte that is kept; False if there is none."""
        base = self._reader.base()
        if not self._scan < base <= head:
            return False
        self.lost += base - self._scan
        self._scan = self.position = base
        self._begun.clear()
        self._cut = True
        return True
