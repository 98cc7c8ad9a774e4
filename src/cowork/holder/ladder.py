"""The escalation ladder: signals that a client asked for, each after the one before was given its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

TARGETS = ("leader", "group", "tree")
MAX_AFTER = 24 * 3600.0
"""Seconds; what is longer cannot be meant, and the kernel's timers do not take everything."""


class Step(NamedTuple):
    """``signal`` to ``to``, ``after`` seconds after the step before (or after the request)."""

    after: float
    signal: int
    to: str


def parse(steps: object) -> list[Step]:
    """Steps as they came in SIGNAL.

    Raises:
        ValueError: anything but a non-empty list of valid steps.
    """
    if not isinstance(steps, list) or not steps:
        raise ValueError("steps: a non-empty list is needed")
    out = []
    for raw in steps:
        if not isinstance(raw, dict):
            raise ValueError("steps: each is an object")
        after, number, to = raw.get("after", 0), raw.get("signal"), raw.get("to", "group")
        if not isinstance(number, int) or not 0 <= number <= 64 or to not in TARGETS:
            raise ValueError(f"steps: no signal {number!r} to {to!r}")
        if not isinstance(after, (int, float)) or not 0 <= after <= MAX_AFTER:  # false for NaN, too
            raise ValueError(f"steps: after {after!r}")
        out.append(Step(float(after), number, to))
    return out


class Ladder:
    """Runs one ladder at a time; a newer request replaces what is left of an older one only if it ends sooner.

    A second, gentler request must not take back the KILL that the first one promised.
    """

    def __init__(self, send: Callable[[Step], bool]) -> None:
        self._send = send
        self._pending: list[tuple[float, Step]] = []

    @property
    def deadline(self) -> float | None:
        """When the next step is due (monotonic seconds), None without one."""
        return self._pending[0][0] if self._pending else None

    def request(self, steps: list[Step], now: float) -> bool:
        """Send the first steps that are due now, schedule the rest; True if the first reached anybody."""
        due = now
        later = []
        sent = False
        for number, step in enumerate(steps):
            due += step.after
            if due <= now:
                result = self._send(step)
                sent = result if number == 0 else sent
            else:
                later.append((due, step))
        if later and (not self._pending or later[-1][0] <= self._pending[-1][0]):
            self._pending = later
        return sent

    def run(self, now: float) -> None:
        """Send what is due."""
        while self._pending and self._pending[0][0] <= now:
            _, step = self._pending.pop(0)
            self._send(step)

    def cancel(self) -> None:
        """The leader has ended: the rest is the clean-up's."""
        self._pending.clear()
