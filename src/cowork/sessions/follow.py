"""A session's output from any offset, first what is kept of it and then what follows: no gap, and nothing twice."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from cowork.errors import HolderError
from cowork.holder import messages as m
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.record import ExitRecord
from cowork.sessions.spool import SpoolReader
from cowork.sessions.status import HolderStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cowork.sessions.directory import SessionDirectory

ANSWERING = 5.0
"""Seconds that a holder may take to answer on a loaded machine."""


class Run(NamedTuple):
    """Neighbouring bytes of one stream: offsets of the first and behind the last."""

    stream: int
    start: int
    end: int


class Follower:
    """Reads on and on; a context manager. ``offset`` is how far it has come.

    ``lost``: bytes behind the first offset that had been recycled before they were read. ``ended``: nothing will follow
    what ``runs`` gives now. ``exit``: how it ended, if that is known.
    """

    def __init__(self, directory: SessionDirectory, runtime: Path, offset: int = 0) -> None:
        self.offset = offset
        self.lost = 0
        self.ended = False
        self.exit: ExitRecord | None = None
        self.holder: BlockingClient | None = None
        self._directory = directory
        self._reader = SpoolReader(directory.spool)
        self.head = 0
        try:
            self.holder = BlockingClient.connect(socket_path(runtime, directory.id), timeout=ANSWERING)
            self._learn(self.holder.watch())
            self.poll()  # what came together with the answer wakes nobody who waits for the descriptor
        except (OSError, HolderError) as e:
            if isinstance(e, TimeoutError) and self.holder is not None:
                self.head = self._reader.end()  # stopped, or very slow: it answers when it can
            else:
                self._end(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go; the session goes on."""
        self._reader.close()
        if self.holder is not None:
            self.holder.close()
            self.holder = None

    def runs(self) -> Iterator[Run]:
        """What lies between ``offset`` and the end as it is known now. A run counts as taken when the next is asked
        for."""
        while self.offset < self.head:
            try:
                stream, end = self._reader.run_at(self.offset, self.head)
            except FileNotFoundError:
                base = self._reader.base()
                if not self.offset < base <= self.head:
                    self.offset = self.head  # all of it is gone
                    return
                self.lost += base - self.offset
                self.offset = base
                continue
            yield Run(stream, self.offset, end)
            self.offset = end

    def read(self, run: Run) -> bytes:
        """The bytes of the run that was given last."""
        data = bytearray(run.end - run.start)
        view, at = memoryview(data), 0
        while at < len(data) and (got := self._reader.read_into(view[at:], run.start + at)):
            at += got
        return bytes(view[:at])

    def copy(self, run: Run, target: int) -> None:
        """Write the run that was given last to a descriptor, inside the kernel where it can be.

        Raises:
            OSError: it cannot be written (BrokenPipeError: nobody reads).
        """
        at = run.start
        while at < run.end:
            try:
                sent = self._reader.send(target, at, run.end - at)
            except BlockingIOError:
                _wait_writable(target)
                continue
            except OSError as e:
                if e.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                _write(target, self.read(Run(run.stream, at, run.end)))  # a terminal, or a file that is appended to
                return
            if not sent:
                return  # shorter than announced: a disk that lost its end
            at += sent

    def wait(self, patience: float | None = None) -> bool:
        """Wait for more output, or for the end; False if neither came in ``patience`` seconds (None: for ever)."""
        before = self.head
        while not self.ended and self.head == before:
            try:
                self._take(patience)
            except TimeoutError:
                if patience is not None:
                    return False
        return True

    def poll(self) -> None:
        """Take the news that are there, without waiting."""
        try:
            while not self.ended:
                self._take(0)
        except TimeoutError:
            pass

    def _take(self, patience: float | None) -> None:
        assert self.holder is not None
        try:
            message = self.holder.receive(patience)
        except TimeoutError:
            raise
        except (OSError, ValueError):
            message = None
        if message is None:
            self._end(None)
        elif message[0] == m.NOTE:
            self.head = max(self.head, m.U64.unpack(message[1])[0])
        elif message[0] == m.EXIT:
            self._end(msgspec.json.decode(message[1], type=ExitRecord))
        elif message[0] == m.STATUS:
            self._learn(msgspec.json.decode(message[1], type=HolderStatus))

    def _learn(self, status: HolderStatus) -> None:
        self.head = max(self.head, status.head)
        if status.exit is not None:
            self._end(status.exit)

    def _end(self, ended: ExitRecord | None) -> None:
        self.ended = True
        self.exit = ended or self._directory.exit()
        known = None if self.exit is None else self.exit.head
        self.head = self._reader.end() if known is None else known
        if self.holder is not None:
            self.holder.close()
            self.holder = None


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except BlockingIOError:
            _wait_writable(target)


def _wait_writable(target: int) -> None:
    """Whoever shares the terminal or pipe with us may have set it to non-blocking."""
    import select

    select.select([], [target], [])
