"""The sockets that clients dial: our own, and those that a helper has lent us."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cowork.errors import PolicyError
from cowork.linux import unixsocket
from cowork.service.connection import Connection

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from cowork.service.service import Service

DIALECTS = ("helper", "service")
_SERVICE_NAMES = ("cowork-vm-service.sock", "cowork-kvm-service.sock")

_log = logging.getLogger(__name__)


def dialect_of(path: Path) -> str:
    """The dialect that clients of a socket of that name speak."""
    return "service" if path.name in _SERVICE_NAMES else "helper"


class Listener:
    """One listening socket. ``lent``: a helper bound it and will remove it."""

    def __init__(self, path: Path, dialect: str, sock: socket.socket, server: asyncio.Server, *, lent: bool) -> None:
        self.path = path
        self.dialect = dialect
        self.lent = lent
        self._server = server
        self._inode = unixsocket.inode_of(path)
        self._sock = sock

    def close(self) -> None:
        """Stop listening; connections that are open stay."""
        self._server.close()
        unixsocket.unlink_own(self.path, self._inode)


class Listeners:
    """All listeners of a daemon."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open: list[Listener] = []

    def all(self) -> list[Listener]:
        """Those that are open."""
        return list(self._open)

    async def open(self, path: Path, dialect: str | None = None) -> Listener:
        """Bind a path and serve it.

        Raises:
            CoworkError: see ``unixsocket.bind``.
        """
        return await self.lend(unixsocket.bind(path), path, dialect, lent=False)

    async def lend(self, sock: socket.socket, path: Path, dialect: str | None, *, lent: bool = True) -> Listener:
        """Serve a socket that listens already.

        Raises:
            PolicyError: that path is served already.
        """
        if any(listener.path == path for listener in self._open):
            sock.close()
            raise PolicyError(f"{path} is served already")
        chosen = dialect or dialect_of(path)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(
            lambda: Connection(self._service, chosen), sock=sock, backlog=unixsocket.BACKLOG
        )  # fmt: skip
        listener = Listener(path, chosen, sock, server, lent=lent)
        self._open.append(listener)
        _log.info("listening on %s (dialect %s)", path, chosen)
        return listener

    def close(self, listener: Listener) -> None:
        """Stop one, unless it is stopped already: at the daemon's end a helper and the daemon both let go."""
        if listener not in self._open:
            return
        self._open.remove(listener)
        listener.close()
        _log.info("no longer listening on %s", listener.path)

    def close_all(self) -> None:
        """Stop all."""
        for listener in list(self._open):
            self.close(listener)
