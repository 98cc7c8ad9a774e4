"""One process against a holder that does what the test says."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from cowork.errors import RpcError
from cowork.holder import messages as m
from cowork.holder.spec import StartSpec
from cowork.linux import tasks
from cowork.service.process import Process
from cowork.service.translation import Translation
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord, SessionRecord
from cowork.translate.sessionmap import MappedMount, SessionMap
from tests.support.service import FakeHolder, turns, until


class Owner:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.changes = 0
        self.lost = 0

    def process_changed(self, process: Process) -> None:
        self.changes += 1

    def process_lost(self, process: Process) -> None:
        self.lost += 1


class Bench:
    """A process and its holder."""

    def __init__(self, folder: Path, argv: list[str]) -> None:
        self.owner = Owner()
        directory = SessionDirectory(folder, "abcdefghijkl")
        asked = SessionRecord(id=directory.id, kind="cowork", name="n", argv=argv)
        self.process = Process("p", directory, asked, self.owner)
        self.process.page = directory.create(asked)
        self.process.expect_start()
        ours, theirs = socket.socketpair()
        self.holder = FakeHolder(theirs)
        spec = StartSpec(folder=str(directory.path), socket="/x", argv=argv, executable=argv[0], env={}, cwd="/")
        self.starting = tasks.start(self.process.start(ours, spec), "start")
        self.answers: list[str | None] = []

    async def started(self) -> Bench:
        await self.holder.begun()
        await self.starting
        return self

    def write(self, data: bytes = b"x") -> None:
        self.process.write(data, self.answers.append)

    async def close(self) -> None:
        self.process.close()
        self.holder.close()
        await turns()


@pytest.mark.asyncio
async def test_a_life(tmp_path: Path) -> None:
    bench = await Bench(tmp_path, ["/bin/sh"]).started()
    process = bench.process
    assert process.running
    assert process.session_id == "abcdefghijkl"
    bench.holder.say(m.NOTE, m.U64.pack(10))
    bench.holder.say(m.NOTE, m.U64.pack(30))
    await turns()
    assert process.head == 30
    bench.holder.exit(7, head=40)
    await asyncio.wait_for(process.stopped, 20)
    assert not process.running
    assert process.exit is not None
    assert (process.exit.exit_code, process.head) == (7, 40)
    bench.holder.close()
    await turns()
    assert bench.owner.lost == 0
    await bench.close()


@pytest.mark.asyncio
async def test_what_is_asked_before_the_start_comes_behind_it_in_its_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ["/bin/sh"])
    sent: list[bool] = []
    bench.write(b"one")
    bench.process.signal(signal.SIGINT, sent.append)
    bench.write(b"two")
    assert bench.answers == []
    kinds = [(await bench.holder.hear())[0] for _ in range(4)]
    assert kinds == [m.BEGIN, m.WRITE, m.SIGNAL, m.WRITE]
    bench.holder.status()
    await bench.starting
    await bench.close()
    assert bench.answers == ["ended", "ended"], "nobody waits for ever"
    assert sent == [False]


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["failed", "died"])
async def test_a_start_that_fails(tmp_path: Path, how: str) -> None:
    bench = Bench(tmp_path, ["/bin/sh"])
    await bench.holder.hear(m.BEGIN)
    bench.write()
    if how == "failed":
        bench.holder.fail("/bin/sh: no")
    else:
        bench.holder.close()
    with pytest.raises(RpcError, match="/bin/sh: no" if how == "failed" else "died"):
        await bench.starting
    assert bench.process.stopped.done(), "stopVM does not wait for it"
    await bench.close()
    assert bench.answers == ["ended"]
    assert bench.owner.lost == 0


@pytest.mark.asyncio
async def test_writes_are_answered_in_their_order(tmp_path: Path) -> None:
    bench = await Bench(tmp_path, ["/bin/sh"]).started()
    for data in (b"a", b"b", b"c"):
        bench.write(data)
    assert await bench.holder.answer(m.ACCEPTED) == b"a"
    assert await bench.holder.answer(m.REFUSED, "full") == b"b"
    assert await bench.holder.answer(m.REFUSED, "closed") == b"c"
    await turns()
    assert bench.answers == [None, "full", "closed"]
    bench.holder.exit()
    await bench.process.stopped
    bench.write()
    assert bench.answers[3:] == ["ended"]
    await bench.close()


@pytest.mark.asyncio
async def test_the_ladder_of_a_stream_json_claude(tmp_path: Path) -> None:
    bench = await Bench(tmp_path, ["/x/claude", "--output-format", "stream-json"]).started()
    sent: list[bool] = []
    bench.process.signal(signal.SIGTERM, sent.append)
    steps = await bench.holder.signalled()
    assert [(s["signal"], s["to"]) for s in steps] == [(2, "leader"), (15, "group"), (9, "tree")]
    bench.process.signal(signal.SIGKILL, sent.append)
    steps = await bench.holder.signalled(sent=False)
    assert [(s["signal"], s["to"]) for s in steps] == [(9, "tree")]
    await turns()
    assert sent == [True, False]
    await bench.close()


@pytest.mark.asyncio
async def test_nothing_is_sent_to_an_ended_process(tmp_path: Path) -> None:
    bench = await Bench(tmp_path, ["/bin/sh"]).started()
    bench.holder.exit()
    await bench.process.stopped
    sent: list[bool] = []
    bench.process.signal(signal.SIGKILL, sent.append)
    assert sent == [False]
    with pytest.raises(BlockingIOError):
        bench.holder.sock.recv(100)
    await bench.close()


@pytest.mark.asyncio
async def test_a_holder_that_dies_is_told_and_everybody_answered(tmp_path: Path) -> None:
    bench = await Bench(tmp_path, ["/bin/sh"]).started()
    bench.write()
    await bench.holder.hear(m.WRITE)
    bench.holder.close()
    await turns()
    assert bench.owner.lost == 1
    assert bench.answers == ["ended"]
    bench.process.taken()
    await bench.close()


@pytest.mark.asyncio
async def test_letting_go_is_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The daemon ends; the holder does not, and nothing is said of a loss."""
    bench = await Bench(tmp_path, ["/bin/sh"]).started()
    await bench.close()
    assert bench.owner.lost == 0
    assert caplog.text == ""


