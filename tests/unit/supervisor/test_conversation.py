"""The state machine over stream-json: every state from the lines that lead to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.supervisor.conversation import Conversation, Prompt, first_line
from tests.support import stream as s


def after(*lines: bytes) -> Conversation:
    found = Conversation()
    for one in lines:
        found.feed(one)
    return found


def test_nothing_is_said_before_the_first_message() -> None:
    assert after().phase == "starting"
    assert after(s.ready()).phase == "starting", "ready, and nothing asked of it yet"


MODERN = (s.state("running"), s.lifecycle("u-1", "queued"), s.lifecycle("u-1", "started"), s.init(), s.typed("hello"))


@pytest.mark.parametrize("count", range(1, len(MODERN) + 1))
def test_a_turn_works_from_its_first_line(count: int) -> None:
    assert after(s.ready(), *MODERN[:count]).phase == "working"


def test_a_turn_of_a_cli_that_tells_its_state() -> None:
    found = after(*MODERN, s.said("\n  hello there\nand more"))
    assert (found.phase, found.said, found.settled) == ("working", "hello there", False)
    found.feed(s.result("hello there", uuids=("u-1",), turns=2, cost=0.5))
    assert found.phase == "working", "it winds up its turn: only 'idle' says that it has no more to do"
    found.feed(s.lifecycle("u-1", "completed"))
    found.feed(s.state("idle"))
    assert (found.phase, found.settled, found.results, found.turns, found.cost) == ("idle", True, 1, 2, 0.5)
    assert (found.session, found.model, found.failure, found.open) == ("5e55", "m-1", "", {})


def test_a_queued_message_keeps_it_working_between_two_results() -> None:
    found = after(*MODERN, s.lifecycle("u-2", "queued"), s.result(uuids=("u-1",)), s.lifecycle("u-1", "completed"))
    assert found.phase == "working"
    silent = after(*MODERN[1:], s.lifecycle("u-2", "queued"), s.result(uuids=("u-1",)))
    assert silent.phase == "working", "also where the CLI says nothing of its state"
    silent.feed(s.result(uuids=("u-2",)))
    assert (silent.phase, silent.results) == ("idle", 2)


def test_a_turn_of_a_cli_that_says_little() -> None:
    """2.1.197 knows no lifecycle and no states."""
    found = after(s.init(), s.said("x"))
    assert found.phase == "working"
    found.feed(s.result("x"))
    assert (found.phase, found.settled) == ("idle", True)


def test_what_it_does_is_told_until_it_speaks() -> None:
    found = after(*MODERN, s.uses("Bash", command="make check"))
    assert found.doing == "Bash: make check"
    assert after(*MODERN, s.uses("Bash", command="x"), s.gave(), s.said("fine")).doing == ""
    found.feed(s.result())
    assert found.doing == ""


PROMPT = s.asks("r-1", command="touch a")


def test_a_prompt_blocks() -> None:
    found = after(*MODERN, s.uses("Bash", command="touch a"), s.state("requires_action"), PROMPT)
    assert found.phase == "blocked"
    (prompt,) = found.prompts.values()
    assert (prompt.request, prompt.subtype, prompt.tool, prompt.use) == ("r-1", "can_use_tool", "Bash", "toolu_1")
    assert json.loads(bytes(prompt.input)) == {"command": "touch a"}
    assert prompt.asked == s.STAMP_SECONDS, "the time of the message before it"


@pytest.mark.parametrize(
    "taken",
    [s.ready("r-1"), s.withdraws(), s.gave("toolu_1")],
    ids=["answered", "withdrawn", "answered, by a CLI that does not repeat answers"],
)
def test_a_prompt_that_is_dealt_with_blocks_no_more(taken: bytes) -> None:
    found = after(*MODERN, PROMPT, taken)
    assert (found.phase, found.prompts) == ("working", {})


def test_what_is_idle_asks_nothing() -> None:
    """The answer may be in a part of the spool that was recycled before anybody looked."""
    assert after(*MODERN, PROMPT, s.result(), s.state("idle")).phase == "idle"


@pytest.mark.parametrize("other", [s.ready("r-2"), s.withdraws("r-2"), s.gave("toolu_2"), s.said("meanwhile")])
def test_what_is_said_of_others_leaves_it(other: bytes) -> None:
    assert after(*MODERN, PROMPT, other).phase == "blocked"


def test_several_prompts_are_kept_in_their_order() -> None:
    found = after(*MODERN, s.asks("b", use="2"), s.asks("a", use="1"), s.asks("c", use="3"), s.ready("a"))
    assert list(found.prompts) == ["b", "c"]


@pytest.mark.parametrize(
    ("ending", "failure"),
    [
        (s.result("x", error=True, terminal_reason="api_error"), "api_error: x"),
        (s.result("", subtype="error_max_turns", error=True), "error_max_turns"),
        (s.result("", subtype="error_during_execution", error=True, errors=["\nwhy\n"]), "error_during_execution: why"),
        (s.result("", subtype="error_max_budget_usd"), "error_max_budget_usd"),
        (s.result("fine"), ""),
    ],
)
def test_a_failed_turn_is_idle_and_says_why(ending: bytes, failure: str) -> None:
    found = after(*MODERN, ending, s.state("idle"))
    assert (found.phase, found.failure, found.settled) == ("idle", failure, True)


def test_a_turn_that_goes_well_takes_the_failure_back() -> None:
    assert after(s.init(), s.result(error=True), s.init(), s.result()).failure == ""


def test_work_in_the_background_is_not_done() -> None:
    found = after(*MODERN, s.tasks("make", "serve"), s.result(uuids=("u-1",)), s.state("idle"))
    assert (found.phase, found.settled, found.tasks) == ("idle", False, ["make", "serve"])
    found.feed(s.tasks())
    assert found.settled


def test_a_prompt_is_seen_whatever_else_is_wrong_with_it() -> None:
    """Nobody would ever answer one that is not seen."""
    odd = {"subtype": "can_use_tool", "tool_name": "T", "input": [1], "description": 7, "tool_use_id": None,
           "permission_suggestions": "x", "blocked_path": {}}  # fmt: skip
    found = after(s.line(type="control_request", request_id="r", request=odd))
    assert [p.tool for p in found.prompts.values()] == ["T"]
    assert after(s.line(type="control_request", request_id="r", request={"subtype": "elicit"})).phase == "blocked"


HALF = "cut \ud83d in an emoji"
"""As JavaScript cuts a text that gets too long."""


@pytest.mark.parametrize("cut", [lambda line: line, lambda line: line.replace(rb"\ud83d", b"\xf0\x9f")])
def test_half_a_character_hides_neither_a_question_nor_the_end_of_a_turn(cut: Callable[[bytes], bytes]) -> None:
    asked = cut(s.asks(command=HALF, suggestions=[HALF]))
    found = after(*MODERN, cut(s.uses("Bash", command=HALF)), asked)
    assert found.phase == "blocked"
    assert found.doing.startswith("Bash: cut \N{REPLACEMENT CHARACTER}")
    (prompt,) = found.prompts.values()
    assert str(prompt.given).startswith("{'command': 'cut \N{REPLACEMENT CHARACTER}")
    for line in (s.gave(text=HALF), s.result(HALF, uuids=("u-1",), turns=3), s.state("idle")):
        found.feed(cut(line))
    assert (found.phase, found.results, found.turns, found.prompts) == ("idle", 1, 3, {})
    assert found.said.endswith(" in an emoji")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Conversation) == found


def test_an_input_too_deep_to_be_decoded_is_none() -> None:
    assert Prompt("r", "can_use_tool", input=msgspec.Raw(b'{"a":[1]}')).given == {"a": [1]}
    assert Prompt("r", "can_use_tool", input=msgspec.Raw(b"[" * 5000 + b"]" * 5000)).given is None


def test_a_result_with_odd_numbers_still_ends_the_turn() -> None:
    found = after(s.init(), s.line(type="result", subtype="success", num_turns="2", total_cost_usd=[], result=3))
    assert (found.phase, found.results, found.turns, found.cost) == ("idle", 1, 0, None)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "subtype", "timestamp", "message", "request", "request_id", "response", "state", "tasks", "command_uuid",
    "result", "errors", "num_turns", "total_cost_usd", "is_error", "session_id", "model", "user_message_uuids",
)  # fmt: skip
TYPES = ("system", "user", "assistant", "result", "control_request", "control_response", "control_cancel_request",
         "command_lifecycle", "stream_event", "new")  # fmt: skip
SUBTYPES = ("init", "session_state_changed", "background_tasks_changed", "can_use_tool", "success")
messages = st.dictionaries(st.sampled_from(FIELDS), values, max_size=5).flatmap(
    lambda fields: st.builds(
        lambda kind, sub: json.dumps({"type": kind, **fields, **({"subtype": sub} if sub else {})}).encode(),
        st.sampled_from(TYPES), st.sampled_from(SUBTYPES) | st.none(),
    )
)  # fmt: skip


@given(st.lists(messages | st.binary(max_size=40), max_size=12))
def test_whatever_is_printed_it_has_a_state_that_can_be_kept(lines: list[bytes]) -> None:
    found = after(*lines)
    assert found.phase in ("starting", "working", "blocked", "idle")
    kept: Any = msgspec.json.decode(msgspec.json.encode(found), type=Conversation)
    assert msgspec.json.encode(kept) == msgspec.json.encode(found)


SCENES = [*MODERN, PROMPT, s.ready("r-1"), s.gave(), s.tasks("x"), s.tasks(), s.result(uuids=("u-1",)), s.state("idle")]


@given(st.integers(0, len(SCENES)))
def test_going_on_from_what_was_kept_is_going_on(cut: int) -> None:
    begun = msgspec.json.decode(msgspec.json.encode(after(*SCENES[:cut])), type=Conversation)
    for one in SCENES[cut:]:
        begun.feed(one)
    assert msgspec.json.encode(begun) == msgspec.json.encode(after(*SCENES))


def test_the_first_line_with_something_in_it() -> None:
    assert first_line("\n \n a b \nc") == "a b"
    assert first_line(" \n") == ""
    assert first_line("a\x1b[2Jb") == "a␛[2Jb"
    assert len(first_line("x" * 500)) == 100
