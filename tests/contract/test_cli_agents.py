"""What the real CLI tells of its own sessions, as ``cowork ps -a`` asks for it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cowork.supervisor.agents import Agent, listed
from tests.support.claude import MARKS, STREAM, Child, cli_environment
from tests.support.client import TIMEOUT, Message
from tests.support.daemon import TAG, Place, wait_for
from tests.support.mock_api import MockApi, script

pytestmark = MARKS

TOUCH: Message = {"name": "Bash", "input": {"command": "touch asked", "description": "d"}}


class Cli:
    """The CLI as it is installed for a user, with a home of its own."""

    def __init__(self, binary: Path, place: Place, api: MockApi) -> None:
        self.work, self._bin, tmp = (place.root / name for name in ("work", "bin", "t"))
        for folder in (self.work, self._bin, tmp):
            folder.mkdir()
        (self._bin / "claude").symlink_to(binary)
        self.place = place
        self.environment = {**cli_environment(place.home, api.url, tmp), TAG: place.tag}
        self.environment["PATH"] = f"{self._bin}:{self.environment['PATH']}"

    def headless(self) -> Child:
        options = (*STREAM, "--permission-prompt-tool", "stdio")
        return Child([self._bin / "claude", *options], self.environment, self.work)

    def run(self, *args: str) -> str:
        """A subcommand, which succeeds; what it prints."""
        done = subprocess.run(
            [self._bin / "claude", *args], env=self.environment, cwd=self.work, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, start_new_session=True, check=True,
        )  # fmt: skip
        return done.stdout

    def trust(self) -> None:
        """What a user has answered before the first background session."""
        config = self.place.home / ".claude"
        config.mkdir()
        key = self.environment["ANTHROPIC_API_KEY"]
        answered = {
            "hasCompletedOnboarding": True, "theme": "dark",
            "customApiKeyResponses": {"approved": [key[-20:]], "rejected": []},
            "projects": {str(self.work): {"hasTrustDialogAccepted": True}},
        }  # fmt: skip
        (config / ".claude.json").write_text(json.dumps(answered))

    def listed(self) -> list[Agent]:
        return listed(self.environment, patience=TIMEOUT)

    def until(self, wanted: Callable[[Agent], bool]) -> Agent:
        """The one session, once it is as wanted."""
        end = time.monotonic() + TIMEOUT
        while True:
            found = self.listed()
            if len(found) == 1 and wanted(found[0]):
                return found[0]
            assert time.monotonic() < end, found


@pytest.fixture
def api() -> Iterator[MockApi]:
    with MockApi() as running:
        yield running
    assert running.problems == []
    assert {request.path for request in running.requests} <= {"/v1/messages"}


@pytest.fixture
def cli(binary: Path, place: Place, api: MockApi) -> Cli:
    return Cli(binary, place, api)


@pytest.fixture
def supervised(cli: Cli) -> Iterator[Cli]:
    """With a supervisor of the CLI's, if a test makes it start one."""
    cli.trust()
    try:
        yield cli
    finally:
        cli.run("daemon", "stop", "--any")
        wait_for(lambda: not cli.place.processes(), "the supervisor and its jobs end")


def test_nobody_is_there(cli: Cli, api: MockApi, caplog: pytest.LogCaptureFixture) -> None:
    assert cli.listed() == []
    assert not caplog.records
    assert cli.place.processes() == [], "it starts no supervisor to be told this"
    assert api.requests == []


def test_a_headless_session(cli: Cli, api: MockApi) -> None:
    before = time.time()
    with cli.headless() as child:
        talk = child.talk()
        talk.initialize()
        idle = cli.until(lambda agent: agent.state == "idle")
        assert (idle.pid, idle.kind, idle.cwd) == (child.process.pid, "interactive", str(cli.work))
        assert before - 1 < idle.started < time.time() + 1
        assert re.fullmatch(r"[0-9a-f]{8}", idle.id)

        prompt = talk.user(script({"text": "begun", "hang": 600}))
        assert cli.until(lambda agent: agent.state == "working").detail == ""
        api.released.set()
        assert talk.result(prompt)["session_id"] == idle.session
        prompt = talk.user(script({"tools": [TOUCH]}, {"text": "done"}))
        asked = talk.can_use_tool()
        blocked = cli.until(lambda agent: agent.state == "blocked")
        assert (blocked.id, blocked.pid, blocked.detail) == (idle.id, idle.pid, "permission prompt")
        talk.allow(asked)
        talk.result(prompt)
        assert child.end() == 0
    assert cli.listed() == []


def test_a_background_session(supervised: Cli) -> None:
    cli = supervised
    said = cli.run("--bg", "--permission-mode", "default", script({"tools": [TOUCH]}, {"text": "done"}))
    found = re.search(r"backgrounded · ([0-9a-f]{8})", said)
    assert found, said

    blocked = cli.until(lambda agent: agent.state == "blocked")
    assert (blocked.id, blocked.kind, blocked.cwd) == (found[1], "bg", str(cli.work))
    assert blocked.detail == "permission prompt"
    assert blocked.pid in cli.place.processes()
    assert blocked.session.startswith(blocked.id)

    cli.run("stop", blocked.id)
    stopped = cli.until(lambda agent: agent.state == "stopped")
    assert (stopped.id, stopped.kind, stopped.pid, stopped.session) == (found[1], "bg", 0, blocked.session)
    assert abs(stopped.started - blocked.started) < TIMEOUT
