"""Whole lines out of pieces of a stream, for functions that must not see half a path."""

from __future__ import annotations

from collections.abc import Callable

LONGEST_LINE = 1 << 20
"""Bytes of an unfinished line that are held."""

_CUTS = tuple(bytes([character]) for character in b"\"\t\r,;|<>(=&!?*'` ")
"""Behind these an unfinished line may be cut, best first: they end a path and may stand before one. The blank comes
last because names hold it more often than the others."""


class LineTranslator:
    """Applies ``function`` to a stream that comes in pieces of any size.

    ``function`` must treat several lines as it treats each of them. It gets whole lines, as many as there are; an
    unfinished line of more than ``limit`` bytes in parts that are cut where no path can be cut, so that a line without
    end takes no memory without end.
    """

    def __init__(self, function: Callable[[bytes], bytes], *, limit: int = LONGEST_LINE) -> None:
        self._function = function
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take the next piece and return what is complete; ``data`` itself where nothing is held or changed."""
        end = data.rfind(b"\n") + 1
        if end and not self._held:
            if end == len(data):
                return self._function(data)
            done = self._function(data[:end])
            self._held += data[end:]
        elif end:
            self._held += data[:end]
            done = self._take(len(self._held))
            self._held += data[end:]
        else:
            done = b""
            self._held += data
        return done + self._overflow() if len(self._held) > self._limit else done

    def flush(self) -> bytes:
        """Return what is held, translated: the stream has ended."""
        return self._take(len(self._held)) if self._held else b""

    def _take(self, size: int) -> bytes:
        line = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        return self._function(line)

    def _overflow(self) -> bytes:
        done = []
        while len(self._held) > self._limit:
            done.append(self._take(self._cut()))
        return b"".join(done)

    def _cut(self) -> int:
        """Where to cut what is held: in its second half, or every few bytes of the rest would be cut again."""
        half = len(self._held) // 2
        for character in _CUTS:
            place = self._held.rfind(character, half)
            if place >= 0:
                return place + 1
        return self._before_escape(half)

    def _before_escape(self, half: int) -> int:
        """Before an escape as in ``one\\ntwo``; without one, anywhere but at a slash, where the rest would look like a
        path of its own: what has no such character in so many bytes is no path."""
        place = self._held.rfind(b"\\", half)
        while place > half and self._held[place - 1 : place] == b"\\":
            place -= 1
        if place > half:
            return place
        for place in range(len(self._held) - 1, half, -1):
            if b"/" not in self._held[place - 1 : place + 1]:
                return place
        return len(self._held)
