"""How a session ends: by itself, by signals, with children left behind; exit is last, and true."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from cowork.holder import messages as m
from cowork.sessions.record import ExitRecord
from cowork.sessions.spool import SpoolReader
from cowork.sessions.steps import Steps, for_signal
from tests.support.holding import Held, Place, alive, child, sleeper, wait_gone

pytestmark = pytest.mark.integration

UNIFIED = Path("/sys/fs/cgroup/unified")


def kill(to: str = "tree", after: float = 0, number: int = signal.SIGKILL) -> Steps:
    return [{"after": after, "signal": int(number), "to": to}]


def messages(held: Held) -> list[tuple[int, bytes]]:
    """All that comes until the holder closes the connection."""
    out = []
    while (message := held.client.receive()) is not None:
        out.append(message)
    wait_gone(held.holder)
    return out


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_exit_code_is_told_and_recorded(either: Place, status: int) -> None:
    held = either.start(child("exits_at_once", status))
    ended = held.wait()
    assert (ended.exit_code, ended.signal, ended.lost) == (status, "", False)
    assert held.directory.exit() == ended
    assert ended.ended > 0


@pytest.mark.parametrize(
    ("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (11, "SIGSEGV"), (34, "SIGRTMIN"), (40, "SIG40")]
)
def test_a_signal_is_named_and_the_code_is_minus_one(here: Place, number: int, name: str) -> None:
    held = here.start(child("never_reads"))
    os.kill(held.pid, number)
    ended = held.wait()
    assert (ended.exit_code, ended.signal) == (-1, name)
    raw = json.loads((held.directory.path / "exit.json").read_bytes())
    assert (raw["exitCode"], raw["signal"], raw["version"]) == (-1, name, 1)


def test_exit_is_the_last_message_and_behind_all_output(either: Place) -> None:
    held = either.start(child("floods", 3_000_000))
    told = messages(held)
    assert [kind for kind, _ in told].count(m.EXIT) == 1
    assert told[-1][0] == m.EXIT
    assert told[-2] == (m.NOTE, m.U64.pack(3_000_000))
    assert json.loads(told[-1][1])["head"] == 3_000_000
    assert SpoolReader(held.directory.spool).end() == 3_000_000


def test_the_exit_record_is_on_the_disk_before_exit_is_said(here: Place) -> None:
    for _ in range(20):
        held = here.start(child("exits_at_once", 4))
        _, body = held.client.expect(m.EXIT)
        assert json.loads(body) == json.loads((held.directory.path / "exit.json").read_bytes())


def test_nothing_is_listening_and_no_socket_is_left_after_the_end(here: Place) -> None:
    held = here.start(child("exits_at_once"))
    held.wait()
    assert not os.path.lexists(held.socket)


# -- those who stay behind


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_exit(either: Place) -> None:
    held = either.start(child("leaves_grandchild"))
    grandchild = int(held.first_line())
    assert held.wait().exit_code == 3
    wait_gone(grandchild)
    assert held.printed() == b"%d\nlate\n" % grandchild


def test_a_daemon_that_was_left_behind_is_ended(either: Place) -> None:
    held = either.start(child("daemonizes"))
    daemon = int(held.first_line())
    assert held.wait().exit_code == 0
    assert not alive(daemon)


def test_a_grandchild_that_prints_without_an_end_does_not_keep_the_session(here: Place) -> None:
    held = here.start(child("floods_for_ever"), hold=False, history=0)
    assert held.wait().exit_code == 3


def test_a_blocked_grandchild_that_prints_without_an_end_is_ended(here: Place) -> None:
    held = here.start(child("floods_for_ever"), limit=1 << 20)
    ended = held.wait()
    assert ended.exit_code == 3
    assert ended.head is not None
    assert SpoolReader(held.directory.spool).end() == ended.head


def test_no_process_is_left_after_any_end(here: Place) -> None:
    held = here.start(child("has_children"))
    pids = [int(pid) for pid in held.first_line().split()[1:]]
    os.kill(held.pid, signal.SIGKILL)
    held.wait()
    assert [pid for pid in pids if alive(pid)] == []


# -- signals


def test_a_child_that_ignores_term_is_killed_by_the_ladder(either: Place) -> None:
    held = either.start(child("ignores_signals"))
    held.until(b"ready")
    steps: Steps = [
        {"after": 0, "signal": int(signal.SIGINT), "to": "leader"},
        {"after": 0.05, "signal": int(signal.SIGTERM), "to": "group"},
        {"after": 0.05, "signal": int(signal.SIGKILL), "to": "tree"},
    ]
    assert held.client.signal(steps)
    ended = held.wait()
    assert (ended.exit_code, ended.signal) == (-1, "SIGKILL")
    log = held.directory.lifecycle_log.read_text()
    sent = [line.partition(" signal ")[2] for line in log.splitlines() if " signal " in line]
    assert sent == ["2 to leader", "15 to group", "9 to tree"]


def test_a_polite_child_says_good_bye_and_is_not_killed(here: Place) -> None:
    held = here.start(child("polite"))
    held.until(b"ready")
    assert held.client.signal(for_signal(signal.SIGTERM))
    ended = held.wait()
    assert (ended.exit_code, ended.signal) == (7, "")
    assert held.printed() == b"ready\nbye\n"


def test_a_later_gentler_request_does_not_take_the_kill_back(here: Place) -> None:
    held = here.start(child("ignores_signals"))
    held.until(b"ready")
    assert held.client.signal([*kill("group", 0, signal.SIGTERM), *kill(after=0.1)])
    assert held.client.signal([*kill("group", 0, signal.SIGTERM), *kill(after=3600)])
    assert held.wait().signal == "SIGKILL"


@pytest.mark.parametrize(
    ("to", "reached"),
    [("leader", {b"leader"}), ("group", {b"leader", b"member"}), ("tree", {b"leader", b"member", b"stranger"})],
)
def test_signals_reach_the_leader_the_group_or_the_tree(here: Place, to: str, reached: set[bytes]) -> None:
    held = here.start(child("has_children"))
    pids = [int(pid) for pid in held.first_line().split()[1:]]
    assert held.client.signal([{"after": 0, "signal": int(signal.SIGUSR1), "to": to}])
    for name in reached:
        held.until(name + b"\n")
    # Whoever was reached has had to say so by the time that everybody answers to a second signal.
    for pid in pids:
        os.kill(pid, signal.SIGUSR1)
    everybody = [b"leader", b"member", b"stranger"]
    while len(said := held.printed().split(b"\n", 1)[1].split()) < 3 + len(reached):
        held.grown()
    assert sorted(said) == sorted(everybody + list(reached))


def test_a_stopped_group_can_be_ended_by_term(here: Place) -> None:
    held = here.start(child("polite"))
    held.until(b"ready")
    assert held.client.signal(kill("group", 0, signal.SIGSTOP))
    assert held.client.signal(kill("group", 0, signal.SIGTERM))
    assert held.wait().exit_code == 7


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
def test_a_signal_that_stops_is_not_undone(here: Place, number: int) -> None:
    """For TSTP and its like the kernel stops a process only if its group is not orphaned, so they are caught here."""
    script = (
        "import os, signal\n"
        "for n in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT):\n"
        "    signal.signal(n, lambda n, _: os.write(1, b'%d\\n' % n))\n"
        "os.write(1, b'ready\\n')\n"
        "while True: signal.pause()\n"
    )
    held = here.start([sys.executable, "-I", "-S", "-c", script])
    held.until(b"ready\n")
    assert held.client.signal(kill("group", 0, number))
    if number != signal.SIGSTOP:
        held.until(b"%d\n" % number)
    assert held.client.signal(kill("leader", 0, signal.SIGKILL))
    held.wait()
    assert b"%d\n" % signal.SIGCONT not in held.printed()


def test_signal_zero_asks_only(here: Place) -> None:
    held = here.start(child("never_reads"))
    held.until(b"ready")
    assert held.client.signal(kill("group", 0, 0))
    assert held.client.status().running


def test_nobody_is_signalled_after_the_end(here: Place) -> None:
    """The leader has ended, its grandchild is given its grace: its pid is not signalled any more."""
    held = here.start(child("leaves_grandchild"), grace=1.0)
    held.until(b"late\n")
    with held.connect() as other:
        assert not other.status().running
        assert other.signal(kill()) is False
        assert other.write(b"x") == "ended"
    assert held.wait().exit_code == 3


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'{"token": 1}', b'{"token": 1, "steps": []}', b'{"token": 1, "steps": [{"signal": 65}]}',
        b'{"token": 1, "steps": [{"signal": 15, "after": 1e300}]}',
        b'{"token": 1, "steps": [{"signal": 15, "after": Infinity}]}',
        b'{"token": 1, "steps": [{"signal": 15, "after": NaN}]}',
        b'{"token": 1e999, "steps": [{"signal": 0}]}',
    ],
)  # fmt: skip
def test_a_senseless_signal_request_is_ignored(here: Place, body: bytes) -> None:
    held = here.start(child("never_reads"))
    held.until(b"ready")
    held.client.send(m.SIGNAL, body)
    for _ in range(3):
        assert held.client.status().running
    assert held.client.signal(kill())
    assert held.wait().signal == "SIGKILL"


@pytest.mark.parametrize(
    ("kind", "body"), [(m.RESIZE, b"x"), (m.WRITE, b"abc"), (m.CLOSE, b""), (99, b"?"), (m.BEGIN, b"{}")]
)
def test_a_senseless_message_does_not_end_a_terminal_session(here: Place, kind: int, body: bytes) -> None:
    held = here.start(child("never_reads"), terminal=(24, 80))
    held.until(b"ready")
    held.client.send(kind, body)
    for _ in range(3):
        assert held.client.status().running


def test_a_holder_that_is_asked_to_end_ends_its_session_first(here: Place) -> None:
    held = here.start(child("polite"))
    held.until(b"ready")
    os.kill(held.holder, signal.SIGTERM)
    assert held.wait().exit_code == 7
    assert b"bye\n" in held.printed()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGPIPE])
def test_signals_of_a_terminal_do_not_disturb_a_holder(either: Place, number: int) -> None:
    held = either.start(["/bin/cat"])
    os.kill(held.holder, number)
    assert held.client.write(b"still here\n") is None
    held.until(b"still here\n")


# -- a cgroup of its own


@pytest.mark.skipif(
    not (UNIFIED / "cgroup.procs").exists() or not os.access(UNIFIED, os.W_OK), reason="no writable cgroup2 here"
)
def test_a_session_has_its_own_cgroup_and_it_is_removed_with_it(here: Place) -> None:
    held = here.start(child("daemonizes", "stay"), cgroup=str(UNIFIED))
    assert held.status.cgroup == f"{UNIFIED}/cowork-{held.directory.id}"
    daemon = int(held.first_line())
    cgroup = Path(held.status.cgroup)
    assert set(map(int, (cgroup / "cgroup.procs").read_text().split())) == {held.pid, daemon}
    fd = os.pidfd_open(daemon)
    assert held.client.signal(kill())
    assert held.wait().signal == "SIGKILL"
    assert select.select([fd], [], [], 0)[0]
    os.close(fd)
    assert not cgroup.exists()


@pytest.mark.skipif(
    not (UNIFIED / "cgroup.procs").exists() or not os.access(UNIFIED, os.W_OK), reason="no writable cgroup2 here"
)
def test_a_failed_start_leaves_no_cgroup(here: Place) -> None:
    held = here.prepare(["/nonexistent"], cgroup=str(UNIFIED))
    with here.begin(held) as client:
        assert client.expect(m.FAILED, m.STATUS)[0] == m.FAILED
        assert client.receive() is None
    assert not (UNIFIED / f"cowork-{held.directory.id}").exists()
    held.page.close()


def test_an_unusable_cgroup_is_done_without(here: Place) -> None:
    held = here.start(child("exits_at_once"), cgroup=str(here.folder / "none"))
    assert held.status.cgroup is None
    assert held.wait() == ExitRecord(ended=held.directory.exit().ended, exit_code=0, head=0)  # type: ignore[union-attr]


def test_strangers_are_none_of_its_business(here: Place) -> None:
    with sleeper() as stranger:
        held = here.start(child("has_children"))
        held.until(b"ready")
        held.client.signal(kill())
        held.wait()
        assert stranger.poll() is None
        stranger.kill()
