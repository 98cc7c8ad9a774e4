"""The escalation ladder: what is sent when, and which request wins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.holder.ladder import MAX_AFTER, Ladder, Step, parse


class Sent(list[tuple[int, str]]):
    """Collects what was sent; ``answer`` is whether anybody was there."""

    answer = True

    def __call__(self, step: Step) -> bool:
        self.append((step.signal, step.to))
        return self.answer


def test_parse_fills_in_what_is_missing() -> None:
    assert parse([{"signal": 15}, {"after": 5, "signal": 9, "to": "tree"}]) == [
        Step(0.0, 15, "group"), Step(5.0, 9, "tree"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "steps",
    [
        None, {}, [], "x", [None], [[]], [{}], [{"signal": "TERM"}], [{"signal": -1}], [{"signal": 65}],
        [{"signal": 1.0}], [{"signal": 9, "to": "world"}], [{"signal": 9, "to": None}], [{"signal": 9, "after": -0.1}],
        [{"signal": 9, "after": "5"}], [{"signal": 9, "after": float("nan")}], [{"signal": 9, "after": float("inf")}],
        [{"signal": 9, "after": MAX_AFTER + 1}], [{"signal": 9}, {"signal": None}],
    ],
)  # fmt: skip
def test_parse_refuses_the_rest(steps: Any) -> None:
    with pytest.raises(ValueError, match="steps: "):
        parse(steps)


def test_what_is_due_is_sent_at_once_and_the_rest_in_time() -> None:
    sent = Sent()
    ladder = Ladder(sent)
    assert ladder.request([Step(0, 2, "leader"), Step(3, 15, "group"), Step(5, 9, "tree")], now=100)
    assert sent == [(2, "leader")]
    assert ladder.deadline == 103
    ladder.run(102.9)
    assert len(sent) == 1
    ladder.run(103)
    assert sent[1:] == [(15, "group")]
    assert ladder.deadline == 108
    ladder.run(1000)
    assert sent[2:] == [(9, "tree")]
    assert not ladder.deadline


def test_the_answer_is_that_of_the_first_step() -> None:
    sent = Sent()
    sent.answer = False
    assert not Ladder(sent).request([Step(0, 15, "group"), Step(0, 9, "tree")], now=0)
    sent.answer = True
    assert not Ladder(sent).request([Step(1, 15, "group")], now=0)


def test_a_request_that_ends_later_does_not_take_back_the_kill() -> None:
    sent = Sent()
    ladder = Ladder(sent)
    ladder.request([Step(0, 15, "group"), Step(5, 9, "tree")], now=0)
    ladder.request([Step(0, 2, "group"), Step(5, 9, "tree")], now=1)
    assert ladder.deadline == 5
    ladder.request([Step(0, 10, "group")], now=2)
    assert ladder.deadline == 5


def test_a_request_that_ends_sooner_replaces_the_older() -> None:
    sent = Sent()
    ladder = Ladder(sent)
    ladder.request([Step(0, 15, "group"), Step(5, 9, "tree")], now=0)
    ladder.request([Step(0, 15, "group"), Step(1, 9, "tree")], now=1)
    assert ladder.deadline == 2
    ladder.run(10)
    assert sent == [(15, "group"), (15, "group"), (9, "tree")]


def test_nothing_is_sent_after_cancel() -> None:
    sent = Sent()
    ladder = Ladder(sent)
    ladder.request([Step(1, 9, "tree")], now=0)
    ladder.cancel()
    ladder.run(10)
    assert (sent, ladder.deadline) == ([], None)


TIMES = st.floats(0, 10)
REQUESTS = st.lists(st.tuples(TIMES, st.lists(TIMES, max_size=3)), max_size=6)


@given(REQUESTS)
def test_the_last_resort_never_comes_later_than_promised(requests: list[tuple[float, list[float]]]) -> None:
    """Every ladder here ends with KILL; the first one is sent when the soonest promise is due."""
    at: list[float] = []
    now = 0.0

    def send(step: Step) -> bool:
        if step.signal == 9:
            at.append(now)
        return True

    ladder = Ladder(send)
    promised: list[float] = []
    for pause, steps in requests:
        end = now + pause
        while (due := ladder.deadline) is not None and due <= end:
            now = due
            ladder.run(now)
        now = end
        ladder.request([*(Step(after, 15, "group") for after in steps), Step(0.5, 9, "tree")], now)
        promised.append(now + sum(steps) + 0.5)
    while (due := ladder.deadline) is not None:
        now = due
        ladder.run(now)
    if promised:
        assert at[0] == pytest.approx(min(promised))
