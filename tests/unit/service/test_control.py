"""The daemon's own socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from cowork.errors import PolicyError
from cowork.linux import unixsocket
from cowork.linux.credentials import Peer
from cowork.service import control as module
from cowork.service.control import VERSION, Control, DaemonStatus
from cowork.service.listeners import Listener, Listeners
from tests.support.daemon import Place
from tests.support.service import turns, until


class FakeListeners:
    """Notes what was lent and closed."""

    def __init__(self) -> None:
        self.lent: list[tuple[str, str | None]] = []
        self.closed: list[object] = []
        self.socks: list[socket.socket] = []

    async def lend(self, sock: socket.socket, path: Path, dialect: str | None) -> Listener:
        if path.name == "taken":
            sock.close()
            raise PolicyError(f"{path} is served already")
        self.lent.append((str(path), dialect))
        self.socks.append(sock)
        return cast("Listener", sock)

    def close(self, listener: object) -> None:
        self.closed.append(listener)
        cast("socket.socket", listener).close()


STATUS = DaemonStatus(VERSION, 42, "1.0", "host", "none", 5.0, True, 1, 2, 3, [])


class Bench:
    """A control socket and what is behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listeners = FakeListeners()
        self.control = Control(unixsocket.bind(path), cast("Listeners", self.listeners), lambda: STATUS)
        self.control.start()

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        sock.connect(str(self.path))
        return sock


async def line(sock: socket.socket) -> dict[str, Any]:
    data = b""
    async with asyncio.timeout(20):
        while not data.endswith(b"\n"):
            received = await asyncio.get_running_loop().sock_recv(sock, 65536)
            if not received:
                raise EOFError
            data += received
    message = json.loads(data)
    assert isinstance(message, dict)
    return message


@pytest_asyncio.fixture
async def bench(place: Place) -> AsyncIterator[Bench]:
    before = len(os.listdir("/proc/self/fd"))
    made = Bench(place.run / "control.sock")
    yield made
    made.control.close()
    await turns()
    assert len(os.listdir("/proc/self/fd")) == before, "descriptors stay open"


@pytest.mark.asyncio
async def test_the_state_however_it_is_cut(bench: Bench) -> None:
    with bench.connect() as sock:
        for part in (b'{"op":', b'"status"}', b"\n"):
            sock.send(part)
            await turns(3)
        first = await line(sock)
        assert (first["pid"], first["backend"], first["machine"], first["listeners"]) == (42, "host", True, [])
        sock.send(b'{"op":"dance"}\n' * 3)
        told = b""
        async with asyncio.timeout(20):
            while told.count(b"\n") < 3:
                told += await asyncio.get_running_loop().sock_recv(sock, 65536)


@pytest.mark.asyncio
async def test_a_listener_lives_as_long_as_its_connection(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as lent, bench.connect() as sock:
        request = b'{"op":"listen","path":"/run/x.sock","dialect":"service"}\n'
        socket.send_fds(sock, [request], [lent.fileno()])
        assert await line(sock) == {"ok": True}
        assert bench.listeners.lent == [("/run/x.sock", "service")]
        assert bench.listeners.closed == []
    await until(lambda: bench.listeners.closed)


@pytest.mark.asyncio
async def test_a_listener_that_cannot_be_taken(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as lent, bench.connect() as sock:
        socket.send_fds(sock, [b'{"op":"listen","path":"/run/taken"}\n'], [lent.fileno()])
        assert await line(sock) == {"ok": False, "error": "/run/taken is served already"}
        sock.send(b'{"op":"status"}\n')
        assert (await line(sock))["pid"] == 42


@pytest.mark.asyncio
async def test_unknown_requests(bench: Bench) -> None:
    with bench.connect() as sock:
        sock.send(b'{"op":"listen","path":"/x"}\n')
        assert (await line(sock))["ok"] is False
        sock.send(b'{"op":"dance","new":1}\n')
        assert (await line(sock)) == {"ok": False, "error": "unknown request 'dance'"}


@pytest.mark.asyncio
@pytest.mark.parametrize("data", [b"nonsense\n", b"[]\n", b'{"op":5}\n', b"\xff\xfe\n"])
async def test_nonsense_ends_that_client_alone(bench: Bench, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as extra, bench.connect() as sock, bench.connect() as other:
        socket.send_fds(sock, [data], [extra.fileno()])
        with pytest.raises((EOFError, ConnectionResetError)):
            await line(sock)
        other.send(b'{"op":"status"}\n')
        assert (await line(other))["pid"] == 42


@pytest.mark.asyncio
async def test_a_line_without_end(bench: Bench) -> None:
    with bench.connect() as sock:
        async with asyncio.timeout(20):
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                await asyncio.get_running_loop().sock_sendall(sock, b"x" * (64 << 20))


@pytest.mark.asyncio
async def test_another_user_gets_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peer_of", lambda sock: Peer(1, os.getuid() + 1, 0))
    with bench.connect() as sock, pytest.raises((EOFError, ConnectionResetError)):
        await line(sock)


@pytest.mark.asyncio
async def test_the_end_lets_go_of_everybody(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as lent, bench.connect() as sock:
        socket.send_fds(sock, [b'{"op":"listen","path":"/x"}\n'], [lent.fileno()])
        await line(sock)
        bench.control.close()
        with pytest.raises((EOFError, ConnectionResetError)):
            await line(sock)
    assert len(bench.listeners.closed) == 1
