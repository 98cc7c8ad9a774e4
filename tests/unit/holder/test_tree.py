"""Processes below one: found, told apart from others, signalled once."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cowork.holder import tree
from tests.support.holding import child, wait_gone
from tests.support.ordinary import ordinary_user


@pytest.fixture
def family() -> Iterator[list[int]]:
    """A leader in a session of its own, a member of its group, a stranger to it."""
    process = subprocess.Popen(child("has_children"), stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()[1:]]
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    process.stdout.close()
    for pid in pids:
        wait_gone(pid)


def test_children_and_descendants(family: list[int]) -> None:
    assert sorted(tree.children(family[0])) == sorted(family[1:])
    below = tree.descendants(os.getpid())
    assert set(family) <= set(below)
    assert all(below.index(family[0]) < below.index(pid) for pid in family[1:])


def test_a_process_that_is_gone_has_nothing(family: list[int]) -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
        assert tree.children(process.pid) == []
        assert tree.start_time(process.pid) == 0
        assert tree.is_zombie(process.pid)


def test_a_zombie_is_told_from_the_living(family: list[int]) -> None:
    assert not tree.is_zombie(family[0])
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert tree.is_zombie(pid)
    assert tree.start_time(pid) > 0
    os.waitpid(pid, 0)


def test_the_start_time_is_that_of_the_kernel(family: list[int]) -> None:
    times = [tree.start_time(pid) for pid in family]
    assert tree.start_time(1) <= tree.start_time(os.getpid()) <= times[0] <= times[1] <= times[2]


def test_a_name_with_spaces_and_brackets_is_read_rightly() -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b') Z 1 ('); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert not tree.is_zombie(process.pid)
        assert tree.start_time(process.pid) > 0


@pytest.mark.parametrize("target", ["leader", "group", "tree"])
def test_nobody_is_there(target: str) -> None:
    with subprocess.Popen(["/bin/true"], start_new_session=True) as process:
        process.wait()
        # Only what is below this process counts, and that is nobody: xdist's workers are single processes.
        assert not tree.send(target if target != "tree" else "group", process.pid, 0, None)


def test_others_are_reaped_and_the_leader_is_not() -> None:
    code = (
        "import os, cowork.holder.tree as tree\n"
        "pids = [os.posix_spawn('/bin/true', ['true'], {}) for _ in range(3)]\n"
        "for pid in pids: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n"
        "assert not tree.alone(pids[1])\n"
        "assert tree.reap_others(pids[1]) == [pids[0], pids[2]]\n"
        "assert tree.reap_others(pids[1]) == []\n"
        "assert tree.alone(pids[1])\n"
        "assert tree.children(os.getpid()) == [pids[1]]\n"
        "assert os.waitpid(pids[1], 0)[0] == pids[1]\n"
        "assert tree.alone(-1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_cgroup_is_killed_as_a_whole(tmp_path: object, family: list[int]) -> None:
    folder = str(tmp_path)
    assert tree.kill_cgroup(folder)
    with open(f"{folder}/cgroup.kill", encoding="ascii") as f:
        assert f.read() == "1"
    assert not tree.kill_cgroup(f"{folder}/none")
    fd = os.pidfd_open(family[0])
    assert not select.select([fd], [], [], 0)[0]
    os.close(fd)


def test_the_living_are_not_reaped() -> None:
    code = (
        "import os, signal, cowork.holder.tree as tree\n"
        "pid = os.fork()\n"
        "if not pid: signal.pause()\n"
        "assert tree.reap_others(-1) == []\n"
        "os.kill(pid, 9)\n"
        "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n"
        "assert tree.reap_others(-1) == [pid]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_companion_is_no_company() -> None:
    code = (
        "import os, signal, cowork.holder.tree as tree\n"
        "def child():\n"
        "    pid = os.fork()\n"
        "    if not pid: signal.pause()\n"
        "    return pid\n"
        "leader, companion = child(), child()\n"
        "assert not tree.alone(leader)\n"
        "assert tree.alone(leader, companion)\n"
        "assert tree.alone(companion, leader)\n"
        "third = child()\n"
        "assert not tree.alone(leader, companion)\n"
        "for pid in (leader, companion, third): os.kill(pid, 9); os.waitpid(pid, 0)\n"
        "assert tree.alone(leader, companion)\n"
        "assert tree.alone(leader)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kill_tells_whether_anybody_was_there(family: list[int]) -> None:
    assert tree.kill(family[0], 0)
    assert tree.kill(-family[0], 0), "its group"
    assert tree.kill(family[1], signal.SIGKILL)
    wait_gone(family[1])
    with subprocess.Popen(["/bin/true"], start_new_session=True) as process:
        process.wait()
        assert not tree.kill(process.pid, 0)
        assert not tree.kill(-process.pid, signal.SIGKILL)


def test_kill_of_what_is_somebody_elses() -> None:
    with ordinary_user():
        assert not tree.kill(1, 0)
