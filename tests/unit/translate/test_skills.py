"""The plugin's name before a skill."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.translate.skills import strip_skill_prefix


def user(content: object) -> bytes:
    message = {"type": "user", "message": {"role": "user", "content": content}, "uuid": "u"}
    return json.dumps(message, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("/document-skills:pdf do it", "/pdf do it"), ("/x-y_Z9:q:r", "/q:r"), ("/a.b:c.d-e", "/c.d-e"),
        ("/p:s", "/s"), ("/p:s /p:s", "/s /p:s"),
    ],
)  # fmt: skip
def test_the_plugin_goes(said: str, heard: str) -> None:
    assert strip_skill_prefix(user(said)) == user(heard)
    assert strip_skill_prefix(user(said) + b"\n") == user(heard) + b"\n"
    image: object = {"type": "image", "source": {"data": "/p:s"}}
    result: object = {"type": "tool_result", "content": "/a:b"}
    for blocks in ([], [image], [result], ["x", None]):
        before, after = (
            [*blocks, {"type": "text", "text": text}, {"type": "text", "text": "/p:s"}] for text in (said, heard)
        )
        assert strip_skill_prefix(user(before)) == user(after)
    assert strip_skill_prefix(b'{"type":"user","content":' + json.dumps(said).encode() + b"}") == (
        b'{"type":"user","content":' + json.dumps(heard).encode() + b"}"
    )


@pytest.mark.parametrize(
    "line",
    [
        user("/pdf do it"), user("/p:"), user("/p: s"), user(" /p:s"), user("see /p:s"), user("//p:s"), user("/a/b:c"),
        user("/:s"), user("/pé:s"), user([]), user(None), user(1), user({"type": "text", "text": "/p:s"}),
        user([{"type": "tool_result", "content": "/a:b"}]),
        user([{"type": "text", "text": "x"}, {"type": "text", "text": "/p:s"}]),
        user([{"type": "tool_result", "content": [{"type": "text", "text": "/a:b"}]}]), user([["text", "/p:s"]]),
        user('{"type":"user","content":"/p:s"}'), user([{"type": "text", "content": "/p:s"}]), user("/p:s")[:-1],
        user("/p:s") + b" x", user("/p:s").replace(b'"user"', b'"assistant"', 1), b'["user",{"content":"/p:s"}]',
        b'{"type":"user","message":{"content":"x"},"content":"/p:s"}',
        b'{"type":"user","message":"x","content":"/p:s"}',
        b'{"type":"control_response","user":"user","content":"/p:s"}', b'{"type":"user","x":{"content":"/p:s"}}', b"",
        b'{"type":"user","content":"/p:s","content":"x"}', b'{"content":"/p:s","user":"user"}',
        b'"user" "content":"/p:s"',
        b'{"type":["user"],"content":"/p:s"}', b'{"type":"user","content":"/p:s"' + b',"a":[' * 200_000,
        b'{"type":"user","content":"/p:s","n":' + b"1" * 5000 + b"}",
    ],
)  # fmt: skip
def test_everything_else_stays_the_same_object(line: bytes) -> None:
    assert strip_skill_prefix(line) is line


def test_all_other_bytes_stay() -> None:
    content = b'[ {"text":"/p:s\\u00e9\xff","type":"text"} ]'
    line = b' { "n" : 1.50e0, "type" : "user" ,\t"message":{"content" : ' + content + b'}, "e":[] } \r\n'
    assert strip_skill_prefix(line) == line.replace(b"/p:s", b"/s")


VALUES = st.recursive(
    st.sampled_from(["/p:s", "text", "user", "content", None, 1.5, True]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "content", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def expected(message: dict[str, object]) -> object:
    """What the function is to make of ``message``, on decoded values."""
    content = message["content"]
    blocks = content if isinstance(content, list) else []
    first = next((b for b in blocks if isinstance(b, dict) and b.get("type") == "text"), {})
    if content == "/p:s":
        return {**message, "content": "/s"}
    if first.get("text") == "/p:s":
        edited = [{**b, "text": "/s"} if b is first else b for b in blocks]
        return {**message, "content": edited}
    return message


@given(VALUES, VALUES, st.sampled_from([None, 1]))
@settings(derandomize=True, deadline=None, max_examples=1000, database=None)
def test_what_is_edited(content: object, other: object, indent: int | None) -> None:
    message = {"other": other, "type": "user", "content": content, "more": other}
    line = json.dumps(message, indent=indent).encode()
    assert json.loads(strip_skill_prefix(line)) == expected(message)
