"""The daemon's connection to a holder, with a scripted holder at the other end."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cowork.holder import messages as m
from cowork.holder.stdin import LIMIT
from cowork.sessions.link import HolderLink
from cowork.sessions.record import ExitRecord
from cowork.sessions.status import HolderStatus, StartFailure

pytestmark = pytest.mark.asyncio

STATUS = {"version": 1, "pid": 5, "holder": 4, "running": True, "head": 7}


END = 10**9
"""The head in the note that closes what a test says."""


class Owner:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.gone = asyncio.Event()
        self.seen = asyncio.Event()

    def holder_status(self, status: HolderStatus) -> None:
        self.told.append(("status", status.head))

    def holder_failed(self, failure: StartFailure) -> None:
        self.told.append(("failed", failure.text))

    def holder_note(self, head: int) -> None:
        if head == END:
            self.seen.set()
        else:
            self.told.append(("note", head))

    def holder_exit(self, record: ExitRecord) -> None:
        self.told.append(("exit", record.exit_code))

    def holder_gone(self) -> None:
        self.told.append("gone")
        self.gone.set()


class Setup:
    """A link and the holder's end of it."""

    def __init__(self, link: HolderLink, owner: Owner, sock: socket.socket) -> None:
        self.link = link
        self.owner = owner
        self.sock = sock
        self._splitter = m.Splitter()

    async def say(self, *messages: bytes) -> None:
        """Send in one piece and wait until the link has seen it."""
        self.owner.seen.clear()
        end = m.pack(m.NOTE, m.U64.pack(END))
        await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(messages) + end)
        await self.owner.seen.wait()

    async def asked(self, count: int) -> list[tuple[int, bytes]]:
        out: list[tuple[int, bytes]] = []
        while len(out) < count:
            out += self._splitter.feed(await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20))
        return out

    async def hang_up(self) -> None:
        self.sock.close()
        await self.owner.gone.wait()


@pytest_asyncio.fixture
async def setup() -> AsyncIterator[Setup]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    owner = Owner()
    link = await HolderLink.attach(ours, owner)
    yield Setup(link, owner, theirs)
    link.close()
    await owner.gone.wait()
    theirs.close()


async def test_the_owner_is_told_in_order(setup: Setup) -> None:
    status = m.pack(m.STATUS, json.dumps(STATUS).encode())
    await setup.say(status, m.pack(m.NOTE, m.U64.pack(9)), m.pack(99, b"?"), m.pack(m.EXIT, b'{"exitCode": 3}'))
    assert setup.owner.told == [("status", 7), ("note", 9), ("exit", 3)]


async def test_of_many_notes_the_newest_is_told(setup: Setup) -> None:
    notes = [m.pack(m.NOTE, m.U64.pack(n)) for n in range(1, 6)]
    await setup.say(*notes, m.pack(m.FAILED, b'{"what":"exec","errno":2,"text":"no"}'))
    assert setup.owner.told == [("note", 5), ("failed", "no")]


async def test_writes_are_answered_by_their_token(setup: Setup) -> None:
    answers: list[object] = []
    setup.link.begin(b"{}")
    setup.link.write(b"one", answers.append)
    setup.link.write(b"two", answers.append)
    setup.link.close_stdin(answers.append)
    setup.link.taken()
    assert await setup.asked(5) == [
        (m.BEGIN, b"{}"), (m.WRITE, m.U64.pack(1) + b"one"), (m.WRITE, m.U64.pack(2) + b"two"),
        (m.CLOSE, m.U64.pack(3)), (m.TAKEN, b""),
    ]  # fmt: skip
    assert answers == []
    await setup.say(
        m.pack(m.ACCEPTED, m.U64.pack(1)), m.pack(m.REFUSED, m.U64.pack(2) + b"full"), m.pack(m.ACCEPTED, m.U64.pack(3))
    )
    assert answers == [None, "full", None]


async def test_signals_are_answered(setup: Setup) -> None:
    answers: list[bool] = []
    setup.link.signal([{"after": 0, "signal": 15, "to": "group"}], answers.append)
    ((kind, body),) = await setup.asked(1)
    assert kind == m.SIGNAL
    await setup.say(m.pack(m.SIGNALLED, json.dumps({"token": json.loads(body)["token"], "sent": True}).encode()))
    assert answers == [True]


async def test_what_is_on_its_way_is_bounded(setup: Setup) -> None:
    answers: list[str | None] = []
    setup.link.write(b"x" * LIMIT, answers.append)
    setup.link.write(b"y", answers.append)
    assert answers == ["full"]
    reading = asyncio.get_running_loop()
    got = 0
    while got < LIMIT + 13:
        got += len(await reading.sock_recv(setup.sock, 1 << 20))
    await setup.say(m.pack(m.ACCEPTED, m.U64.pack(1)))
    setup.link.write(b"z", answers.append)
    await setup.hang_up()
    assert answers == ["full", None, "ended"]


async def test_everything_is_answered_when_the_holder_goes(setup: Setup) -> None:
    answers: list[object] = []
    setup.link.write(b"x", answers.append)
    setup.link.close_stdin(answers.append)
    setup.link.signal([], answers.append)
    await setup.asked(3)
    await setup.hang_up()
    assert answers == ["ended", "ended", False]
    assert setup.owner.told == ["gone"]
    assert not setup.link.alive
    setup.link.write(b"x", answers.append)
    setup.link.close_stdin(answers.append)
    setup.link.signal([], answers.append)
    setup.link.taken()
    assert answers[3:] == ["ended", "ended", False]


async def test_nonsense_closes_the_connection(setup: Setup) -> None:
    await asyncio.get_running_loop().sock_sendall(setup.sock, b"\xff" * 5)
    await setup.owner.gone.wait()
    assert setup.owner.told == ["gone"]


async def test_a_running_holder_is_watched(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()
        listener.setblocking(False)
        owner = Owner()
        link = await HolderLink.connect(str(folder / "s"), owner)
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        assert await asyncio.get_running_loop().sock_recv(sock, 100) == m.pack(m.WATCH)
        assert link.alive
        sock.close()
        await owner.gone.wait()
        with pytest.raises(FileNotFoundError):
            await HolderLink.connect(str(folder / "none"), owner)
