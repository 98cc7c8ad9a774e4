"""Connecting to one of several addresses: in their order, without waiting long for a dead one (RFC 8305)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from functools import partial

from cowork.proxy.loop import OUT, Loop, Timer

STAGGER = 0.25
"""Seconds after which the next address is tried beside the one before."""

Done = Callable[["socket.socket | OSError"], None]


class Connector:
    """Calls ``done`` once, never from within the constructor: with a connected socket, or with the last error."""

    def __init__(self, loop: Loop, addresses: Sequence[tuple[str, int]], patience: float, done: Done) -> None:
        self._loop = loop
        self._left = list(reversed(addresses))
        self._done = done
        self._attempts: set[socket.socket] = set()
        self._error = OSError(errno.EADDRNOTAVAIL, "no address")
        self._deadline = loop.after(patience, self._expired)
        self._next: Timer | None = loop.after(0, self._try_next)

    def cancel(self) -> None:
        """Give up, and call nobody."""
        self._loop.cancel(self._deadline)
        self._loop.cancel(self._next)
        self._left.clear()
        for sock in self._attempts:
            self._loop.close(sock)
        self._attempts.clear()

    def _expired(self) -> None:
        self._finish(TimeoutError(errno.ETIMEDOUT, "timed out"))

    def _finish(self, result: socket.socket | OSError) -> None:
        if not isinstance(result, OSError):
            self._attempts.discard(result)
            self._loop.unwatch(result.fileno())
        self.cancel()
        self._done(result)

    def _try_next(self) -> None:
        self._loop.cancel(self._next)
        while self._left:
            if self._attempt(self._left.pop()):
                if self._left:
                    self._next = self._loop.after(STAGGER, self._try_next)
                return
        if not self._attempts:
            self._finish(self._error)

    def _attempt(self, address: tuple[str, int]) -> bool:
        """Begin; False if that failed at once."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as e:
            self._error = e
            return False
        sock.setblocking(False)
        try:
            code = sock.connect_ex(address)
        except OSError as e:
            code = e.errno or errno.EINVAL
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            self._error = OSError(code, _text(code))
            return False
        self._attempts.add(sock)
        self._loop.watch(sock.fileno(), OUT, partial(self._ready, sock))
        return True

    def _ready(self, sock: socket.socket, _: int) -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            self._finish(sock)
            return
        self._attempts.discard(sock)
        self._loop.close(sock)
        self._error = OSError(code, _text(code))
        self._try_next()


def _text(code: int) -> str:
    # strerror's own words follow the locale's language
    return {
        errno.ECONNREFUSED: "connection refused",
        errno.EHOSTUNREACH: "host unreachable",
        errno.ENETUNREACH: "network unreachable",
        errno.ETIMEDOUT: "timed out",
    }.get(code, errno.errorcode.get(code, f"error {code}"))
