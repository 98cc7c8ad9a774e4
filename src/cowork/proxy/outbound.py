"""The way out: from an allowed host and port to a connected socket, straight or through the upstream proxy."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from cowork.proxy.addresses import why_not_public
from cowork.proxy.connect import Connector
from cowork.proxy.decisions import Decisions
from cowork.proxy.http import HttpError, connect_request, find_end, parse_status
from cowork.proxy.loop import IN, Loop, Timer
from cowork.proxy.madeup import MadeUp
from cowork.proxy.names import is_literal
from cowork.proxy.relay import Buffers
from cowork.proxy.resolver import Answer, Resolver
from cowork.proxy.rules import Policy
from cowork.proxy.settings import Settings, Upstream


class Context(NamedTuple):
    """What all connections of one proxy share."""

    loop: Loop
    settings: Settings
    policy: Policy
    upstream: Upstream
    resolver: Resolver
    madeup: MadeUp
    decisions: Decisions
    buffers: Buffers


class Failure(NamedTuple):
    """No connection: ``denied`` by the rules, or ``code`` (errno) and what to say about it."""

    text: str
    code: int = 0
    denied: bool = False


class Opened(NamedTuple):
    """A connection; ``early`` is what the server has already said."""

    sock: socket.socket
    early: bytes = b""


class Way(Enum):
    """How a host is reached."""

    STRAIGHT = auto()
    TUNNEL = auto()
    """The upstream proxy is asked to connect."""
    PLAIN = auto()
    """The upstream proxy itself is what is connected to; the caller speaks to it."""


Done = Callable[["Opened | Failure"], None]


class Outbound:
    """Opens one connection and calls ``done`` once, unless it is cancelled before.

    ``named``: the host may have any address.
    """

    def __init__(self, context: Context, host: str, port: int, done: Done, *, way: Way, named: bool) -> None:
        self._context = context
        self._host = host
        self._port = port
        self._done: Done | None = done
        self._named = named
        self._way = way
        self._connector: Connector | None = None
        self._timer: Timer | None = None
        self._sock: socket.socket | None = None
        self._reply = bytearray()

    def start(self) -> None:
        """Begin; the answer may come before this returns."""
        if is_literal(self._host):
            allowed, refused = self._judge((self._host,))
            if not allowed:
                self._fail(refused)
                return
        if self._way is not Way.STRAIGHT and self._context.upstream.address is not None:
            host, port = self._context.upstream.address
            self._resolve(host, partial(self._connect_upstream, port))
        else:
            self._resolve(self._host, self._connect_straight)

    def cancel(self) -> None:
        """Nobody wants the connection any more."""
        self._done = None
        if self._connector is not None:
            self._connector.cancel()
        self._let_go()

    def _resolve(self, host: str, then: Callable[[Answer], None]) -> None:
        if is_literal(host):
            then(Answer((host,)))
        else:
            self._context.resolver.resolve(host, then)

    def _judge(self, addresses: tuple[str, ...]) -> tuple[list[str], Failure]:
        """The addresses that may be connected to, and what to say if there are none."""
        if self._named:
            return list(addresses), Failure("")
        kinds = {address: why_not_public(address) for address in addresses}
        allowed = [address for address, kind in kinds.items() if not kind]
        what = ", ".join(f"{address} is {kind}" for address, kind in list(kinds.items())[:3] if kind)
        return allowed, Failure(f"{what}; only an entry with exactly this host allows that", denied=True)

    def _connect_straight(self, answer: Answer) -> None:
        if not answer.addresses:
            self._unresolved(self._host, answer)
            return
        allowed, refused = self._judge(answer.addresses)
        if allowed:
            self._connect([(address, self._port) for address in allowed])
        else:
            self._fail(refused)

    def _connect_upstream(self, port: int, answer: Answer) -> None:
        if answer.addresses:
            self._connect([(address, port) for address in answer.addresses])
        else:
            self._unresolved("the upstream proxy", answer)

    def _unresolved(self, what: str, answer: Answer) -> None:
        code = errno.ETIMEDOUT if answer.error == "timed out" else errno.EHOSTUNREACH
        self._fail(Failure(f"{what}: {answer.error or 'no address'}", code))

    def _connect(self, addresses: list[tuple[str, int]]) -> None:
        if self._done is not None:
            patience = self._context.settings.patience
            self._connector = Connector(self._context.loop, addresses, patience, self._connected)

    def _connected(self, result: socket.socket | OSError) -> None:
        if isinstance(result, OSError):
            self._fail(Failure(result.strerror or type(result).__name__, result.errno or errno.EIO))
        elif self._way is Way.TUNNEL:
            self._ask_upstream(result)
        else:
            self._finish(Opened(result))

    def _ask_upstream(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timer = self._context.loop.after(self._context.settings.patience, self._upstream_is_silent)
        try:
            sock.send(connect_request(self._host, self._port))  # the first bytes of a connection always find room
        except OSError as e:
            self._fail(Failure(f"the upstream proxy: {e.strerror}", e.errno or errno.EIO))
            return
        self._context.loop.watch(sock.fileno(), IN, self._upstream_ready)

    def _upstream_is_silent(self) -> None:
        self._fail(Failure("the upstream proxy: timed out", errno.ETIMEDOUT))

    def _upstream_ready(self, _: int) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(16 * 1024)
            if not data:
                self._fail(Failure("the upstream proxy has hung up", errno.ECONNRESET))
                return
            self._reply += data
            end = find_end(self._reply)
            status = parse_status(bytes(self._reply[:end])) if end else 0
        except BlockingIOError:
            return
        except OSError as e:
            self._fail(Failure(f"the upstream proxy: {e.strerror}", e.errno or errno.EIO))
            return
        except HttpError:
            self._fail(Failure("the upstream proxy does not speak HTTP", errno.EPROTO))
            return
        if not end:
            return
        if not 200 <= status < 300:
            self._fail(Failure(f"the upstream proxy refuses ({status})", errno.EACCES))
            return
        sock, self._sock = self._sock, None
        self._context.loop.unwatch(sock.fileno())
        self._finish(Opened(sock, bytes(self._reply[end:])))

    def _let_go(self) -> None:
        self._context.loop.cancel(self._timer)
        if self._sock is not None:
            self._context.loop.close(self._sock)
            self._sock = None

    def _fail(self, failure: Failure) -> None:
        self._let_go()
        self._finish(failure)

    def _finish(self, result: Opened | Failure) -> None:
        self._context.loop.cancel(self._timer)
        done, self._done = self._done, None
        if done is not None:
            done(result)
