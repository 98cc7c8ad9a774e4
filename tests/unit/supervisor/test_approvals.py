"""Questions of sessions, and that an answer reaches the very question that was looked at, once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.errors import ConfigError, CoworkError, NotFound, NotRunning, NotTaken, PolicyError
from cowork.supervisor.approvals import Approval, allow, answers, deny, digest, of_session, pending
from cowork.supervisor.conversation import Conversation, Prompt
from cowork.supervisor.overview import View
from cowork.supervisor.talk import Talk
from tests.support import stream as s
from tests.support.holding import Held
from tests.support.supervised import SPEAKS, Home

QUESTIONS = [
    {"question": "Which colour?", "options": [{"label": "red", "description": "warm"}, {"label": "blue"}]},
    {"question": "Which size?", "options": [{"label": "S"}, {"label": "L"}]},
]


def ask(home: Home, held: Held) -> Approval:
    """The only question of a session."""
    (one,) = of_session(home.where, held.directory)
    return one


def answered(held: Held) -> list[dict[str, Any]]:
    """What the session was answered, in the order it said it again."""
    said = [json.loads(line) for line in held.printed().splitlines()]
    return [message["response"] for message in said if message["type"] == "control_response"]


def request_of(held: Held) -> str:
    """Id of the first request that the session made."""
    said = [json.loads(line) for line in held.printed().splitlines()]
    return next(str(message["request_id"]) for message in said if message["type"] == "control_request")


def yes(home: Home, one: Approval) -> Approval:
    return allow(home.where, one.id)


def no(home: Home, one: Approval) -> Approval:
    return deny(home.where, one.id, "no")


def at_once(home: Home, one: Approval, *give: Callable[[Home, Approval], Approval]) -> list[object]:
    """Several answers at the same time: what came of each, an id or an error's type."""
    together = threading.Barrier(len(give))
    found: list[object] = []

    def run(answer: Callable[[Home, Approval], Approval]) -> None:
        together.wait()
        try:
            found.append(answer(home, one).id)
        except CoworkError as e:
            found.append(type(e))

    several = [threading.Thread(target=run, args=[each]) for each in give]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    return found


def asking(*lines: bytes, then: str) -> list[str]:
    """A ``claude`` that prints these lines, and goes on with a shell's script, in which $1 is the rest."""
    text = b"".join(line + b"\n" for line in lines).decode()
    return ["claude", "-c", f'printf %s "$1"; {then}', SPEAKS, text]


# -- the list


def test_all_questions_of_all_sessions_the_longest_waiting_first(home: Home) -> None:
    young = home.scripted(s.said("x"), s.asks("r-1", command="touch a", suggestions=[s.ALLOW]), name="young")
    early = s.said("x").replace(b"10:00:00.500Z", b"09:00:00Z")
    old = home.scripted(early, s.asks("r-2", "Write", file_path="/b"), name="old", cwd="/work")
    home.scripted(s.init())
    home.start(["/bin/cat"])
    first, second = pending(home.where)
    assert [one.name for one in (first, second)] == ["old", "young"]
    assert (first.session, first.kind) == (old.directory.id, "shell")
    assert (first.subtype, first.tool) == ("can_use_tool", "Write")
    assert (first.cwd, first.asked, first.answerable) == ("/work", s.STAMP_SECONDS - 3600.5, True)
    assert (second.id.rpartition("-")[0], len(second.id.rpartition("-")[2])) == (young.directory.id, 8)
    assert (json.loads(bytes(second.input)), second.suggestions) == ({"command": "touch a"}, [s.ALLOW])
    assert second.request == {
        "subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "touch a"}, "description": "",
        "blocked_path": "", "permission_suggestions": [s.ALLOW],
    }  # fmt: skip


def test_several_of_one_session_keep_their_order(home: Home) -> None:
    held = home.scripted(*(s.asks(f"r-{number}", use=f"t-{number}", command=str(number)) for number in (3, 1, 2)))
    found = of_session(home.where, held.directory)
    assert [json.loads(bytes(one.input))["command"] for one in found] == ["3", "1", "2"]
    assert len({one.id for one in found}) == 3


def test_who_has_ended_asks_nothing(home: Home) -> None:
    held, killed = home.scripted(s.asks(command="x")), home.scripted(s.asks(command="x"))
    (home.scripted(s.asks(command="x")).directory.path / "session.json").write_text("{")
    assert len(pending(home.where)) == 2
    held.client.close_stdin()
    held.wait()
    killed.kill_holder()
    assert pending(home.where) == []


