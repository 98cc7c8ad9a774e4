"""Speaking to a session that runs: what is written, and the proof in its stream that it has arrived."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from cowork.errors import HolderError, NotRunning, NotTaken
from cowork.holder import messages as m
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.lines import LineReader
from cowork.sessions.spool import SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cowork.sessions.directory import SessionDirectory
    from cowork.sessions.status import HolderStatus

PATIENCE = 10.0
"""Seconds in which what was written has to show up."""
ANSWERING = 5.0
"""Seconds that a holder may take to answer on a loaded machine."""


class Talk:
    """A connection to a session's holder, and what the session prints from then on; a context manager.

    Raises:
        NotRunning: it has ended, or nobody holds it.
        HolderError: its holder does not answer.
    """

    def __init__(self, directory: SessionDirectory, runtime: Path) -> None:
        self._id = directory.id
        try:
            self._holder = BlockingClient.connect(socket_path(runtime, directory.id), timeout=ANSWERING)
        except OSError:
            raise NotRunning(f"session {directory.id} does not run", hint=f"cowork logs {directory.id}") from None
        self._reader = SpoolReader(directory.spool)
        self._ended = False
        try:
            self._head = self._holder.watch().head
        except TimeoutError:
            self.close()
            raise HolderError(f"the holder of session {directory.id} does not answer", hint="cowork ps") from None
        except (HolderError, OSError):
            self.close()
            raise NotRunning(f"session {directory.id} has just ended", hint=f"cowork logs {directory.id}") from None
        self._lines = LineReader(self._reader, self._head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go; the session goes on."""
        self._holder.close()
        self._reader.close()

    def write(self, data: bytes) -> None:
        """Write to its stdin, whole or not at all.

        Raises:
            NotRunning: it has ended, or has closed its stdin.
            NotTaken: it has not read what was written before, and there is no more room; or nobody answers.
        """
        try:
            refused = self._holder.write(data)
        except TimeoutError:
            raise self._silent() from None
        except (HolderError, OSError):
            refused = "ended"
        if refused == "full":
            raise NotTaken(f"session {self._id} does not read its stdin, and the queue before it is full")
        if refused is not None:
            raise NotRunning(f"session {self._id} takes nothing any more: its stdin is {refused}")

    def close_stdin(self) -> None:
        """Tell it that nothing will follow. Raises as ``write``."""
        try:
            self._holder.close_stdin()
        except TimeoutError:
            raise self._silent() from None
        except (HolderError, OSError):
            raise NotRunning(f"session {self._id} has ended") from None

    def until(self, wanted: Callable[[bytes], bool], patience: float = PATIENCE) -> bytes | None:
        """The first line printed from now on that is wanted; None if the session ended without it.

        Raises:
            NotTaken: it did not come in ``patience`` seconds.
        """
        deadline = time.monotonic() + patience
        self._catch_up()
        while True:
            for _, line in self._lines.lines(self._head):
                if wanted(line):
                    return line
            if self._ended:
                return None
            self._listen(deadline)

    def ended_without_it(self) -> None:
        """Raise what is to be said when ``until`` gave None."""
        raise NotRunning(f"session {self._id} has ended without taking it", hint=f"cowork logs {self._id}")

    def drained(self, patience: float = PATIENCE) -> bool:
        """Wait until the session's stdin has taken all that was written; False if it ended or closed it before.

        Raises:
            NotTaken: it did not read in ``patience`` seconds.
        """
        deadline = time.monotonic() + patience
        while (status := self._status()) is not None and status.stdin.queued:
            if time.monotonic() > deadline:
                raise NotTaken(f"session {self._id} does not read its stdin", hint="it gets it when it does")
            time.sleep(0.02)  # the holder has no message for this
        return status is not None and status.stdin.open

    def _status(self) -> HolderStatus | None:
        """What the holder says, None if it is gone. What comes before its answer is passed over."""
        try:
            return self._holder.status()
        except TimeoutError:
            raise self._silent() from None
        except (HolderError, OSError):
            return None

    def _silent(self) -> NotTaken:
        return NotTaken(f"the holder of session {self._id} does not answer", hint="cowork ps")

    def _catch_up(self) -> None:
        """Find out how far the stream reaches: notes of that were passed over while something else was answered."""
        if self._ended:
            return
        status = self._status()
        if status is None:
            self._end()
        else:
            self._head = max(self._head, status.head)

    def _end(self) -> None:
        self._ended = True
        self._head = max(self._head, self._reader.end())

    def _listen(self, deadline: float) -> None:
        try:
            message = self._holder.receive(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise NotTaken(
                f"session {self._id} was given it, but has not shown that it took it",
                hint=f"cowork logs {self._id}",
            ) from None
        if message is None:
            self._end()
        elif message[0] == m.NOTE:
            self._head = m.U64.unpack(message[1])[0]
        elif message[0] == m.EXIT:
            self._end()
