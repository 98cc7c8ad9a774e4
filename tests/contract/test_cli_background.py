"""The real CLI in sessions from the shell: blocked, answered, done, spoken to, ended; and many at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.claude import MARKS, cli_environment
from tests.support.client import TIMEOUT, Message
from tests.support.daemon import Place
from tests.support.mock_api import MockApi, script
from tests.support.ordinary import ordinary_user
from tests.support.shell import COWORK, Shell
from tests.support.tmux import Tmux

pytestmark = MARKS


@pytest.fixture
def api() -> Iterator[MockApi]:
    with MockApi() as running:
        yield running
    assert running.problems == []


@pytest.fixture
def shell(binary: Path, place: Place, api: MockApi) -> Shell:
    """A person whose ``claude`` is the real one, and whose API is the mock."""
    return made(binary, place, api)


def made(binary: Path, place: Place, api: MockApi) -> Shell:
    tools = place.root / "bin"
    tools.mkdir()
    (tools / "claude").symlink_to(binary)
    (place.root / "t").mkdir()
    environment = cli_environment(place.home, api.url, place.root / "t")
    return Shell(place, **{**environment, "PATH": f"{tools}{os.pathsep}{environment['PATH']}"})


def bash(command: str) -> Message:
    return {"name": "Bash", "input": {"command": command, "description": "d"}}


def ask(shell: Shell) -> dict[str, Any]:
    """The only question that waits."""
    (one,) = shell.json("approvals")["approvals"]
    found: dict[str, Any] = one
    return found


def stream(shell: Shell, session: str) -> list[Message]:
    """All that it has printed; every line has to be whole."""
    lines = shell.ok("logs", "--raw", session).splitlines()
    return [json.loads(line) for line in lines]


def test_from_the_prompt_to_the_end(shell: Shell, api: MockApi) -> None:
    """What a script does: bg, wait until it is blocked, look, approve, wait until it is done, read."""
    session = shell.bg("--name", "touch", script({"tools": [bash("touch asked")]}, {"text": "it is there"}))
    assert shell.run("wait", session, "--timeout", "30").returncode == 5, "nobody need wait for what cannot come"
    shell.ok("wait", "touch", "--for", "blocked", "--timeout", "30")
    assert shell.session("touch")["detail"] == "Bash: touch asked"
    question = ask(shell)
    assert (question["tool"], question["input"]["command"], question["cwd"]) == ("Bash", "touch asked", str(shell.work))
    assert "Bash wants to run: touch asked" in shell.ok("approvals")

    changed = question["id"][:-1] + ("0" if question["id"][-1] != "0" else "1")
    refused = shell.run("approve", changed)
    assert refused.returncode == 4
    assert question["id"] in refused.stderr
    assert not (shell.work / "asked").exists()

    assert "approved: Bash: touch asked" in shell.ok("approve", question["id"])
    shell.ok("wait", "touch", "--timeout", "30")
    assert (shell.work / "asked").exists()
    one = shell.session("touch")
    assert (one["state"], one["detail"], one["results"], one["turns"]) == ("idle", "it is there", 1, 2)
    assert one["cost"] > 0
    assert shell.run("approve", question["id"]).returncode == 4
    assert shell.json("approvals")["approvals"] == []
    readable = shell.ok("logs", "touch")
    for part in ("* Bash: touch asked", "? Bash wants to run: touch asked", "it is there", "-- done in"):
        assert part in readable

    shell.ok("send", "touch", "once more", "--end")
    shell.ok("wait", "touch", "--for", "exit", "--timeout", "30")
    assert shell.session("touch")["state"] == "done"
    assert "mock: once more" in shell.ok("logs", "touch")


def test_answers_of_every_kind(shell: Shell) -> None:
    question = {"question": "Which?", "header": "h", "multiSelect": False,
                "options": [{"label": "red", "description": "r"}, {"label": "blue", "description": "b"}]}  # fmt: skip
    session = shell.bg(script(
        {"tools": [bash("touch denied")]}, {"tools": [bash("touch changed-not")]},
        {"tools": [{"name": "AskUserQuestion", "input": {"questions": [question]}}]},
        {"tools": [bash("touch first")]}, {"tools": [{"name": "Write", "input": {
            "file_path": str(shell.work / "second"), "content": "x"}}]}, {"text": "over"},
    ))  # fmt: skip

    def blocked() -> dict[str, Any]:
        shell.ok("wait", session, "--for", "blocked", "--timeout", "30")
        return ask(shell)

    shell.ok("deny", blocked()["id"], "-m", "not that one")
    shell.ok("approve", blocked()["id"], "--input", json.dumps(bash("touch changed")["input"]))
    asked = blocked()
    assert asked["tool"] == "AskUserQuestion"
    assert "2. blue: b" in shell.ok("approvals", session)
    shell.ok("approve", asked["id"], "--option", "2")
    suggested = blocked()
    number = next(n for n, s in enumerate(suggested["suggestions"], 1) if s.get("mode") == "acceptEdits")
    shell.ok("approve", suggested["id"], "--option", str(number))
    # The suggestion holds for the rest of the session, so writing a file is not asked for.
    shell.ok("wait", session, "--timeout", "30")
    assert sorted(os.listdir(shell.work)) == ["changed", "first", "second"]
    results = json.dumps([m for m in stream(shell, session) if m["type"] == "user"])
    assert "not that one" in results
    assert "blue" in results


def test_a_message_is_delivered_when_send_says_so(shell: Shell) -> None:
    session = shell.bg(script({"tools": [bash("touch x")]}, {"text": "first"}))
    shell.ok("wait", session, "--for", "blocked", "--timeout", "30")
    told = shell.json("send", session, "and another thing")
    assert (told["delivered"], told["state"]) == (True, "blocked")
    assert any(m.get("command_uuid") == told["uuid"] for m in stream(shell, session)), "it is in the stream"
    shell.ok("deny", ask(shell)["id"], "--interrupt")
    shell.ok("wait", session, "--for", "idle", "--timeout", "30")
    shell.ok("send", session, "hello")
    shell.ok("wait", session, "--timeout", "30")
    assert shell.session(session)["detail"] == "mock: hello"


def test_a_question_that_is_withdrawn_is_gone(shell: Shell) -> None:
    session = shell.bg(script({"tools": [bash("touch x")]}, {"text": "first"}))
    shell.ok("wait", session, "--for", "blocked", "--timeout", "30")
    question = ask(shell)
    shell.ok("send", session, "--interrupt")
    shell.ok("wait", session, "--for", "idle", "--timeout", "30")
    assert shell.json("approvals")["approvals"] == []
    done = shell.run("approve", question["id"])
    assert done.returncode == 4
    assert "withdrawn" in done.stderr
    assert not (shell.work / "x").exists()
    assert shell.run("wait", session).returncode == 1, "an interrupted turn is no good end"


def test_a_failing_api_is_a_failed_turn(shell: Shell, api: MockApi) -> None:
    session = shell.bg(script({"error": {"status": 400, "type": "invalid_request_error", "message": "no"}}))
    done = shell.run("wait", session, "--timeout", "40")
    assert done.returncode == 1
    one = shell.session(session)
    assert one["state"] == "idle"
    assert one["failure"]


def test_a_claude_that_cannot_go_on_has_failed_and_says_why(shell: Shell) -> None:
    session = shell.bg("hello", ANTHROPIC_API_KEY="")
    assert shell.run("wait", session, "--for", "done", "--timeout", "30").returncode == 1
    assert "login" in shell.ok("logs", session)


def test_kill_lets_it_finish_what_it_writes_down(shell: Shell) -> None:
    session = shell.bg(script({"text": "begun", "hang": 600}))
    follower = shell.popen("logs", "-f", session)
    assert follower.stdout is not None
    while b"session " not in follower.stdout.readline():
        pass
    shell.ok("kill", session)
    follower.communicate(timeout=TIMEOUT)
    one = shell.session(session)
    assert (one["state"], one["exitCode"]) == ("stopped", 0), "interrupted first, so it ends by itself"
    assert [m["subtype"] for m in stream(shell, session) if m["type"] == "result"] == ["error_during_execution"]


@pytest.mark.timeout(240, func_only=True)
def test_twenty_at_once_and_no_line_is_lost(shell: Shell) -> None:
    texts = {f"s{number}": [f"session {number} says {step} " + "ä" * 200 for step in range(3)] for number in range(20)}
    for name, (first, second, last) in texts.items():
        steps = script(
            {"text": [first[:50], first[50:]], "tools": [bash(f"seq 1 2000 | sed s/^/{name}-/")]},
            {"text": second, "tools": [bash(f"echo {name} >{name}")]}, {"text": last},
        )  # fmt: skip
        shell.bg("--name", name, "--claude-arg=--allowedTools=Bash", steps)
    shell.ok("wait", *texts, "--timeout", "180", patience=200)
    for name, expected in texts.items():
        messages = stream(shell, name)
        said = [b["text"] for m in messages if m["type"] == "assistant" for b in m["message"]["content"] if "text" in b]
        assert said == expected
        (counted, _) = (m for m in messages if m["type"] == "user" and isinstance(m["message"]["content"], list))
        lines = counted["message"]["content"][0]["content"].splitlines()
        assert lines == [f"{name}-{number}" for number in range(1, 2001)]
        assert messages[-1] == {**messages[-1], "subtype": "session_state_changed", "state": "idle"}
        assert (shell.work / name).read_text() == f"{name}\n"


@pytest.mark.bwrap
def test_in_the_sandbox(public_binary: Path, api: MockApi) -> None:
    with ordinary_user():
        place = Place()
        try:
            shell = made(public_binary, place, api)
            session = shell.bg("--backend", "bwrap", script({"tools": [bash("pwd >where; id -un")]}, {"text": "in"}))
            one = shell.session(session)
            assert (one["backend"], one["isolation"]) == ("bwrap", "bubblewrap")
            shell.ok("wait", session, "--for", "blocked", "--timeout", "30")
            shell.ok("approve", ask(shell)["id"])
            shell.ok("wait", session, "--timeout", "30")
            assert (shell.work / "where").read_text() == f"/sessions/{session}/mnt/work\n"
            shell.ok("kill", session)
        finally:
            place.remove()


def test_a_conversation_on_a_terminal(shell: Shell) -> None:
    session = shell.bg("--name", "talk", script({"tools": [bash("touch a")]}, {"text": "it is done"}))
    with Tmux(shell.place.root, shell.environment, rows=30, columns=100) as tmux:
        window = tmux.open(*COWORK, "attach", "talk")
        window.until("? Bash wants to run: touch a", "blocked: Bash: touch a")
        window.type(":approve", "Enter")
        window.until("it is done", "-- done in", "idle")
        window.type("and now?", "Enter")
        window.until("> and now?", "mock: and now?")
        shell.ok("wait", "talk", "--timeout", "30")
        window.until("idle")
        window.type("C-c")
        window.until("nothing to interrupt")
        window.type("C-\\", "d")
        window.until("let go of talk", "status 0")
        again = tmux.open(*COWORK, "attach", "-r", "talk")
        again.until("mock: and now?")
        again.type("C-c")
        again.until("status 0")
        last = tmux.open(*COWORK, "attach", "talk")
        last.until("mock: and now?", "idle")
        last.type(":end", "Enter")
        last.until("talk is done", "status 0")
    assert shell.session(session)["exitCode"] == 0


def test_the_interactive_program_on_a_terminal(shell: Shell) -> None:
    """The CLI's own screen, as it draws it: it comes back when the terminal it was drawn on is gone."""
    key = shell.environment["ANTHROPIC_API_KEY"]
    config = {
        "hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": {"approved": [key[-20:]]},
        "projects": {str(shell.work): {"hasTrustDialogAccepted": True}},
    }  # fmt: skip
    folder = shell.place.home / ".claude"
    folder.mkdir(exist_ok=True)
    (folder / ".claude.json").write_text(json.dumps(config))
    session = shell.bg("--tty", "hello there", TERM="screen-256color")
    with Tmux(shell.place.root, shell.environment, rows=40, columns=100) as tmux:
        window = tmux.open(*COWORK, "attach", session)
        window.until("mock: hello there")
        tmux.tmux("kill-window", "-t", "t:w1")
        again = tmux.open(*COWORK, "attach", session)
        again.until("mock: hello there")
        again.type("second question", "Enter")
        again.until("mock: second question")
        again.resize(30, 80)
        again.until("mock: second question")
        again.type("C-\\", "d")
        again.until("status 0")
    assert shell.session(session)["state"] == "working"
    shell.ok("kill", session)
    assert shell.session(session)["state"] == "stopped"
