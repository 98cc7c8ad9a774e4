"""``cowork send``: what a session gets, and what proves that it has."""

from __future__ import annotations

import json
import os

import pytest

from cowork.cli.send import command
from tests.support.desk import Desk
from tests.support.holding import child


def heard(desk: Desk, session: str) -> list[str]:
    """The messages of the user's, by the session's own account."""
    lines = map(json.loads, desk.ok("logs", "--raw", session).splitlines())
    return [line["message"]["content"] for line in lines if line["type"] == "user"]


# -- to a program


def test_a_program_gets_a_line(desk: Desk) -> None:
    session = desk.bg("--", "cat")
    assert desk.run("send", session, "hello") == (0, "", "")
    desk.ok("send", session, "two\nlines\n")
    desk.ok("send", session, "")
    assert desk.printed(session, b"lines\n\n") == b"hello\ntwo\nlines\n\n"


@pytest.mark.parametrize("data", [b"a\r\nb\r\n", b"\xff\0\x1b", b"no end", "ä".encode()])
def test_raw_are_the_very_bytes(desk: Desk, data: bytes) -> None:
    session = desk.bg("--", "cat")
    desk.ok("send", "--raw", "--end", session, "-", stdin=data)
    assert desk.ended(session) == data
    if b"\0" not in data:
        other = desk.bg("--", "cat")
        desk.ok("send", "--raw", "--end", other, os.fsdecode(data))
        assert desk.ended(other) == data


def test_a_dash_reads_stdin_to_its_end(desk: Desk) -> None:
    session = desk.bg("--", "cat")
    desk.ok("send", session, "-", "--end", stdin=b"one\n\xfftwo")
    assert desk.ended(session) == b"one\n\xfftwo\n"


def test_the_end_alone_is_something_to_send(desk: Desk) -> None:
    session = desk.bg("--", "cat")
    desk.ok("send", session, "--end")
    desk.ended(session)
    assert desk.seen(session).state == "done"


def test_one_that_reads_nothing_is_told(desk: Desk) -> None:
    session = desk.bg("--", *child("never_reads"))
    said = desk.run("send", session, "-", "--timeout", "0.1", stdin=b"x" * 100_000)
    assert (said.status, said.out) == (7, "")
    assert "does not read its stdin" in said.err


def test_one_that_closed_its_stdin_is_told(desk: Desk) -> None:
    session = desk.bg("--", *child("closes_stdin"))
    desk.printed(session, b"closed\n")
    said = desk.run("send", session, "x")
    assert (said.status, said.out) == (3, "")
    assert "takes nothing any more: its stdin is closed" in said.err


# -- to a claude with a prompt


def test_a_claude_gets_a_message_that_comes_back_in_its_stream(desk: Desk) -> None:
    session = desk.claude()
    told = desk.json("send", session, "and then?")
    assert (told["v"], told["id"], told["delivered"]) == (1, session, True)
    assert told["uuid"].encode() in desk.printed(session, b"heard: and then?")
    desk.until(session, "idle")
    assert heard(desk, session) == ["hello", "and then?"]
    assert desk.run("send", session, "x") == (0, "", "")


def test_what_is_no_text_reaches_it_as_far_as_it_is(desk: Desk) -> None:
    session = desk.claude()
    desk.ok("send", session, "-", stdin=b"caf\xe9\n")
    desk.ok("send", session, os.fsdecode(b"caf\xe9"))
    desk.printed(session, rb'heard: caf\ufffd"')
    desk.until(session, "idle")
    assert {text.strip() for text in heard(desk, session)[1:]} == {"caf\N{REPLACEMENT CHARACTER}"}


def test_one_that_is_blocked_has_it_later(desk: Desk) -> None:
    session = desk.asking()
    said = desk.run("send", session, "and then?")
    assert (said.status, said.out) == (0, "")
    assert said.err == "cowork: delivered; the session is blocked and deals with it later: Bash: touch a\n"
    told = desk.json("send", session, "and then?")
    assert told["state"] == "blocked"


def test_raw_goes_past_the_conversation(desk: Desk) -> None:
    session = desk.claude()
    line = '{"type":"user","message":{"role":"user","content":"by hand"},"uuid":"u-7"}\n'
    told = desk.json("send", "--raw", session, line)
    assert told["uuid"] is None
    desk.printed(session, b"heard: by hand")


def test_a_conversation_in_claude_desktop_is_not_talked_into(desk: Desk) -> None:
    session = desk.claude()
    desk.rewrite(session, kind="cowork")
    for arguments in (["hello"], ["--interrupt"]):
        said = desk.run("send", session, *arguments)
        assert said.status == 6
        assert "type it there" in said.err


def test_a_turn_is_broken_off_before_the_message(desk: Desk) -> None:
    session = desk.claude({"stay": True}, until="working")
    desk.ok("send", session, "--interrupt")
    desk.until(session, "idle")
    assert desk.seen(session).failure
    desk.ok("send", session, json.dumps([{"stay": True}]))
    desk.ok("send", session, "--interrupt", "something else")
    desk.printed(session, b"heard: something else")


def test_one_that_does_not_show_the_message_is_told(desk: Desk) -> None:
    session = desk.claude({"deaf": True}, until="working")
    desk.printed(session, b"deaf")
    for arguments in (["x"], ["--interrupt"], ["--interrupt", "x"]):
        said = desk.run("send", session, *arguments, "--timeout", "0.1")
        assert (said.status, said.out) == (7, "")
        assert "was given it, but has not shown that it took it" in said.err


@pytest.mark.parametrize("arguments", [["x"], ["--interrupt"], ["--interrupt", "x"]])
def test_one_that_ends_without_it_is_told(desk: Desk, arguments: list[str]) -> None:
    desk.program("claude", "#!/bin/sh\nread -r ready; read -r prompt; read -r message\n")
    session = desk.bg("hello")
    said = desk.run("send", session, *arguments)
    assert said == (3, "", f"cowork: session {session} has ended without taking it\n  hint: cowork logs {session}\n")


# -- what makes no sense


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to send"),
        (["--raw"], "nothing to send"),
        (["--interrupt"], "only a claude that was started with a prompt can be interrupted"),
        (["x", "--timeout", "soon"], "is no duration"),
    ],
)
def test_what_makes_no_sense_is_refused(desk: Desk, arguments: list[str], says: str) -> None:
    session = desk.bg("--", "cat")
    said = desk.run("send", session, *arguments)
    assert (said.status, said.out) == (2, "")
    assert says in said.err


def test_a_session_that_is_not_there_or_has_ended_is_told(desk: Desk) -> None:
    assert desk.run("send", "none", "x").status == 4
    session = desk.bg("--", "true")
    desk.ended(session)
    said = desk.run("send", session, "x")
    assert said.status == 3
    assert f"hint: cowork logs {session}" in said.err


def test_a_message_sees_to_it_that_somebody_tells_what_follows(desk: Desk) -> None:
    session = desk.bg("--", "cat")
    ensured = []
    desk.patch.setattr("cowork.supervisor.notifier.ensure", lambda where, environ: ensured.append(where))
    desk.ok("send", session, "x")
    assert ensured == [desk.where]


def test_help_says_what_the_status_means() -> None:
    assert "Exit status: 7 it was delivered, and has not shown up in time" in (command.help or "")
