"""``cowork ps``: rows, what is left out, and what --watch shows anew."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.cli import ps
from cowork.sessions.record import ExitRecord
from cowork.supervisor import agents
from cowork.supervisor.agents import Agent
from cowork.supervisor.overview import SessionOverview
from tests.support import stream as s
from tests.support.desk import PATIENCE, Desk, Terminal
from tests.support.stream import is_safe

JOB = Agent(
    "c965441f", name="touch a file", pid=24526, kind="bg", cwd="/p", state="blocked", detail="permission prompt",
    started=1.0, session="c965441f-77c8",
)  # fmt: skip


def cells(session: SessionOverview) -> dict[str, str]:
    return dict(zip(ps.HEADERS, ps.row(session), strict=True))


def ids(listed: Any) -> list[str]:
    return [one["id"] for one in listed["sessions"]]


# -- cells


@pytest.mark.parametrize(
    ("cost", "text"),
    [(None, ""), (0.0, "$0.00"), (0.00042, "$0.0004"), (0.0099, "$0.0099"), (0.01, "$0.01"), (12.345, "$12.35")],
)
def test_a_cost_is_in_cents_unless_it_is_less(cost: float | None, text: str) -> None:
    assert cells(SessionOverview("a", "idle", cost=cost))["COST"] == text


def test_what_is_not_known_is_left_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    found = cells(SessionOverview("a", "starting", created=940.0))
    assert (found["AGE"], found["LAST"], found["TURNS"], found["COST"], found["WHAT"]) == ("1m", "", "", "", "")
    assert cells(SessionOverview("a", "unreadable"))["AGE"] == "", "and not half a century"
    found = cells(SessionOverview("a", "idle", created=940.0, last_event=990.0, turns=3))
    assert (found["AGE"], found["LAST"], found["TURNS"]) == ("1m", "10s", "3")


@pytest.mark.parametrize(
    ("session", "says"),
    [
        (SessionOverview("a", "working", detail="Bash: make", argv=["claude"]), "Bash: make"),
        (SessionOverview("a", "working", argv=["sh", "-c", "echo a; echo b"]), "sh -c 'echo a; echo b'"),
        (SessionOverview("a", "unreadable"), ""),
    ],
)
def test_what_it_does_is_told_and_else_what_it_is(session: SessionOverview, says: str) -> None:
    assert ps.what(session) == says


@pytest.mark.parametrize(
    ("session", "says"),
    [
        (SessionOverview("a", "idle", isolation="none", network="host"), "none"),
        (SessionOverview("a", "idle", isolation="none", unenforced=["docs"]), "none (ro not enforced)"),
        (SessionOverview("a", "idle", isolation="bubblewrap", network="open, by proxy"),
         "bubblewrap (network: open, by proxy)"),
        (SessionOverview("a", "idle", isolation="bubblewrap", weaker=["no seccomp"], network="model API only"),
         "bubblewrap (no seccomp; network: model API only)"),
    ],
)  # fmt: skip
def test_isolation_is_told_with_where_it_falls_short(session: SessionOverview, says: str) -> None:
    assert ps.isolation_of(session) == says


@given(st.text(max_size=200))
def test_whatever_a_session_says_is_one_harmless_line_that_fits(text: str) -> None:
    line = ps.shorten(text)
    assert len(line) <= 60
    assert is_safe(line)
    assert len(line.splitlines()) <= 1


def test_a_long_text_is_cut_and_shows_it() -> None:
    assert ps.shorten("x" * 60) == "x" * 60
    assert ps.shorten("x" * 61) == "x" * 59 + "…"
    assert ps.shorten("a\n\n  b\t\x1b[31mc") == "a b ␛[31mc"


# -- which sessions


def test_those_that_run_are_listed_and_with_all_those_that_have_ended(desk: Desk) -> None:
    old = desk.written(name="old", created=1.0)
    running = desk.bg("--name", "new", "--", "sleep", "60")
    broken = desk.written(name="broken")
    (broken.path / "session.json").write_text("{")
    assert set(desk.ok("ps", "-q").split()) == {broken.id, running}
    assert set(desk.ok("ps", "-q", "-a").split()) == {broken.id, old.id, running}
    assert set(ids(desk.json("ps"))) == {broken.id, running}
    lines = desk.ok("ps").splitlines()
    assert lines[0].split() == list(ps.HEADERS)
    assert [line.split()[:5] for line in lines[1:] if running in line] == [
        [running, "new", "working", "host", "none"]
    ]  # fmt: skip
    assert [line.split()[1] for line in lines[1:] if broken.id in line] == ["unreadable"]


@pytest.mark.parametrize(
    ("exit_record", "state", "says"),
    [
        (ExitRecord(ended=1.0, exit_code=0), "done", "claude --output-format=stream-json"),
        (ExitRecord(ended=1.0, exit_code=3), "failed", "exit status 3"),
        (ExitRecord(ended=1.0, exit_code=-1, signal="SIGKILL"), "failed", "SIGKILL"),
        (ExitRecord(ended=1.0, exit_code=-1, signal="SIGTERM"), "stopped", "SIGTERM"),
        (ExitRecord(ended=1.0, lost=True), "failed", "its holder was killed, and its end was not seen"),
    ],
)
def test_the_end_is_told_in_a_state_and_in_words(desk: Desk, exit_record: ExitRecord, state: str, says: str) -> None:
    desk.spoken(name="talk", ended=exit_record)
    (line,) = desk.ok("ps", "-a").splitlines()[1:]
    assert line.split()[2] == state
    assert line.endswith(says)


def test_a_conversation_is_told_with_turns_cost_and_what_it_asks(desk: Desk) -> None:
    session = desk.asking()
    (one,) = desk.json("ps")["sessions"]
    assert (one["state"], one["prompts"], one["detail"]) == ("blocked", 1, "Bash: touch a")
    done = desk.claude(name="done")
    (line,) = [line for line in desk.ok("ps").splitlines() if line.startswith(done)]
    assert re.search(r"  done  +idle .*  1  +\$0.01  done$", line)
    assert session in desk.ok("ps")


def test_what_a_session_says_cannot_drive_the_terminal(desk: Desk) -> None:
    desk.scripted(s.init(), s.said("\x1b]0;owned\a\x1b[2Jhi"), s.result(""))
    assert is_safe(desk.ok("ps"))
    assert "␛]0;owned␇␛[2Jhi" in desk.ok("ps")


# -- claude's own


@pytest.fixture
def listed(desk: Desk) -> list[Agent]:
    """What Claude Code says it runs."""
    found: list[Agent] = []
    desk.patch.setattr(agents, "listed", lambda environ: list(found))
    return found


def test_claudes_own_are_listed_with_all_only(desk: Desk, listed: list[Agent]) -> None:
    listed.append(JOB)
    assert "c965441f" not in desk.ok("ps")
    assert "agents" not in desk.json("ps")
    (line,) = desk.ok("ps", "-a").splitlines()[1:]
    assert re.fullmatch(r"c965441f  touch a file  blocked  claude   none       \d+d +permission prompt", line)
    told = desk.json("ps", "-a")
    assert (told["sessions"], [agent["id"] for agent in told["agents"]]) == ([], ["c965441f"])
    assert desk.ok("ps", "-a", "-q") == "", "an id that no command of ours takes"


def test_what_claude_does_not_tell_is_not_made_up(desk: Desk, listed: list[Agent]) -> None:
    listed.append(Agent("12345678", cwd="/w\x1b"))
    (line,) = desk.ok("ps", "-a").splitlines()[1:]
    assert line.split() == ["12345678", "?", "claude", "none", "/w␛"]


def test_ours_are_not_listed_twice(desk: Desk, listed: list[Agent]) -> None:
    running = desk.seen(desk.bg("--", "sleep", "60"))
    talk = desk.seen(desk.claude())
    ended = desk.spoken(s.init("ended-1"), s.result(), name="ended")
    assert (talk.conversation, desk.seen(ended.id).conversation) == ("5e55", "ended-1")
    listed += [
        Agent("pid", pid=running.pid), Agent("conv", session="5e55"), Agent("end", session="ended-1"),
        Agent("none", pid=0), Agent("other", pid=1, session="5e56"),
    ]  # fmt: skip
    assert [agent["id"] for agent in desk.json("ps", "-a")["agents"]] == ["none", "other"]


def test_claude_is_not_asked_at_every_look(desk: Desk) -> None:
    asked = []

    def listed(environ: object) -> list[Agent]:
        asked.append(environ)
        return [JOB]

    desk.patch.setattr(agents, "listed", listed)
    listing = ps.Listing(desk.where, everything=True)
    for _ in range(3):
        listing.look()
        assert [agent.id for agent in listing.agents] == [JOB.id]
    assert len(asked) == 1
    now = time.monotonic()
    desk.patch.setattr(time, "monotonic", lambda: now + 6)
    listing.look()
    assert len(asked) == 2


# -- at a terminal


def test_a_terminal_gets_colours_and_is_told_what_waits(desk: Desk, terminal: Terminal) -> None:
    desk.asking()
    desk.asking(name="other")
    with terminal.instead_of(1):
        assert desk.call("ps") == 0
    shown = terminal.whole()
    assert "\x1b[1;33mblocked" in shown
    assert "cowork approvals   # 2 questions to answer" in shown
    piped = desk.ok("ps")
    assert "\x1b" not in piped
    assert "questions" not in piped


def watching(desk: Desk, *options: str, **streams: int) -> subprocess.Popen[bytes]:
    streams = streams or {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return desk.popen("ps", "--watch", *options, warnings="ignore", **streams)


def test_watch_shows_it_in_place_until_ctrl_c(desk: Desk, terminal: Terminal) -> None:
    desk.bg("--name", "first", "--", "sleep", "60")
    command = watching(desk, stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave)
    seen = terminal.until("first")
    assert "\x1b[?1049h" in terminal.shown(), "on the other screen, as a pager"
    session = desk.bg("--name", "second", "--", "sleep", "60")
    seen = terminal.until("second", since=seen)
    desk.ok("kill", session)
    terminal.until("first", since=seen)
    command.send_signal(signal.SIGINT)
    assert command.wait(PATIENCE) == 130
    shown = terminal.whole()
    assert "\x1b[?1049l" in shown, "the screen of before comes back"
    assert "Traceback" not in shown


def interrupted(command: subprocess.Popen[bytes]) -> bytes:
    """What else it has printed when it is interrupted."""
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=PATIENCE)
    assert (command.returncode, err.strip()) == (130, b"")
    return out


def test_watch_with_json_prints_an_object_for_every_change_and_for_nothing_else(desk: Desk) -> None:
    command = watching(desk, "--json")
    assert command.stdout is not None
    assert json.loads(command.stdout.readline())["sessions"] == [], "how it is at first"
    session = desk.bg("--", *["sh", "-c", "while read -r line; do echo $line; done"])
    states = []
    while "working" not in states:
        (one,) = json.loads(command.stdout.readline())["sessions"]
        assert one["id"] == session
        states.append(one["state"])
    assert states in (["working"], ["starting", "working"])
    for number in range(3):
        desk.ok("send", session, str(number))
        desk.printed(session, b"%d\n" % number)
    desk.ok("kill", session)
    assert json.loads(command.stdout.readline())["sessions"] == [], "output alone is no change"
    assert interrupted(command) == b""


def test_watch_with_quiet_tells_the_ids_when_they_are_others(desk: Desk) -> None:
    command = watching(desk, "-q")
    assert command.stdout is not None
    assert command.stdout.readline() == b"\n"
    first = desk.claude()
    assert command.stdout.readline() == f"{first}\n".encode()
    desk.ok("send", first, json.dumps([{"ask": ["Bash", {"command": "x"}]}]))
    desk.until(first, "blocked")
    second = desk.bg("--", "sleep", "60")
    assert sorted(command.stdout.readline().decode().split()) == sorted([first, second])
    assert interrupted(command) == b""


def test_watch_in_a_pipe_prints_a_table_for_every_change(desk: Desk) -> None:
    command = watching(desk)
    assert command.stdout is not None
    assert command.stdout.readline().split() == [os.fsencode(header) for header in ps.HEADERS]
    assert command.stdout.readline() == b"\n"
    session = desk.bg("--", "sleep", "60")
    state = b""
    while state != b"working":
        header, row, end = (command.stdout.readline() for _ in range(3))
        assert (header[:2], row[:12], end) == (b"ID", session.encode(), b"\n")
        state = row.split()[2]
    assert interrupted(command) == b""
