"""The loop: events, timers, and descriptors that are closed while others are served."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from cowork.proxy import loop as module
from cowork.proxy.loop import HUP, IN, OUT, Loop


@pytest.fixture
def troubles() -> list[BaseException]:
    return []


@pytest.fixture
def loop(troubles: list[BaseException]) -> Iterator[Loop]:
    made = Loop(troubles.append)
    yield made
    made.shut()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_events_reach_their_handler(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    seen: list[int] = []

    def ready(events: int) -> None:
        seen.append(events)
        if events & OUT:
            loop.watch(ours.fileno(), IN, ready)
            theirs.send(b"x")
        elif events & HUP:
            loop.stop()
        else:
            ours.recv(1)
            loop.watch(ours.fileno(), 0, ready)
            theirs.close()

    loop.watch(ours.fileno(), IN | OUT, ready)
    loop.run()
    assert seen == [OUT, IN, HUP]


def test_timers_come_in_order_and_cancelled_ones_never(loop: Loop) -> None:
    seen: list[str] = []
    loop.after(0.02, loop.stop)
    loop.after(0.01, lambda: seen.append("second"))
    loop.after(0, lambda: seen.append("first"))
    never = loop.after(0, lambda: seen.append("never"))
    loop.cancel(never)
    loop.cancel(never)
    loop.cancel(None)
    loop.run()
    assert seen == ["first", "second"]


def test_cancelled_timers_do_not_pile_up(loop: Loop) -> None:
    for _ in range(10 * module._RUBBISH):
        loop.cancel(loop.after(1000, loop.stop))
    assert len(loop._timers) <= 2 * module._RUBBISH


def test_a_closed_sockets_number_is_not_used_in_the_same_turn(loop: Loop) -> None:
    one, two = socket.socketpair()
    one_end, two_end = socket.socketpair()
    seen: list[socket.socket] = []

    def ready(sock: socket.socket, other: socket.socket) -> None:
        seen.append(sock)
        number = other.fileno()
        loop.close(other)
        loop.close(other)  # twice is once
        with open(os.devnull) as file:
            assert file.fileno() != number
        loop.after(0, loop.stop)

    with one, two, one_end, two_end:
        two.send(b"x")
        two_end.send(b"x")
        loop.watch(one.fileno(), IN, lambda _: ready(one, one_end))
        loop.watch(one_end.fileno(), IN, lambda _: ready(one_end, one))
        loop.run()
        assert len(seen) == 1
        loop._bury()
        assert sum(sock.fileno() < 0 for sock in (one, one_end)) == 1


def test_a_handler_that_raises_loses_its_descriptor_only(
    loop: Loop, troubles: list[BaseException], pair: tuple[socket.socket, socket.socket]
) -> None:
    def fail(_: int = 0) -> None:
        raise RuntimeError("bug")

    pair[1].send(b"x")
    loop.watch(pair[0].fileno(), IN, fail)
    loop.after(0, fail)
    loop.after(0.01, loop.stop)
    loop.run()
    assert [str(e) for e in troubles] == ["bug", "bug"]
    loop.unwatch(pair[0].fileno())  # it is not watched any more, and that is fine
