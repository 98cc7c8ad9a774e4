"""Connecting to one of several addresses."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator

import pytest

from cowork.proxy.connect import Connector
from cowork.proxy.loop import Loop
from tests.unit.proxy.support import Outside


def connect(loop: Loop, addresses: list[tuple[str, int]], patience: float = 5) -> socket.socket | OSError:
    results: list[socket.socket | OSError] = []

    def done(result: socket.socket | OSError) -> None:
        results.append(result)
        loop.stop()

    Connector(loop, addresses, patience, done)
    loop.run()
    (result,) = results
    return result


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port where nobody listens, and nobody else will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes no more connections: what comes waits for ever."""
    with socket.socket() as sock, socket.socket() as one, socket.socket() as two:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        yield sock.getsockname()[1]


def test_a_refused_address_is_followed_by_the_next(loop: Loop, refusing: int) -> None:
    with Outside() as outside:
        result = connect(loop, [("127.0.0.1", refusing), ("127.0.0.1", outside.port)])
        assert isinstance(result, socket.socket)
        with result:
            assert result.getpeername()[1] == outside.port


def test_the_last_error_is_told(loop: Loop, refusing: int) -> None:
    result = connect(loop, [("127.0.0.1", refusing)])
    assert isinstance(result, OSError)
    assert (result.errno, result.strerror) == (errno.ECONNREFUSED, "connection refused")


def test_no_address_is_an_error(loop: Loop) -> None:
    assert isinstance(connect(loop, []), OSError)
    loop._running = True
    assert isinstance(connect(loop, [("no address", 1)]), OSError)


def test_a_dead_address_is_not_waited_for(loop: Loop, silent: int) -> None:
    with Outside() as outside:
        started = time.monotonic()
        result = connect(loop, [("127.0.0.1", silent), ("127.0.0.1", outside.port)])
        assert time.monotonic() - started < 3
        assert isinstance(result, socket.socket)
        result.close()


def test_patience_ends(loop: Loop, silent: int) -> None:
    result = connect(loop, [("127.0.0.1", silent)], 0.05)
    assert isinstance(result, TimeoutError)
    assert result.errno == errno.ETIMEDOUT


def test_a_cancelled_one_calls_nobody(loop: Loop, silent: int) -> None:
    connector = Connector(loop, [("127.0.0.1", silent)], 0.05, lambda result: pytest.fail("called"))
    loop.after(0.02, connector.cancel)
    loop.after(0.1, loop.stop)
    loop.run()


def test_descriptors_that_ran_out_are_an_error(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket, "socket", exhausted)
    results: list[object] = []
    Connector(loop, [("127.0.0.1", 1)], 5, results.append)
    loop.after(0.01, loop.stop)
    loop.run()
    assert isinstance(results[0], OSError)
    assert results[0].errno == errno.EMFILE
