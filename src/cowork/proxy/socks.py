"""SOCKS5 (RFC 1928) from the server's side, as bytes: no authentication, CONNECT only. No sockets."""

from __future__ import annotations

import socket
from typing import NamedTuple

from cowork.proxy.names import HostError, canonical_host

VERSION = 5

SUCCEEDED = 0
FAILED = 1
NOT_ALLOWED = 2
NETWORK_UNREACHABLE = 3
HOST_UNREACHABLE = 4
REFUSED = 5
COMMAND_UNKNOWN = 7
ADDRESS_UNKNOWN = 8

_NO_METHOD = b"\x05\xff"
_METHOD = b"\x05\x00"
_SIZES = {1: 4, 4: 16}


class SocksError(ValueError):
    """What was asked is not served: send ``reply`` (it may be empty) and close."""

    def __init__(self, reply: bytes, text: str) -> None:
        super().__init__(text)
        self.reply = reply
        self.text = text


class Target(NamedTuple):
    """Canonical host and port."""

    host: str
    port: int


class Handshake:
    """Both steps of a client's talk, in whatever pieces they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._greeted = False
        self.target: Target | None = None
        """Set when the request is complete."""

    @property
    def rest(self) -> bytes:
        """What came behind the request."""
        return bytes(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take what has arrived; returns what must be sent now.

        Raises:
            SocksError: this ends here.
        """
        self._buffer += data
        out = b""
        if not self._greeted:
            size = self._greeting()
            if not size:
                return b""
            del self._buffer[:size]
            self._greeted = True
            out = _METHOD
        if self.target is None:
            try:
                self._request()
            except SocksError as e:
                e.reply = out + e.reply
                raise
        return out

    def _greeting(self) -> int:
        """Its size, 0 while it is incomplete."""
        data = self._buffer
        if data and data[0] != VERSION:
            raise SocksError(b"", "only SOCKS version 5 is spoken here")
        if len(data) < 2 or len(data) < 2 + data[1]:
            return 0
        size = 2 + data[1]
        if 0 not in data[2:size]:
            raise SocksError(_NO_METHOD, "the client wants to authenticate")
        return size

    def _request(self) -> None:
        data = self._buffer
        if data and data[0] != VERSION:
            raise SocksError(reply(FAILED), "malformed request")
        if len(data) < 5:  # one byte of the address tells how long a name is
            return
        kind = data[3]
        if kind not in (1, 3, 4):
            raise SocksError(reply(ADDRESS_UNKNOWN), f"address type {kind} is not served")
        start, size = (5, data[4]) if kind == 3 else (4, _SIZES[kind])
        if len(data) < start + size + 2:
            return
        # Checked late, so that the reply does not depend on how the request was cut.
        if data[2] != 0:
            raise SocksError(reply(FAILED), "malformed request")
        if data[1] != 1:
            raise SocksError(reply(COMMAND_UNKNOWN), "only CONNECT is served")
        host = _host(kind, bytes(data[start : start + size]))
        port = int.from_bytes(data[start + size : start + size + 2])
        if port == 0:
            raise SocksError(reply(NOT_ALLOWED), "a port is a number from 1 to 65535")
        del data[: start + size + 2]
        self.target = Target(host, port)


def _host(kind: int, raw: bytes) -> str:
    if kind != 3:
        return socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, raw)
    try:
        return canonical_host(raw)  # a NUL in it is refused here, for good
    except HostError as e:
        raise SocksError(reply(NOT_ALLOWED), str(e)) from None


def reply(code: int) -> bytes:
    """The answer to a request; the address in it is of no use to anybody and all zero."""
    return bytes((VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0))
