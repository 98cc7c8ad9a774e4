"""Starting a daemon in the background: what is waited for, and what a failure says."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cowork import paths
from cowork.errors import NotRunning
from cowork.linux.lockfile import LockFile
from cowork.service import asking, background
from tests.support.daemon import Place


def where_of(place: Place) -> paths.Paths:
    return paths.resolve(place.environment())


def test_it_answers_when_start_returns(place: Place) -> None:
    where = where_of(place)
    pid = background.start(where, ["--no-default-socket"], place.environment())
    assert asking.status(where.control_socket).pid == pid
    assert background.running_pid(where) == pid
    assert os.getsid(pid) == pid, "a session of its own: it does not end with its starter's terminal"
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    assert background.running_pid(where) is None


def test_a_daemon_that_ends_says_why(place: Place) -> None:
    where = where_of(place)
    with pytest.raises(NotRunning, match="unknown dialect 'x'") as caught:
        background.start(where, ["--dialect", "x"], place.environment())
    assert str(background.log_path(where)) in (caught.value.hint or "")


def test_a_second_one_is_refused_with_the_pid_of_the_first(place: Place) -> None:
    where = where_of(place)
    where.make()
    lock = LockFile(where.lock)
    assert lock.acquire()
    lock.note(b'{"pid":4711,"started":0,"version":"1"}')
    try:
        with pytest.raises(NotRunning, match="another daemon is running \\(pid 4711\\)"):
            background.start(where, [], place.environment())
        assert background.running_pid(where) == 4711
        lock.note(b"nonsense")
        assert background.running_pid(where) is None
    finally:
        lock.release()


def test_an_overlong_log_is_turned(place: Place) -> None:
    where = where_of(place)
    where.make()
    Path(background.log_path(where)).write_bytes(b"x" * (1 << 20) + b"x")
    with pytest.raises(NotRunning):
        background.start(where, ["--dialect", "x"], place.environment())
    assert background.log_path(where).stat().st_size < 4096
    assert background.log_path(where).with_name("daemon.log.1").stat().st_size == (1 << 20) + 1
