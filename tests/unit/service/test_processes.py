"""The table of processes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cowork.backends.base import Prepared
from cowork.backends.host import HostBackend
from cowork.errors import HolderError, NotFound, RpcError
from cowork.holder.spec import Sandbox
from cowork.linux import tasks
from cowork.paths import Paths
from cowork.service import processes as module
from cowork.service.process import Process
from cowork.service.processes import Processes
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord, SessionRecord, new_id
from cowork.translate.sessionmap import MappedMount, SessionMap
from tests.support.service import FakeHolder, FakeZygote, paths_below, turns

PREPARED = Prepared(["/bin/x", "a"], "/bin/x", {"SECRET": "value"}, "/", [], SessionMap("n", "/t"))


class FakeDelivery:
    """Notes who was added."""

    def __init__(self) -> None:
        self.added: list[tuple[str, bool]] = []
        self.changes = 0
        self.told: list[str] = []

    def add(self, process: Process, *, new: bool) -> None:
        self.added.append((process.key, new))

    def changed(self, process: Process) -> None:
        self.changes += 1

    def exit_told(self, process: Process) -> None:
        self.told.append(process.key)


class Bench:
    """A table with a zygote of fakes."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.zygote = FakeZygote()
        self.delivery = FakeDelivery()
        self.table = Processes(paths, self.zygote.real, 0o022)
        self.table.delivery = self.delivery  # type: ignore[assignment]

    async def start(self, key: str = "p", name: str = "n") -> tuple[Process, FakeHolder]:
        process = self.table.create(key, name, PREPARED, HostBackend())
        starting = tasks.start(self.table.start(process, PREPARED), "start")
        await turns(3)
        holder = self.zygote.holders[-1]
        await holder.begun()
        await starting
        return process, holder

    def folders(self) -> list[str]:
        return sorted(p.name for p in self.paths.sessions.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "r").mkdir()
    made = Bench(paths_below(tmp_path))
    yield made
    made.zygote.close()


@pytest.mark.asyncio
async def test_a_process_from_its_start_to_its_end(bench: Bench) -> None:
    assert bench.table.state("p") == (False, None)
    with pytest.raises(NotFound, match="p not found"):
        bench.table.get("p")
    process, holder = await bench.start()
    assert bench.table.get("p") is process
    assert bench.table.state("p") == (True, None)
    assert list(bench.table.live()) == [process]
    assert bench.table.is_live("n")
    assert not bench.table.is_live("p")
    with pytest.raises(RpcError, match="already running"):
        bench.table.check_free("p")
    holder.exit(4)
    await process.stopped
    assert bench.table.state("p") == (False, 4)
    assert not bench.table.is_live("n")
    bench.table.check_free("p")
    bench.table.finished(process)
    assert bench.table.state("p") == (False, 4)
    with pytest.raises(NotFound):
        bench.table.get("p")
    assert bench.folders() == [process.session_id], "kept for a while"
    await turns()


@pytest.mark.asyncio
async def test_it_is_in_the_table_before_it_is_started(bench: Bench) -> None:
    process = bench.table.create("p", "n", PREPARED, HostBackend())
    assert bench.table.state("p") == (True, None)
    assert bench.table.get("p") is process
    with pytest.raises(RpcError, match="already running"):
        bench.table.create("p", "n", PREPARED, HostBackend())
    assert len(bench.folders()) == 1
    bench.table.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [HolderError("no zygote"), OSError(errno.EMFILE, "Too many open files")])
async def test_a_start_that_fails_leaves_nothing(bench: Bench, error: Exception) -> None:
    bench.zygote.error = error
    process = bench.table.create("p", "n", PREPARED, HostBackend())
    with pytest.raises(type(error)):
        await bench.table.start(process, PREPARED)
    assert bench.table.state("p") == (False, None)
    assert bench.folders() == []
    bench.zygote.error = None
    await bench.start()
    bench.table.close()
    await turns()


@pytest.mark.asyncio
async def test_a_holder_that_cannot_start_the_program(bench: Bench) -> None:
    process = bench.table.create("p", "n", PREPARED, HostBackend())
    starting = tasks.start(bench.table.start(process, PREPARED), "start")
    await turns(3)
    bench.zygote.holders[0].fail("/bin/x: not today")
    with pytest.raises(RpcError, match="not today"):
        await starting
    assert bench.folders() == []
    assert not bench.table.is_live("n")
    await turns()


@pytest.mark.asyncio
async def test_what_is_written_down_holds_no_secret(bench: Bench) -> None:
    process, _ = await bench.start()
    text = (process.directory.path / "session.json").read_text()
    assert "value" not in text
    assert '"executable":"/bin/x"' in text
    bench.table.close()
    await turns()


SESSION = SessionMap("n", "/t", [MappedMount("proj", "/home/proj", "ro")])
BOX = Sandbox(program="/bin/bwrap", options=["--clearenv"])


def on_the_host(**more: Any) -> Prepared:
    return Prepared(["/bin/x"], "/bin/x", {}, "/", [], SESSION, **more)


@pytest.mark.asyncio
async def test_what_a_session_on_the_host_is_recorded_as(bench: Bench) -> None:
    process = bench.table.create("p", "n", on_the_host(), HostBackend())
    asked = process.directory.record()
    assert (asked.translated, asked.network, asked.weaker) == (True, "host", [])
    assert [(m.name, m.host, m.mode) for m in asked.mounts] == [("proj", "/home/proj", "ro")]
    assert process.translation is not None
    assert not process.translation.real_inside
    bench.table.close()


