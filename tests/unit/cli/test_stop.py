"""``cowork stop`` where there is nothing to stop, or a stand-in for a daemon; a real one is stopped as a command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from cowork.cli import stop
from cowork.cli.main import cli
from cowork.errors import NotRunning
from cowork.linux.lockfile import LockFile
from tests.support.desk import PATIENCE, Desk

HOLDS = """
import os, sys
from pathlib import Path
from cowork.linux.lockfile import LockFile
lock = LockFile(Path(sys.argv[1]))
assert lock.acquire()
lock.note(b'{"pid":%d,"started":0,"version":"1"}' % os.getpid())
print("held", flush=True)
sys.stdin.read()
"""
"""A process that has the daemon's lock until it is ended."""


def test_without_a_daemon(desk: Desk) -> None:
    with pytest.raises(NotRunning) as caught:
        cli([stop.command.name or ""])
    assert caught.value.exit_status == 3
    assert desk.run("stop") == (3, "", "cowork: no daemon is running\n")


def test_the_pid_of_a_note_is_not_signalled_when_nobody_holds_the_lock(desk: Desk) -> None:
    lock = LockFile(desk.where.lock)
    assert lock.acquire()
    lock.note(json.dumps({"pid": os.getppid(), "started": 0, "version": "1"}).encode())
    lock.release()
    with pytest.raises(NotRunning):
        cli(["stop"])


def test_the_end_of_the_daemon_is_waited_for_and_what_goes_on_is_counted(desk: Desk) -> None:
    session = desk.bg("--", "sleep", "60")
    desk.written(name="ended")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, desk.where.lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    said = desk.run("stop")
    assert process.wait(PATIENCE) == -signal.SIGTERM
    process.communicate()
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"stopped daemon {process.pid}; 1 session")
    assert desk.seen(session).live
