"""Bytes both ways between two sockets: one shared buffer, at most one piece kept per direction, no waiting."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Protocol, cast

from cowork.proxy.loop import ERR, HUP, IN, OUT, Loop

BUFFER = 256 * 1024
"""Bytes that are read at once while memory is plenty."""
_SMALLEST = 4 * 1024
_BUDGET = 24 * 1024 * 1024
"""Bytes that may be kept for all connections before reads shrink to the smallest."""
_SHARE = 32
"""A read takes at most this fraction of what is left of the budget."""

_TCP_NOTSENT_LOWAT = 25  # tcp(7); not in Python's socket module
_LINGER_NOT = struct.pack("ii", 1, 0)

Bytes = bytes | memoryview


class Refused(Exception):
    """A filter does not let this go on; ``text`` says why, ``where`` what was wanted."""

    def __init__(self, where: str, text: str) -> None:
        super().__init__(text)
        self.where = where
        self.text = text


class Filter(Protocol):
    """Looks at a direction's bytes before they are sent."""

    def feed(self, data: memoryview) -> Bytes:
        """What may be sent now. Raises Refused."""

    def end(self) -> None:
        """No more will come. Raises Refused."""

    @property
    def passive(self) -> bool:
        """Whether it needs to see no more."""


class Buffers:
    """What all relays share: where to read into, and how much is being kept."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BUFFER))
        self.kept = 0

    def size(self) -> int:
        """Bytes to read now: less, the more is kept, so that stalled readers cannot fill the memory."""
        if self.kept < _BUDGET // 4:
            return BUFFER
        return min(BUFFER, max(_SMALLEST, (_BUDGET - self.kept) // _SHARE))


class _Direction:
    """From ``source`` to ``sink``.

    ``ended``: nothing more is read; ``done``: nothing more is sent; ``mask``: what the source is watched for (None: not
    at all); ``muted``: the source has hung up, and is watched only while something is wanted of it.
    """

    __slots__ = ("done", "ended", "filter", "kept", "mask", "muted", "sink", "source")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.kept: memoryview | None = None
        self.ended = False
        self.done = False
        self.muted = False
        self.mask: int | None = None
        self.filter: Filter | None = None


class Relay:
    """Owns both sockets; calls ``finished`` once they are closed, with what a filter refused, if one did."""

    def __init__(
        self,
        loop: Loop,
        buffers: Buffers,
        client: socket.socket,
        server: socket.socket,
        finished: Callable[[Refused | None], None],
    ) -> None:
        self._loop = loop
        self._buffers = buffers
        self._finished = finished
        self._up = _Direction(client, server)
        self._down = _Direction(server, client)
        self._broken = False
        self._closed = False
        for sock in (client, server):
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                # What a reader leaves unread must not fill the kernel's memory, which is the whole machine's.
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, BUFFER)

    def start(self, to_server: bytes, early: bytes, to_client: bytes, filter_: Filter | None = None) -> None:
        """Begin with what there is to send already; ``early`` and all that the client sends goes through the filter."""
        self._up.filter = filter_
        try:
            self._send(self._down, to_client)
            self._send(self._up, to_server)
            if early:
                self._pass_on(self._up, memoryview(early))
        except Refused as e:
            self.close(reset=True, refused=e)
            return
        if not self._closed:
            self._arm()

    def close(self, *, reset: bool = False, refused: Refused | None = None) -> None:
        """End both; ``reset`` by RST where that exists."""
        if self._closed:
            return
        self._closed = True
        for direction in (self._up, self._down):
            self._keep(direction, None)
            if reset:
                reset_on_close(direction.source)
            self._loop.close(direction.source)
        self._finished(refused)

    def _client_ready(self, events: int) -> None:
        self._ready(self._up, self._down, events)

    def _server_ready(self, events: int) -> None:
        self._ready(self._down, self._up, events)

    def _ready(self, out: _Direction, back: _Direction, events: int) -> None:
        """``out`` comes from the socket that has events, ``back`` goes to it."""
        try:
            if events & OUT and back.kept is not None:
                kept = back.kept
                self._keep(back, None)
                self._send(back, kept)
                if back.ended and back.kept is None:
                    self._finish(back)
            if events & ~OUT and not self._closed:
                if not out.ended and out.kept is None:
                    self._pump(out)
                elif events & (HUP | ERR):
                    self._hung_up(out, back)
        except Refused as e:
            self.close(reset=True, refused=e)
            return
        if not self._closed:
            self._arm()

    def _pump(self, direction: _Direction) -> None:
        view = self._buffers.view[: self._buffers.size()]
        try:
            count = direction.source.recv_into(view)
        except BlockingIOError:
            return
        except OSError:
            # It was reset: so is the other one.
            self.close(reset=True)
            return
        if count:
            self._pass_on(direction, view[:count])
            return
        direction.ended = True
        if direction.filter is not None:
            direction.filter.end()
        if direction.kept is None:
            self._finish(direction)

    def _pass_on(self, direction: _Direction, data: memoryview) -> None:
        passing: Bytes = data
        if direction.filter is not None:
            passing = direction.filter.feed(data)
            if direction.filter.passive:
                direction.filter = None
        self._send(direction, passing)

    def _send(self, direction: _Direction, data: Bytes) -> None:
        """Send, and keep what the socket does not take."""
        if not data or direction.done:
            return
        if direction.kept is not None:
            self._keep(direction, memoryview(bytes(direction.kept) + data))
            return
        try:
            sent = direction.sink.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(direction)
            return
        if sent < len(data):
            # A piece of the shared buffer must be copied out of it; one that is ours already need not.
            rest = memoryview(data)[sent:]
            self._keep(direction, memoryview(bytes(rest)) if rest.obj is self._buffers.view.obj else rest)

    def _keep(self, direction: _Direction, data: memoryview | None) -> None:
        # Counted by the whole of the bytes object that a slice keeps alive.
        self._buffers.kept += _weight(data) - _weight(direction.kept)
        direction.kept = data

    def _finish(self, direction: _Direction) -> None:
        """All was sent, and nothing more will come: say so."""
        if direction.done:
            return
        direction.done = True
        try:
            direction.sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if self._up.done and self._down.done:
            self.close(reset=self._broken)

    def _lose(self, direction: _Direction, *, broken: bool = True) -> None:
        """The sink takes nothing any more; what it has sent before may still be delivered, the rest is thrown away."""
        self._broken = self._broken or broken
        self._keep(direction, None)
        direction.done = True
        if self._up.done and self._down.done:
            self.close(reset=self._broken)

    def _hung_up(self, out: _Direction, back: _Direction) -> None:
        """A socket that is not being read is closed both ways, or was reset."""
        if out.source.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close(reset=True)
            return
        # epoll would tell it again and again; what waits behind it is read when the other side has taken its piece.
        out.muted = True
        if not back.done:
            self._lose(back, broken=False)

    def _arm(self) -> None:
        up, down = self._up, self._down
        self._watch(up, down.kept is not None, self._client_ready)
        self._watch(down, up.kept is not None, self._server_ready)

    def _watch(self, direction: _Direction, out: bool, handler: Callable[[int], None]) -> None:
        """Ask for exactly what can be served now."""
        want = (0 if direction.ended or direction.kept is not None else IN) | (OUT if out else 0)
        if direction.muted and not want:
            self._loop.unwatch(direction.source.fileno())
            direction.mask = None
        elif direction.mask != want:
            direction.mask = want
            self._loop.watch(direction.source.fileno(), want, handler)


def reset_on_close(sock: socket.socket) -> None:
    """Make the coming close a RST; a socket that knows none is just closed."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


def _weight(data: memoryview | None) -> int:
    """Bytes that a piece keeps alive: the whole object of which it is a slice."""
    return 0 if data is None else len(cast(bytes, data.obj))
