"""What a killed holder leaves behind: a child that nobody can see any more, and a session without an end."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from cowork.holder.tree import descendants, start_time
from cowork.sessions.record import ExitRecord

if TYPE_CHECKING:
    from cowork.sessions.directory import SessionDirectory


def bury(directory: SessionDirectory) -> ExitRecord:
    """End what is left of a session whose holder was killed, and record that its end was not seen.

    Only for a session without exit.json whose holder does not answer. The leader is recognised by its start time,
    so a pid that has been given to somebody else is left alone.
    """
    child = directory.child()
    if child is not None and start_time(child.pid) == child.start:
        for pid in reversed([child.pid, *descendants(child.pid)]):
            _kill(pid)
        _kill(-child.pid)
    ended = ExitRecord(ended=time.time(), lost=True)
    directory.write_exit(ended)
    directory.log("the holder was killed; the session's end was not seen")
    return ended


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
