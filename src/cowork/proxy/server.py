"""The proxy itself: listeners, how many connections there may be, and when it ends."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Sequence
from functools import partial

from cowork.proxy.client import Client
from cowork.proxy.decisions import Decisions
from cowork.proxy.dnsserver import DnsServer
from cowork.proxy.loop import IN, Loop
from cowork.proxy.madeup import MadeUp
from cowork.proxy.outbound import Context
from cowork.proxy.relay import Buffers
from cowork.proxy.resolver import Lookup, Resolver, system_lookup
from cowork.proxy.rules import Policy
from cowork.proxy.settings import ROLES, Listener, Settings, Upstream

MAX_CLIENTS = 2000
"""Connections at once; more wait in the listeners' backlogs."""
_MAX_FILES = 65536
_SPARE_FILES = 64
_AT_ONCE = 64
"""Connections that are accepted before others have their turn."""
_BREATH = 0.25
"""Seconds until accepting is tried again after the descriptors ran out."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def serve(
    settings: Settings,
    listeners: Sequence[Listener],
    *,
    alive: int,
    log: Callable[[str], None],
    lookup: Lookup = system_lookup,
) -> None:
    """Serve until the descriptor ``alive`` (a pipe's or socket's reading end) is at its end.

    The listeners stay the caller's; they are made non-blocking. ``lookup`` is called on threads.

    Raises:
        ValueError: the settings or a listener are not as they have to be (RuleError is one).
    """
    server = Server(settings, log, lookup, max_clients=min(MAX_CLIENTS, (raise_limit() - _SPARE_FILES) // 3))
    try:
        for listener in listeners:
            server.add(listener)
        server.watch(alive)
        server.context.loop.run()
    finally:
        server.close()


def raise_limit() -> int:
    """Allow as many descriptors as may be, at most 65536; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MAX_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


class Server:
    """Accepts, and knows all connections."""

    def __init__(
        self, settings: Settings, log: Callable[[str], None], lookup: Lookup, *, max_clients: int = MAX_CLIENTS
    ) -> None:
        """Raises ValueError for settings that cannot be meant."""
        policy = Policy(settings.rules)
        upstream = Upstream(settings.upstream, settings.no_upstream)
        loop = Loop(lambda e: log(f"trouble: {type(e).__name__} in the proxy: {e}"))
        resolver = Resolver(loop, lookup, settings.patience)
        self.context = Context(
            loop, settings, policy, upstream, resolver, MadeUp(), Decisions(log), Buffers(),
        )  # fmt: skip
        self._listeners: list[Listener] = []
        self._clients: set[Client] = set()
        self._max = max(1, max_clients)
        self._paused = False

    def add(self, listener: Listener) -> None:
        """Serve one more socket.

        Raises:
            ValueError: an unknown role, or a forward without a target.
        """
        if listener.role not in ROLES or (listener.role == "forward") is not (listener.target is not None):
            raise ValueError(f"listener: no role {listener.role!r} with the target {listener.target!r}")
        if listener.role == "dns":
            DnsServer(self.context, listener.sock)
            return
        listener.sock.setblocking(False)
        self._listeners.append(listener)
        self._listen(listener)

    def watch(self, alive: int) -> None:
        """Stop when ``alive`` is at its end."""
        self.context.loop.watch(alive, IN, partial(self._look_at, alive))

    def close(self) -> None:
        """End all connections."""
        for client in list(self._clients):
            client.close(reset=True)
        self.context.decisions.close()
        self.context.resolver.close()
        self.context.loop.shut()

    def _look_at(self, alive: int, _: int) -> None:
        try:
            ended = not os.read(alive, 4096)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self.context.loop.stop()

    def _listen(self, listener: Listener) -> None:
        fd = listener.sock.fileno()
        self.context.loop.watch(fd, 0 if self._paused else IN, partial(self._accept, listener))

    def _pause(self, paused: bool) -> None:
        if self._paused != paused:
            self._paused = paused
            for listener in self._listeners:
                self._listen(listener)

    def _accept(self, listener: Listener, _: int) -> None:
        for _number in range(_AT_ONCE):
            if len(self._clients) >= self._max:
                self._pause(True)
                return
            try:
                sock, _address = listener.sock.accept()
            except OSError as e:
                if e.errno in _EXHAUSTED:
                    self.context.decisions("failed", "ACCEPT", listener.role, e.strerror or "no resources")
                    self._pause(True)
                    self.context.loop.after(_BREATH, partial(self._pause, False))
                elif e.errno == errno.ECONNABORTED:
                    continue
                return
            self._begin(listener, sock)

    def _begin(self, listener: Listener, sock: socket.socket) -> None:
        client = Client(self.context, sock, self._gone)
        self._clients.add(client)
        if listener.role == "proxy":
            client.serve_proxy()
        elif listener.role == "direct":
            client.serve_direct()
        elif listener.target is not None:
            client.serve_forward(listener.target)

    def _gone(self, client: Client) -> None:
        self._clients.discard(client)
        if self._paused and len(self._clients) < self._max:
            self._pause(False)
