"""``cowork wait``: the status that a script goes by, and what a person reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cowork.cli.wait import command
from cowork.sessions.record import ExitRecord
from tests.support import stream as s
from tests.support.desk import Desk
from tests.support.stream import is_safe

DONE, FAILED = ExitRecord(ended=1.0, exit_code=0), ExitRecord(ended=1.0, exit_code=3)


def test_one_that_has_ended_well_is_done(desk: Desk) -> None:
    one = desk.written(name="one")
    assert desk.run("wait", "one") == (0, f"{one.id}  one  done\n", "")


@pytest.mark.parametrize(
    ("goal", "ended", "status"),
    [("done", DONE, 0), ("done", FAILED, 1), ("exit", DONE, 0), ("exit", FAILED, 0), ("idle", DONE, 1),
     ("blocked", DONE, 1)],
)  # fmt: skip
def test_what_has_ended_is_where_it_is_wanted_or_never_will_be(
    desk: Desk, goal: str, ended: ExitRecord, status: int
) -> None:
    one = desk.written(name="one", ended=ended)
    said = desk.run("wait", "one", "--for", goal)
    assert said.status == status
    assert said.out.startswith(f"{one.id}  one  ")
    state = "done" if ended is DONE else "failed"
    error = f"cowork: one ({state}): will not be {goal}\n  hint: cowork logs {one.id}\n"
    assert said.err == (error if status else "")


@pytest.mark.parametrize(
    ("goal", "status", "says"),
    [
        ("done", 5, "talk (blocked): cannot be done"),
        ("idle", 5, "talk (blocked): cannot be idle"),
        ("exit", 5, "talk (blocked): cannot be ended"),
        ("blocked", 0, ""),
    ],
)
def test_one_that_asks_something_is_not_waited_for(desk: Desk, goal: str, status: int, says: str) -> None:
    session = desk.asking()
    said = desk.run("wait", session, "--for", goal)
    assert said.out == f"{session}  talk  blocked: Bash: touch a\n"
    assert (said.status, said.err) == (
        status, f"cowork: {says}\n  hint: cowork approvals {session}\n" if says else ""
    )  # fmt: skip


@pytest.mark.parametrize("options", [[], ["--patient"]])
def test_time_that_is_up_is_told(desk: Desk, options: list[str]) -> None:
    session = desk.bg("--name", "slow", "--", "sleep", "60")
    for goal, word in (("done", "done"), ("exit", "ended"), ("blocked", "blocked")):
        said = desk.run("wait", session, "--for", goal, "--timeout", "0", *options)
        assert (said.status, said.out) == (124, f"{session}  slow  working\n")
        assert said.err == f"cowork: slow (working): is not yet {word}\n  hint: cowork logs {session}\n"


def test_the_patient_wait_for_an_answer(desk: Desk) -> None:
    session = desk.asking()
    said = desk.run("wait", session, "--patient", "--timeout", "0.05")
    assert said.status == 124
    assert "talk (blocked): is not yet done" in said.err


def test_a_turn_that_went_well_is_done_and_one_that_failed_never_will_be(desk: Desk) -> None:
    good, bad = desk.claude(name="good"), desk.claude({"fail": "no credit"}, name="bad")
    assert desk.run("wait", good).status == desk.run("wait", bad, "--for", "idle").status == 0
    said = desk.run("wait", bad)
    assert said.status == 1
    assert "no credit" in said.out
    assert "bad (idle): will not be done" in said.err


def test_the_worst_is_told_first_and_all_whom_it_concerns(desk: Desk) -> None:
    slow = desk.bg("--name", "slow", "--", "sleep", "60")
    asking, other = desk.asking(name="asks"), desk.asking(name="also")
    desk.written(name="failed", ended=FAILED)
    good = desk.written(name="good")
    said = desk.run("wait", good.id, "--timeout", "0", slow, asking, "failed")
    assert (said.status, len(said.out.splitlines())) == (1, 4)
    assert "cowork: failed (failed): will not be done" in said.err
    said = desk.run("wait", "good", "--timeout", "0", slow, asking, other)
    assert said.status == 5
    assert f"cowork: asks (blocked), also (blocked): cannot be done\n  hint: cowork approvals {asking}\n" in said.err
    twin = desk.bg("--name", "twin", "--", "sleep", "60")
    said = desk.run("wait", twin, "good", "--timeout", "0", slow)
    assert said.status == 124
    assert f"cowork: twin (working), slow (working): are not yet done\n  hint: cowork logs {twin}\n" in said.err


def test_json_has_every_session_and_how_it_went_whatever_the_status(desk: Desk) -> None:
    done, failed = desk.written(name="one"), desk.written(name="two", ended=FAILED)
    asking, slow = desk.asking(), desk.bg("--", "sleep", "60")
    said = desk.run("wait", done.id, failed.id, asking, slow, "--timeout", "0", "--json")
    assert said.status == 1
    told: Any = json.loads(said.out)
    assert (told["v"], told["goal"]) == (1, "done")
    assert [(one["outcome"], one["session"]["id"], one["session"]["state"]) for one in told["sessions"]] == [
        ("reached", done.id, "done"), ("never", failed.id, "failed"), ("blocked", asking, "blocked"),
        ("not yet", slow, "working"),
    ]  # fmt: skip


def test_one_without_a_name_is_told_by_its_id(desk: Desk) -> None:
    one = desk.written(name="", ended=FAILED)
    assert f"cowork: {one.id} (failed): will not be done" in desk.run("wait", one.id).err


def test_a_session_that_is_named_twice_is_one(desk: Desk) -> None:
    one = desk.written(name="one")
    assert len(desk.ok("wait", "one", one.id, one.id[:4]).splitlines()) == 1


def test_nothing_is_waited_for_when_one_is_not_there(desk: Desk) -> None:
    desk.written(name="one")
    said = desk.run("wait", "one", "none")
    assert (said.status, said.out) == (4, "")


def test_what_a_session_says_cannot_drive_the_terminal(desk: Desk) -> None:
    session = desk.scripted(s.init(), s.said("\x1b[2Jhi\N{RIGHT-TO-LEFT OVERRIDE}"), s.result(""))
    said = desk.ok("wait", session)
    assert is_safe(said)
    assert "␛[2Jhi" in said


def test_help_says_what_the_status_means() -> None:
    help_ = command.help or ""
    for status in ("0 ", "1 ", "5 ", "124 "):
        assert status in help_.partition("Exit status:")[2]
