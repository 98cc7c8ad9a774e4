"""The daemon's own socket: our commands ask it for its state, helpers lend it their listeners.

One JSON object per line in both directions. ``{"op": "status"}`` is answered with the state. ``{"op": "listen",
"path": P}``, with the listening socket as SCM_RIGHTS, is answered with ``{"ok": true}`` and holds as long as the
connection does: when the helper is killed, its listener goes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cowork.errors import CoworkError
from cowork.linux import tasks
from cowork.linux.credentials import peer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cowork.service.listeners import Listener, Listeners

VERSION = 1
_LINE = 64 * 1024

_log = logging.getLogger(__name__)


class ControlRequest(msgspec.Struct):
    """A line from a command or a helper."""

    op: str
    path: str = ""
    dialect: str | None = None


class ListenerStatus(msgspec.Struct):
    """One socket that clients can dial."""

    path: str
    dialect: str
    lent: bool


class DaemonStatus(msgspec.Struct):
    """State of a running daemon; ``running`` counts live processes, ``started`` is seconds since the epoch.

    ``reasons``: why no stronger backend was taken, and what would mend it.
    """

    v: int
    pid: int
    version: str
    backend: str
    isolation: str
    started: float
    machine: bool
    running: int
    subscribers: int
    connections: int
    listeners: list[ListenerStatus]
    reasons: list[str] = []


class Control:
    """Serves the control socket."""

    def __init__(self, sock: socket.socket, listeners: Listeners, status: Callable[[], DaemonStatus]) -> None:
        self._sock = sock
        self._listeners = listeners
        self._status = status
        self._clients: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._sock.setblocking(False)
        self._task = tasks.start(self._accept(), "control socket")

    def close(self) -> None:
        """Stop, and let go of everybody."""
        for task in (self._task, *self._clients):
            if task is not None:
                task.cancel()
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._sock)
            except OSError as e:
                _log.warning("control socket: %s", e)
                await asyncio.sleep(1)  # out of descriptors: not a spin at full speed
                continue
            task = tasks.start(self._serve(client), "control client")
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)

    async def _serve(self, client: socket.socket) -> None:
        client.setblocking(False)
        lent: list[Listener] = []
        try:
            if peer_of(client).uid == os.getuid():
                await self._talk(client, lent)
        except (OSError, msgspec.MsgspecError) as e:
            _log.warning("control client: %s", e)
        finally:
            for listener in lent:
                self._listeners.close(listener)
            client.close()

    async def _talk(self, client: socket.socket, lent: list[Listener]) -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        fds: list[int] = []
        try:
            while len(buffer) < _LINE:
                data, received = await _receive(client)
                fds += received
                if not data:
                    break
                buffer += data
                while (end := buffer.find(b"\n")) >= 0:
                    line = bytes(buffer[:end])
                    del buffer[: end + 1]
                    reply = await self._answer(line, fds, lent)
                    await loop.sock_sendall(client, reply + b"\n")
        finally:
            for fd in fds:  # those that no request has made use of
                os.close(fd)

    async def _answer(self, line: bytes, fds: list[int], lent: list[Listener]) -> bytes:
        try:
            request = msgspec.json.decode(line, type=ControlRequest)
            if request.op == "status":
                return msgspec.json.encode(self._status())
            if request.op == "listen" and fds:
                sock = socket.socket(fileno=fds.pop(0))
                lent.append(await self._listeners.lend(sock, Path(request.path), request.dialect))
                return b'{"ok":true}'
        except CoworkError as e:
            return msgspec.json.encode({"ok": False, "error": e.message})
        return msgspec.json.encode({"ok": False, "error": f"unknown request {request.op!r}"})


async def _receive(client: socket.socket) -> tuple[bytes, list[int]]:
    """Data and descriptors that came with it; waits for them."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(client, _LINE, 4)
            for fd in fds:
                os.set_inheritable(fd, False)  # Python 3.11 ignores MSG_CMSG_CLOEXEC here
            return data, list(fds)
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(client.fileno(), _wake, readable)
            try:
                await readable
            finally:
                loop.remove_reader(client.fileno())


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