@pytest.mark.asyncio
async def test_an_end_that_is_on_the_disk(tmp_path: Path) -> None:
    directory = SessionDirectory(tmp_path, "abcdefghijkl")
    directory.path.mkdir()
    directory.spool.mkdir()
    (directory.spool / f"{0:020d}.log").write_bytes(b"x" * 12)
    process = Process("p", directory, SessionRecord(id="abcdefghijkl", kind="cowork", name="n"), Owner())
    process.adopt_ended(ExitRecord(exit_code=-1, lost=True))
    assert (process.running, process.head, process.stopped.done()) == (False, 12, True)
    process.close()


@pytest.mark.asyncio
async def test_writes_are_translated_and_answers_are_not(tmp_path: Path) -> None:
    """What the daemon itself writes stands behind what was written before."""
    bench = Bench(tmp_path, ["/bin/sh"])
    session = SessionMap("otter", "/tree", [MappedMount("proj", "/home/proj")])
    bench.process.translation = Translation(session, stream_json=False, remote=False)
    bench.write(b"/sessions/otter/mnt/proj/f\n")
    await bench.started()
    bench.process.write_now(b"/sessions/otter\n", bench.answers.append)
    assert await bench.holder.answer(m.ACCEPTED) == b"/home/proj/f\n"
    assert await bench.holder.answer(m.ACCEPTED) == b"/sessions/otter\n"
    await until(lambda: bench.answers == [None, None])
    bench.holder.exit()
    await asyncio.wait_for(bench.process.stopped, 20)
    bench.process.write_now(b"late", bench.answers.append)
    assert bench.answers[-1] == "ended"
    await bench.close()
    bench.process.write_now(b"later", bench.answers.append)
    assert bench.answers[-1] == "ended"
