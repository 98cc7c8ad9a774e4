"""The real CLI as a child of the test: what we rely on, and that mock and conversation serve it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from string import ascii_letters

import pytest

from cowork.translate.slug import project_slug
from tests.support.claude import (
    MARKS,
    STREAM,
    Child,
    Conversation,
    cli_environment,
    path_hash,
)
from tests.support.client import Message
from tests.support.daemon import TAG, Place
from tests.support.mock_api import MockApi, Step, script

pytestmark = MARKS

Start = Callable[..., Child]


@pytest.fixture
def api() -> Iterator[MockApi]:
    with MockApi() as running:
        yield running
    assert running.problems == []
    assert {request.path for request in running.requests} == {"/v1/messages"}


@pytest.fixture
def work(place: Place) -> Path:
    """Where the CLI works."""
    (place.root / "t").mkdir()
    folder = place.root / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def start(binary: Path, place: Place, api: MockApi, work: Path) -> Iterator[Start]:
    """Starts a CLI with more arguments, in ``cwd`` if it is given."""
    environment = {**cli_environment(place.home, api.url, place.root / "t"), TAG: place.tag}
    children = []

    def starting(*args: str, cwd: Path = work) -> Child:
        child = Child([binary, *STREAM, *args], environment, cwd)
        children.append(child)
        return child

    yield starting
    for child in children:
        child.close()


def bash(command: str) -> Message:
    return {"name": "Bash", "input": {"command": command, "description": "d"}}


def ready(child: Child) -> Conversation:
    talk = child.talk()
    talk.initialize()
    return talk


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def transcripts(place: Place) -> list[Path]:
    """Relative to the folder of all projects."""
    folder = place.home / ".claude" / "projects"
    return sorted(path.relative_to(folder) for path in folder.rglob("*.jsonl"))


def test_two_turns(start: Start, api: MockApi) -> None:
    child = start()
    talk = child.talk()
    told = talk.initialize()
    assert told["pid"] == child.process.pid
    # Readiness is said by nothing but this answer.
    assert [m["type"] for m in talk.received] == ["control_response"]

    first = talk.turn("hello")
    second = talk.turn(script({"text": ["näch", "ster"]}))
    assert (first["subtype"], first["is_error"], first["result"]) == ("success", False, "mock: hello")
    assert second["result"] == "nächster"
    inits = [m for m in talk.received if m["type"] == "system" and m["subtype"] == "init"]
    assert [m["session_id"] for m in inits] == [first["session_id"]] * 2
    assert child.end() == 0
    assert child.stderr() == ""
    requests = api.main(first["session_id"])
    assert [len(r.messages) for r in requests] == sorted(len(r.messages) for r in requests)
    assert all(r.headers["x-api-key"] == "sk-ant-dummy-000" for r in requests)


def test_a_tool_runs(start: Start, api: MockApi, work: Path) -> None:
    child = start("--allowedTools", "Bash")
    talk = ready(child)
    result = talk.turn(script({"tools": [bash("pwd; echo made >file")]}, {"text": "done"}))
    assert result["result"] == "done"
    assert (work / "file").read_text() == "made\n"
    _, after = api.wait_for(2)
    (returned,) = after.tool_results()
    assert (returned["content"], returned["is_error"]) == (str(work), False)
    assert child.end() == 0


def test_permissions_are_asked_for(start: Start, api: MockApi, work: Path) -> None:
    child = start("--permission-prompt-tool", "stdio")
    talk = ready(child)
    steps: list[Step] = [{"tools": [bash(f"touch {name}")]} for name in ("asked", "denied", "failed")]
    prompt = talk.user(script(*steps, {"text": "done"}))

    first = talk.can_use_tool()
    assert first["request"]["tool_name"] == "Bash"
    assert first["request"]["input"] == bash("touch asked")["input"]
    talk.allow(first, command="touch changed")
    talk.deny(talk.can_use_tool(), "not that")
    talk.refuse_control(talk.can_use_tool(), "nobody there")

    result = talk.result(prompt)
    assert result["result"] == "done"
    assert os.listdir(work) == ["changed"]
    allowed, denied, failed = api.main()[-1].tool_results()
    assert not allowed["is_error"]
    assert (denied["content"], denied["is_error"]) == ("not that", True)
    assert "nobody there" in failed["content"]
    assert [d["tool_input"]["command"] for d in result["permission_denials"]] == ["touch denied", "touch failed"]
    assert child.end() == 0


def test_an_interrupt_ends_the_turn_and_not_the_cli(start: Start, api: MockApi) -> None:
    child = start("--include-partial-messages")
    talk = ready(child)
    prompt = talk.user(script({"text": "begun", "hang": 600}))
    talk.until("stream_event", event={"type": "content_block_stop", "index": 0})
    assert talk.interrupt() == {"still_queued": []}
    result = talk.result(prompt)
    assert (result["subtype"], result["is_error"]) == ("error_during_execution", True)
    assert api.wait_for_abort() is api.main()[0]
    assert talk.turn("again")["result"] == "mock: again"
    assert child.end() == 0


def test_an_error_of_the_api_is_a_result(start: Start, api: MockApi) -> None:
    child = start()
    talk = ready(child)
    api.fail_next({"status": 529, "type": "overloaded_error"}, {"status": 529, "type": "overloaded_error"})
    result = talk.turn("hello")
    assert (result["subtype"], result["is_error"], result["terminal_reason"]) == ("success", True, "api_error")
    assert len(api.main()) == 2
    assert child.end() == 1


def test_a_session_goes_on_from_another_folder(start: Start, api: MockApi, place: Place, work: Path) -> None:
    child = start()
    session = ready(child).turn(script({"text": "one"}, {"text": "two"}))["session_id"]
    assert child.end() == 0
    before = transcripts(place)
    assert before == [Path(project_slug(str(work)), f"{session}.jsonl")]

    elsewhere = place.root / "elsewhere"
    elsewhere.mkdir()
    child = start("--resume", session, cwd=elsewhere)
    result = ready(child).turn("hello")
    assert (result["session_id"], result["result"]) == (session, "mock: hello")
    assert child.end() == 0
    assert transcripts(place) == before
    assert [m["role"] for m in api.main(session)[-1].messages if m["role"] != "system"] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("plain-09_AZ.x", "plain-09-AZ-x"),
        ("a b~é-ñ", "a-b----"),
        ("e\u0301", "e-"),
        ("😀", "--"),
    ],
)
def test_a_project_is_named_after_its_folder(start: Start, place: Place, work: Path, name: str, slug: str) -> None:
    folder = work / name
    folder.mkdir()
    link = work / "link"
    link.symlink_to(folder)
    child = start(cwd=link)
    session = ready(child).turn("hello")["session_id"]
    assert child.end() == 0
    assert transcripts(place) == [Path(f"{project_slug(str(work))}-{slug}", f"{session}.jsonl")]
    assert project_slug(str(folder)) == f"{project_slug(str(work))}-{slug}"


@pytest.mark.parametrize(
    ("units", "last", "negative"), [(200, "x", False), (201, "x", False), (230, "😀", True), (260, "é", True)]
)
def test_a_long_project_name_is_cut(
    start: Start, place: Place, work: Path, units: int, last: str, negative: bool
) -> None:
    parent = work / ("d" * 60) / ("😀" * 30)
    left = units - utf16_units(f"{parent}/a")
    names = (first + "y" * (left % utf16_units(last)) + last * (left // utf16_units(last)) for first in ascii_letters)
    folder = next(parent / name for name in names if (path_hash(f"{parent}/{name}") < 0) == negative)
    folder.mkdir(parents=True)
    assert utf16_units(str(folder)) == units

    child = start(cwd=folder)
    session = ready(child).turn("hello")["session_id"]
    assert child.end() == 0
    (found,) = transcripts(place)
    assert found == Path(project_slug(str(folder)), f"{session}.jsonl")
    assert (len(found.parent.name) > 200) == (units > 200)
