"""``cowork approvals``: what is asked, whole, and how it can be answered."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import msgspec
import pytest

from cowork.cli.approvals import lines
from cowork.supervisor.approvals import Approval
from tests.support.desk import PATIENCE, Desk, Terminal
from tests.support.stream import ALLOW, MODE, is_safe

QUESTION = {"questions": [{"question": "Which?", "options": [{"label": "A"}, {"label": "B", "description": "better"}]}]}


def approval(tool: str = "Bash", given: object = None, **more: Any) -> Approval:
    usual = {"id": "abcdefghijkl-01234567", "session": "abcdefghijkl", "name": "talk", "kind": "shell", "cwd": "/w"}
    raw = msgspec.Raw(msgspec.json.encode({"command": "touch a"} if given is None else given))
    return Approval(**{**usual, "subtype": "can_use_tool", "tool": tool, "input": raw, **more})


def told(one: Approval) -> list[str]:
    return list(lines(one))


# -- in words


def test_a_question_is_told_with_where_it_comes_from_and_what_may_be_typed() -> None:
    assert told(approval()) == [
        "abcdefghijkl-01234567  talk, in /w",
        "  ? Bash wants to run: touch a",
        "  cowork approve abcdefghijkl-01234567   or   cowork deny abcdefghijkl-01234567",
    ]


def test_what_is_to_be_allowed_is_told_whole() -> None:
    script = "\n".join(f"line {number} {'x' * 300}" for number in range(50))
    shown = "\n".join(told(approval(given={"command": script, "timeout": 5, "description": "d" * 500})))
    for line in script.splitlines():
        assert line in shown
    assert '"timeout":5' in shown


def test_the_time_that_it_waits_is_told_if_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert told(approval(asked=880.0))[0].endswith("talk, in /w, waiting for 2m")
    assert "waiting" not in told(approval())[0]


def test_suggestions_reason_and_path_are_told() -> None:
    shown = told(approval(suggestions=[ALLOW, MODE], reason="outside\nof the folder", blocked_path="/etc"))
    assert "      blocked path: /etc".strip() in [line.strip() for line in shown]
    assert "    because: outside ␊ of the folder" in shown
    assert [line.strip() for line in shown if "option" in line] == [
        "option 1: allow Bash(touch a *) from now on (localSettings)",
        "option 2: mode acceptEdits for this session",
        "cowork approve abcdefghijkl-01234567 [--option NUMBER]   or   cowork deny abcdefghijkl-01234567",
    ]


def test_a_question_to_the_user_has_its_options_and_takes_an_answer() -> None:
    shown = told(approval("AskUserQuestion", QUESTION))
    assert [line.strip() for line in shown[1:4]] == ["? Which?", "1. A", "2. B: better"]
    assert "cowork approve abcdefghijkl-01234567 --option NUMBER-OR-TEXT" in shown[-1]


def test_another_kind_of_question_wants_an_answer_of_its_own() -> None:
    shown = told(approval("", {}, subtype="elicitation"))
    assert shown[1:] == [
        "  ? the session asks: elicitation",
        "  cowork approve abcdefghijkl-01234567 --input JSON   or   cowork deny abcdefghijkl-01234567",
    ]


def test_what_is_answered_elsewhere_is_shown_without_a_command() -> None:
    assert told(approval(answerable=False))[-1] == "  to be answered in Claude Desktop"
    assert not any("cowork" in line for line in told(approval(answerable=False)))


def test_nothing_that_a_session_says_drives_the_terminal_or_looks_like_ours() -> None:
    evil = "\x1b[2J\n  cowork approve other"
    for one in (approval(given={"command": evil}), approval(name=evil), approval(cwd=evil), approval(reason=evil),
                approval(evil), approval(blocked_path=evil), approval(suggestions=[{"type": evil}]),
                approval("", {}, subtype=evil)):  # fmt: skip
        shown = "\n".join(told(one))
        assert is_safe(shown)
        assert not [line for line in shown.split("\n") if line.startswith("  cowork approve other")]


# -- of the sessions


def test_all_are_told_or_those_of_one_session(desk: Desk) -> None:
    first, second = desk.asking(name="first"), desk.asking(name="second")
    broken = desk.written(name="broken", runs=True)
    (broken.path / "session.json").write_text("{")
    desk.claude(name="idle")
    told = desk.json("approvals")["approvals"]
    assert sorted(one["session"] for one in told) == sorted([first, second])
    assert [one["name"] for one in desk.json("approvals", "second")["approvals"]] == ["second"]
    text = desk.ok("approvals")
    for one in told:
        assert text.count(f"{one['id']}  {one['name']}, in {desk.work}, waiting for ") == 1
    assert text.endswith("\n\n"), "an empty line behind each"


def test_json_has_all_that_is_needed_to_answer(desk: Desk) -> None:
    given = {"command": "touch ä", "description": "make it"}
    session = desk.asking({"ask": ["Bash", given, [ALLOW]]})
    (one,) = desk.json("approvals")["approvals"]
    assert one.pop("id").startswith(f"{session}-")
    assert one.pop("asked") > 0
    assert one == {
        "session": session, "name": "talk", "kind": "shell", "subtype": "can_use_tool", "tool": "Bash",
        "input": given, "cwd": str(desk.work), "suggestions": [ALLOW],
    }  # fmt: skip


def test_what_claude_desktop_answers_is_shown(desk: Desk) -> None:
    desk.rewrite(desk.asking(), kind="cowork")
    (one,) = desk.json("approvals")["approvals"]
    assert (one["kind"], one["answerable"]) == ("cowork", False)
    assert "to be answered in Claude Desktop" in desk.ok("approvals")


def test_one_that_has_ended_asks_nothing(desk: Desk) -> None:
    session = desk.asking()
    desk.ok("kill", session)
    assert desk.run("approvals") == (0, "", "cowork: nobody asks anything\n")
    assert desk.run("approvals", session).out == ""
    assert desk.json("approvals") == {"v": 1, "approvals": []}
    assert desk.run("approvals", "none").status == 4


def test_a_terminal_shows_the_id_in_bold_unless_it_shall_not(desk: Desk, terminal: Terminal) -> None:
    desk.asking()
    (one,) = desk.json("approvals")["approvals"]
    with terminal.instead_of(1):
        desk.call("approvals")
        desk.patch.setenv("NO_COLOR", "1")
        desk.call("approvals")
    bold, plain = terminal.whole().strip().split("\n\n")
    assert f"\x1b[1m{one['id']}\x1b[0m" in bold
    assert plain.startswith(one["id"])
    assert "\x1b" not in plain


# -- as they come


def watching(desk: Desk, *options: str) -> subprocess.Popen[bytes]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return desk.popen("approvals", "--watch", *options, warnings="ignore", **pipes)


def interrupted(command: subprocess.Popen[bytes]) -> bytes:
    """What else it has printed when it is interrupted."""
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=PATIENCE)
    assert (command.returncode, err.strip()) == (130, b"")
    return out


def test_watch_with_json_tells_how_it_is_and_every_change(desk: Desk) -> None:
    command = watching(desk, "--json")
    assert command.stdout is not None
    assert json.loads(command.stdout.readline()) == {"v": 1, "approvals": []}
    session = desk.asking()
    (one,) = json.loads(command.stdout.readline())["approvals"]
    assert one["session"] == session
    desk.ok("approve", one["id"])
    assert json.loads(command.stdout.readline())["approvals"] == []
    assert interrupted(command) == b""


def test_watch_tells_each_question_once(desk: Desk) -> None:
    desk.asking(name="first")
    command = watching(desk)
    assert command.stdout is not None
    assert b"  first, in " in command.stdout.readline()
    assert [command.stdout.readline()[:3] for _ in range(3)] == [b"  ?", b"  c", b"\n"]
    desk.asking(name="second")
    assert b"  second, in " in command.stdout.readline()
    assert b"first" not in interrupted(command)


def test_watch_goes_on_with_the_very_session_that_was_named(desk: Desk) -> None:
    session = desk.asking(name="same")
    command = watching(desk, "--json", "same")
    assert command.stdout is not None
    assert [one["session"] for one in json.loads(command.stdout.readline())["approvals"]] == [session]
    desk.ok("kill", session)
    assert json.loads(command.stdout.readline())["approvals"] == []
    desk.ok("rm", session)
    other = desk.asking(name="same")
    desk.ok("kill", other)
    assert interrupted(command) == b"", "another one of that name is another one"
