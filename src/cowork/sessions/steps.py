"""The escalation ladders that kill and stop use, as data for the holder (holder/ladder.py)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, TypeAlias

from cowork.errors import CoworkError

if TYPE_CHECKING:
    from cowork.sessions.record import SessionRecord

Steps: TypeAlias = list[dict[str, int | float | str]]

ESCALATE_AFTER = 5.0
"""Seconds from a polite signal to SIGKILL."""
INTERRUPT_TIME = 3.0
"""Seconds that a stream-json ``claude`` gets to end its turn after SIGINT."""
POLITE = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


class UnknownSignal(CoworkError):
    """No signal of that name or number."""


def parse_signal(value: str | int) -> int:
    """A signal's number from its name (with or without SIG, any case), its number, or its number as text.

    Empty means SIGTERM.

    Raises:
        UnknownSignal: there is no such signal.
    """
    if value == "":
        return signal.SIGTERM
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4:
        value = int(value)
    if isinstance(value, int):
        if 1 <= value <= signal.NSIG - 1:
            return value
    else:
        name = value.upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        if name in signal.Signals.__members__:
            return int(signal.Signals[name])
    raise UnknownSignal(f"unknown signal: {value}", hint="a name such as TERM or SIGTERM, or a number from 1 to 64")


def for_signal(number: int, *, interrupt_first: bool = False) -> Steps:
    """The ladder for a signal that a client asked for.

    Any signal goes to the whole process group at once; those that politely ask to end are followed by SIGKILL to
    everything. ``interrupt_first``, for SIGTERM to a stream-json ``claude``: SIGINT to it alone first, since SIGTERM
    in the middle of a tool call truncates the transcript and swallows the result.
    """
    if number == signal.SIGTERM and interrupt_first:
        return [
            {"after": 0, "signal": int(signal.SIGINT), "to": "leader"},
            {"after": INTERRUPT_TIME, "signal": int(signal.SIGTERM), "to": "group"},
            {"after": ESCALATE_AFTER, "signal": int(signal.SIGKILL), "to": "tree"},
        ]
    target = "tree" if number == signal.SIGKILL else "group"
    steps: Steps = [{"after": 0, "signal": number, "to": target}]
    if number in POLITE:
        steps.append({"after": ESCALATE_AFTER, "signal": int(signal.SIGKILL), "to": "tree"})
    return steps


def converses(asked: SessionRecord) -> bool:
    """Whether what a session prints is stream-json, so that it can be shown and answered as a conversation."""
    return not asked.terminal and speaks_stream_json(asked.argv)


def speaks_stream_json(argv: list[str]) -> bool:
    """Whether a command line is a ``claude`` that prints stream-json."""
    if not argv or argv[0].rpartition("/")[2] != "claude":
        return False
    for at, argument in enumerate(argv):
        if argument == "--output-format=stream-json":
            return True
        if argument == "--output-format" and argv[at + 1 : at + 2] == ["stream-json"]:
            return True
    return False
