"""A conversation with a line to type in: what becomes of each line. On a real terminal: tests/contract."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from cowork import paths
from cowork.cli import keys
from cowork.cli.chat import Chat, View, attach
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.follow import Follower
from cowork.supervisor.progress import Progress
from tests.support.daemon import Place
from tests.support.holding import CHILDREN
from tests.support.shell import Shell

Typist = Callable[["Talking"], Awaitable[None]]
ASK = json.dumps([{"ask": ["Bash", {"command": "touch a"}, [{"type": "setMode", "mode": "plan"}]]}, {"say": "over"}])


class Talking:
    """A conversation and who types in it."""

    def __init__(self, view: View, pipe: PipeInput) -> None:
        self.view = view
        self._pipe = pipe

    def type(self, text: str) -> None:
        """Press keys."""
        self._pipe.send_text(text)

    async def until(self, state: str, results: int = 0) -> None:
        """Wait until the toolbar begins with a text, and so many turns have ended."""
        async with asyncio.timeout(30):
            while not self.view.state().startswith(state) or self.view.results < results:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
def shell(place: Place) -> Shell:
    folder = place.root / "bin"
    folder.mkdir()
    (folder / "claude").symlink_to(CHILDREN / "fake_claude")
    return Shell(place, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def pipe() -> Iterator[PipeInput]:
    with create_pipe_input() as made:
        yield made


def talk(shell: Shell, session: str, pipe: PipeInput, typist: Typist) -> bool:
    """Have somebody type in a conversation until it is over; whether the session has ended."""
    where = paths.resolve(shell.environment)
    directory = SessionDirectory(where.sessions, session)

    async def both(chat: Chat, talking: Talking) -> None:
        await asyncio.wait_for(asyncio.gather(chat.run(), typist(talking)), 50)

    with (
        create_app_session(pipe, DummyOutput()), Follower(directory, where.runtime) as follower,
        Progress(directory) as progress,
    ):  # fmt: skip
        view = View(follower, progress)
        view.show()
        asyncio.run(both(Chat(where, directory, view, keys.parse(keys.DEFAULT)), Talking(view, pipe)))
        return follower.ended


def stream(shell: Shell, session: str) -> str:
    return shell.ok("logs", "--raw", session)


def test_a_line_is_the_next_message(shell: Shell, pipe: PipeInput) -> None:
    session = shell.bg("hello")

    async def typist(t: Talking) -> None:
        await t.until("idle", 1)
        t.type("first of mine\r")
        await t.until("idle", 2)
        t.type("::text with a colon\r")
        await t.until("idle", 3)
        t.type("/compact\r")
        await t.until("idle", 4)
        t.type("   \r\x04")

    assert not talk(shell, session, pipe, typist)
    said = stream(shell, session)
    for text in ("heard: first of mine", "heard: :text with a colon", "heard: /compact"):
        assert text in said
    assert shell.session(session)["results"] == 4, "a blank line is no message"


def test_questions_are_answered(shell: Shell, pipe: PipeInput) -> None:
    session = shell.bg(ASK)

    async def typist(t: Talking) -> None:
        await t.until("blocked: Bash: touch a (:approve or :deny)")
        t.type(":approve 7\r")  # there is one suggestion
        t.type(":approve 1\r")
        await t.until("idle")
        t.type(f"{ASK}\r")
        await t.until("blocked")
        t.type(":deny not that\r")
        await t.until("idle")
        t.type(":approve\r:detach\r")

    assert not talk(shell, session, pipe, typist)
    said = stream(shell, session)
    assert "updatedPermissions" in said
    assert "not that" in said


def test_a_turn_is_interrupted(shell: Shell, pipe: PipeInput) -> None:
    session = shell.bg(json.dumps([{"stay": True}]))

    async def typist(t: Talking) -> None:
        await t.until("working")
        t.type("half a line")
        t.type("\x03")  # takes back what is typed
        t.type("\x03")
        await t.until("idle")
        t.type(f"{json.dumps([{'stay': True}])}\r")
        await t.until("working")
        t.type(":interrupt\r")
        await t.until("idle")
        t.type("\x1cd")

    assert not talk(shell, session, pipe, typist)
    assert "half a line" not in stream(shell, session)


def test_it_comes_to_an_end(shell: Shell, pipe: PipeInput) -> None:
    session = shell.bg("hello")

    async def typist(t: Talking) -> None:
        await t.until("idle")
        t.type(":end\r")

    assert talk(shell, session, pipe, typist)
    assert shell.session(session)["state"] == "done"


def test_one_that_dies_meanwhile_is_over(shell: Shell, pipe: PipeInput) -> None:
    session = shell.bg("hello")

    async def typist(t: Talking) -> None:
        await t.until("idle")
        shell.ok("kill", "-s", "KILL", session)

    assert talk(shell, session, pipe, typist)


def test_whoever_cannot_type_reads_to_the_end(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    session = shell.bg(json.dumps([{"say": "first"}]))
    shell.ok("wait", session)
    shell.ok("send", session, "last words", "--end")
    where = paths.resolve(shell.environment)
    assert attach(where, SessionDirectory(where.sessions, session), keys.parse(keys.DEFAULT), read_only=False)
    shown = capsys.readouterr().out
    assert "first\n" in shown
    assert "heard: last words\n" in shown
