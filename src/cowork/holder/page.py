"""The page of read positions: one small memory-mapped file per session, shared by the readers and the holder.

A reader's position must survive ``kill -9`` of the reader and be seen by the holder without a message, so it is
an aligned 64-bit word in a shared file mapping: one machine store, never half written.

Layout: 128 slots of four native 64-bit words: state, position in stdout, position in stderr, a spare word whose
meaning belongs to the page's user. Positions are offsets in the spool (bytes of both streams together): all bytes of
that stream before the offset have been taken. Slot 0 stands for "anybody": what at least one reader has taken.
"""

from __future__ import annotations

import mmap
import os

SLOTS = 128
WORDS = 4
SIZE = SLOTS * WORDS * 8
ANYBODY = 0

FREE = 0
HOLDING = 1
"""The slot's positions keep the spool from being recycled."""
EXIT_TAKEN = 2
"""The reader has been told of the session's end."""


class Page:
    """The mapped file. Slots are numbered 0 to ``SLOTS - 1``."""

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False, writable: bool = True) -> None:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags | (os.O_CREAT if create else 0), 0o600)
        try:
            if create:
                os.ftruncate(fd, SIZE)
            elif os.fstat(fd).st_size < SIZE:
                # Touching a mapping beyond the file's end is SIGBUS, which no handler survives.
                raise ValueError(f"{os.fspath(path)} is no page of positions: shorter than {SIZE} bytes")
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(fd, SIZE, access=access)
        finally:
            os.close(fd)
        # A cast view stores each word with one instruction; struct.pack_into("<Q") would go byte by byte.
        self._words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Unmap; the page must not be used afterwards."""
        self._words.release()
        self._map.close()

    def state(self, slot: int) -> int:
        """``FREE``, or ``HOLDING`` with ``EXIT_TAKEN`` or-ed to it."""
        return self._words[slot * WORDS]

    def set_state(self, slot: int, state: int) -> None:
        """Write the state word."""
        self._words[slot * WORDS] = state

    def position(self, slot: int, stream: int) -> int:
        """Offset up to which the slot has taken ``stream`` (1 stdout, 2 stderr)."""
        return self._words[slot * WORDS + stream]

    def set_position(self, slot: int, stream: int, offset: int) -> None:
        """Move a position; one aligned store."""
        self._words[slot * WORDS + stream] = offset

    def spare(self, slot: int) -> int:
        """The fourth word."""
        return self._words[slot * WORDS + 3]

    def set_spare(self, slot: int, value: int) -> None:
        """Write the fourth word."""
        self._words[slot * WORDS + 3] = value

    def floor(self) -> int:
        """The lowest offset that somebody still needs: what is before it has been taken by every reader."""
        words = self._words
        low = min(words[1], words[2])
        for at in range(WORDS, SLOTS * WORDS, WORDS):
            if words[at] & HOLDING:
                low = min(low, words[at + 1], words[at + 2])
        return low
