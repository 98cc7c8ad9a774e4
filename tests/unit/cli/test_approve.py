"""``cowork approve``: what the session gets, and what is said of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cowork.cli.approve import command
from tests.support.desk import Desk
from tests.support.stream import ALLOW, MODE


def question(desk: Desk) -> str:
    """The id of the one question there is."""
    (one,) = desk.json("approvals")["approvals"]
    found: str = one["id"]
    return found


def got(desk: Desk, session: str) -> Any:
    """What the session was answered, by its own account."""
    desk.until(session, "idle")
    lines = map(json.loads, desk.ok("logs", "--raw", session).splitlines())
    results = [line["message"]["content"] for line in lines if line["type"] == "user"]
    (block,) = [blocks[0] for blocks in results if isinstance(blocks, list)]
    return json.loads(block["content"])


def test_the_tool_is_run_as_it_was_asked_for(desk: Desk) -> None:
    session = desk.asking()
    assert desk.run("approve", question(desk)) == (0, "approved: Bash: touch a\n", "")
    assert got(desk, session) == {"behavior": "allow", "updatedInput": {"command": "touch a"}}
    assert desk.json("approvals")["approvals"] == []


def test_a_suggestion_is_allowed_by_its_number(desk: Desk) -> None:
    session = desk.asking({"ask": ["Bash", {"command": "touch a"}, [ALLOW, MODE]]})
    one = question(desk)
    for wrong in ("0", "3", "first", "²", ""):
        said = desk.run("approve", one, "--option", wrong)
        assert (said.status, said.out) == (2, "")
        assert "a number from 1 to 2" in said.err
    desk.ok("approve", one, "--option", "2")
    assert got(desk, session)["updatedPermissions"] == [MODE]


def test_another_input_can_be_given(desk: Desk) -> None:
    session = desk.asking()
    one = question(desk)
    for wrong in ("touch b", "[]", "{", "\udcff"):
        said = desk.run("approve", one, "--input", wrong)
        assert (said.status, said.out) == (2, "")
        assert "hint: a JSON object, as cowork approvals --json shows it" in said.err
    desk.ok("approve", one, "--input", '{"command":"touch b"}')
    assert got(desk, session)["updatedInput"] == {"command": "touch b"}


@pytest.mark.parametrize(("option", "answer"), [("2", "B"), ("neither", "neither"), ("3", "3")])
def test_a_question_is_answered_by_number_or_in_words(desk: Desk, option: str, answer: str) -> None:
    asked = {"questions": [{"question": "Which?", "options": [{"label": "A"}, {"label": "B"}]}]}
    session = desk.asking({"ask": ["AskUserQuestion", asked]})
    one = question(desk)
    assert desk.run("approve", one).status == 2, "an answer is wanted"
    assert desk.ok("approve", one, "--option", option) == "approved: AskUserQuestion: Which?\n"
    assert got(desk, session)["updatedInput"] == {**asked, "answers": {"Which?": answer}}


def test_another_kind_of_question_is_answered_with_json(desk: Desk) -> None:
    session = desk.asking({"request": {"subtype": "elicitation"}})
    one = question(desk)
    assert "--input JSON, or cowork deny" in desk.run("approve", one).err
    assert desk.ok("approve", one, "--input", '{"action":"accept"}') == "approved: elicitation\n"
    desk.until(session, "idle")
    assert '{"action": "accept"}' in desk.ok("logs", session)


def test_json_has_the_answer_and_the_question(desk: Desk) -> None:
    desk.asking()
    (asked,) = desk.json("approvals")["approvals"]
    assert desk.json("approve", asked["id"]) == {
        "v": 1, "id": asked["id"], "answer": "approved", "approval": asked,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "status", "says"),
    [
        ("{session}-00000000", 4, "it asks now: {question}"),
        ("none-00000000", 4, "no session none"),
        ("00000000", 2, "cowork approvals lists them"),
    ],
)
def test_what_is_not_asked_is_not_answered(desk: Desk, wanted: str, status: int, says: str) -> None:
    session = desk.asking()
    one = question(desk)
    said = desk.run("approve", wanted.format(session=session))
    assert (said.status, said.out) == (status, "")
    assert says.format(question=one) in said.err
    assert question(desk) == one


def test_a_question_is_answered_once(desk: Desk) -> None:
    session = desk.asking()
    one = question(desk)
    desk.ok("approve", one)
    desk.until(session, "idle")
    said = desk.run("approve", one)
    assert (said.status, said.out) == (4, "")
    assert "it was answered, withdrawn or changed" in said.err


def test_what_claude_desktop_asks_is_answered_there(desk: Desk) -> None:
    session = desk.asking()
    desk.rewrite(session, kind="cowork")
    said = desk.run("approve", question(desk))
    assert (said.status, said.out) == (6, "")
    assert "answered in Claude Desktop" in said.err
    assert desk.seen(session).state == "blocked"


def test_an_answer_sees_to_it_that_somebody_tells_what_follows(desk: Desk) -> None:
    ensured = []
    desk.patch.setattr("cowork.supervisor.notifier.ensure", lambda where, environ: ensured.append(where))
    desk.asking()
    desk.ok("approve", question(desk))
    assert ensured == [desk.where, desk.where], "when it was started, and now"


def test_help_says_what_the_status_means() -> None:
    assert "0 the session has taken the answer" in " ".join((command.help or "").split())