def test_what_is_shown_of_any_prompt(home: Home) -> None:
    odd = {"subtype": "can_use_tool", "tool_name": "T", "input": [1], "title": "why", "decision_reason": "because",
           "blocked_path": "/p", "permission_suggestions": {"no": "list"}}  # fmt: skip
    held = home.scripted(s.line(type="control_request", request_id="r", request=odd))
    one = ask(home, held)
    assert (one.description, one.reason, one.blocked_path, one.suggestions) == ("why", "because", "/p", [])
    assert json.loads(msgspec.json.encode(one))["input"] == [1]


def test_a_question_that_is_nested_too_deep_to_be_shown_is_listed_and_can_be_answered(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How deep that is depends on the caller, so that here it is handed over as if it had just been read."""
    held = home.scripted(s.asks("r-1", command="x"))
    deep = msgspec.Raw(b"[" * 5000 + b"]" * 5000)
    seen = home.view(held)
    assert seen.conversation is not None
    prompt = msgspec.structs.replace(seen.conversation.prompts["r-1"], input=deep, suggestions=deep)
    found = View(seen.overview, Conversation(begun=True, prompts={"r-1": prompt}))
    monkeypatch.setattr("cowork.supervisor.overview.view", lambda directory, runtime: found)
    one = ask(home, held)
    assert (one.request["input"], one.suggestions) == (None, [])
    deny(home.where, one.id, "no")
    assert [a["response"]["behavior"] for a in answered(held)] == ["deny"]


# -- ids


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
raws = texts.map(lambda text: msgspec.Raw(msgspec.json.encode({"a": text})))
prompts = st.builds(
    Prompt, request=texts, subtype=texts, tool=texts, input=raws, use=texts, description=texts, reason=texts,
    blocked_path=texts, suggestions=raws, asked=st.floats(0, 9),
)  # fmt: skip


def parts(prompt: Prompt) -> list[object]:
    """All of a prompt but the time at which it came."""
    values = [getattr(prompt, name) for name in Prompt.__struct_fields__ if name != "asked"]
    return [bytes(value) if isinstance(value, msgspec.Raw) else value for value in values]


@given(prompts, prompts)
def test_an_id_stands_for_all_that_is_asked(one: Prompt, other: Prompt) -> None:
    assert (digest(one) == digest(other)) == (parts(one) == parts(other))
    assert len(digest(one)) == 8
    int(digest(one), 16)


@given(prompts, st.sampled_from([name for name in Prompt.__struct_fields__ if name != "asked"]))
def test_whatever_changes_it_is_another_question(one: Prompt, name: str) -> None:
    value = getattr(one, name)
    new = msgspec.Raw(bytes(value) + b" ") if isinstance(value, msgspec.Raw) else value + "x"
    assert digest(msgspec.structs.replace(one, **{name: new})) != digest(one)
    assert digest(msgspec.structs.replace(one, asked=one.asked + 1)) == digest(one)


@pytest.mark.parametrize("wanted", ["", "12345678", "-12345678"])
def test_what_is_no_id_is_refused(home: Home, wanted: str) -> None:
    with pytest.raises(ConfigError, match="is no id of a question") as caught:
        allow(home.where, wanted)
    assert caught.value.hint == "cowork approvals lists them"


def test_an_id_may_name_its_session_in_any_way(home: Home) -> None:
    held = home.scripted(s.asks("r-1", command="a"), s.asks("r-2", use="t-2", command="b"), name="my-talk")
    one, other = of_session(home.where, held.directory)
    assert allow(home.where, one.id.replace(held.directory.id, "my-talk")).id == one.id
    assert allow(home.where, other.id.replace(held.directory.id, held.directory.id[:4])).id == other.id
    with pytest.raises(NotFound, match="no session none"):
        allow(home.where, "none-12345678")


# -- one answer, to what was looked at


def test_a_tool_that_is_allowed_runs_with_what_it_asked_for(home: Home) -> None:
    held = home.claude([{"ask": ["Bash", {"command": "touch a", "n": 1.5}]}, {"say": "it is there"}])
    home.until(held, "blocked")
    one = ask(home, held)
    assert allow(home.where, one.id) == one
    seen = home.until(held, "idle")
    assert seen.detail == "done"
    gave = {"behavior": "allow", "updatedInput": {"command": "touch a", "n": 1.5}}
    assert json.dumps(json.dumps(gave, sort_keys=True)).encode() in held.printed()
    assert pending(home.where) == []


def test_the_input_is_handed_back_as_it_stands(home: Home) -> None:
    body = b'{"subtype":"can_use_tool","tool_name":"T","input":{"a":1e2, "b":12345678901234567890123,"a":2}}'
    held = home.scripted(b'{"type":"control_request","request_id":"r","request":%b}' % body)
    allow(home.where, ask(home, held).id)
    assert b'"updatedInput":{"a":1e2, "b":12345678901234567890123,"a":2}' in held.printed()


def test_a_second_answer_is_refused(home: Home) -> None:
    held = home.scripted(s.asks("r-1", command="x"))
    one = ask(home, held)
    allow(home.where, one.id)
    for again in (yes, no):
        with pytest.raises(NotFound, match="answered, withdrawn or changed") as caught:
            again(home, one)
        assert caught.value.hint == "cowork approvals lists what waits"
    assert len(answered(held)) == 1


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([s.asks("r-1", command="touch b")], 1),
        ([s.asks("r-1", command="touch a", suggestions=[s.ALLOW])], 1),
        ([s.withdraws("r-1")], 0),
        ([s.gave("toolu_1")], 0),
        ([s.withdraws("r-1"), s.asks("r-2", command="touch a"), s.asks("r-3", use="t-3", command="touch c")], 2),
    ],
    ids=["changed", "with another suggestion", "withdrawn", "dealt with", "asked anew"],
)  # fmt: skip
def test_a_question_that_is_no_longer_the_same_is_refused_with_what_is_asked_now(
    home: Home, lines: list[bytes], left: int
) -> None:
    held = home.scripted(s.asks("r-1", command="touch a"))
    one = ask(home, held)
    home.prints(held, *lines)
    now = [other.id for other in of_session(home.where, held.directory)]
    assert len(now) == left
    for answer in (yes, no):
        with pytest.raises(NotFound, match=f"session {held.directory.id} does not wait with that question") as caught:
            answer(home, one)
        assert caught.value.hint == (f"it asks now: {', '.join(now)}" if now else "cowork approvals lists what waits")
    assert answered(held) == []


def test_one_that_has_ended_does_not_wait_any_more(home: Home) -> None:
    held = home.scripted(s.asks(command="x"))
    one = ask(home, held)
    held.client.close_stdin()
    held.wait()
    with pytest.raises(NotFound, match="does not wait with that question"):
        allow(home.where, one.id)


def test_of_two_who_answer_at_once_one_is_heard(home: Home) -> None:
    held = home.claude([{"ask": ["Bash", {"command": str(n)}]} for n in range(5)])
    for _ in range(5):
        home.until(held, "blocked")
        one = ask(home, held)
        found = at_once(home, one, yes, no, yes, no)
        assert sorted(found, key=str) == sorted([one.id, *[NotFound] * 3], key=str)
    home.until(held, "idle")
    assert len(answered(held)) == 6, "the five, and what it said to initialize"


def test_what_claude_desktop_asks_is_shown_and_not_answered(home: Home) -> None:
    held = home.scripted(s.asks(command="x"), kind="cowork")
    one = ask(home, held)
    assert (one.kind, one.answerable) == ("cowork", False)
    for answer in (yes, no):
        with pytest.raises(PolicyError, match="is answered in Claude Desktop"):
            answer(home, one)
    assert answered(held) == []


# -- the proof


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Talk.until, "__defaults__", (0.1,))


@pytest.mark.usefixtures("impatient")
def test_one_that_does_not_show_that_it_took_the_answer_is_said(home: Home) -> None:
    held = home.start(asking(s.asks("r-1", command="x"), then="cat >/dev/null"), executable="/bin/sh")
    held.first_line()
    with pytest.raises(NotTaken, match="has not shown that it took it"):
        allow(home.where, ask(home, held).id)


def test_the_answer_to_another_question_is_no_proof(home: Home) -> None:
    others = "".join(f"echo '{line.decode()}'; " for line in (s.ready("r-2"), s.gave("toolu_2"), s.said("r-1")))
    then = f"read -r x; {others} echo '{s.gave('toolu_1').decode()}'; exec sleep 60"
    held = home.start(asking(s.asks("r-1", command="x"), then=then), executable="/bin/sh")
    held.first_line()
    allow(home.where, ask(home, held).id)
    assert s.gave("toolu_1") in held.printed()


def test_what_the_tool_gave_back_is_proof_of_one_that_does_not_repeat_answers(home: Home) -> None:
    """2.1.197 does not."""
    given = s.gave("toolu_1", "cut \ud83d in an emoji").decode()
    held = home.start(
        asking(s.asks("r-1", command="x"), then=f"read -r x; echo '{given}'; exec cat"), executable="/bin/sh"
    )
    held.first_line()
    allow(home.where, ask(home, held).id)
    assert of_session(home.where, held.directory) == []


def test_one_that_ends_instead_has_not_taken_it(home: Home) -> None:
    held = home.start(asking(s.asks("r-1", command="x"), then="read -r x; exit 0"), executable="/bin/sh")
    held.first_line()
    with pytest.raises(NotRunning, match="has ended without taking it"):
        allow(home.where, ask(home, held).id)


def test_one_that_withdraws_the_question_in_the_same_moment_has_not_taken_it(home: Home) -> None:
    then = f"read -r x; echo '{s.withdraws('r-1').decode()}'; exec cat"
    held = home.start(asking(s.asks("r-1", command="x"), then=then), executable="/bin/sh")
    held.first_line()
    with pytest.raises(NotFound, match="has withdrawn the question before the answer came"):
        allow(home.where, ask(home, held).id)


# -- what is answered


def test_a_suggestion_makes_it_hold_for_longer(home: Home) -> None:
    held = home.scripted(s.asks("r-1", command="x", suggestions=[s.ALLOW, s.MODE]))
    allow(home.where, ask(home, held).id, option="2")
    assert answered(held)[0]["response"] == {
        "behavior": "allow", "updatedInput": {"command": "x"}, "updatedPermissions": [s.MODE],
    }  # fmt: skip


@pytest.mark.parametrize("option", ["", "0", "3", "-1", "1.0", " 1", "x", "²", "१", "9" * 5000])
def test_a_suggestion_that_was_not_made_is_refused(home: Home, option: str) -> None:
    held = home.scripted(s.asks("r-1", command="x", suggestions=[s.ALLOW, s.MODE]))
    with pytest.raises(ConfigError, match="a number from 1 to 2") as caught:
        allow(home.where, ask(home, held).id, option=option)
    assert caught.value.hint == "cowork approvals shows the suggestions"
    assert answered(held) == []


def test_where_none_was_made_there_is_none_to_choose(home: Home) -> None:
    held = home.scripted(s.asks("r-1", command="x"))
    with pytest.raises(ConfigError, match="there are no suggestions"):
        allow(home.where, ask(home, held).id, option="1")
    allow(home.where, ask(home, held).id)


def test_another_input_is_run_instead(home: Home) -> None:
    held = home.scripted(s.asks("r-1", command="rm -r /", suggestions=[s.ALLOW]))
    allow(home.where, ask(home, held).id, changed='{"command": "ls", "é": [null]}', option="1")
    assert answered(held)[0]["response"] == {
        "behavior": "allow", "updatedInput": {"command": "ls", "é": [None]}, "updatedPermissions": [s.ALLOW],
    }  # fmt: skip


@pytest.mark.parametrize("changed", ["", "x", "[]", '"x"', "1", "null", "{", '{"a":}', "\udc80", '{"a":"\\ud800 "}'])
def test_an_input_that_is_no_object_is_refused(home: Home, changed: str) -> None:
    held = home.scripted(s.asks("r-1", command="x"))
    with pytest.raises(ConfigError, match=r"^--input: "):
        allow(home.where, ask(home, held).id, changed=changed)
    assert answered(held) == []


def test_what_is_denied_is_told_to_the_model(home: Home) -> None:
    held = home.claude([{"ask": ["Bash", {"command": "x"}]}, {"say": "then not"}])
    home.until(held, "blocked")
    deny(home.where, ask(home, held).id, 'not "here"\nplease')
    home.until(held, "idle")
    assert answered(held)[1]["response"] == {"behavior": "deny", "message": 'not "here"\nplease'}
    assert b"then not" in held.printed()


def test_a_turn_may_be_ended_with_a_denial(home: Home) -> None:
    held = home.claude([{"ask": ["Bash", {"command": "x"}]}, {"say": "never said"}])
    home.until(held, "blocked")
    deny(home.where, ask(home, held).id, "no", interrupt=True)
    assert home.until(held, "idle").failure == "error_during_execution"
    assert s.said("never said") not in held.printed()


def test_a_request_that_is_not_known_wants_an_answer_of_its_own(home: Home) -> None:
    held = home.claude([{"request": {"subtype": "elicitation", "message": "who?"}}, {"say": "thanks"}])
    home.until(held, "blocked")
    one = ask(home, held)
    assert (one.subtype, one.tool, one.request["subtype"]) == ("elicitation", "", "elicitation")
    with pytest.raises(ConfigError, match="elicitation wants an answer of its own") as caught:
        allow(home.where, one.id, option="1")
    assert caught.value.hint == "--input JSON, or cowork deny"
    allow(home.where, one.id, changed='{"action": "accept", "content": {"name": "Ana"}}')
    home.until(held, "idle")
    given = {"action": "accept", "content": {"name": "Ana"}}
    assert answered(held)[1] == {"subtype": "success", "request_id": request_of(held), "response": given}


def test_a_request_that_is_not_known_is_denied_with_an_error(home: Home) -> None:
    held = home.claude([{"request": {"subtype": "elicitation"}}, {"say": "well"}])
    home.until(held, "blocked")
    deny(home.where, ask(home, held).id, "nobody there", interrupt=True)
    home.until(held, "idle")
    assert answered(held)[1] == {"subtype": "error", "request_id": request_of(held), "error": "nobody there"}


# -- questions to the user


@pytest.mark.parametrize(
    ("option", "answer"),
    [("1", "red"), (" 2 ", "blue"), ("3", "3"), ("0", "0"), ("green, of course", "green, of course"), ("²", "²"),
     ("two\nlines", "two\nlines"), ("9" * 5000, "9" * 5000)],
    ids=str,
)  # fmt: skip
def test_a_question_is_answered_with_a_number_or_with_any_text(home: Home, option: str, answer: str) -> None:
    held = home.scripted(s.asks("r-1", "AskUserQuestion", questions=QUESTIONS[:1]))
    allow(home.where, ask(home, held).id, option=option)
    assert answered(held)[0]["response"] == {
        "behavior": "allow", "updatedInput": {"questions": QUESTIONS[:1], "answers": {"Which colour?": answer}},
    }  # fmt: skip


def test_several_questions_are_answered_line_by_line(home: Home) -> None:
    held = home.scripted(s.asks("r-1", "AskUserQuestion", questions=QUESTIONS))
    allow(home.where, ask(home, held).id, option="2\nvery large")
    assert answered(held)[0]["response"]["updatedInput"]["answers"] == {
        "Which colour?": "blue", "Which size?": "very large",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("option", [None, "", "  ", "\n", "1\n", "\n1", "1\n2\n1"])
def test_each_question_wants_its_answer(count: int, option: str | None) -> None:
    if count == 1 and option is not None and option.strip():
        assert answers({"questions": QUESTIONS[:1]}, option)
        return
    with pytest.raises(ConfigError, match=f"asks {count} question.s., and wants an answer to each"):
        answers({"questions": QUESTIONS[:count]}, option)


@pytest.mark.parametrize("asked", [{}, {"questions": None}, {"questions": {}}, {"questions": 3}, {"questions": ["x"]}])
def test_a_question_without_questions_cannot_be_answered(asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="asks 0 question"):
        answers(asked, "1")


@pytest.mark.parametrize("options", [None, 3, {"a": 1}, ["red"], [None, {"label": "red"}], [{}]])
def test_options_of_any_kind_are_lived_with(options: object) -> None:
    found = answers({"questions": [{"question": "Which?", "options": options}]}, "1")
    assert found == {"Which?": {"[None, {'label': 'red'}]": "red", "[{}]": ""}.get(str(options), "1")}


def test_answers_may_be_given_as_they_are_to_be_handed_on(home: Home) -> None:
    held = home.scripted(s.asks("r-1", "AskUserQuestion", questions=QUESTIONS))
    allow(home.where, ask(home, held).id, changed='{"questions": [], "answers": {"a": "b"}}')
    assert answered(held)[0]["response"]["updatedInput"] == {"questions": [], "answers": {"a": "b"}}


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("1,3", "red, green"), (" 2 ", "blue"), ("1, 2 ,3", "red, blue, green"), ("1,4", "1,4"), ("red,2", "red,2")],
)
def test_several_may_be_chosen_where_that_is_allowed(typed: str, answer: str) -> None:
    options = [{"label": "red"}, {"label": "blue"}, {"label": "green"}]
    question = {"question": "Which?", "options": options, "multiSelect": True}
    assert answers({"questions": [question]}, typed) == {"Which?": answer}
    single = answers({"questions": [{**question, "multiSelect": False}]}, "1,3")
    assert single == {"Which?": "1,3"}
