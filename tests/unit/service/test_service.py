"""The service as a whole, with holders that do what the test says."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from cowork.backends.base import Prepared
from cowork.backends.host import HostBackend
from cowork.linux import tasks
from cowork.service import service as module
from cowork.service.service import Service
from cowork.translate.sessionmap import SessionMap
from tests.support.delivery import FakeSink
from tests.support.service import FakeZygote, paths_below, turns, until

PREPARED = Prepared(["/bin/x"], "/bin/x", {}, "/", [], SessionMap("n", "/t"))


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """The process's umask and log level as they were."""
    old = os.umask(0o022)
    level = logging.getLogger("cowork").level
    yield
    os.umask(old)
    logging.getLogger("cowork").setLevel(level)


@pytest_asyncio.fixture
async def zygote() -> FakeZygote:
    return FakeZygote()


@pytest_asyncio.fixture
async def service(tmp_path: Path, zygote: FakeZygote) -> AsyncIterator[Service]:
    (tmp_path / "r").mkdir()
    made = Service(paths_below(tmp_path), HostBackend(), zygote.real)
    yield made
    made.close()
    await turns()


async def start(service: Service, zygote: FakeZygote, key: str) -> None:
    process = service.processes.create(key, "n", PREPARED, service.backend)
    starting = tasks.start(service.processes.start(process, PREPARED), "start")
    await turns(3)
    await zygote.holders[-1].begun()
    await starting
    service.delivery.add(process, new=True)


@pytest.mark.asyncio
async def test_what_no_session_may_see(service: Service, tmp_path: Path) -> None:
    """Real paths, whatever links lead there."""
    paths = service.paths
    assert service.ours == (str(paths.state), str(paths.runtime), str(paths.trees))
    (tmp_path / "link").symlink_to(tmp_path)
    linked = Service(paths_below(tmp_path / "link"), HostBackend(), FakeZygote().real)
    assert linked.ours == service.ours
    linked.close()
    await turns()


@pytest.mark.asyncio
async def test_files_are_private_and_children_get_the_users_umask(service: Service, zygote: FakeZygote) -> None:
    assert os.umask(0o077) == 0o077
    process = service.processes.create("p", "n", PREPARED, service.backend)
    starting = tasks.start(service.processes.start(process, PREPARED), "start")
    await turns(3)
    assert (await zygote.holders[0].begun()).umask == 0o022
    await starting


@pytest.mark.asyncio
async def test_stop_asks_all_at_once_and_tells_behind_their_exits(service: Service, zygote: FakeZygote) -> None:
    for key in ("a", "b", "c"):
        await start(service, zygote, key)
    sink = FakeSink()
    sink.subscriber = service.delivery.subscribe(sink, 1)
    stopping = tasks.start(service.stop_machine("m"), "stop")
    for holder in zygote.holders:
        assert (await holder.signalled())[0]["signal"] == signal.SIGTERM
    assert not stopping.done()
    for holder in reversed(zygote.holders):
        holder.exit(-1)
    await asyncio.wait_for(stopping, 20)
    await until(lambda: "vmStopped" in sink.types())
    assert sink.types() == ["exit", "exit", "exit", "vmStopped"]


@pytest.mark.asyncio
async def test_stop_does_not_wait_for_ever(
    service: Service, zygote: FakeZygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply comes in time; vmStopped still waits for the exit."""
    monkeypatch.setattr(module, "STOP_TIME", 0.01)
    await start(service, zygote, "a")
    sink = FakeSink()
    sink.subscriber = service.delivery.subscribe(sink, 1)
    await asyncio.wait_for(service.stop_machine("m"), 20)
    await turns()
    assert sink.types() == []
    zygote.holders[0].exit()
    await until(lambda: len(sink.frames) == 2)
    assert sink.types() == ["exit", "vmStopped"]


@pytest.mark.asyncio
async def test_a_warning_is_given_once_and_their_number_is_bounded(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(2000):
        service.warn_once(f"unknown {n}")
        service.warn_once("unknown 0")
    assert len(caplog.records) == 1000


@pytest.mark.asyncio
async def test_the_debug_switch(service: Service) -> None:
    service.debug = True
    assert service.debug
    service.debug = False
    assert not service.debug


@pytest.mark.asyncio
async def test_resuming_with_nothing_there_starts_nothing(service: Service, zygote: FakeZygote) -> None:
    assert await service.resume() == 0
    assert zygote.starts == 0
