"""The way out: addresses are judged before anything is connected to, names are not asked for where nobody may know."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from cowork.proxy.decisions import Decisions
from cowork.proxy.loop import Loop
from cowork.proxy.madeup import MadeUp
from cowork.proxy.outbound import Context, Failure, Opened, Outbound, Way
from cowork.proxy.relay import Buffers
from cowork.proxy.resolver import Resolver
from cowork.proxy.rules import Policy
from cowork.proxy.settings import Settings, Upstream
from tests.unit.proxy.support import Names, Outside

Open = Callable[..., Opened | Failure]


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def outside() -> Iterator[Outside]:
    with Outside() as made:
        yield made


@pytest.fixture
def open_(names: Names, outside: Outside) -> Iterator[Open]:
    """Opens one connection; ``upstream`` is the server outside where a way leads through it."""
    loop = Loop(lambda e: pytest.fail(repr(e)))
    resolver = Resolver(loop, names, 5)
    made: list[Opened | Failure] = []

    def open_one(host: str, port: int, way: Way = Way.STRAIGHT, *, named: bool = False) -> Opened | Failure:
        settings = Settings([], patience=0.5)
        upstream = Upstream("" if way is Way.STRAIGHT else f"http://127.0.0.1:{outside.port}", [])
        context = Context(
            loop, settings, Policy([]), upstream, resolver, MadeUp(), Decisions(print), Buffers(),
        )  # fmt: skip

        def done(result: Opened | Failure) -> None:
            made.append(result)
            loop.stop()

        loop._running = True
        guard = loop.after(10, loop.stop)
        Outbound(context, host, port, done, way=way, named=named).start()
        if loop._running and not made:
            loop.run()
        loop.cancel(guard)
        return made.pop()

    yield open_one
    resolver.close()
    loop.shut()


def test_a_named_host_may_be_private(open_: Open, names: Names, outside: Outside) -> None:
    names.addresses["db.corp"] = ["127.0.0.1"]
    result = open_("db.corp", outside.port, named=True)
    assert isinstance(result, Opened)
    with result.sock:
        assert result.sock.getpeername() == ("127.0.0.1", outside.port)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["::1", "10.0.0.1"], ["::ffff:127.0.0.1"], ["0.0.0.0"]]
)
def test_a_name_that_resolves_to_private_addresses(
    open_: Open, names: Names, outside: Outside, addresses: list[str]
) -> None:
    names.addresses["rebind.evil.com"] = addresses
    result = open_("rebind.evil.com", outside.port)
    assert isinstance(result, Failure)
    assert result.denied
    assert addresses[0] in result.text
    assert outside.nobody_came()


def test_of_a_mix_the_public_addresses_are_tried_only(
    open_: Open, names: Names, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def connect_ex(self: socket.socket, address: object) -> int:
        tried.append(address)
        return errno.ENETUNREACH

    class Socket(socket.socket):
        pass

    Socket.connect_ex = connect_ex  # type: ignore[method-assign, assignment]
    monkeypatch.setattr(socket, "socket", Socket)
    names.addresses["mixed.com"] = ["127.0.0.1", "8.8.8.8", "10.0.0.1", "2606:4700::1111"]
    result = open_("mixed.com", 443)
    assert tried == [("8.8.8.8", 443), ("2606:4700::1111", 443)]
    assert result == Failure("network unreachable", errno.ENETUNREACH)


@pytest.mark.parametrize("way", [Way.STRAIGHT, Way.TUNNEL, Way.PLAIN])
@pytest.mark.parametrize("literal", ["127.0.0.1", "::1", "10.0.0.1", "64:ff9b::7f00:1"])
def test_private_literals(open_: Open, outside: Outside, way: Way, literal: str) -> None:
    result = open_(literal, outside.port, way)
    assert isinstance(result, Failure)
    assert result.denied
    assert outside.nobody_came()


def test_a_name_that_is_not_there(open_: Open) -> None:
    assert open_("nowhere.com", 443) == Failure("nowhere.com: no such name", errno.EHOSTUNREACH)


def test_nobody_there(open_: Open) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        result = open_("127.0.0.1", sock.getsockname()[1], named=True)
    assert result == Failure("connection refused", errno.ECONNREFUSED)


def test_an_upstream_that_says_nothing(open_: Open, names: Names, outside: Outside) -> None:
    assert open_("a.com", 443, Way.TUNNEL) == Failure("the upstream proxy: timed out", errno.ETIMEDOUT)
    assert outside.accept().recv(100) == b"CONNECT a.com:443 HTTP/1.1\r\nHost: a.com:443\r\n\r\n"
    assert names.asked == []


def test_an_upstream_that_is_spoken_to_by_the_caller(open_: Open, names: Names, outside: Outside) -> None:
    result = open_("a.com", 80, Way.PLAIN)
    assert isinstance(result, Opened)
    result.sock.close()
    assert names.asked == []
