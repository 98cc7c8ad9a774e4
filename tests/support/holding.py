"""Real sessions for tests: a short private place, holders started both ways, their output, and nothing left over."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest

from cowork.holder import messages as m
from cowork.holder.page import Page
from cowork.holder.spec import StartSpec
from cowork.holder.spool import STDERR, STDOUT
from cowork.holder.tree import descendants, start_time
from cowork.sessions import starter
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord, SessionRecord, new_id
from cowork.sessions.spool import SpoolReader
from cowork.sessions.status import HolderStatus

CHILDREN = Path(__file__).resolve().parent.parent / "children"
PATIENCE = 30.0
"""Seconds after which a test gives up on something that has to happen; never how long anything may take."""

Way: TypeAlias = Literal["plain", "zygote"]
WAYS: tuple[Way, ...] = ("plain", "zygote")


def child(name: str, *arguments: str | int) -> list[str]:
    """Command line of one of the programs in tests/children.

    Those in Python are handed to our own interpreter, since ``python3`` may be a wrapper that changes what it inherits.
    """
    program = CHILDREN / name
    python = b"python3" in program.read_bytes().partition(b"\n")[0]
    return [*([sys.executable, "-I", "-S"] if python else []), str(program), *map(str, arguments)]


def numbered(count: int) -> bytes:
    """What ``floods COUNT`` prints."""
    return b"".join(b"%015d\n" % number for number in range(count // 16 + 1))[:count]


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="cw", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def runs_of(folder: Path, start: int = 0, end: int | None = None) -> list[tuple[int, bytes]]:
    """The spool's bytes as (stream, bytes), neighbours of one stream joined."""
    reader = SpoolReader(folder)
    head = reader.end() if end is None else end
    buffer = memoryview(bytearray(1 << 20))
    out: list[tuple[int, bytearray]] = []
    at = start
    while at < head:
        stream, upto = reader.run_at(at, head)
        got = reader.read_into(buffer[: min(len(buffer), upto - at)], at)
        assert got > 0, f"nothing at {at} though the spool reaches to {head}"
        if out and out[-1][0] == stream:
            out[-1][1].extend(buffer[:got])
        else:
            out.append((stream, bytearray(buffer[:got])))
        at += got
    reader.close()
    return [(stream, bytes(data)) for stream, data in out]


def alive(pid: int) -> bool:
    """Whether a process runs (one that waits to be reaped does not)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([fd], [], [], 0)[0]
    finally:
        os.close(fd)


def wait_gone(pid: int) -> None:
    """Wait for a process's end, whosever child it is."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], PATIENCE)[0], f"process {pid} still runs"
    finally:
        os.close(fd)


