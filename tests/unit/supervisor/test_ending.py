"""Ending sessions: what is written down, what is sent, and that the end is waited for."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Sequence

import pytest

from cowork.errors import CoworkError, HolderError, NotFound, NotRunning
from cowork.sessions import steps
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import RecordError
from cowork.supervisor import ending
from cowork.supervisor.ending import send, send_all
from tests.support.holding import Held, alive, child
from tests.support.supervised import SPEAKS, Home

TERM, INT, KILL, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGUSR1


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "INTERRUPT_TIME", 0.2)
    monkeypatch.setattr(steps, "ESCALATE_AFTER", 0.2)


def sent(held: Held, number: int) -> bool:
    return send(held.directory, held.place.runtime, number)


def how(held: Held) -> tuple[int, str]:
    """Exit code and signal of one that has ended."""
    ended = held.directory.exit()
    assert ended is not None, "its end was not waited for"
    return ended.exit_code, ended.signal


def trapping(script: str, *arguments: str) -> list[str]:
    """A shell that runs ``script`` at TERM, and has said ``ready`` once it would."""
    return ["/bin/sh", "-c", f"trap '{script}' TERM; echo ready; while :; do sleep 60 & wait; done", "sh", *arguments]


# -- one


@pytest.mark.parametrize("number", [TERM, INT, signal.SIGHUP, signal.SIGQUIT, KILL])
def test_a_signal_that_asks_for_the_end_is_waited_for_and_written_down(home: Home, number: signal.Signals) -> None:
    held = home.start(["/bin/sleep", "60"])
    assert sent(held, number)
    assert how(held) == (-1, number.name)
    stop = held.directory.stop()
    assert stop is not None
    assert (stop.signal, stop.asked > 0) == (number.name, True)
    assert home.seen(held).state == "stopped"


def test_it_is_written_down_before_the_signal(home: Home) -> None:
    held = home.start(trapping('ls "$1"/*/stop.json && exit 0', str(home.sessions)))
    held.first_line()
    assert sent(held, TERM)
    assert held.printed() == f"ready\n{held.directory.path}/stop.json\n".encode()
    assert how(held) == (0, "")
    assert home.seen(held).detail == "asked to, by SIGTERM"


def test_any_other_signal_is_sent_and_that_is_all(home: Home) -> None:
    held = home.start(["/bin/sh", "-c", "trap 'echo usr1' USR1; echo ready; while :; do sleep 60 & wait; done"])
    held.first_line()
    assert sent(held, USR1)
    held.until(b"usr1\n")
    assert held.directory.stop() is None
    assert home.seen(held).state == "working"


def test_one_that_does_not_listen_is_killed_after_a_while(home: Home) -> None:
    held = home.start(child("ignores_signals"))
    held.first_line()
    assert sent(held, TERM)
    assert how(held) == (-1, "SIGKILL")
    assert (home.seen(held).state, home.seen(held).detail) == ("stopped", "asked to, by SIGTERM")


def test_the_whole_group_goes(home: Home) -> None:
    held = home.start(["/bin/sh", "-c", "sleep 60 & echo $!; wait"])
    other = int(held.first_line())
    assert sent(held, TERM)
    assert not alive(other)


# -- a claude


def test_a_claude_is_interrupted_first_and_tells_how_its_turn_ended(home: Home) -> None:
    held = home.claude([{"say": "well"}, {"stay": True}])
    held.until(b"well")
    assert sent(held, TERM)
    assert how(held) == (0, "")
    assert b"error_during_execution" in held.printed()
    one = home.seen(held)
    assert (one.state, one.detail, one.results) == ("stopped", "asked to, by SIGTERM", 1)


@pytest.mark.parametrize(
    ("number", "said"), [(TERM, ["INT", "TERM"]), (INT, ["INT"]), (signal.SIGHUP, ["HUP"])], ids=["TERM", "INT", "HUP"]
)
def test_which_signals_a_claude_gets_that_does_not_end(home: Home, number: int, said: list[str]) -> None:
    traps = "; ".join(f"trap 'echo {name}' {name}" for name in ("INT", "TERM", "HUP"))
    script = f"{traps}; echo ready; while :; do sleep 60 & wait; done"
    held = home.start(["claude", "-c", script, SPEAKS], executable="/bin/sh")
    held.first_line()
    assert sent(held, number)
    assert held.printed().decode().split() == ["ready", *said]
    assert how(held) == (-1, "SIGKILL")


# -- one that is not there


def test_one_that_has_ended_is_left_as_it_is(home: Home) -> None:
    held = home.start(child("exits_at_once", 3))
    held.wait()
    assert not sent(held, TERM)
    assert held.directory.stop() is None
    assert home.seen(held).state == "failed"


def test_one_that_ends_in_the_same_moment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look whether it runs and the signal."""
    held = home.start(["/bin/cat"])
    write_stop = SessionDirectory.write_stop

    def late(directory: SessionDirectory, asked: object) -> None:
        held.client.close_stdin()
        held.wait()
        write_stop(directory, asked)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionDirectory, "write_stop", late)
    assert sent(held, TERM)
    assert how(held) == (0, "")


