"""Waiting until sessions are where they are wanted: every state against every goal, and real ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import SessionRecord, new_id
from cowork.supervisor import messages, overview, waiting
from cowork.supervisor.overview import STATES, SessionOverview
from cowork.supervisor.waiting import GOALS, Outcome, judge, wait
from tests.support import stream as s
from tests.support.holding import PATIENCE, Held, child
from tests.support.supervised import Home

R, N, B, X = Outcome.REACHED, Outcome.NOT_YET, Outcome.BLOCKED, Outcome.NEVER
GOOD: dict[str, Any] = {"results": 1}
BAD: dict[str, Any] = {"results": 1, "failure": "error"}
TASKS: dict[str, Any] = {"tasks": ["serve"]}
TABLE = [
    # state, what else is known of it, and what comes of waiting for: done blocked idle exit
    ("starting", {}, N, N, N, N),
    ("working", {}, N, N, N, N),
    ("working", GOOD, N, N, N, N),
    ("working", BAD, N, N, N, N),
    ("blocked", {}, B, R, B, B),
    ("blocked", GOOD, B, R, B, B),
    ("idle", {}, N, N, R, N),
    ("idle", GOOD, R, N, R, N),
    ("idle", BAD, X, N, R, N),
    ("idle", GOOD | TASKS, N, N, R, N),
    ("idle", BAD | TASKS, N, N, R, N),
    ("done", {}, R, X, X, R),
    ("done", BAD, R, X, X, R),
    ("failed", GOOD, X, X, X, R),
    ("stopped", GOOD, X, X, X, R),
    ("unreadable", {}, X, X, X, X),
]


@pytest.mark.parametrize(("state", "known", *GOALS), TABLE)
def test_every_state_against_every_goal(
    state: str, known: dict[str, Any], done: Outcome, blocked: Outcome, idle: Outcome, exit: Outcome
) -> None:
    seen = SessionOverview("x", state, **known)
    assert [judge(seen, goal) for goal in GOALS] == [done, blocked, idle, exit]


def test_the_table_leaves_no_state_out() -> None:
    assert {row[0] for row in TABLE} == set(STATES)


# -- real ones


class Waiting:
    """A wait that goes on in a thread: what changed meanwhile, and what came of it."""

    def __init__(self, home: Home, sessions: list[Held], goal: str, **options: Any) -> None:
        self.changes: list[str] = []
        self.found: list[tuple[SessionOverview, Outcome]] = []
        self._looked = threading.Condition()

        def change(seen: SessionOverview) -> None:
            with self._looked:
                self.changes.append(seen.state)
                self._looked.notify_all()

        def run() -> None:
            directories = [held.directory for held in sessions]
            self.found = wait(home.where, directories, goal, on_change=change, **options)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def saw(self, *states: str) -> None:
        """Wait until these changes have been told."""
        with self._looked:
            assert self._looked.wait_for(lambda: len(self.changes) >= len(states), PATIENCE), self.changes
        assert self.changes == list(states)

    def outcomes(self) -> list[Outcome]:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"it waits still: {self.changes}"
        return [outcome for _, outcome in self.found]


@pytest.fixture
def waits(home: Home) -> Callable[..., Waiting]:
    def start(*sessions: Held, goal: str = "done", **options: Any) -> Waiting:
        return Waiting(home, list(sessions), goal, **options)

    return start


def test_what_is_so_already_is_not_waited_for(home: Home) -> None:
    held = home.scripted(s.init(), s.result(), s.state("idle"))
    ((seen, outcome),) = wait(home.where, [held.directory], "done", patience=0)
    assert (seen.id, seen.state, outcome) == (held.directory.id, "idle", Outcome.REACHED)
    assert wait(home.where, [], "done") == []


def test_a_turn_that_is_done(home: Home, waits: Callable[..., Waiting]) -> None:
    held = home.scripted(s.init())
    found = waits(held)
    found.saw("working")
    home.prints(held, s.tasks("serve"), s.result(), s.state("idle"))
    found.saw("working", "idle")
    home.prints(held, s.tasks())
    assert found.outcomes() == [Outcome.REACHED]
    assert found.changes == ["working", "idle"], "each state is told once"


def test_several_come_back_in_their_order_when_the_last_is_there(home: Home, waits: Callable[..., Waiting]) -> None:
    good, bad, twin = home.scripted(s.init()), home.scripted(s.init()), home.start(child("exits_at_once", 3))
    found = waits(good, bad, twin)
    home.prints(bad, s.result(error=True), s.state("idle"))
    home.prints(good, s.result(), s.state("idle"))
    assert found.outcomes() == [Outcome.REACHED, Outcome.NEVER, Outcome.NEVER]
    assert [seen.id for seen, _ in found.found] == [held.directory.id for held in (good, bad, twin)]
    assert [seen.state for seen, _ in found.found] == ["idle", "idle", "failed"]


def test_one_that_asks_is_an_end_unless_somebody_may_answer(home: Home, waits: Callable[..., Waiting]) -> None:
    held = home.scripted(s.init())
    impatient, patient, wanted = waits(held), waits(held, through_blocks=True), waits(held, goal="blocked")
    for each in (impatient, patient, wanted):
        each.saw("working")
    home.prints(held, s.asks("r-1", command="x"))
    assert impatient.outcomes() == [Outcome.BLOCKED]
    assert wanted.outcomes() == [Outcome.REACHED]
    patient.saw("working", "blocked")
    home.prints(held, s.ready("r-1"), s.result(), s.state("idle"))
    assert patient.outcomes() == [Outcome.REACHED]


def test_the_end_of_a_session(home: Home, waits: Callable[..., Waiting]) -> None:
    held = home.claude("hello")
    found = waits(held, goal="exit")
    home.until(held, "idle")
    held.client.close_stdin()
    assert found.outcomes() == [Outcome.REACHED]
    assert found.found[0][0].state == "done"


def test_a_message_on_the_way_is_waited_for(home: Home) -> None:
    """Idle behind one turn is not done with the next."""
    held = home.claude("hello")
    home.until(held, "idle")
    held.client.write(messages.user('[{"say": "well"}, {"ask": ["Bash", {}]}]', "u-2"))
    held.until(b'"u-2"')
    assert [outcome for _, outcome in wait(home.where, [held.directory], "done")] == [Outcome.BLOCKED]


def test_a_holder_that_is_killed_ends_the_wait(home: Home, waits: Callable[..., Waiting]) -> None:
    held = home.start(["/bin/cat"])
    found = waits(held, goal="exit")
    found.saw("working")
    held.kill_holder()
    assert found.outcomes() == [Outcome.REACHED]
    assert found.found[0][0].lost


def test_a_holder_that_seems_to_live_when_its_connection_ends_is_looked_at_again(
    home: Home, waits: Callable[..., Waiting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel closes what a killed process has open before it says that it is dead."""
    held = home.start(["/bin/cat"])
    found = waits(held, goal="exit")
    found.saw("working")
    answers = iter([True])
    monkeypatch.setattr(overview, "holder_lives", lambda directory: next(answers, False))
    held.kill_holder()
    assert found.outcomes() == [Outcome.REACHED]
    assert list(answers) == [], "it was looked at while it seemed to live"


