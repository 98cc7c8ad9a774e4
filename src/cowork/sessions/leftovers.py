"""What a killed holder leaves behind: a child that nobody can see any more, and a session without an end."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from cowork.holder.tree import descendants, is_zombie, kill_cgroup, start_time
from cowork.sessions.record import ExitRecord

if TYPE_CHECKING:
    from cowork.sessions.directory import SessionDirectory


def holder_lives(directory: SessionDirectory) -> bool:
    """Whether the session's holder runs, even if its socket cannot be reached. A zombie does not."""
    record = directory.child()
    if record is None or not record.holder_start:
        return False
    return start_time(record.holder) == record.holder_start and not is_zombie(record.holder)


def call_holder(directory: SessionDirectory) -> None:
    """Have a living holder make its socket again (holder/loop.py, SIGUSR1)."""
    record = directory.child()
    if record is not None and holder_lives(directory):
        try:
            os.kill(record.holder, signal.SIGUSR1)
        except (ProcessLookupError, PermissionError):
            pass


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
    if child is not None and child.cgroup is not None:
        kill_cgroup(child.cgroup)
    if left := directory.covers():
        from cowork.holder import covers  # seldom needed, and a daemon's start is waited for

        covers.remove(left)
    ended = ExitRecord(ended=time.time(), lost=True)
    directory.write_exit(ended)
    directory.log("the holder was killed; the session's end was not seen")
    return ended


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
