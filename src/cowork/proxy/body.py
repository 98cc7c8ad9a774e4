"""Where a request's body ends: what comes after it is not forwarded, however the server would take it. No sockets.

A second request on the same connection would go to the server, or to the upstream proxy, past every check of its host.
"""

from __future__ import annotations

import re
from enum import Enum, auto

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_MAX_LINE = 8 * 1024
"""Bytes of a chunk's size line or a trailer."""


class BodyError(ValueError):
    """A chunked body that is malformed."""


class _Part(Enum):
    DATA = auto()
    """``left`` bytes that need no look."""
    AFTER = auto()
    """The line's end behind a chunk."""
    SIZE = auto()
    TRAILER = auto()
    END = auto()


class Body:
    """Counts one body of ``length`` bytes, or a chunked one (None)."""

    def __init__(self, length: int | None) -> None:
        self._chunked = length is None
        self._left = length or 0
        self._line = bytearray()
        self._part = _Part.SIZE if self._chunked else _Part.DATA
        if length == 0:
            self._part = _Part.END

    @property
    def ended(self) -> bool:
        """Whether the body is complete."""
        return self._part is _Part.END

    def feed(self, data: memoryview) -> int:
        """How many of these bytes belong to the body, from the first on.

        Raises:
            BodyError: it is malformed.
        """
        at = 0
        while at < len(data) and not self.ended:
            if self._part is _Part.DATA:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                if not self._left:
                    self._part = _Part.AFTER if self._chunked else _Part.END
            else:
                at += self._feed_line(data[at:])
        return at

    def _feed_line(self, data: memoryview) -> int:
        """Take up to the next line's end."""
        piece = bytes(data[: _MAX_LINE + 1])
        end = piece.find(b"\n")
        taken = end + 1 if end >= 0 else len(piece)
        self._line += piece[:taken]
        if len(self._line) > _MAX_LINE:
            raise BodyError("a chunk's line is too long")
        if end >= 0:
            if not self._line.endswith(b"\r\n"):
                raise BodyError("a chunk's line does not end with CRLF")
            line = bytes(self._line[:-2])
            self._line.clear()
            self._next(line)
        return taken

    def _next(self, line: bytes) -> None:
        if self._part is _Part.TRAILER:
            if not line:
                self._part = _Part.END
        elif self._part is _Part.AFTER:
            if line:
                raise BodyError("a chunk is longer than it says")
            self._part = _Part.SIZE
        else:
            match = _SIZE.fullmatch(line)
            if not match:
                raise BodyError("a chunk has no size")
            self._left = int(match[1], 16)
            self._part = _Part.DATA if self._left else _Part.TRAILER
