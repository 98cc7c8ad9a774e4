"""The server name in a TLS ClientHello, read from a tunnel's first bytes before they are passed on. No sockets."""

from __future__ import annotations

from enum import Enum, auto

MAX_HELLO = 16 * 1024
"""Bytes of the client that may be held back until its hello is complete."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0


class Look(Enum):
    """What the first bytes are."""

    OTHER = auto()
    """No TLS: nothing to check."""
    INCOMPLETE = auto()
    """Nothing yet, or what may become a hello."""
    HELLO = auto()
    """A whole ClientHello."""
    MALFORMED = auto()
    """TLS that no honest client sends first, or a hello of more than MAX_HELLO bytes."""


class _Malformed(Exception):
    """A field reaches over the end of what holds it, or is not what belongs there."""


def inspect(data: bytes | bytearray) -> tuple[Look, list[bytes]]:
    """Judge a tunnel's first bytes; with HELLO come the server names in it (usually one or none).

    Whatever is not INCOMPLETE stays as it is when more bytes follow.
    """
    # Any type of record is TLS, not handshakes alone: servers skip over a warning in front of the ClientHello.
    if data and (not 20 <= data[0] <= 24 or (len(data) > 1 and data[1] != 3)):
        return Look.OTHER, []
    if len(data) < 2:
        return Look.INCOMPLETE, []
    try:
        hello = _hello(data[:MAX_HELLO])
        if hello is not None:
            return Look.HELLO, _server_names(hello)
    except _Malformed:
        return Look.MALFORMED, []
    return (Look.INCOMPLETE if len(data) < MAX_HELLO else Look.MALFORMED), []


def _hello(data: bytes | bytearray) -> bytes | None:
    """The body of the ClientHello, which may be spread over records; None while it is incomplete."""
    message = bytearray()
    at = 0
    while True:
        header = data[at : at + 5]
        if (header and header[0] != _HANDSHAKE) or (len(header) > 1 and header[1] != 3):
            raise _Malformed
        if len(header) < 5:
            return None
        size = int.from_bytes(header[3:])
        if not 0 < size <= 1 << 14:
            raise _Malformed
        message += data[at + 5 : at + 5 + size]
        if message and message[0] != _CLIENT_HELLO:
            raise _Malformed
        if len(message) >= 4:
            end = 4 + int.from_bytes(message[1:4])
            if len(message) >= end:
                return bytes(message[4:end])
        at += 5 + size


class _Reader:
    """Takes fields off the front of a structure."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise _Malformed
        self._at += size
        return self._data[self._at - size : self._at]

    def vector(self, width: int) -> bytes:
        """A field behind its own length, which has ``width`` bytes."""
        return self.take(int.from_bytes(self.take(width)))


def _server_names(hello: bytes) -> list[bytes]:
    reader = _Reader(hello)
    reader.take(2 + 32)  # version, random
    reader.vector(1)  # session
    reader.vector(2)  # cipher suites
    reader.vector(1)  # compression
    if not reader.left:
        return []
    extensions = _Reader(reader.vector(2))
    if reader.left:
        raise _Malformed
    found: list[bytes] | None = None
    while extensions.left:
        kind, body = int.from_bytes(extensions.take(2)), extensions.vector(2)
        if kind == _SERVER_NAME:
            if found is not None:
                raise _Malformed  # which of the two would the server believe?
            found = _names(body)
    return found or []


def _names(body: bytes) -> list[bytes]:
    outer = _Reader(body)
    entries = _Reader(outer.vector(2))
    if outer.left or not entries.left:
        raise _Malformed
    out = []
    while entries.left:
        kind, name = entries.take(1)[0], entries.vector(2)
        if kind != 0:
            raise _Malformed  # nothing but host names was ever defined
        out.append(name)
    return out
