"""``cowork deny``: what the session gets, and what is said of it."""

from __future__ import annotations

import pytest

from cowork.cli.deny import command
from tests.support.desk import Desk
from tests.unit.cli.test_approve import got, question


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "The user does not want this."),
        (["-m", "not\nnow"], "not\nnow"),
        (["--message", "ä \N{PILE OF POO}"], "ä \N{PILE OF POO}"),
        (["-m", ""], ""),
    ],
)
def test_the_model_is_told_why(desk: Desk, options: list[str], message: str) -> None:
    session = desk.asking()
    assert desk.run("deny", question(desk), *options) == (0, "denied: Bash: touch a\n", "")
    assert got(desk, session) == {"behavior": "deny", "message": message}
    assert desk.seen(session).failure == ""


def test_the_whole_turn_can_be_ended(desk: Desk) -> None:
    session = desk.asking({"ask": ["Bash", {"command": "touch a"}]}, {"say": "not reached"})
    desk.ok("deny", question(desk), "--interrupt")
    assert got(desk, session) == {"behavior": "deny", "message": "The user does not want this.", "interrupt": True}
    assert "not reached" not in desk.ok("logs", session).replace('"not reached"', "")
    assert desk.seen(session).failure


def test_another_kind_of_question_is_refused_with_an_error(desk: Desk) -> None:
    session = desk.asking({"request": {"subtype": "elicitation"}})
    assert desk.ok("deny", question(desk), "-m", "no") == "denied: elicitation\n"
    desk.until(session, "idle")
    assert '{"error": "no"}' in desk.ok("logs", session)


def test_json_has_the_answer_and_the_question(desk: Desk) -> None:
    desk.asking()
    (asked,) = desk.json("approvals")["approvals"]
    assert desk.json("deny", asked["id"]) == {"v": 1, "id": asked["id"], "answer": "denied", "approval": asked}


def test_what_is_not_asked_is_not_answered(desk: Desk) -> None:
    session = desk.asking()
    one = question(desk)
    assert desk.run("deny", f"{session}-00000000").status == 4
    desk.rewrite(session, kind="cowork")
    said = desk.run("deny", one)
    assert (said.status, said.out) == (6, "")
    assert "answered in Claude Desktop" in said.err
    assert desk.seen(session).state == "blocked"


def test_help_tells_what_the_model_is_told() -> None:
    help_ = command.get_help(command.make_context("deny", ["x"]))
    assert "The user does not want this." in " ".join(help_.split())
