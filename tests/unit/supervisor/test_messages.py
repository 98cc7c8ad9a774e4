"""What is written to a stream-json session, held against what the real CLI was sent."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.sessions.steps import speaks_stream_json
from cowork.supervisor import messages
from cowork.supervisor.conversation import Conversation
from tests.support import stream as s


def told(line: bytes) -> dict[str, Any]:
    """The message; a line has to be one line, and end as one."""
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    found: dict[str, Any] = json.loads(line.decode())
    return found


def test_what_it_is_asked_first_and_how_a_turn_is_broken_off() -> None:
    assert told(messages.initialize()) == {
        "type": "control_request", "request_id": messages.INITIALIZE, "request": {"subtype": "initialize"},
    }  # fmt: skip
    assert told(messages.interrupt("r-9")) == {
        "type": "control_request", "request_id": "r-9", "request": {"subtype": "interrupt"},
    }  # fmt: skip


def test_a_message_of_the_users() -> None:
    assert told(messages.user('say "hé"\nand\u2028more', "u-1")) == {
        "type": "user", "message": {"role": "user", "content": 'say "hé"\nand\u2028more'}, "uuid": "u-1",
    }  # fmt: skip


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary())
def test_any_text_arrives_and_bytes_that_are_none_are_replaced(text: str, more: bytes) -> None:
    typed = more.decode("utf-8", "surrogateescape")  # as Python hands over a command line
    assert told(messages.user(text, "u"))["message"]["content"] == text
    assert told(messages.user(typed, "u"))["message"]["content"] == more.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("line", "inner"),
    [
        (messages.answer("r-1", {"behavior": "allow", "updatedInput": {"a": 1}}),
         {"subtype": "success", "request_id": "r-1", "response": {"behavior": "allow", "updatedInput": {"a": 1}}}),
        (messages.answer("r-1", {"raw": msgspec.Raw(b'{"a": 1e2}')}),
         {"subtype": "success", "request_id": "r-1", "response": {"raw": {"a": 100.0}}}),
        (messages.refuse("r-1", "no\nsuch thing"),
         {"subtype": "error", "request_id": "r-1", "error": "no\nsuch thing"}),
    ],
    ids=["answer", "answer as it stands", "refusal"],
)  # fmt: skip
def test_answers_name_the_question_inside(line: bytes, inner: dict[str, object]) -> None:
    assert told(line) == {"type": "control_response", "response": inner}


@pytest.mark.parametrize("line", [messages.answer("r-1", {}), messages.refuse("r-1", "no")])
def test_an_answer_that_is_said_again_closes_the_question(line: bytes) -> None:
    found = Conversation()
    found.feed(s.asks("r-1", command="x"))
    found.feed(line.rstrip(b"\n"))
    assert found.prompts == {}


def test_the_arguments_make_a_claude_whose_stream_is_read() -> None:
    assert speaks_stream_json(["/usr/bin/claude", *messages.STREAM_JSON])
    assert "--replay-user-messages" in messages.STREAM_JSON
    assert messages.STREAM_JSON[messages.STREAM_JSON.index("--permission-prompt-tool") + 1] == "stdio"