class Held:
    """One session and the connection of its starter. Its messages other than answers are kept in order."""

    def __init__(self, place: Place, directory: SessionDirectory, page: Page, spec: StartSpec) -> None:
        self.place = place
        self.directory = directory
        self.page = page
        self.spec = spec
        self.client: BlockingClient
        self.status: HolderStatus
        self.ended: ExitRecord | None = None
        self._cleared = False

    @property
    def pid(self) -> int:
        """The leader's."""
        return self.status.pid

    @property
    def holder(self) -> int:
        """The holder's pid."""
        return self.status.holder

    @property
    def socket(self) -> str:
        """Path of the holder's socket."""
        return self.spec.socket

    def connect(self) -> BlockingClient:
        """Another client; the caller closes it."""
        return BlockingClient.connect(self.socket, timeout=PATIENCE)

    def runs(self, start: int = 0) -> list[tuple[int, bytes]]:
        """What has been spooled, see ``runs_of``."""
        return runs_of(self.directory.spool, start)

    def printed(self, stream: int = STDOUT) -> bytes:
        """All bytes of one stream that are in the spool."""
        return b"".join(data for number, data in self.runs() if number == stream)

    def until(self, text: bytes, stream: int = STDOUT) -> bytes:
        """Wait until ``text`` has been printed; returns all that was."""
        while text not in (printed := self.printed(stream)):
            self.grown()
        return printed

    def first_line(self, stream: int = STDOUT) -> bytes:
        """Wait for the first line."""
        return self.until(b"\n", stream).partition(b"\n")[0]

    def grown(self) -> int:
        """Wait until the holder tells of more output; returns the spool's end."""
        kind, body = self.client.expect(m.NOTE, m.EXIT)
        assert kind == m.NOTE, "the session has ended"
        return int(m.U64.unpack(body)[0])

    def until_output(self, state: str) -> HolderStatus:
        """Ask until the output is in a state that no message tells of."""
        with self.connect() as client:
            end = time.monotonic() + PATIENCE
            while (status := client.status()).output != state:
                assert time.monotonic() < end, f"output is {status.output}, not {state}"
            return status

    def wait(self) -> ExitRecord:
        """Wait for the end, and for the holder's own."""
        self.ended = self.client.wait()
        self.wait_closed()
        return self.ended

    def wait_closed(self) -> None:
        """Wait until the holder is gone, behind its last message."""
        assert self.client.receive() is None
        wait_gone(self.holder)

    def kill_holder(self) -> None:
        """SIGKILL to the holder, nothing else."""
        self.client.status()  # it has written child.json before it answers
        os.kill(self.holder, signal.SIGKILL)
        wait_gone(self.holder)

    def clear(self) -> None:
        """End whatever is left of it."""
        if self._cleared:
            return
        self._cleared = True
        self.client.close()
        for pid in (self.holder, *descendants(self.holder), self.pid, *descendants(self.pid)):
            if alive(pid) and (pid == self.holder or start_time(pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        wait_gone(self.holder)
        wait_gone(self.pid)
        self.page.close()


class Place:
    """A private folder with sessions and sockets, and the way holders are started from it."""

    def __init__(self, folder: Path, way: Way = "plain") -> None:
        self.folder = folder
        self.sessions = folder / "s"
        self.runtime = folder / "r"
        self.cwd = folder / "cwd"
        for path in (self.sessions, self.runtime, self.cwd):
            path.mkdir(mode=0o700)
        self.zygote = starter.Zygote() if way == "zygote" else None
        self._held: list[Held] = []

    def environment(self) -> dict[str, str]:
        """A small environment whose HOME and XDG folders are in here."""
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_RUNTIME_DIR": str(self.runtime), "LANG": "C.UTF-8",
        }  # fmt: skip

    def channel(self) -> socket.socket:
        """A channel to a new holder."""
        return self.zygote.channel() if self.zygote is not None else starter.plain_channel()

    def prepare(self, argv: list[str], **options: Any) -> Held:
        """A session's directory, its page and its specification; nothing is started."""
        directory = SessionDirectory(self.sessions, new_id())
        page = directory.create(SessionRecord(id=directory.id, kind="shell", name="test", argv=argv))
        options.setdefault("env", self.environment())
        options.setdefault("cwd", str(self.cwd))
        options.setdefault("executable", argv[0])
        spec = StartSpec(
            folder=str(directory.path), socket=socket_path(self.runtime, directory.id), argv=argv, **options
        )
        return Held(self, directory, page, spec)

    def begin(self, held: Held) -> BlockingClient:
        """Send BEGIN to a new holder; the caller looks at what comes back."""
        channel = self.channel()
        client = BlockingClient(channel, timeout=PATIENCE)
        starter.begin(channel, held.spec)
        return client

    def start(self, argv: list[str], **options: Any) -> Held:
        """Start a session; it is ended with the place."""
        held = self.prepare(argv, **options)
        held.client = self.begin(held)
        try:
            held.status = held.client.started()
        except BaseException:
            held.client.close()
            held.page.close()
            raise
        self._held.append(held)
        return held

    def adopt(self, held: Held) -> None:
        """See to it that a session that was started by hand ends with the place."""
        self._held.append(held)

    def close(self) -> None:
        """End every session and the zygote."""
        for held in self._held:
            held.clear()
        if self.zygote is not None:
            self.zygote.close()


@contextmanager
def place(way: Way = "plain") -> Iterator[Place]:
    """A ``Place`` that leaves nothing behind, neither files nor processes."""
    with short_folder() as folder:
        made = Place(folder, way)
        try:
            yield made
        finally:
            made.close()


def sleeper() -> subprocess.Popen[bytes]:
    """A process that has nothing to do with any session."""
    return subprocess.Popen(["sleep", "3600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.fixture(params=WAYS)
def either(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place whose holders are started plainly, and one where a zygote forks them."""
    with place(request.param) as made:
        yield made


@pytest.fixture
def here() -> Iterator[Place]:
    """A place whose holders are forked by a zygote."""
    with place("zygote") as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path."""
    with short_folder() as made:
        yield made


__all__ = ["STDERR", "STDOUT", "Held", "Place", "child", "either", "folder", "here", "numbered", "place", "runs_of"]
