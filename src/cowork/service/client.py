"""A client of the Cowork socket, as Claude Desktop is one: blocking, for demonstrations and diagnosis."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

import msgspec

from cowork.errors import NotRunning, RpcError
from cowork.wire.codec import decode_event
from cowork.wire.frames import HEADER, HEADER_SIZE, check_length, pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from cowork.wire.events import Event


class Reply(msgspec.Struct):
    """A reply as it comes."""

    success: bool
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"{}")
    error: str = ""
    code: int | None = None


class Client:
    """One connection. ``show`` is given every frame: ">" or "<", and its JSON text."""

    def __init__(self, path: str, show: Callable[[str, bytes], None], *, timeout: float = 30.0) -> None:
        self._show = show
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(timeout)
        self._next = 1
        try:
            self._sock.connect(path)
        except OSError as e:
            self._sock.close()
            raise NotRunning(f"nobody answers on {path}", hint="cowork serve") from e

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._sock.close()

    def call(self, method: str, params: dict[str, object] | None = None) -> Reply:
        """Send a request and wait for its reply.

        Raises:
            RpcError: it was refused.
            TimeoutError: no reply in time.
        """
        request: dict[str, object] = {"method": method, "id": self._next}
        if params is not None:
            request["params"] = params
        self._next += 1
        payload = msgspec.json.encode(request)
        self._show(">", payload)
        self._sock.sendall(pack(payload))
        frame = self._frame()
        self._show("<", frame)
        reply = msgspec.json.decode(frame, type=Reply)
        if not reply.success:
            raise RpcError(f"{method}: {reply.error}", code=reply.code)
        return reply

    def event(self) -> Event:
        """The next event; only after ``subscribeEvents``.

        Raises:
            TimeoutError: none came in time.
        """
        frame = self._frame()
        self._show("<", frame)
        return decode_event(frame)

    def _frame(self) -> bytes:
        (length,) = HEADER.unpack(self._exactly(HEADER_SIZE))
        check_length(length)
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            data = self._sock.recv(count - len(parts))
            if not data:
                raise NotRunning("the daemon has closed the connection")
            parts += data
        return bytes(parts)
