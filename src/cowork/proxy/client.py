"""One accepted connection, from its first byte to the relay: what it asks for, whether it may, what it is told."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import NamedTuple

from cowork.proxy import http, socks
from cowork.proxy.filters import HelloGate, OneRequest
from cowork.proxy.loop import IN, Timer
from cowork.proxy.names import is_literal, join
from cowork.proxy.outbound import Context, Failure, Opened, Outbound, Way
from cowork.proxy.relay import Filter, Refused, Relay, reset_on_close

_HELLO = 5.0
"""Seconds that a TLS hello which has begun may take."""
_FAREWELL = 2.0
"""Seconds in which a client may read why it was refused."""
_READ = 16 * 1024

_SOCKS_CODES = {
    errno.ENETUNREACH: socks.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: socks.HOST_UNREACHABLE,
    errno.ETIMEDOUT: socks.HOST_UNREACHABLE,
    errno.ECONNREFUSED: socks.REFUSED,
}


class _Wish(NamedTuple):
    """What the client wants; ``how`` is the word for it in the log."""

    how: str
    host: str
    port: int
    request: http.Request | None = None

    @property
    def where(self) -> str:
        return join(self.host, self.port)


class Client:
    """Owns its socket until the relay does; calls ``gone`` once, when all of it is over."""

    def __init__(self, context: Context, sock: socket.socket, gone: Callable[[Client], None]) -> None:
        self._context = context
        self._loop = context.loop
        self._sock = sock
        self._gone = gone
        self._inbox = bytearray()
        self._handshake: socks.Handshake | None = None
        self._wish = _Wish("", "", 0)
        self._outbound: Outbound | None = None
        self._relay: Relay | None = None
        self._gate: HelloGate | None = None
        self._timer: Timer | None = None
        self._closed = False
        sock.setblocking(False)

    # -- the four ways in

    def serve_proxy(self) -> None:
        """Wait for a request, HTTP or SOCKS."""
        self._timer = self._loop.after(self._context.settings.idle, self._too_slow)
        self._loop.watch(self._sock.fileno(), IN, self._request_ready)

    def serve_direct(self) -> None:
        """Connect to the name whose made-up address was connected to."""
        address, port = self._sock.getsockname()[:2]
        host = self._context.madeup.name(address)
        if host is None:
            self._wish = _Wish("DIRECT", address, port)
            self._fail(Failure("no name has this address", denied=True))
        else:
            self._ask(_Wish("DIRECT", host, port))

    def serve_forward(self, target: tuple[str, int]) -> None:
        """Connect to a target that the caller has decided on."""
        self._wish = _Wish("FORWARD", *target)
        self._open(Way.STRAIGHT, named=True)

    def close(self, *, reset: bool = False) -> None:
        """End it, whatever it is doing."""
        if self._closed:
            return
        if self._relay is not None:
            self._relay.close(reset=reset)
            return
        if reset:
            reset_on_close(self._sock)
        self._loop.close(self._sock)
        self._end()

    def _end(self) -> None:
        """Everything is closed."""
        self._closed = True
        self._loop.cancel(self._timer)
        if self._outbound is not None:
            self._outbound.cancel()
        self._gone(self)

    # -- the request

    def _too_slow(self) -> None:
        self.close()

    def _request_ready(self, _: int) -> None:
        try:
            data = self._sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif self._handshake is not None or (not self._inbox and data[0] == socks.VERSION):
            self._feed_socks(data)
        else:
            self._feed_http(data)

    def _feed_socks(self, data: bytes) -> None:
        if self._handshake is None:
            self._handshake = socks.Handshake()
        try:
            answer = self._handshake.feed(data)
        except socks.SocksError as e:
            self._context.decisions("denied", "SOCKS", "?", e.text)
            self._say_goodbye(e.reply)
            return
        if answer and not self._say(answer):
            self.close()
            return
        target = self._handshake.target
        if target is not None:
            self._inbox = bytearray(self._handshake.rest)
            # Many clients (socks5:// as against socks5h://) resolve for themselves, and so hand us what we made up.
            self._ask(_Wish("SOCKS", self._context.madeup.name(target.host) or target.host, target.port))

    def _feed_http(self, data: bytes) -> None:
        seen = len(self._inbox)
        self._inbox += data
        try:
            end = http.find_end(self._inbox, seen)
            if not end:
                return
            request = http.parse_request(bytes(self._inbox[:end]))
        except http.HttpError as e:
            self._context.decisions("denied", "HTTP", "?", e.text)
            self._say_goodbye(http.refusal(e.status, e.text))
            return
        del self._inbox[:end]
        self._ask(_Wish("CONNECT" if request.connect else "HTTP", request.host, request.port, request))

    # -- the decision

    def _ask(self, wish: _Wish) -> None:
        self._wish = wish
        verdict = self._context.policy.check(wish.host, wish.port)
        if not verdict.allowed:
            self._fail(Failure(verdict.reason, denied=True))
            return
        plain = wish.request is not None and not wish.request.connect
        through = self._context.upstream.serves(wish.host)
        self._open((Way.PLAIN if plain else Way.TUNNEL) if through else Way.STRAIGHT, named=verdict.named)

    def _open(self, way: Way, *, named: bool) -> None:
        self._loop.cancel(self._timer)
        # Nothing is read until there is somewhere to send it; a client that goes is noticed all the same.
        self._loop.watch(self._sock.fileno(), 0, lambda _: self.close())
        wish = self._wish
        self._outbound = Outbound(self._context, wish.host, wish.port, self._opened, way=way, named=named)
        self._outbound.start()

    def _opened(self, result: Opened | Failure) -> None:
        self._outbound = None
        if isinstance(result, Failure):
            self._fail(result)
            return
        wish = self._wish
        self._context.decisions("allowed", wish.how, wish.where)
        self._loop.unwatch(self._sock.fileno())
        self._relay = Relay(self._loop, self._context.buffers, self._sock, result.sock, self._relayed)
        to_client, to_server, early = b"", b"", bytes(self._inbox)
        self._inbox.clear()
        filter_: Filter | None = None
        if wish.how == "SOCKS":
            to_client = socks.reply(socks.SUCCEEDED)
        elif wish.request is not None and wish.request.connect:
            to_client = http.ESTABLISHED
        elif wish.request is not None:
            through = self._context.upstream.serves(wish.host)
            to_server = wish.request.to_proxy() if through else wish.request.to_server()
            filter_ = OneRequest(wish.request.length, wish.where)
        if wish.how in ("SOCKS", "CONNECT", "DIRECT") and not is_literal(wish.host):
            filter_ = self._gate = HelloGate(self._context.policy, wish.host, wish.port, self._hello_has_begun)
        self._relay.start(to_server, early, to_client + result.early, filter_)

    def _fail(self, failure: Failure) -> None:
        wish = self._wish
        self._context.decisions("denied" if failure.denied else "failed", wish.how, wish.where, failure.text)
        if wish.how in ("DIRECT", "FORWARD"):
            self.close(reset=True)
        elif wish.how == "SOCKS":
            code = socks.NOT_ALLOWED if failure.denied else _SOCKS_CODES.get(failure.code, socks.FAILED)
            self._say_goodbye(socks.reply(code))
        else:
            status = 403 if failure.denied else 504 if failure.code == errno.ETIMEDOUT else 502
            verb = "is not allowed" if failure.denied else "cannot be reached"
            self._say_goodbye(http.refusal(status, f"{wish.where} {verb}: {failure.text}", denied=failure.denied))

    # -- the relay

    def _hello_has_begun(self) -> None:
        self._timer = self._loop.after(_HELLO, self._hello_is_overdue)

    def _hello_is_overdue(self) -> None:
        if self._gate is not None and not self._gate.passive and self._relay is not None:
            self._relay.close(reset=True, refused=self._gate.overdue())

    def _relayed(self, refused: Refused | None) -> None:
        if refused is not None:
            self._context.decisions("denied", self._wish.how, refused.where, refused.text)
        self._end()

    # -- the last word

    def _say(self, message: bytes) -> bool:
        """Send what surely fits into the socket's buffer; False if it did not."""
        try:
            return self._sock.send(message) == len(message)
        except OSError:
            return False

    def _say_goodbye(self, message: bytes) -> None:
        """Tell why, and wait a little: a close with something unread would be a reset, and the message lost."""
        self._loop.cancel(self._timer)
        if not message or not self._say(message):
            self.close()
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._timer = self._loop.after(_FAREWELL, self.close)
        self._loop.watch(self._sock.fileno(), IN, self._swallow)

    def _swallow(self, _: int) -> None:
        try:
            if self._sock.recv_into(self._context.buffers.view):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()
