"""A session that a conformance test has started: through a real holder, with every process of it known."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cowork.errors import HolderError
from cowork.holder import messages
from cowork.holder.spool import STDERR, STDOUT
from cowork.holder.tree import descendants
from cowork.sessions.blocking import BlockingClient
from cowork.sessions.record import ExitRecord
from cowork.sessions.spool import SpoolReader
from cowork.sessions.starter import plain_channel

if TYPE_CHECKING:
    from cowork.backends.base import Prepared
    from cowork.holder.page import Page
    from cowork.holder.spec import StartSpec
    from cowork.sessions.directory import SessionDirectory

PATIENCE = 30.0
"""Seconds after which a test gives up on something that has to happen; never how long anything may take."""


class Ended(NamedTuple):
    """How a program ended and what it printed. ``code`` is -1 for a ``signal``, which is named then."""

    code: int
    signal: str
    out: bytes
    err: bytes


class Running:
    """A session that a holder has started, and the starter's connection to it."""

    def __init__(self, directory: SessionDirectory, page: Page, spec: StartSpec, prepared: Prepared) -> None:
        self.directory = directory
        self.spec = spec
        self.prepared = prepared
        self.client: BlockingClient
        self.holder = 0
        self._page: Page | None = page
        self._watched: dict[int, int] = {}

    def start(self) -> None:
        """Have a new holder start it.

        Raises:
            HolderError: it could not; with the reason.
        """
        self.client = BlockingClient(plain_channel(), timeout=PATIENCE)
        self.client.send(messages.BEGIN, self.spec.encode())
        self.holder = self.client.started().holder
        self.watch()

    def connect(self) -> None:
        """Reach the holder of a session that somebody else has started."""
        self.client = BlockingClient.connect(self.spec.socket, timeout=PATIENCE)
        self.holder = self.client.watch().holder
        self.watch()

    def watch(self) -> list[int]:
        """Remember every process that belongs to it now; returns those below the holder."""
        below = descendants(self.holder)
        for pid in (self.holder, *below):
            if pid not in self._watched:
                try:
                    self._watched[pid] = os.pidfd_open(pid)
                except ProcessLookupError:
                    continue
        return below

    def printed(self, stream: int, head: int | None = None) -> bytes:
        """What is in the spool of one stream, up to an offset that was announced."""
        reader = SpoolReader(self.directory.spool)
        end = reader.end() if head is None else head
        buffer = memoryview(bytearray(1 << 20))
        found = bytearray()
        at = 0
        while at < end:
            of, upto = reader.run_at(at, end)
            got = reader.read_into(buffer[: min(len(buffer), upto - at)], at)
            assert got > 0, f"the spool holds nothing at {at}, though it reaches to {end}"
            if of == stream:
                found += buffer[:got]
            at += got
        reader.close()
        return bytes(found)

    def until(self, text: bytes) -> bytes:
        """Wait until something has been printed on stdout; returns all that was."""
        try:
            while text not in (printed := self.printed(STDOUT, self.client.status().head)):
                kind, _ = self.client.expect(messages.NOTE, messages.EXIT)
                assert kind == messages.NOTE, f"ended without {text!r}: {printed!r}, {self.printed(STDERR)!r}"
        except (HolderError, OSError) as e:
            raise AssertionError(f"no {text!r} ({e}): {self.printed(STDOUT)!r}, {self.printed(STDERR)!r}") from None
        return printed

    def write(self, data: bytes) -> None:
        """Write to its stdin; it has to be taken."""
        try:
            refused = self.client.write(data)
        except (HolderError, OSError) as e:
            refused = str(e)
        assert refused is None, f"what was written is not taken: {refused}"

    def send(self, *steps: tuple[float, int, str]) -> None:
        """Ask for a ladder of signals: (seconds after the one before, number, "leader", "group" or "tree")."""
        ladder: list[dict[str, int | float | str]] = [
            {"after": after, "signal": int(number), "to": to} for after, number, to in steps
        ]
        assert self.client.signal(ladder), f"nobody was there for {ladder[0]}"

    def finish(self) -> Ended:
        """Wait for the end, which is the last thing that its holder tells of, and see that nothing outlives it."""
        self.watch()
        record = self.client.wait()
        left = [pid for pid, fd in self._watched.items() if pid != self.holder and not _ended(fd)]
        assert not left, f"still there after the end: {describe(left)}"
        assert self.client.receive() is None, "something was told after the end"
        self.wait_gone()
        return self.outcome(record)

    def outcome(self, record: ExitRecord) -> Ended:
        """The end that was recorded, with all that was printed."""
        out, err = (self.printed(stream, record.head) for stream in (STDOUT, STDERR))
        return Ended(record.exit_code, record.signal, out, err)

    def wait_gone(self) -> None:
        """Wait until every process that was seen here is gone."""
        for pid, fd in self._watched.items():
            assert _ended(fd, PATIENCE), f"still there: {describe([pid])}"

    def kill_holder(self) -> None:
        """SIGKILL to the holder and nobody else."""
        self.client.status()  # it has written down whom it holds before it answers
        self.watch()
        os.kill(self.holder, signal.SIGKILL)
        assert _ended(self._watched[self.holder], PATIENCE)

    def close(self) -> None:
        """End whatever is left of it."""
        if self.holder in self._watched and not _ended(self._watched[self.holder]):
            self.watch()
        for fd in self._watched.values():
            try:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for fd in self._watched.values():
            _ended(fd, PATIENCE)
            os.close(fd)
        self._watched.clear()
        if hasattr(self, "client"):
            self.client.close()
        if self._page is not None:
            self._page.close()
            self._page = None


def _ended(pidfd: int, patience: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(patience * 1000))


def end_all(pids: list[int], number: int, patience: float) -> str:
    """Send a signal (0: none) to processes and wait for their ends; those that are still there, in words."""
    left = []
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            signal.pidfd_send_signal(fd, number)
            if not _ended(fd, patience):
                left.append(pid)
        except ProcessLookupError:
            pass
        finally:
            os.close(fd)
    return describe(left)


def describe(pids: list[int]) -> str:
    """Processes with their command lines."""
    return ", ".join(f"{pid} ({content_of(pid, 'cmdline').replace(bytes(1), b' ')!r})" for pid in pids)


def content_of(pid: int, file: str) -> bytes:
    """A file of /proc/PID; empty for a process that is gone or another user's."""
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:
        return b""


def has_open(pid: int, below: str) -> bool:
    """Whether a process has something open whose path begins with ``below``."""
    folder = f"/proc/{pid}/fd"
    try:
        return any(os.readlink(f"{folder}/{number}").startswith(below) for number in os.listdir(folder))
    except OSError:
        return False  # another user's, or gone
