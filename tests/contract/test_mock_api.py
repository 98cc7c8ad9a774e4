"""The mock of the Messages API as a client sees it that is not the CLI."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.client import TIMEOUT, Message
from tests.support.mock_api import MockApi, Recorded, script


@pytest.fixture
def api() -> Iterator[MockApi]:
    with MockApi(side=lambda request: f"by the way, {len(request.messages)}") as running:
        yield running


@pytest.fixture
def http_client(api: MockApi) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=TIMEOUT)
    yield connection
    connection.close()


def human(*texts: str) -> Message:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def model(text: str) -> Message:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def ask(client: http.client.HTTPConnection, *messages: Message, stream: bool = False, main: bool = True) -> None:
    body: Message = {"model": "m", "stream": stream, "messages": messages} | ({"tools": []} if main else {})
    client.request("POST", "/v1/messages?beta=true", json.dumps(body), {"X-Claude-Code-Session-Id": "s1"})


def reply(client: http.client.HTTPConnection, status: int = 200) -> Message:
    response = client.getresponse()
    assert response.status == status
    message = json.loads(response.read())
    assert isinstance(message, dict)
    return message


def said(client: http.client.HTTPConnection, *messages: Message) -> str:
    ask(client, *messages)
    (block,) = reply(client)["content"]
    return str(block["text"])


def events(client: http.client.HTTPConnection) -> Iterator[Message]:
    response = client.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    name = b""
    for line in response:
        if line.startswith(b"event: "):
            name = line[7:].strip()
        elif line.startswith(b"data: "):
            event = json.loads(line[6:])
            assert event["type"].encode() == name
            yield event


def test_a_prompt_without_a_script_is_echoed(http_client: http.client.HTTPConnection) -> None:
    assert said(http_client, {"role": "user", "content": "hello"}) == "mock: hello"


def test_the_step_follows_from_the_answers_after_the_prompt(http_client: http.client.HTTPConnection) -> None:
    prompt = human(script({"text": "one ]] {"}, {"text": "two"}))
    before = [human("old"), model("older answer")]
    assert said(http_client, *before, prompt) == "one ]] {"
    assert said(http_client, *before, prompt, model("one"), human("<note>")) == "two"
    assert said(http_client, *before, prompt, model("one"), human(), model("two")) == "mock: the script is over"
    assert said(http_client, *before, prompt, model("one"), human("[a note]", "next")) == "mock: next"
    assert said(http_client, *before, prompt, model("one"), human("Not by SendUserMessage?")) == "two"


def test_reminders_are_no_part_of_a_prompt(http_client: http.client.HTTPConnection) -> None:
    first = human("<system-reminder>\nlong\n</system-reminder>", "<system-reminder>x</system-reminder>\nhello")
    assert said(http_client, first) == "mock: hello"
    assert said(http_client, first, {"role": "system", "content": "a word from the side"}) == "mock: hello"


def test_tools_and_text_in_one_answer(http_client: http.client.HTTPConnection) -> None:
    ask(http_client, human(script({"text": "a", "tools": [{"name": "Bash", "input": {"command": "true"}}]})))
    answer = reply(http_client)
    assert [block["type"] for block in answer["content"]] == ["text", "tool_use"]
    assert answer["content"][1]["input"] == {"command": "true"}
    assert answer["stop_reason"] == "tool_use"


def test_a_stream_has_the_same_content(http_client: http.client.HTTPConnection) -> None:
    tool = {"name": "Bash", "input": {"command": "x" * 50}}
    ask(http_client, human(script({"text": ["näh", "er"], "tools": [tool]})), stream=True)
    received = list(events(http_client))
    assert received[0]["type"] == "message_start"
    assert [e["type"] for e in received[-2:]] == ["message_delta", "message_stop"]
    assert received[-2]["delta"]["stop_reason"] == "tool_use"
    deltas = [e["delta"] for e in received if e["type"] == "content_block_delta"]
    assert [d["text"] for d in deltas if d["type"] == "text_delta"] == ["näh", "er"]
    assert json.loads("".join(d["partial_json"] for d in deltas if "partial_json" in d)) == tool["input"]
    starts = [e["content_block"]["type"] for e in received if e["type"] == "content_block_start"]
    assert starts == ["text", "tool_use"]
    # The connection serves another request.
    assert said(http_client, human("again")) == "mock: again"


def test_what_is_asked_by_the_way_takes_no_step(api: MockApi, http_client: http.client.HTTPConnection) -> None:
    ask(http_client, human(script({"text": "one"})), main=False)
    assert reply(http_client)["content"][0]["text"] == "by the way, 1"
    assert api.main() == []


def test_errors(api: MockApi, http_client: http.client.HTTPConnection) -> None:
    prompt = human(script({"error": {"status": 529, "type": "overloaded_error", "message": "no"}}))
    ask(http_client, prompt, stream=True)
    assert reply(http_client, 529) == {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}
    api.fail_next({"status": 429}, {})
    for status in (429, 500):
        ask(http_client, human("hello"))
        assert reply(http_client, status)["error"]["type"] == "api_error"
    assert said(http_client, human("hello")) == "mock: hello"


@pytest.mark.parametrize(
    "prompt", ["[[mock {}]]", "[[mock x", '[[mock {"steps": []}', '[[mock {"steps": [{"txt": "a"}]}]]']
)
def test_a_script_that_is_none_is_a_problem(api: MockApi, http_client: http.client.HTTPConnection, prompt: str) -> None:
    ask(http_client, human(prompt))
    assert reply(http_client, 400)["error"]["type"] == "invalid_request_error"
    assert len(api.problems) == 1


def test_a_stream_hangs_until_it_is_released(api: MockApi, http_client: http.client.HTTPConnection) -> None:
    ask(http_client, human(script({"text": "begun", "hang": 600})), stream=True)
    stream = events(http_client)
    assert any(event["type"] == "ping" for event in stream)
    api.released.set()
    assert [event["type"] for event in stream if event["type"] != "ping"] == ["message_delta", "message_stop"]


def test_a_client_that_hangs_up_is_noticed(api: MockApi, http_client: http.client.HTTPConnection) -> None:
    ask(http_client, human(script({"text": "begun", "hang": 600})), stream=True)
    (request,) = api.wait_for(1)
    stream = http_client.getresponse()
    assert stream.readline() == b"event: message_start\n"
    stream.close()
    http_client.close()
    assert api.wait_for_abort() is request


def test_the_end_does_not_wait_for_answers_and_clients() -> None:
    with MockApi() as api:
        slow, idle = (http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=TIMEOUT) for _ in range(2))
        ask(slow, human(script({"text": "x", "delay": 600})))
        idle.connect()
        api.wait_for(1)
    slow.close()
    idle.close()


def test_requests_are_recorded(api: MockApi, http_client: http.client.HTTPConnection) -> None:
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "out"}]}
    assert said(http_client, human("hello"), result) == "mock: hello"
    (request,) = api.wait_for(1, "s1")
    assert (request.method, request.path, request.session) == ("POST", "/v1/messages", "s1")
    assert [block["content"] for block in request.tool_results()] == ["out"]
    assert api.main("s2") == []
    assert Recorded("GET", "/", {}, {}).messages == []


def test_other_paths(api: MockApi, http_client: http.client.HTTPConnection) -> None:
    http_client.request("POST", "/v1/messages/count_tokens", json.dumps({"messages": [human("hello")]}))
    assert reply(http_client)["input_tokens"] > 0
    for method, path, status in [
        ("HEAD", "/", 200),
        ("GET", "/", 200),
        ("HEAD", "/api/hello", 200),
        ("GET", "/x", 404),
    ]:
        http_client.request(method, path)
        response = http_client.getresponse()
        assert response.status == status
        assert (response.read() == b"") == (method == "HEAD")
    assert [r.path for r in api.requests] == ["/v1/messages/count_tokens", "/", "/", "/api/hello", "/x"]
