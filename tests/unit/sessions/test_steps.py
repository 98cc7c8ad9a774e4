"""Signals by name and number, and the ladders that follow from them."""

from __future__ import annotations

import signal

import pytest

from cowork.holder import ladder
from cowork.sessions.record import SessionRecord
from cowork.sessions.steps import UnknownSignal, converses, for_signal, parse_signal, speaks_stream_json


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("", 15), ("TERM", 15), ("SIGTERM", 15), ("term", 15), ("sigterm", 15), ("SigTerm", 15), ("15", 15), (15, 15),
        ("KILL", 9), ("9", 9), ("INT", 2), ("HUP", 1), ("QUIT", 3), ("USR1", 10), ("STOP", 19), ("CONT", 18),
        ("CLD", 17), ("RTMIN", 34), ("64", 64), (64, 64), (1, 1), ("40", 40),
    ],
)  # fmt: skip
def test_what_names_a_signal(value: str | int, number: int) -> None:
    assert parse_signal(value) == number


@pytest.mark.parametrize(
    "value", ["SIG", "FOO", "SIGFOO", " TERM", "SIGSIGTERM", "0", 0, -1, "-1", 65, "65", "9999", "1.5", "²", "SIG_DFL"]
)
def test_what_names_none(value: str | int) -> None:
    with pytest.raises(UnknownSignal, match="unknown signal: "):
        parse_signal(value)


def shape(number: int, *, interrupt_first: bool = False) -> list[tuple[float, int, str]]:
    steps = ladder.parse(for_signal(number, interrupt_first=interrupt_first))
    return [(step.after, step.signal, step.to) for step in steps]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_polite_signals_escalate(number: int) -> None:
    assert shape(number) == [(0, number, "group"), (5, 9, "tree")]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGCONT, signal.SIGSTOP, signal.SIGWINCH, 40])
def test_others_do_not(number: int) -> None:
    assert shape(number) == [(0, number, "group")]


def test_kill_reaches_everything() -> None:
    assert shape(signal.SIGKILL) == [(0, 9, "tree")]


def test_term_for_a_stream_json_claude_is_an_interrupt_first() -> None:
    assert shape(signal.SIGTERM, interrupt_first=True) == [(0, 2, "leader"), (3, 15, "group"), (5, 9, "tree")]
    assert shape(signal.SIGINT, interrupt_first=True) == shape(signal.SIGINT)
    assert shape(signal.SIGKILL, interrupt_first=True) == [(0, 9, "tree")]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["claude", "--output-format", "stream-json"], True),
        (["/usr/bin/claude", "-p", "--output-format=stream-json"], True),
        (["claude", "--output-format", "json"], False),
        (["claude", "--output-format"], False),
        (["claude", "stream-json"], False),
        (["claude"], False),
        (["/opt/claude/node", "--output-format", "stream-json"], False),
        (["claude-code", "--output-format", "stream-json"], False),
        ([], False),
    ],
)
def test_speaks_stream_json(argv: list[str], expected: bool) -> None:
    assert speaks_stream_json(argv) is expected


def test_a_conversation_is_no_terminal() -> None:
    argv = ["claude", "--output-format=stream-json"]
    assert converses(SessionRecord(id="a", kind="shell", name="n", argv=argv))
    assert not converses(SessionRecord(id="a", kind="shell", name="n", argv=argv, terminal=True))
    assert not converses(SessionRecord(id="a", kind="shell", name="n", argv=["claude"]))