def test_patience_ends(home: Home) -> None:
    held, other = home.scripted(s.init()), home.scripted(s.init(), s.result(), s.state("idle"))
    before = time.monotonic()
    found = wait(home.where, [held.directory, other.directory], "done", patience=0.1)
    assert time.monotonic() - before >= 0.1
    assert [outcome for _, outcome in found] == [Outcome.NOT_YET, Outcome.REACHED]


def test_what_is_printed_all_the_time_does_not_keep_it_from_ending(home: Home) -> None:
    held = home.start(child("floods_for_ever"), hold=False, history=1)
    assert [outcome for _, outcome in wait(home.where, [held.directory], "exit", patience=0.2)] == [Outcome.NOT_YET]


def test_a_start_that_was_cut_short_is_not_waited_for_for_ever(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells of it: there is its record, and there will be no holder."""
    monkeypatch.setattr(waiting, "LOOK_AGAIN", 0.05)
    monkeypatch.setattr(overview, "STARTING_UP", 0.3)
    directory = SessionDirectory(home.sessions, new_id())
    directory.create(SessionRecord(id=directory.id, kind="shell", name="x", created=time.time())).close()
    ((seen, outcome),) = wait(home.where, [directory], "done", patience=PATIENCE)
    assert (seen.state, seen.lost, outcome) == ("failed", True, Outcome.NEVER)
