"""What a session of ``claude -p`` printed, as people read it."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.cli.transcript import Transcript
from tests.support.stream import ALLOW, FOLDER, MODE, is_safe

INIT = {
    "type": "system", "subtype": "init", "session_id": "5c1e", "model": "opus", "cwd": "/home/ana/proj",
    "permissionMode": "default", "tools": ["Bash"],
}  # fmt: skip


def encode(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def assistant(*blocks: object, **more: object) -> dict[str, object]:
    return {"type": "assistant", "message": {"role": "assistant", "content": list(blocks)}, **more}


def user(content: object, **more: object) -> dict[str, object]:
    return {"type": "user", "message": {"role": "user", "content": content}, **more}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def call(name: object, **arguments: object) -> dict[str, object]:
    return {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}


def returned(content: object, **more: object) -> dict[str, object]:
    return user([{"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **more}])


def asks(**request: object) -> dict[str, object]:
    return {"type": "control_request", "request_id": "r", "request": request}


def result(**more: object) -> dict[str, object]:
    return {"type": "result", "subtype": "success", "is_error": False, **more}


def shown(*messages: object, width: int | None = None) -> str:
    transcript = Transcript(color=False, width=width)
    return "".join(transcript.feed(encode(message)) for message in messages)


CONVERSATION = (
    INIT,
    {"type": "system", "subtype": "status", "status": "requesting"},
    user("write a file\nand stop", isReplay=True),
    {"type": "stream_event", "event": {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "I"}}},
    assistant({"type": "thinking", "thinking": "well"}),
    assistant(text("I will touch it.")),
    assistant(call("Bash", command="touch a", description="make a file")),
    asks(subtype="can_use_tool", tool_name="Bash", input={"command": "touch a"}, description="make a file",
         blocked_path="/home/ana/proj/a", permission_suggestions=[ALLOW, FOLDER, MODE]),
    returned("(no output)", is_error=False),
    assistant(call("Read", file_path="/home/ana/proj/b")),
    returned("1\tone\n2\ttwo\n3\tthree\n4\tfour\n5\tfive\n6\tsix\n"),
    assistant(call("Bash", command="false")),
    returned("Exit code 1", is_error=True),
    assistant(text("Done.\n\nIt is there.")),
    result(result="Done.\n\nIt is there.", duration_ms=1731, num_turns=4, total_cost_usd=0.02213),
    {"type": "command_lifecycle", "state": "completed"},
    {"type": "system", "subtype": "task_notification", "status": "completed", "summary": 'Command "d" is done'},
    INIT,
    assistant(text("It ended.")),
    result(result="It ended.", duration_ms=24, num_turns=1, total_cost_usd=0.03, origin={"kind": "task-notification"}),
)  # fmt: skip

TRANSCRIPT = """\
session 5c1e, model opus, in /home/ana/proj, permission mode default

> write a file
  and stop

(thinking)

I will touch it.

* Bash: touch a
? Bash wants to run: touch a
  make a file
  blocked path: /home/ana/proj/a
  option 1: allow Bash(touch a *) from now on (localSettings)
  option 2: add folder /home/ana/proj for this session
  option 3: mode acceptEdits for this session
  | (no output)
* Read: /home/ana/proj/b
  | 1\tone
  | 2\ttwo
  | 3\tthree
  | 4\tfour
  | … 2 more lines
* Bash: false
  | error: Exit code 1

Done.

It is there.

-- done in 1.7 s, 4 turns, $0.0221

(Command "d" is done)

It ended.

