"""The real CLI through the daemon's socket, as Claude Desktop drives it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.claude import MARKS, over_daemon
from tests.support.client import Client, Message
from tests.support.daemon import Place, RunningDaemon
from tests.support.desktop import GUEST, NAME, Desktop
from tests.support.mock_api import MockApi, script
from tests.support.ordinary import ordinary_user

pytestmark = MARKS


@pytest.fixture
def api() -> Iterator[MockApi]:
    with MockApi() as running:
        yield running
    assert running.problems == []


@pytest.fixture(params=["host", pytest.param("bwrap", marks=pytest.mark.bwrap)])
def desktop(request: pytest.FixtureRequest, public_binary: Path, api: MockApi) -> Iterator[Desktop]:
    """On the host as whoever runs the tests; in the sandbox as an ordinary user, with nothing allowed but the API."""
    sandboxed = request.param == "bwrap"
    with ordinary_user() if sandboxed else nullcontext():
        place = Place()
    with ordinary_user() if sandboxed else nullcontext():
        daemon = RunningDaemon(place)
        daemon.backend = request.param
        try:
            daemon.start()
            yield Desktop(daemon, public_binary, api, sandboxed=sandboxed)
            assert daemon.stop() == 0
            daemon.check()
        finally:
            place.remove()


@pytest.fixture
def subscribed(desktop: Desktop) -> Iterator[Client]:
    with desktop.daemon.client() as client:
        client.subscribe()
        yield client


def bash(command: str) -> Message:
    return {"name": "Bash", "input": {"command": command, "description": "d"}}


def test_two_turns_in_the_mounted_folder(desktop: Desktop, subscribed: Client, api: MockApi) -> None:
    talk = desktop.spawn(subscribed)
    talk.initialize()
    first = talk.turn("hello")
    assert first["result"] == "mock: hello"
    second = talk.turn(script({"text": ["näch", "ster 😀"]}))
    assert second["result"] == "nächster 😀"
    init = next(m for m in talk.received if m["type"] == "system" and m["subtype"] == "init")
    assert init["cwd"] == f"{GUEST}/proj", "the client sees guest paths"
    transcript = next((desktop.folders["config"] / "projects").rglob("*.jsonl"))
    assert "-proj" in transcript.parent.name, "the configuration folder is the mount"
    subscribed.ask("kill", {"id": "p", "signal": "SIGTERM"})
    assert subscribed.until_exit("p")[-1]["exitCode"] == 0, "interrupted first, so it ends by itself"


def test_a_tool_works_on_host_paths_that_were_written_as_guest_paths(
    desktop: Desktop, subscribed: Client, api: MockApi
) -> None:
    talk = desktop.spawn(subscribed, "p", "--allowedTools", "Bash")
    talk.initialize()
    # The model's own words come from the API and are not translated; what the user writes is.
    talk.turn(f"look at {GUEST}/proj/a.txt")
    seen = json.dumps(api.main()[-1].messages)
    assert f"look at {desktop.seen('proj')}/a.txt" in seen
    result = talk.turn(script({"tools": [bash("pwd; echo made >file")]}, {"text": "done"}))
    assert result["result"] == "done"
    assert (desktop.folders["proj"] / "file").read_text() == "made\n"
    returned = [m for m in talk.received if m["type"] == "user" and "tool_use_result" in m]
    assert returned[-1]["tool_use_result"]["stdout"] == f"{GUEST}/proj"


def test_permissions_and_questions_go_through(desktop: Desktop, subscribed: Client, api: MockApi) -> None:
    talk = desktop.spawn(subscribed, "p", "--permission-prompt-tool", "stdio")
    talk.initialize()
    ask = {"question": "Which?", "header": "h", "multiSelect": False,
           "options": [{"label": "A", "description": "a"}, {"label": "B", "description": "b"}]}  # fmt: skip
    prompt = talk.user(
        script(
            {"tools": [bash("touch allowed")]}, {"tools": [bash("touch denied")]},
            {"tools": [{"name": "AskUserQuestion", "input": {"questions": [ask]}}]}, {"text": "done"},
        )
    )  # fmt: skip
    talk.allow(talk.can_use_tool())
    talk.deny(talk.can_use_tool(), "not that")
    question = talk.can_use_tool()
    assert question["request"]["tool_name"] == "AskUserQuestion"
    talk.allow(question, answers={"Which?": "B"})
    result = talk.result(prompt)
    assert result["result"] == "done"
    assert (desktop.folders["proj"] / "allowed").exists()
    assert not (desktop.folders["proj"] / "denied").exists()


def test_a_server_of_the_client_is_called_and_present_files_is_answered_here(
    desktop: Desktop, subscribed: Client, api: MockApi
) -> None:
    (desktop.folders["outputs"] / "report.txt").write_text("done")
    config = json.dumps({"mcpServers": {"cowork": {"type": "sdk", "name": "cowork"}}})
    talk = desktop.spawn(
        subscribed, "p", "--mcp-config", config, "--allowedTools", "mcp__cowork__present_files,mcp__cowork__add",
        ENABLE_TOOL_SEARCH="false",
    )  # fmt: skip
    talk.send({
        "type": "control_request", "request_id": "i", "request": {"subtype": "initialize", "sdkMcpServers": ["cowork"]}
    })  # fmt: skip
    schema = {"type": "object", "properties": {}}
    tools = [{"name": n, "description": "d", "inputSchema": schema} for n in ("present_files", "add")]
    presented = f"{GUEST}/outputs/report.txt"
    answers: dict[str, object] = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                       "serverInfo": {"name": "cowork", "version": "1"}},
        "tools/list": {"tools": tools},
        "tools/call": {"content": [{"type": "text", "text": "five"}]},
    }  # fmt: skip
    prompt = talk.user(
        script(
            {"tools": [{"name": "mcp__cowork__add", "input": {}}]},
            {"tools": [{"name": "mcp__cowork__present_files", "input": {"files": [{"file_path": presented}]}}]},
            {"text": "done"},
        )
    )  # fmt: skip
    called = []
    while True:
        message = talk.until(lambda m: m["type"] in ("control_request", "result"))
        if message["type"] == "result":
            break
        asked = message["request"]["message"]
        called.append((asked["method"], asked.get("params", {}).get("name")))
        reply = {"jsonrpc": "2.0", "id": asked.get("id", 0), "result": answers.get(asked["method"], {})}
        talk.answer_control(message, {"mcp_response": reply})
    assert message["user_message_uuid"] == prompt
    assert message["result"] == "done"
    assert ("tools/call", "add") in called
    assert ("tools/call", "present_files") not in called, "the daemon has answered that itself"
    results = [r for request in api.main() for r in request.tool_results()]
    assert str(desktop.folders["outputs"] / "report.txt") in json.dumps(results[-1])


def test_an_interrupt_and_a_turn_after_it(desktop: Desktop, subscribed: Client, api: MockApi) -> None:
    talk = desktop.spawn(subscribed, "p", "--include-partial-messages")
    talk.initialize()
    prompt = talk.user(script({"text": "begun", "hang": 600}))
    talk.until("stream_event", event={"type": "content_block_stop", "index": 0})
    talk.interrupt()
    assert talk.result(prompt)["subtype"] == "error_during_execution"
    assert talk.turn("again")["result"] == "mock: again"


def test_a_conversation_goes_on_in_a_second_spawn_with_other_mounts(
    desktop: Desktop, subscribed: Client, api: MockApi
) -> None:
    talk = desktop.spawn(subscribed)
    talk.initialize()
    session = talk.turn("remember me")["session_id"]
    subscribed.ask("kill", {"id": "p", "signal": "SIGTERM"})
    subscribed.until_exit("p")
    other = {"other": "other", "outputs": "outputs", ".claude": "config"}
    talk = desktop.spawn(subscribed, "q", "--resume", session, mounts=other)
    talk.initialize()
    result = talk.turn("and now?")
    assert result["session_id"] == session
    texts = json.dumps(api.main()[-1].messages)
    assert "remember me" in texts
    slugs = {p.parent.name for p in (desktop.folders["config"] / "projects").rglob(f"{session}.jsonl")}
    assert any(slug.endswith("-proj") for slug in slugs), "the first transcript is where it was"
    assert any(slug.endswith("-other") for slug in slugs), "and a copy where the CLI looks for it now"


def test_a_remote_user_gets_a_message_with_an_attachment(desktop: Desktop, subscribed: Client, api: MockApi) -> None:
    talk = desktop.spawn(
        subscribed, "p", "--append-system-prompt", "the client's own words", CLAUDE_CODE_BRIEF="1",
        CLAUDE_CODE_TAGS="lam_session_type:agent",
    )  # fmt: skip
    talk.initialize()
    message = {"message": "here", "status": "normal", "attachments": [f"{desktop.seen('outputs')}/a.txt"]}
    (desktop.folders["outputs"] / "a.txt").write_text("x")
    talk.turn(script({"tools": [{"name": "SendUserMessage", "input": message}]}, {"text": "sent"}))
    sent = [b for m in talk.received if m["type"] == "assistant" for b in m["message"]["content"] if "input" in b]
    assert sent[0]["name"] == "SendUserMessage"
    system = json.dumps(api.main()[0].body["system"])
    assert "the client's own words" in system
    assert desktop.seen("outputs") in system, "the guidance names the folder for files"


def test_eight_sessions_at_once(desktop: Desktop, api: MockApi) -> None:
    with desktop.daemon.client() as client:
        client.subscribe("watcher")
        ids = [f"s{n}" for n in range(8)]
        for id in ids:
            desktop.spawn(client, id)
            line = {"type": "user", "message": {"role": "user", "content": f"I am {id}"}}
            client.ask("writeStdin", {"id": id, "data": json.dumps(line) + "\n"})
        results: dict[str, str] = {}
        lines = dict.fromkeys(ids, "")
        while len(results) < len(ids):
            event = client.event()
            assert event["type"] in ("stdout", "stderr"), event
            if event["type"] != "stdout":
                continue
            lines[event["id"]] += event["data"]
            for line_text in lines[event["id"]].splitlines():
                message = json.loads(line_text) if line_text.endswith("}") else {}
                if message.get("type") == "result":
                    results[event["id"]] = message["result"]
        assert results == {id: f"mock: I am {id}" for id in ids}


def test_the_daemon_is_killed_in_the_middle_of_a_turn(desktop: Desktop, api: MockApi) -> None:
    daemon = desktop.daemon
    pieces = [f"{n} " for n in range(40)]
    with daemon.client() as client:
        client.subscribe()
        talk = desktop.spawn(client, "p", "--include-partial-messages")
        talk.initialize()
        prompt = talk.user(script({"text": pieces, "chunk_delay": 0.02}))
        talk.until("stream_event")
        before = list(talk.received)
        daemon.kill()
    daemon.start()
    with daemon.client() as client:
        client.subscribe()
        talk = over_daemon(client, "p")
        result = talk.result(prompt)
        assert result["result"] == "".join(pieces)
        seen = [m["uuid"] for m in (*before, *talk.received) if "uuid" in m and m["type"] == "stream_event"]
        assert len(seen) - len(set(seen)) <= 1, "at most the one event that was being written comes again"
        assert talk.turn("after")["result"] == "mock: after"


def test_reading_a_file_of_a_mount(desktop: Desktop, subscribed: Client) -> None:
    (desktop.folders["proj"] / "r.html").write_text("<p>")
    desktop.spawn(subscribed)
    reply = subscribed.ask("readFile", {"processName": NAME, "filePath": f"{GUEST}/proj/r.html"})
    assert reply == {"content": "PHA+"}