def test_one_whose_holder_was_killed(home: Home) -> None:
    held = home.start(["/bin/sleep", "60"])
    held.kill_holder()
    assert not sent(held, TERM)


def test_one_that_nobody_knows(home: Home) -> None:
    with pytest.raises(NotFound):
        send(SessionDirectory(home.sessions, "abcdefghijkl"), home.runtime, TERM)


def test_a_holder_that_does_not_answer_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "LONGEST", 0.1)
    held = home.start(["/bin/sleep", "60"])
    held.client.status()
    os.kill(held.holder, signal.SIGSTOP)
    try:
        with pytest.raises(HolderError, match=f"session {held.directory.id} does not end") as caught:
            sent(held, TERM)
        assert caught.value.hint == f"cowork kill -s KILL {held.directory.id}"
    finally:
        os.kill(held.holder, signal.SIGCONT)


def test_a_full_disk_is_no_reason_not_to_end(home: Home) -> None:
    held = home.start(["/bin/sleep", "60"])
    held.client.status()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        assert sent(held, TERM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert how(held) == (-1, "SIGTERM")
    assert held.directory.stop() is None
    assert home.seen(held).state == "stopped", "the signal says so, too"


# -- several


def outcomes(home: Home, directories: Sequence[SessionDirectory], number: int) -> dict[str, CoworkError | None]:
    return {directory.id: error for directory, error in send_all(directories, home.runtime, number)}


def test_all_are_ended_at_the_same_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the others: one after the other they would be killed."""
    monkeypatch.setattr(steps, "ESCALATE_AFTER", 20.0)
    folder = home.folder
    script = f"touch {folder}/got.$$; while [ $(ls {folder} | grep -c got) -lt 3 ]; do sleep 0.02; done; exit 0"
    several = [home.start(trapping(script)) for _ in range(3)]
    for held in several:
        held.first_line()
    assert outcomes(home, [held.directory for held in several], TERM) == {h.directory.id: None for h in several}
    assert [how(held) for held in several] == [(0, "")] * 3


def test_what_is_wrong_with_one_does_not_keep_the_others(home: Home) -> None:
    running, damaged, ended = (home.start(["/bin/sleep", "60"]) for _ in range(3))
    gone = SessionDirectory(home.sessions, "abcdefghijkl")
    sent(ended, KILL)
    (damaged.directory.path / "session.json").write_text("{")
    found = outcomes(home, [one.directory for one in (ended, damaged, running)] + [gone], TERM)
    assert found[running.directory.id] is None
    assert isinstance(found[damaged.directory.id], RecordError)
    assert isinstance(found[gone.id], NotFound)
    error = found[ended.directory.id]
    assert isinstance(error, NotRunning)
    assert error.message == f"session {ended.directory.id} has ended already"
    assert how(running) == (-1, "SIGTERM")


def test_none_at_all(home: Home) -> None:
    assert outcomes(home, [], TERM) == {}
