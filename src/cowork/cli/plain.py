"""Attaching to a session without a terminal: its output as it comes, and the lines that are typed."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

from cowork.cli import output
from cowork.errors import NotRunning
from cowork.holder.spool import STDERR
from cowork.sessions.follow import Follower
from cowork.supervisor.talk import Talk

if TYPE_CHECKING:
    from pathlib import Path

    from cowork.sessions.directory import SessionDirectory

HISTORY = 64 * 1024
"""Bytes of earlier output that are shown first."""


def attach(directory: SessionDirectory, runtime: Path, *, read_only: bool) -> bool:
    """Until the session has ended; False if it was let go of before (Ctrl-C)."""
    with Follower(directory, runtime) as follower:
        follower.offset = max(0, follower.head - HISTORY)
        talk = None if read_only or follower.ended else Talk(directory, runtime)
        try:
            _copy(follower, talk)
        except KeyboardInterrupt:
            return False
        finally:
            if talk is not None:
                talk.close()
        return True


def _copy(follower: Follower, talk: Talk | None) -> None:
    sys.stdout.flush()
    poll = select.poll()
    if follower.holder is not None:
        poll.register(follower.holder.fileno(), select.POLLIN)
    if talk is not None:
        poll.register(0, select.POLLIN)
    while True:
        for run in follower.runs():
            follower.copy(run, 2 if run.stream == STDERR else 1)
        if follower.ended:
            return
        for fd, _ in poll.poll():
            if fd != 0:
                follower.poll()
            elif talk is not None and not _pass_on(talk):
                poll.unregister(0)  # what it prints is still wanted


def _pass_on(talk: Talk) -> bool:
    """Hand on what has been typed; False if nothing will follow, or nobody takes it any more."""
    data = os.read(0, 65536)
    try:
        if data:
            talk.write(data)
    except NotRunning as e:
        output.note(e.message)
        return False
    return bool(data)
