"""What is left of a session whose holder was killed. With real holders: tests/integration/test_holder_life.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cowork.holder import files
from cowork.holder.tree import start_time
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.leftovers import bury, call_holder, holder_lives
from cowork.sessions.record import SessionRecord
from tests.support.holding import child, sleeper, wait_gone


@pytest.fixture
def directory(tmp_path: Path) -> SessionDirectory:
    made = SessionDirectory(tmp_path, "abcdefghijkl")
    made.create(SessionRecord(id=made.id, kind="shell", name="n")).close()
    return made


def note(directory: SessionDirectory, pid: int, start: int, holder: int = 1, holder_start: int = 0) -> None:
    value = {"pid": pid, "start": start, "holder": holder, "holder_start": holder_start}
    files.write_json(str(directory.path / "child.json"), value)


def test_the_child_and_what_is_below_it_are_ended(directory: SessionDirectory) -> None:
    with subprocess.Popen(child("has_children"), stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()[1:]]
        note(directory, process.pid, start_time(process.pid))
        ended = bury(directory)
        for pid in pids:
            wait_gone(pid)
    assert ended.lost
    assert directory.exit() == ended


def test_a_pid_that_is_somebody_elses_is_left_alone(directory: SessionDirectory) -> None:
    with sleeper() as stranger:
        note(directory, stranger.pid, start_time(stranger.pid) - 1)
        assert bury(directory).lost
        assert stranger.poll() is None
        stranger.kill()


def test_a_child_that_is_gone_is_no_error(directory: SessionDirectory) -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
        note(directory, process.pid, 5)
        assert bury(directory).lost


def test_whether_a_holder_lives(directory: SessionDirectory) -> None:
    assert not holder_lives(directory)
    with sleeper() as holder:
        note(directory, 1, 1, holder.pid, start_time(holder.pid))
        assert holder_lives(directory)
        note(directory, 1, 1, holder.pid, start_time(holder.pid) - 1)
        assert not holder_lives(directory)
        call_holder(directory)  # so it gets no signal, either
        note(directory, 1, 1, holder.pid)
        assert not holder_lives(directory)
        assert holder.poll() is None
        note(directory, 1, 1, holder.pid, start_time(holder.pid))
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert not holder_lives(directory)  # a zombie serves nobody
