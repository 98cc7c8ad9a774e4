"""The sockets that clients dial."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cowork.errors import PolicyError
from cowork.service import listeners as module
from cowork.service.listeners import DIALECTS, Listeners, dialect_of
from tests.support.daemon import Place


@pytest.mark.parametrize(
    ("name", "dialect"),
    [("cowork-vm-service.sock", "service"), ("cowork-kvm-service.sock", "service"), ("claude-cowork-vm.sock", "helper"),
     ("x.sock", "helper"), ("xcowork-vm-service.sock", "helper"), ("cowork-vm-service.sock2", "helper")],
)  # fmt: skip
def test_the_dialect_of_a_name(name: str, dialect: str) -> None:
    assert dialect_of(Path("/run/x") / name) == dialect
    assert dialect in DIALECTS


class Greeter(asyncio.Protocol):
    """Says in which dialect it was connected."""

    def __init__(self, service: Any, dialect: str) -> None:
        self.dialect = dialect

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self.dialect.encode())
        transport.close()


@pytest.fixture
def listeners(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listeners]:
    monkeypatch.setattr(module, "Connection", Greeter)
    made = Listeners(SimpleNamespace())  # type: ignore[arg-type]
    yield made
    assert made.all() == []


async def greeting(path: Path) -> str:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_several_with_their_dialects(listeners: Listeners, place: Place) -> None:
    one, two = place.run / "a.sock", place.run / "cowork-vm-service.sock"
    await listeners.open(one)
    await listeners.open(two)
    three = await listeners.open(place.run / "c.sock", "service")
    assert [await greeting(p) for p in (one, two, three.path)] == ["helper", "service", "service"]
    assert [(li.path, li.dialect, li.lent) for li in listeners.all()] == [
        (one, "helper", False), (two, "service", False), (three.path, "service", False),
    ]  # fmt: skip
    listeners.close(three)
    listeners.close(three)
    assert not three.path.exists()
    listeners.close_all()
    assert list(place.run.iterdir()) == []


@pytest.mark.asyncio
async def test_a_path_is_served_once(listeners: Listeners, place: Place) -> None:
    path = place.run / "a.sock"
    await listeners.open(path)
    with pytest.raises(PolicyError):
        await listeners.open(path)
    spare = socket.socket(socket.AF_UNIX)
    with pytest.raises(PolicyError, match="served already"):
        await listeners.lend(spare, path, None)
    assert spare.fileno() == -1, "what was lent is not kept"
    assert await greeting(path) == "helper"
    listeners.close_all()


@pytest.mark.asyncio
async def test_a_lent_one(listeners: Listeners, place: Place) -> None:
    path = place.run / "lent.sock"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    listener = await listeners.lend(sock, path, None)
    assert listener.lent
    assert await greeting(path) == "helper"
    listeners.close_all()


@pytest.mark.asyncio
async def test_a_successors_socket_stays(listeners: Listeners, place: Place) -> None:
    path = place.run / "a.sock"
    await listeners.open(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        listeners.close_all()
        assert path.exists()
