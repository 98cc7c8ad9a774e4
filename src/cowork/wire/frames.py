"""Length-prefixed frames: a 4-byte big-endian length and that many bytes of payload, in both directions.

``FrameBuffer`` is the receiving side, shaped for ``asyncio.BufferedProtocol``; ``pack`` is the sending side.
"""

from __future__ import annotations

import struct
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import TYPE_CHECKING

from cowork.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FRAME = 10 * 1024 * 1024
"""Largest payload in bytes, in either direction; the client has the same limit."""

INITIAL_BUFFER = 64 * 1024
"""Bytes of the receive buffer while no larger frame is on its way."""

HEADER = struct.Struct(">I")
"""The length in front of each payload."""

HEADER_SIZE = HEADER.size
_unpack = HEADER.unpack_from
_NOTHING = memoryview(bytearray())


def pack(payload: bytes) -> bytes:
    """Return `payload` with its length in front.

    Raises:
        FrameError: it is empty or longer than ``MAX_FRAME``.
    """
    length = len(payload)
    check_length(length)
    return HEADER.pack(length) + payload


def check_length(length: int) -> None:
    """Refuse a payload length (bytes) that no frame may have.

    Raises:
        FrameError: the length is 0 or above ``MAX_FRAME``.
    """
    if length == 0:
        raise FrameError(f"frame length 0: a frame holds 1 to {MAX_FRAME} bytes", length=length)
    if length > MAX_FRAME:
        raise FrameError(f"frame length {length} is over the limit of {MAX_FRAME} bytes", length=length)


class FrameBuffer:
    """The receiving side of one connection: memory to read into, complete payloads out of it.

    Memory is taken at the first read, doubles only as bytes really arrive, so a header that announces 10 MiB
    costs nothing, and falls back to ``INITIAL_BUFFER`` after a large frame. Every byte is moved at most a
    fixed number of times, whatever the sizes of frames and reads.
    """

    __slots__ = ("_end", "_failure", "_position", "_view")

    def __init__(self) -> None:
        self._view = _NOTHING
        self._position = 0  # the next frame's header starts here
        self._end = 0  # received bytes end here
        self._failure: FrameError | None = None

    @property
    def pending(self) -> int:
        """Bytes received and not yet handed out: at the end of the stream, those of a frame cut short."""
        return self._end - self._position

    def get_buffer(self, hint: int = -1) -> memoryview:
        """Return writable memory for the next read, never empty. `hint` is ignored.

        This ends the life of all payloads handed out before: their memory may be written over.
        """
        if self._position:
            self._move_to_front()
        elif self._end == len(self._view):
            self._grow()
        return self._view[self._end :]

    def received(self, count: int) -> Iterator[memoryview]:
        """Take over `count` bytes written into the last buffer; return an iterator of complete payloads.

        A payload is valid until the next ``get_buffer``. The iterator may be left early, to hold back a peer
        that sends too much: ``received(0)`` goes on behind the last payload taken, and no ``get_buffer``
        should come before that (the buffer would grow).

        Raises:
            FrameError: while iterating, behind the last good frame: a length of 0 or above ``MAX_FRAME``. The
                stream cannot be read any further, so every later call raises it again.
        """
        if self._failure is None:
            self._end += count
        return self._payloads()

    def _payloads(self) -> Iterator[memoryview]:
        if self._failure is not None:
            raise self._failure
        view, position, end = self._view, self._position, self._end
        while end - position >= HEADER_SIZE:
            (length,) = _unpack(view, position)
            start = position + HEADER_SIZE
            position = start + length
            # The buffer never holds more than one frame of the largest size, so a length above the limit is
            # always caught here, and good frames pay for one comparison only.
            if position > end or not length:
                self._refuse_if_bad(length)
                return
            self._position = position
            yield view[start:position]
        if position == end and len(view) > INITIAL_BUFFER:
            # Given back now, not at the next read: this connection may be silent for hours. Payloads that are
            # still held keep the memory alive.
            self._view = _NOTHING
            self._position = self._end = 0

    def _refuse_if_bad(self, length: int) -> None:
        try:
            check_length(length)
        except FrameError as error:
            self._failure = error
            raise

    def _move_to_front(self) -> None:
        pending = self._end - self._position
        target = self._view
        if len(target) > INITIAL_BUFFER > pending:
            target = _allocate(INITIAL_BUFFER)
        if pending:
            target[:pending] = self._view[self._position : self._end]
        self._view = target
        self._position, self._end = 0, pending

    def _grow(self) -> None:
        """Make room behind a buffer that is full to the end and holds no byte that was handed out."""
        size = 2 * self._end
        if self._end:
            need = HEADER_SIZE + _unpack(self._view)[0]
            if need > self._end:
                size = min(size, need)
        target = _allocate(max(size, INITIAL_BUFFER))
        target[: self._end] = self._view
        self._view = target


def _allocate(size: int) -> memoryview:
    # Pages of an anonymous mapping cost nothing until they are written, while a bytearray is zeroed all over:
    # thousands of idle connections that once sent a small request hold one page each, not 64 KiB.
    return memoryview(mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS))
