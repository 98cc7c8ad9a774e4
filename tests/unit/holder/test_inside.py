"""The program in a sandbox: found, signalled, and the truth about its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.holder import syscalls, tree
from cowork.holder.inside import Inside
from tests.support import boxes
from tests.support.boxes import FORKS
from tests.support.holding import wait_gone

pytestmark = [FORKS, pytest.mark.usefixtures("no_descriptor_is_left")]

FIRST = """
import ctypes, os, signal, sys
def program():
    pid = os.fork()
    if not pid:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nobody else may know of it
        os.setpgid(0, 0)
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
        os.write(1, b"ready\\n")
        while True: signal.pause()
    return pid
program()
sys.stdin.read()
for _ in range(int(sys.argv[1])): os.wait()
"""


class Family:
    """A first process with one child, which is the program."""

    def __init__(self) -> None:
        self.first = subprocess.Popen([sys.executable, "-c", FIRST, "1"], stdin=-1, stdout=-1)
        assert self.first.stdout is not None
        assert self.first.stdout.readline() == b"ready\n"
        self.inside = Inside(self.first.pid)

    def reap(self) -> None:
        """Have the first process see the program's end."""
        assert self.first.stdin is not None
        self.first.stdin.close()
        self.first.wait()

    def close(self) -> None:
        if self.inside.program is not None:
            try:
                os.kill(self.inside.program, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.inside.close()
        with self.first:
            self.first.kill()


@pytest.fixture
def family() -> Iterator[Family]:
    made = Family()
    yield made
    made.close()


@pytest.fixture
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that tells nothing of other people's children."""
    monkeypatch.setattr(syscalls, "exit_status_of", lambda fd: None)


def status(code: int, value: int) -> os.waitid_result:
    """How bubblewrap itself ended."""
    return os.waitid_result((1, 0, signal.SIGCHLD, value, code))


def exited(value: int) -> os.waitid_result:
    return status(os.CLD_EXITED, value)


def test_the_program_is_the_child_of_the_first_process(family: Family) -> None:
    assert family.inside.program is None
    family.inside.find()
    assert family.inside.program is not None
    assert os.getpgid(family.inside.program) == family.inside.program
    found = family.inside.program
    family.inside.find()
    assert family.inside.program == found


def test_it_is_not_looked_for_in_vain_for_long() -> None:
    with subprocess.Popen(["sleep", "100"]) as lonely:
        inside = Inside(lonely.pid)
        inside.find(0.01)
        assert inside.program is None
        assert not inside.send("leader", 0)
        lonely.kill()
        wait_gone(lonely.pid)
        inside.find(3600.0)  # nobody can come any more
        assert not inside.send("tree", signal.SIGKILL)
        inside.close()


def test_a_first_process_that_is_gone() -> None:
    with subprocess.Popen(["/bin/true"]) as gone:
        gone.wait()
    with pytest.raises(ProcessLookupError):
        Inside(gone.pid)


@pytest.mark.parametrize("to", ["leader", "group", "tree"])
def test_a_signal_reaches_the_program_whatever_is_meant(family: Family, to: str) -> None:
    """Though nobody had looked for it before."""
    assert family.inside.send(to, signal.SIGUSR1)
    assert family.inside.program is not None
    wait_gone(family.inside.program)
    family.reap()
    assert family.first.returncode == 0, "the first process itself got nothing"
    for again in ("leader", "group", "tree"):
        assert not family.inside.send(again, signal.SIGUSR1)


def test_a_signal_to_a_program_that_was_reaped(family: Family) -> None:
    """Its pid may be another's by now; while the first process lives, nobody is told that it was there."""
    assert family.inside.send("leader", signal.SIGUSR1)
    assert family.inside.program is not None
    wait_gone(family.inside.program)
    family.reap()
    family.inside._init_fd, first = os.pidfd_open(os.getpid()), family.inside._init_fd
    assert not family.inside.send("leader", signal.SIGTERM)
    os.close(family.inside._init_fd)
    family.inside._init_fd = first


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR2])
def test_bubblewrap_itself_was_ended(family: Family, number: int) -> None:
    for code in (os.CLD_KILLED, os.CLD_DUMPED):
        assert family.inside.outcome(status(code, number)) == (-1, number)