@pytest.mark.asyncio
async def test_what_a_session_in_a_sandbox_is_recorded_as(bench: Bench) -> None:
    """Nothing of it is translated, but what its guest paths stand for is known all the same."""
    prepared = on_the_host(translated=False, sandbox=BOX, network="model API only", weaker=["x is not protected"])
    process = bench.table.create("p", "n", prepared, HostBackend())
    asked = process.directory.record()
    assert (asked.translated, asked.network, asked.weaker) == (False, "model API only", ["x is not protected"])
    assert "--clearenv" not in (process.directory.path / "session.json").read_text()
    assert process.translation is not None
    assert process.translation.real_inside
    found = bench.table.map_of("n")
    assert found is not None
    assert found.to_host("/sessions/n/mnt/proj/f") == "/home/proj/f"
    bench.table.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("sandbox", [None, BOX])
async def test_the_holder_is_told_of_the_sandbox_and_the_limits(bench: Bench, sandbox: Sandbox | None) -> None:
    prepared = on_the_host(sandbox=sandbox, memory=1 << 30, tasks=64)
    process = bench.table.create("p", "n", prepared, HostBackend())
    starting = tasks.start(bench.table.start(process, prepared), "start")
    await turns(3)
    spec = await bench.zygote.holders[-1].begun()
    await starting
    assert (spec.sandbox, spec.memory, spec.tasks) == (sandbox, 1 << 30, 64)
    bench.table.close()
    await turns()


@pytest.mark.asyncio
async def test_a_sandboxed_session_of_an_earlier_daemon(bench: Bench) -> None:
    """Its record says that guest paths are real inside; what they stand for is known to the next daemon, too."""
    directory = session(bench.paths, "p", 1.0, ended=0)
    await bench.table.adopt()
    process = bench.table.get("p")
    assert not directory.record().translated
    assert process.translation is not None
    assert process.translation.real_inside
    assert bench.table.map_of("n") is not None
    bench.table.close()


@pytest.mark.asyncio
async def test_ids_for_who_gives_none(bench: Bench) -> None:
    assert bench.table.free_key() == "proc-1"
    process, holder = await bench.start("proc-1")
    assert bench.table.free_key() == "proc-2"
    holder.exit()
    await process.stopped
    bench.table.finished(process)
    assert bench.table.free_key() == "proc-2", "its exit code is still known by that id"
    await turns()


@pytest.mark.asyncio
async def test_old_ends_are_forgotten_in_their_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDED_KEPT", 2)
    ids = []
    for n in range(25):
        process, holder = await bench.start(f"p{n}")
        holder.exit(n)
        await process.stopped
        bench.table.finished(process)
        ids.append(process.session_id)
    assert bench.folders() == sorted(ids[-2:])
    assert bench.table.state("p4") == (False, None)
    assert bench.table.state("p5") == (False, 5)
    assert bench.table.state("p24") == (False, 24)
    await turns()


def session(paths: Paths, key: str, created: float, *, ended: int | None, kind: str = "cowork") -> SessionDirectory:
    directory = SessionDirectory(paths.sessions, new_id())
    directory.create(SessionRecord(id=directory.id, kind=kind, name="n", process=key, created=created)).close()
    directory.spool.mkdir()
    if ended is not None:
        directory.write_exit(ExitRecord(exit_code=ended, head=0))
    return directory


@pytest.mark.asyncio
async def test_ended_sessions_of_an_earlier_daemon(bench: Bench) -> None:
    """The younger one of an id counts; those of other kinds are nobody's business here."""
    session(bench.paths, "p", 2.0, ended=2)
    session(bench.paths, "p", 1.0, ended=1)
    session(bench.paths, "shell", 1.0, ended=1, kind="shell")
    assert await bench.table.adopt() == 0
    assert bench.delivery.added == [("p", False), ("p", False)]
    assert bench.delivery.told == ["p", "p"]
    assert bench.table.state("p") == (False, 2)
    bench.table.close()


@pytest.mark.asyncio
async def test_a_session_without_holder_and_end_is_buried(bench: Bench) -> None:
    directory = session(bench.paths, "p", 1.0, ended=None)
    assert await bench.table.adopt() == 0
    assert bench.table.state("p") == (False, -1)
    ended = directory.exit()
    assert ended is not None
    assert ended.lost
    bench.table.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["session.json", "exit.json", "readers"])
async def test_a_damaged_session_is_left_alone(bench: Bench, caplog: pytest.LogCaptureFixture, name: str) -> None:
    bad = session(bench.paths, "bad", 1.0, ended=0)
    good = session(bench.paths, "good", 2.0, ended=3)
    (bad.path / name).write_bytes(b"{")
    await bench.table.adopt()
    assert bench.table.state("good") == (False, 3)
    assert bench.table.state("bad") == (False, None)
    assert f"session {bad.id} is left alone" in caplog.text
    assert bench.folders() == sorted([bad.id, good.id])
    bench.table.close()


@pytest.mark.asyncio
async def test_a_holder_that_dies(bench: Bench) -> None:
    process, holder = await bench.start()
    holder.close()
    await process.stopped
    assert process.exit is not None
    assert process.exit.lost
    assert bench.table.state("p") == (False, -1)
    await turns()
    assert bench.delivery.changes > 0
    bench.table.close()
