"""Questions, calls and suggestions in words that drive no terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.supervisor.wording import asked, harmless, suggestion, summary
from tests.support.stream import ALLOW, BIDI, FOLDER, MODE, is_safe


@pytest.mark.parametrize(
    ("tool", "arguments", "width", "line"),
    [
        ("Bash", {"command": "touch a", "description": "d"}, 80, "Bash: touch a"), ("Bash", {}, 80, "Bash"),
        ("Write", {"content": "c", "file_path": "/a b"}, 80, "Write: /a b"),
        ("Grep", {"path": "/p", "pattern": "x+"}, 80, "Grep: x+"), ("", {"url": "http://x"}, 80, "a tool: http://x"),
        ("WebFetch", {"prompt": "p", "url": "http://x"}, 80, "WebFetch: http://x"),
        ("Agent", {"description": "d", "prompt": "p"}, 80, "Agent: p"), ("X", {"description": "d"}, 80, "X: d"),
        ("X", {"command": 5, "url": " ", "description": "d"}, 80, "X: d"),
        ("AskUserQuestion", {"questions": [{"question": " Which?"}, {"question": "b"}]}, 80, "AskUserQuestion: Which?"),
        ("X", {"questions": [1]}, 80, 'X: {"questions":[1]}'),
        ("X", {"b": 1, "a": "é\x9b"}, 80, 'X: {"b":1,"a":"é␛["}'),
        ("X", None, 80, "X"), ("X", [], 80, "X"), ("X", "s", 80, 'X: "s"'), ("X", {"a": "\ud800"}, 80, "X: …"),
        ("Bash", {"command": "echo a #\n\n\trm  -rf b\r\n"}, 80, "Bash: echo a # ␊ rm -rf b"),
        ("Bash", {"command": "a\x1b[2J\rb\u202ec"}, 80, "Bash: a␛[2J␍b\ufffdc"),
        ("Bash", {"command": "abcdef"}, 12, "Bash: abcdef"), ("Bash", {"command": "abcdefg"}, 12, "Bash: abcde…"),
        ("Bash", {"command": "世界世"}, 12, "Bash: 世界世"), ("Bash", {"command": "世界世界"}, 12, "Bash: 世界…"),
        ("Bash", {"command": "e\u0301" * 6}, 12, "Bash: " + "e\u0301" * 6),
        ("Bash", {"command": "e\u0301" * 7}, 12, "Bash: " + "e\u0301" * 5 + "…"),
        ("Bash", {"command": "a" + " " * 50_000 + "b"}, 80, "Bash: a b"), ("Bash", {}, 1, "…"), ("Bash", {}, -5, "…"),
    ],
)  # fmt: skip
def test_what_a_call_is_about(tool: str, arguments: object, width: int, line: str) -> None:
    assert summary(tool, arguments, width) == line


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (ALLOW, "allow Bash(touch a *) from now on (localSettings)"),
        ({**ALLOW, "behavior": "deny", "destination": "session"}, "deny Bash(touch a *) for this session"),
        ({"type": "addRules", "rules": [{"toolName": "Read"}, {"toolName": "Bash", "ruleContent": "a\n\x1b"}, 1]},
         "allow Read, Bash(a ␊ ␛), 1"),
        ({**ALLOW, "type": "replaceRules"}, "allow nothing but Bash(touch a *) from now on (localSettings)"),
        ({**ALLOW, "type": "removeRules"}, "no longer allow Bash(touch a *) from now on (localSettings)"),
        (FOLDER, "add folder /home/ana/proj for this session"),
        ({"type": "removeDirectories", "directories": ["/a", 2, "/b"]}, "remove folder /a, /b"),
        (MODE, "mode acceptEdits for this session"),
        ({"type": "setMode", "mode": "plan", "destination": "userSettings"}, "mode plan from now on (userSettings)"),
        ({"type": "addRules", "rules": []}, '{"type":"addRules","rules":[]}'),
        ({"type": "setMode", "mode": 1}, '{"type":"setMode","mode":1}'), ({"type": []}, '{"type":[]}'),
        ({}, "{}"), (None, "null"), ("x\x9b", '"x␛["'),
    ],
)  # fmt: skip
def test_suggestions_in_words(entry: object, words: str) -> None:
    assert suggestion(entry) == words


def test_nothing_that_is_shown_drives_a_terminal() -> None:
    assert harmless("a\tb\nc\r\nd é世\u200d🙂") == "a\tb\nc\nd é世\u200d🙂"
    assert harmless("\0\a\b\r\x1b[31m\x7f") == "␀␇␈␍␛[31m␡"
    assert harmless("\x80\x9b2J\x9d\x9f") == "␛@␛[2J␛]␛_"
    assert harmless("a" + "".join(sorted(BIDI)) + "\ud800\udfffb") == "a" + "\ufffd" * (len(BIDI) + 2) + "b"


@settings(derandomize=True, deadline=None, database=None)
@given(st.text(st.characters(), max_size=50))
def test_harmless_text_stays_as_it_is(words: str) -> None:
    safe = harmless(words)
    assert is_safe(safe)
    assert harmless(safe) == safe
    safe.encode()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["command", "questions", "question", "options", "label", "type", "rules", "directories", "mode",
                         "destination", "toolName", "ruleContent", "behavior", "multiSelect", "url"]),
        inner, max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(derandomize=True, deadline=None, database=None)
@given(st.text(max_size=20), VALUES, st.integers(-1, 60))
def test_a_summary_is_one_line_that_fits(tool: str, arguments: object, width: int) -> None:
    line = summary(tool, arguments, width)
    assert is_safe(line)
    assert "\n" not in line
    assert len([c for c in line if unicodedata.category(c) not in ("Mn", "Me", "Cf")]) <= max(width, 1)
    assert is_safe(suggestion(arguments))
    assert "\n" not in suggestion(arguments)


@settings(derandomize=True, deadline=None, database=None)
@given(
    st.dictionaries(st.sampled_from(["subtype", "tool_name", "input", "description", "permission_suggestions"]), VALUES)
)
def test_any_request_is_put_into_words(request: dict[str, object]) -> None:
    question: dict[str, object] = {"subtype": "can_use_tool", "tool_name": "AskUserQuestion"}
    for whole in (request, {**request, "subtype": "can_use_tool"}, {**request, **question}):
        lines = list(asked(whole, 80))
        assert lines
        assert is_safe(harmless("\n".join(lines)))


def test_what_is_to_be_allowed_stands_there_whole() -> None:
    command = "true " + "x" * 300 + "\nrm -rf /"
    given_ = {"command": command, "dangerouslyDisableSandbox": True, "description": "d"}
    request: dict[str, object] = {
        "subtype": "can_use_tool", "tool_name": "Bash", "input": given_, "description": "d",
        "permission_suggestions": [ALLOW, MODE],
    }  # fmt: skip
    assert list(asked(request, 40)) == [
        "? Bash wants to run: true " + "x" * 300 + "\n    rm -rf /",
        '  with {"dangerouslyDisableSandbox":true}',
        "  d",
        "  option 1: allow Bash(touch a *) from now on (localSettings)",
        "  option 2: mode acceptEdits for this session",
    ]


def test_a_question_with_its_options() -> None:
    options = [{"label": "A", "description": "first"}, {"label": "B"}]
    body = {"questions": [{"question": "Which?", "options": options, "multiSelect": True}]}
    assert list(asked({"subtype": "can_use_tool", "tool_name": "AskUserQuestion", "input": body}, 80)) == [
        "? Which? (several may be chosen)", "  1. A: first", "  2. B",
    ]  # fmt: skip