@pytest.mark.parametrize(
    ("told", "expected"),
    [(0, (0, 0)), (7 << 8, (7, 0)), (143 << 8, (143, 0)), (15, (-1, 15)), (9, (-1, 9)), (11 | 0x80, (-1, 11))],
)
def test_what_the_kernel_says_counts(
    family: Family, monkeypatch: pytest.MonkeyPatch, told: int, expected: tuple[int, int]
) -> None:
    """Whatever bubblewrap made of it and whatever was sent."""
    monkeypatch.setattr(syscalls, "exit_status_of", lambda fd: told)
    assert family.inside.send("leader", 0)
    family.inside._sent.add(signal.SIGTERM)
    for value in (0, 1, 137, 143):
        assert family.inside.outcome(exited(value)) == expected


def test_the_kernel_is_asked_about_the_program(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(syscalls, "exit_status_of", asked.append)
    assert family.inside.outcome(exited(3)) == (3, 0)
    assert asked == [], "it was never seen"
    family.inside.find()
    assert family.inside.outcome(exited(3)) == (3, 0)
    (fd,) = asked
    info = Path(f"/proc/self/fdinfo/{fd}").read_text()
    assert f"Pid:\t{family.inside.program}\n" in info


@pytest.mark.usefixtures("old_kernel")
@pytest.mark.parametrize("value", [0, 1, 7, 127, 129, 130, 141, 143, 128 + 64, 255])
def test_without_the_kernel_a_code_is_a_code(family: Family, value: int) -> None:
    """143 as well: nobody has sent TERM, so the program says so itself."""
    assert family.inside.outcome(exited(value)) == (value, 0)


@pytest.mark.usefixtures("old_kernel")
@pytest.mark.parametrize("number", [1, 2, 15, 12, 13, 40])
def test_without_the_kernel_a_signal_that_was_sent_has_ended_it(family: Family, number: int) -> None:
    family.inside._sent.add(number)
    assert family.inside.outcome(exited(128 + number)) == (-1, number)
    assert family.inside.outcome(exited(128 + number + 1)) == (128 + number + 1, 0)
    assert family.inside.outcome(exited(number)) == (number, 0)


@pytest.mark.usefixtures("old_kernel")
def test_what_was_sent_is_known_from_sending(family: Family) -> None:
    assert family.inside.send("leader", signal.SIGCONT)
    assert family.inside.outcome(exited(128 + signal.SIGCONT)) == (-1, signal.SIGCONT)
    assert family.inside.outcome(exited(128 + signal.SIGTERM)) == (128 + signal.SIGTERM, 0)


@pytest.mark.usefixtures("old_kernel")
def test_a_question_whether_it_lives_is_no_signal(family: Family) -> None:
    assert family.inside.send("leader", 0)
    assert family.inside.outcome(exited(128)) == (128, 0)


@pytest.mark.usefixtures("old_kernel")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP"])
def test_without_the_kernel_the_code_of_a_crash_is_one(family: Family, name: str) -> None:
    number = signal.Signals[name]
    assert family.inside.outcome(exited(128 + number)) == (-1, number)


def test_a_group_is_signalled_one_by_one(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """bubblewrap itself may be in the group of its program, and a signal to it would end everything."""
    killed: list[int] = []

    def kill(pid: int, number: int) -> bool:
        killed.append(pid)
        return True

    family.inside.find()
    monkeypatch.setattr(tree, "kill", kill)
    assert family.inside.send("group", signal.SIGUSR1)
    below = tree.descendants(family.inside.init)
    assert killed
    assert set(killed) <= set(below)
    assert family.inside.program in killed


real = pytest.mark.bwrap


@pytest.fixture
def folder() -> Iterator[Path]:
    with boxes.user_folder() as made:
        yield made
        boxes.check_all_gone(made)


@real
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(
    ("script", "expected"),
    [("exit 0", (0, 0)), ("exit 7", (7, 0)), ("exit 143", (143, 0)), ("exit 130", (130, 0)),
     ("kill -SEGV $$", (-1, signal.SIGSEGV)), ("kill -KILL $$", (-1, signal.SIGKILL))],
)  # fmt: skip
def test_how_a_real_one_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch, told: bool, script: str, expected: tuple[int, int]
) -> None:
    if not told:
        monkeypatch.setattr(syscalls, "exit_status_of", lambda fd: None)
    with boxes.started(boxes.spec(folder, f"read x; {script}")) as box:
        os.write(box.made.stdin, b"\n")
        assert box.end().outcome == expected


@real
def test_a_code_that_looks_like_a_crash_is_none_where_the_kernel_tells(folder: Path) -> None:
    with boxes.started(boxes.spec(folder, "read x; exit 137")) as box:
        fd = box.inside._program_fd
        os.write(box.made.stdin, b"\n")
        ended = box.end()
        assert ended.outcome == ((137, 0) if syscalls.exit_status_of(fd) is not None else (-1, 9))


WAITS = 'trap "echo trapped; exit 7" {}; echo ready; while :; do sleep 0.02; done'


@real
@pytest.mark.parametrize("to", ["leader", "group", "tree"])
@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_a_trap_runs(folder: Path, to: str, name: str) -> None:
    with boxes.started(boxes.spec(folder, WAITS.format(name))) as box:
        assert box.line() == "ready"
        assert box.inside.send(to, signal.Signals[f"SIG{name}"])
        ended = box.end()
        assert (ended.out, ended.outcome) == ("trapped\n", (7, 0))


@real
@pytest.mark.parametrize("to", ["leader", "group", "tree"])
def test_a_signal_that_nothing_catches(folder: Path, to: str) -> None:
    with boxes.started(boxes.spec(folder, "echo ready; read x")) as box:
        assert box.line() == "ready"
        assert box.inside.send(to, signal.SIGTERM)
        assert box.end().outcome == (-1, signal.SIGTERM)
        wait_gone(box.inside.init)
        assert not box.inside.send(to, signal.SIGTERM)


CHILD = 'trap ":" USR1; sh -c \'trap "echo child; exit" USR1; echo ready; while :; do sleep 0.02; done\' & wait; wait'


@real
@pytest.mark.parametrize(("to", "reached"), [("leader", False), ("group", True), ("tree", True)])
def test_who_is_reached(folder: Path, to: str, reached: bool) -> None:
    """A child of the program, in its group."""
    with boxes.started(boxes.spec(folder, CHILD)) as box:
        assert box.line() == "ready"
        assert box.inside.send(to, signal.SIGUSR1)
        if reached:
            assert box.line() == "child"
        else:
            assert box.inside.send("tree", signal.SIGKILL)
            assert box.end().out == ""


@real
def test_with_the_first_process_everything_ends(folder: Path) -> None:
    with boxes.started(boxes.spec(folder, "sleep 3600 & echo ready; trap '' TERM HUP; wait")) as box:
        assert box.line() == "ready"
        box.inside.end()
        wait_gone(box.inside.init)
        box.inside.end()
        boxes.check_all_gone(folder)


STRANGER = """
trap "echo main" USR1
setsid sh -c 'trap "echo other" USR1; trap "echo bye; exit" TERM; echo ready; while :; do sleep 0.02; done' &
while :; do sleep 0.02; done
"""


@real
def test_a_process_of_another_group_is_left_in_peace(folder: Path) -> None:
    """It would tell of the first signal before the second one ends it."""
    with boxes.started(boxes.spec(folder, STRANGER)) as box:
        assert box.line() == "ready"
        (stranger,) = (pid for pid in tree.descendants(box.inside.init) if os.getpgid(pid) == pid)
        assert box.inside.send("group", signal.SIGUSR1)
        assert box.line() == "main"
        os.kill(stranger, signal.SIGTERM)
        assert box.line() == "bye"


@real
def test_the_group_of_a_program_that_made_its_own(folder: Path) -> None:
    script = f"exec setsid sh -c '{WAITS.format('TERM')}'"
    with boxes.started(boxes.spec(folder, script)) as box:
        assert box.line() == "ready"
        assert box.inside.send("group", signal.SIGTERM)
        assert box.end().outcome == (7, 0)


@real
def test_a_trap_runs_on_a_terminal(folder: Path) -> None:
    with boxes.started(boxes.spec(folder, WAITS.format("TERM"), terminal=True)) as box:
        assert box.line() == "ready"
        assert box.inside.send("group", signal.SIGTERM)
        ended = box.end()
        assert ended.out.split()[-1] == "trapped"
        assert ended.outcome == (7, 0)