-- done in 24 ms, 1 turn, $0.0300 (background task)
"""


def test_a_conversation_reads_like_one() -> None:
    assert shown(*CONVERSATION) == TRANSCRIPT


def test_colours_only_add_to_it() -> None:
    transcript = Transcript(color=True)
    coloured = "".join(transcript.feed(encode(message)) for message in CONVERSATION)
    assert click.unstyle(coloured) == TRANSCRIPT
    assert click.style("  | error: Exit code 1", fg="red") in coloured
    # A pager forgets colours at the end of a line.
    assert f"{click.style('> write a file', bold=True)}\n{click.style('  and stop', bold=True)}\n" in coloured


@pytest.mark.parametrize(
    ("message", "look"),
    [
        (INIT, {"dim": True}), (assistant({"type": "thinking"}), {"dim": True}), (returned("x"), {"dim": True}),
        (returned("x", is_error=True), {"fg": "red"}), (user("x"), {"bold": True}), (assistant(text("x")), {}),
        (user("[Request interrupted by user]"), {"dim": True}), (assistant(call("x")), {"fg": "cyan"}),
        (asks(subtype="can_use_tool"), {"fg": "yellow"}), (asks(subtype="mcp_message"), {"dim": True}),
        ({"type": "control_cancel_request"}, {"dim": True}), (result(), {"fg": "green"}),
        (result(is_error=True), {"fg": "red"}), ({"type": "system", "subtype": "task_started"}, {"dim": True}),
    ],
)  # fmt: skip
def test_each_kind_has_its_look(message: object, look: dict[str, Any]) -> None:
    printed = Transcript(color=True).feed(encode(message)).rstrip("\n")
    assert printed == (click.style(click.unstyle(printed), **look) if look else "x")


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (user("hello"), "> hello\n"), (user([text("a"), {"type": "image", "source": {}}, text("b\r\n\nc")]),
                                       "> a\n  (image)\n  b\n\n  c\n"),
        (user("<system-reminder>note</system-reminder>"), ""),
        (user("<system-reminder>note</system-reminder>\nhello <task-notification>x</task-notification>"), "> hello\n"),
        (user("what is <system-reminder>?"), "> what is <system-reminder>?\n"),
        (user("summary of it all", isSynthetic=True), ""),
        (user([text("[Request interrupted by user]")]), "(interrupted by the user)\n"),
        (user("[Request interrupted by user] why?", isReplay=True), "> [Request interrupted by user] why?\n"),
        (user([text("seen by the model"), {"type": "tool_result", "content": "out"}]), "  | out\n"),
        (user("a\r\n\r\nb"), "> a\n\n  b\n"),
        (user(["x", None]), ""), (user({"type": "text", "text": "x"}), ""), (user(""), ""),
        ({"type": "user", "message": "x"}, ""),
        (user("look\nhere", parent_tool_use_id="t"), "  > look\n    here\n"),
    ],
)  # fmt: skip
def test_what_a_person_typed(message: object, lines: str) -> None:
    assert shown(message) == lines


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (assistant(text("\n a\tb \n\n")), " a\tb \n"), (assistant(text(" \n")), ""), (assistant(text("")), ""),
        (assistant(text("a\x1b[2J\r\nb")), "a␛[2J\nb\n"),
        (assistant({"type": "thinking"}, {"type": "redacted_thinking"}), "(thinking)\n"),
        (assistant({"type": "server_tool_use", "name": "web_search", "input": {"query": "q"}}), "* web_search: q\n"),
        (assistant(text("x"), text("y"), call("Bash", command="z")), "x\n\ny\n\n* Bash: z\n"),
        (assistant(call("TaskList")), "* TaskList\n"), (assistant(call(7, a=[1])), '* a tool: {"a":[1]}\n'),
        (assistant(call("Bash", command="x" * 200)), f"* Bash: {'x' * 91}…\n"),
        (assistant({"type": "novelty", "text": "x"}, "x", {"text": "x"}, {"type": ["text"]}), ""),
        (assistant({"type": "text", "text": 5}, {"type": "tool_use"}), "* a tool\n"),
        (assistant(text("x\n\ny"), call("Bash", command="z"), parent_tool_use_id="t"), "  x\n\n  y\n\n  * Bash: z\n"),
        ({"type": "assistant", "message": {"content": "plain"}}, "plain\n"), ({"type": "assistant"}, ""),
    ],
)  # fmt: skip
def test_what_the_assistant_says_and_does(message: object, lines: str) -> None:
    assert shown(message) == lines


def test_thinking_is_told_once_in_succession() -> None:
    thinking = assistant({"type": "thinking", "thinking": "x"})
    again = shown(thinking, thinking, assistant(call("Bash", command="a")), thinking)
    assert again == "(thinking)\n* Bash: a\n(thinking)\n"


def test_in_brief_mode_the_message_is_the_text_and_its_delivery_is_not_told() -> None:
    said = assistant(call("SendUserMessage", message="hello", status="normal"))
    assert shown(said, returned("delivered"), returned("x")) == "hello\n\n  | x\n"
    assert shown(said, returned("lost", is_error=True)) == "hello\n\n  | error: lost\n"
    assert shown(assistant(call("SendUserMessage", message=3))) == ""


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (returned("\n\r\n1\r\n2\n\n"), "  | 1\n  | 2\n"), (returned("1\n\n3\n4"), "  | 1\n  |\n  | 3\n  | 4\n"),
        (returned("1\n2\n3\n4\n5"), "  | 1\n  | 2\n  | 3\n  | 4\n  | … 1 more line\n"),
        (returned("1\n2\n3\n4\n5\n6\n"), "  | 1\n  | 2\n  | 3\n  | 4\n  | … 2 more lines\n"),
        (returned([text("a"), {"type": "image"}, {"type": "novelty"}, text("b")]), "  | a\n  | (image)\n  | b\n"),
        (returned("no", is_error=True), "  | error: no\n"), (returned("", is_error=True), "  | error\n"),
        (returned("ok", is_error="true"), "  | ok\n"), (returned(""), ""), (returned(None), ""), (returned({}), ""),
        (returned("a<system-reminder>b</system-reminder>"), "  | a\n"), (returned("\x1b[31mx\x07"), "  | ␛[31mx␇\n"),
        (returned("x" * 40), f"  | {'x' * 25}…\n"),
        (returned("\x9b" * 20), f"  | {'␛[' * 12}␛…\n"),
        ({**returned("y" * 40), "parent_tool_use_id": "t"}, f"    | {'y' * 23}…\n"),
    ],
)  # fmt: skip
def test_of_what_a_tool_returned_the_beginning_is_shown(message: object, lines: str) -> None:
    assert shown(message, width=30) == lines


@pytest.mark.parametrize(
    ("request_", "lines"),
    [
        ({"tool_name": "Bash", "input": {"command": "touch a"}}, "? Bash wants to run: touch a\n"),
        ({"tool_name": "Bash", "input": {"command": f"a {'b' * 50}\n  c\n"}, "description": "d\n" + "d" * 50},
         f"? Bash wants to run: a {'b' * 50}\n      c\n  d ␊ {'d' * 23}…\n"),
        ({"tool_name": "ExitPlanMode", "input": {}}, "? ExitPlanMode wants to run\n"), ({}, "? a tool wants to run\n"),
        ({"tool_name": 1, "input": "x", "description": [], "blocked_path": 2, "permission_suggestions": {}},
         '? a tool wants to run: "x"\n'),
        ({"tool_name": "B\x1b\nC", "input": [1], "blocked_path": "/a\nb", "permission_suggestions": [MODE, None]},
         "? B␛ ␊ C wants to run: [1]\n  blocked path: /a ␊ b\n"
         "  option 1: mode acceptEdits for this session\n  option 2: null\n"),
        ({"tool_name": "AskUserQuestion", "input": {"questions": [
            {"question": "Which colour?", "header": "Colour", "multiSelect": False,
             "options": [{"label": "Red", "description": "warm\nand loud"}, {"label": "Blue"}]},
            {"question": "\nWhat else?\nAnything?\n", "multiSelect": True, "options": [{"label": "A"}, None]}]}},
         "? Which colour?\n  1. Red: warm ␊ and loud\n  2. Blue\n"
         "? What else?\n  Anything? (several may be chosen)\n  1. A\n  2.\n"),
        ({"tool_name": "AskUserQuestion", "input": {"questions": [{"question": "Well?"}, 3]}},
         '? AskUserQuestion wants to run: Well?\n  with {"questions":[{"question":"Well?"},3]}\n'),
        ({"tool_name": "AskUserQuestion", "input": {"questions": 5}},
         '? AskUserQuestion wants to run: {"questions":5}\n'),
    ],
)  # fmt: skip
def test_what_is_asked_before_a_tool_runs(request_: dict[str, object], lines: str) -> None:
    assert shown(asks(subtype="can_use_tool", **request_), width=30) == lines


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (asks(subtype="mcp_message", server_name="calc"), "? the session asks: mcp_message\n"),
        (asks(subtype="a\nb"), "? the session asks: a ␊ b\n"),
        (asks(), ""), (asks(subtype=[]), ""), ({"type": "control_request", "request": 1}, ""),
        ({"type": "control_cancel_request", "request_id": "r"}, "(the question is withdrawn)\n"),
        ({"type": "control_response", "response": {"subtype": "success"}}, ""),
    ],
)  # fmt: skip
def test_other_requests(message: object, lines: str) -> None:
    assert shown(message) == lines


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"duration_ms": 562, "num_turns": 2, "total_cost_usd": 0.022124}, "-- done in 0.6 s, 2 turns, $0.0221"),
        ({}, "-- done"), ({"num_turns": 1}, "-- done 1 turn"), ({"duration_ms": 59_949}, "-- done in 59.9 s"),
        ({"duration_ms": 59_950}, "-- done in 1 min 0 s"), ({"duration_ms": 3_725_000}, "-- done in 1 h 2 min"),
        ({"duration_ms": 99, "num_turns": 0, "total_cost_usd": 0}, "-- done in 99 ms, 0 turns, $0.0000"),
        ({"duration_ms": 100, "result": " \n"}, "-- done in 0.1 s"),
        ({"duration_ms": "1", "num_turns": True, "total_cost_usd": -1}, "-- done"),
        ({"duration_ms": 10**400, "num_turns": 1e300, "total_cost_usd": None}, "-- done"),
        ({"num_turns": 1, "origin": {"kind": "task-notification"}}, "-- done 1 turn (background task)"),
        ({"origin": "task-notification", "subtype": 5}, "-- done"),
        ({"is_error": True, "terminal_reason": "api_error"}, "-- failed: api_error"),
        ({"subtype": "error_max_turns", "terminal_reason": 1, "errors": [3, " ", "\none\ntwo", "x"]},
         "-- failed: error_max_turns: one"),
        ({"is_error": True, "terminal_reason": "completed"}, "-- failed"),
        ({"is_error": True, "terminal_reason": "a\x1b\n", "errors": ["\x07" * 120], "origin": {"kind": "x"}},
         f"-- failed: a␛: {'␇' * 120}"),
    ],
)  # fmt: skip
def test_how_a_turn_ended(fields: dict[str, object], line: str) -> None:
    assert shown(result(**fields)) == f"{line}\n"


def test_a_result_is_not_said_twice() -> None:
    done = result(result="ok")
    assert shown(assistant(text("ok\n")), done) == "ok\n\n-- done\n"
    assert shown(assistant(text("well")), done) == "well\n\nok\n\n-- done\n"
    assert shown(assistant(call("Bash", command="ls")), done) == "* Bash: ls\n\nok\n\n-- done\n"
    inner = assistant(text("inner"), parent_tool_use_id="t")
    assert shown(assistant(text("ok")), inner, done) == "ok\n\n  inner\n\n-- done\n"
    # Said in the turn before is not said in this one.
    assert shown(assistant(text("ok")), done, done) == "ok\n\n-- done\n\nok\n\n-- done\n"


def test_a_failure_is_told_in_its_own_words() -> None:
    failed = result(is_error=True, terminal_reason="api_error", result="No.\nTry later.")
    assert shown(failed) == "No.\nTry later.\n\n-- failed: api_error: No.\n"
    assert shown(assistant(text("No.\nTry later.")), failed) == shown(failed)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"subtype": "api_retry", "attempt": 1, "max_retries": 10, "retry_delay_ms": 562, "error_status": 529},
         "(the API answered 529; try 1 of 10 in 0.6 s)"),
        ({"subtype": "api_retry", "attempt": 2, "error_status": None}, "(the API did not answer; try 2)"),
        ({"subtype": "api_retry", "attempt": "1", "max_retries": 3, "error_status": 1e300}, "(the API did not answer)"),
        ({"subtype": "compact_boundary"}, "(the conversation was compacted)"),
        ({"subtype": "permission_denied", "tool_name": "Bash", "message": "by rule"}, "(Bash was denied: by rule)"),
        ({"subtype": "permission_denied", "decision_reason": "asked\nnobody", "message": "m"},
         "(a tool was denied: asked ␊ nobody)"),
        ({"subtype": "permission_denied"}, "(a tool was denied)"),
        ({"subtype": "task_started", "description": "build it"}, "(task started: build it)"),
        ({"subtype": "task_started", "description": "x" * 100}, f"(task started: {'x' * 44}…"),
        ({"subtype": "task_started"}, "(task started)"),
        ({"subtype": "task_notification", "status": "failed", "summary": "it broke"}, "(it broke)"),
        ({"subtype": "task_notification", "status": "failed"}, "(task failed)"),
        ({"subtype": "task_notification", "summary": []}, "(task ended)"),
        ({"subtype": "session_state_changed", "state": "idle"}, ""), ({"subtype": "hook_started"}, ""),
        ({"subtype": "status"}, ""), ({"subtype": {}}, ""), ({}, ""), ({"subtype": "init"}, ""),
        ({"subtype": "init", "model": "m\x1b\nn", "cwd": 3}, "model m␛ ␊ n"),
    ],
)  # fmt: skip
def test_what_the_cli_reports(fields: dict[str, object], line: str) -> None:
    assert shown({"type": "system", **fields}, width=60) == (f"{line}\n" if line else "")


def test_the_circumstances_are_told_when_they_change() -> None:
    first = "session 5c1e, model opus, in /home/ana/proj, permission mode default\n"
    assert shown(INIT, {**INIT, "tools": []}, INIT) == first
    assert shown(INIT, {**INIT, "permissionMode": "plan"}) == f"{first}\n{first.replace('default', 'plan')}"


@pytest.mark.parametrize(
    "message",
    [
        {"type": "stream_event", "event": {}}, {"event": {}, "type": "stream_event"}, {"type": "command_lifecycle"},
        {"type": "keep_alive"}, {"type": "novelty", "message": {"content": "x"}}, {"type": 1}, {"type": ["user"]},
        {"type": None}, {}, {"a": 1},
    ],
)  # fmt: skip
def test_what_is_not_understood_is_left_out(message: object) -> None:
    assert shown(message) == ""


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (b"  npm warn \r", "  npm warn \n"), (b"", "\n"),
        (b"a\xffb\xc3", "a\ufffdb\ufffd\n"), (b"\x1b[?25h", "␛[?25h\n"),
        (b"[1]", "[1]\n"), (b'"x"', '"x"\n'), (b"null", "null\n"), (b"{oops}", "{oops}\n"),
        (b'{"type":"assistant","message":{"con', '{"type":"assistant","message":{"con\n'),
        (b'{"type":"stream_event","ev', ""),
    ],
)  # fmt: skip
def test_a_line_that_is_no_message_is_text(line: bytes, lines: str) -> None:
    assert Transcript(color=False).feed(line) == lines


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (b' {"type":"assistant","message":{"content":"a\xffb\\ud83d"}}\r', "a\ufffdb\ufffd\n"),
        (b'{"type":"assistant","message":{"content":"a"},"n":1e999}', ""),
        (b'{"type":"assistant","message":{"content":"a"},"n":' + b"1" * 5000 + b"}", ""),
        (b'{"type":"assistant","message":{"content":"a"},"n":' + b"1" * 300 + b"}", "a\n"),
        (b'{"type":"assistant","message":{"content":"a"},"n":' + b"[" * 200_000, ""),
    ],
)  # fmt: skip
def test_a_message_that_is_not_quite_right(line: bytes, lines: str) -> None:
    assert Transcript(color=False).feed(line) == lines


def test_arguments_of_any_depth() -> None:
    for depth in range(700, 1000):
        nested = b"[" * depth + b"]" * depth
        line = b'{"type":"assistant","message":{"content":[{"type":"tool_use","name":"x","input":%b}]}}' % nested
        assert Transcript(color=False).feed(line) in ("", "* x: …\n", f"* x: {'[' * 94}…\n")


def test_a_line_of_12_mb() -> None:
    assert shown(assistant(text("lorem ipsum " * 1_000_000))) == "lorem ipsum " * 1_000_000 + "\n"
    assert shown(returned("x" * 12_000_000)) == f"  | {'x' * 95}…\n"
    assert shown(assistant(call("x", y="z" * 12_000_000)), width=12) == '* x: {"y":"…\n'
    # Notes that begin and do not end are no reason to search the rest for each of them.
    assert shown(user("<system-reminder>" * 700_000)) == f"> {'<system-reminder>' * 700_000}\n"


def test_stderr_is_shown_piece_by_piece() -> None:
    transcript = Transcript(color=False)
    assert transcript.stderr(b"warn: \xc3") == "warn: "
    assert transcript.stderr(b"\xa9\x1b[1m\xff\n") == "é␛[1m\ufffd\n"
    assert transcript.feed(b"next") == "next\n"
    assert transcript.stderr(b"half a line") == "half a line"
    assert transcript.stderr(b"") == ""
    assert transcript.feed(encode(assistant(text("said")))) == "\n\nsaid\n"
    assert (
        Transcript(color=True).stderr(b"a\n\nb\n") == f"{click.style('a', dim=True)}\n\n{click.style('b', dim=True)}\n"
    )


NAMES = (
    "type", "subtype", "message", "content", "text", "input", "name", "id", "tool_use_id", "is_error", "request",
    "tool_name", "permission_suggestions", "questions", "question", "options", "label", "description", "command",
    "rules", "directories", "mode", "destination", "toolName", "ruleContent", "result", "errors", "terminal_reason",
    "duration_ms", "num_turns", "total_cost_usd", "origin", "kind", "parent_tool_use_id", "isReplay", "isSynthetic",
    "session_id", "model", "cwd", "permissionMode", "attempt", "max_retries", "retry_delay_ms", "error_status",
    "summary", "status", "multiSelect", "blocked_path", "behavior",
)  # fmt: skip
WORDS = (
    "assistant", "user", "system", "result", "control_request", "control_cancel_request", "stream_event", "text",
    "tool_use", "tool_result", "thinking", "image", "can_use_tool", "AskUserQuestion", "SendUserMessage", "Bash",
    "init", "api_retry", "compact_boundary", "permission_denied", "task_started", "task_notification", "success",
    "addRules", "addDirectories", "setMode", "<system-reminder>", "</system-reminder>", "session", "\x1b[2J\n",
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS) | st.text(st.characters(), max_size=10)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image"]) | VALUES},
    optional=dict.fromkeys(("text", "name", "input", "id", "content", "tool_use_id", "is_error"), VALUES),
)
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(WORDS[:7]) | VALUES},
    optional={
        "message": VALUES | st.fixed_dictionaries({"content": VALUES | st.lists(BLOCKS | VALUES, max_size=4)}),
        "request": VALUES | st.fixed_dictionaries(
            {"subtype": st.just("can_use_tool")},
            optional=dict.fromkeys(("tool_name", "input", "description", "blocked_path"), VALUES)
            | {"permission_suggestions": VALUES | st.lists(VALUES, max_size=3)},
        ),
        **{name: VALUES for name in NAMES if name not in ("type", "message", "request", "content", "text")},
    },
)  # fmt: skip


@settings(derandomize=True, deadline=None, database=None)
@given(st.lists(MESSAGES | VALUES, max_size=4), st.integers(-1, 120))
def test_any_values_are_shown_harmlessly(messages: list[object], width: int) -> None:
    plain, coloured = Transcript(color=False, width=width), Transcript(color=True, width=width)
    for message in messages:
        printed = plain.feed(encode(message))
        assert printed == "" or printed.endswith("\n")
        assert is_safe(printed)
        assert click.unstyle(coloured.feed(encode(message))) == printed


@settings(derandomize=True, deadline=None, database=None)
@given(st.lists(st.binary(max_size=60) | MESSAGES.map(encode), max_size=4), st.binary(max_size=4), st.integers(0, 40))
def test_any_bytes_are_shown_harmlessly(lines: list[bytes], noise: bytes, place: int) -> None:
    transcript = Transcript(color=False)
    for line in lines:
        for piece in (line, line[:place] + noise + line[place:], b"{" + line, line[: len(line) - place]):
            printed = transcript.feed(piece)
            assert printed == "" or printed.endswith("\n")
            assert is_safe(printed)
        assert is_safe(transcript.stderr(line))
