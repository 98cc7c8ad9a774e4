"""Ending a session, or sending it any other signal."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from cowork.errors import CoworkError, HolderError, NotRunning
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.record import StopRecord
from cowork.sessions.steps import ESCALATE_AFTER, INTERRUPT_TIME, POLITE, converses, for_signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cowork.sessions.directory import SessionDirectory

ENDING = POLITE | {signal.SIGKILL}
"""Signals that ask for the end, which is waited for."""
LONGEST = INTERRUPT_TIME + ESCALATE_AFTER + 5.0
"""Seconds from the first signal to the end, with time for what is left over."""


def send_all(
    directories: Sequence[SessionDirectory], runtime: Path, number: int
) -> Iterator[tuple[SessionDirectory, CoworkError | None]]:  # fmt: skip
    """``send`` to all at the same time; each as it is done with, and what went wrong with it."""
    with ThreadPoolExecutor(max_workers=max(1, min(64, len(directories)))) as threads:
        running = {threads.submit(send, directory, runtime, number): directory for directory in directories}
        for done in as_completed(running):
            error = done.exception()
            if error is not None and not isinstance(error, CoworkError):
                raise error
            if error is None and not done.result():
                error = NotRunning(f"session {running[done].id} has ended already")
            yield running[done], error


def send(directory: SessionDirectory, runtime: Path, number: int) -> bool:
    """Send a signal, with the ladder that belongs to it, and wait for the end if it asks for one.

    Returns:
        whether somebody was there to get it.

    Raises:
        HolderError: it does not end.
        RecordError, NotFound: its record cannot be read.
    """
    asked = directory.record()
    try:
        holder = BlockingClient.connect(socket_path(runtime, directory.id), timeout=LONGEST)
    except OSError:
        return False
    with holder:
        try:
            if not holder.watch().running:
                return False
            if number in ENDING:
                _write_down(directory, number)
            sent = holder.signal(for_signal(number, interrupt_first=converses(asked)))
            if sent and number in ENDING:
                holder.wait()
        except TimeoutError:
            raise HolderError(
                f"session {directory.id} does not end", hint=f"cowork kill -s KILL {directory.id}"
            ) from None
        except (HolderError, OSError):
            return directory.exit() is not None  # it ended in the same moment
    return sent


def _write_down(directory: SessionDirectory, number: int) -> None:
    try:
        directory.write_stop(StopRecord(asked=time.time(), signal=signal.Signals(number).name))
    except OSError as e:
        # The one who makes room on a full disk is not to be stopped by it. How it ends tells most of it anyway.
        directory.log(f"cannot write stop.json: {e.strerror}")
