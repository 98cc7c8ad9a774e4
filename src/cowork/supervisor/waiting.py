"""Waiting until sessions are where somebody wants them to be."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from cowork.supervisor.overview import ENDED, view
from cowork.supervisor.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cowork.paths import Paths
    from cowork.sessions.directory import SessionDirectory
    from cowork.supervisor.overview import SessionOverview

Goal: TypeAlias = str
GOALS = ("done", "blocked", "idle", "exit")
"""What can be waited for: its work is done, it waits for an answer, it waits for the next message, it has ended."""
LOOK_AGAIN = 10.0
"""Seconds after which all are looked at, news or not: that a start was cut short is told by nobody."""


class Outcome(Enum):
    """Whether waiting has come to an end."""

    REACHED = "reached"
    NOT_YET = "not yet"
    BLOCKED = "blocked"
    """It waits for an answer itself."""
    NEVER = "never"
    """It has ended, or its turn failed, without getting there."""


def judge(seen: SessionOverview, goal: Goal) -> Outcome:
    """Where a session stands against what is waited for."""
    if goal == "exit" and seen.state in ENDED:
        return Outcome.REACHED
    if goal == "done" and seen.settled:
        return Outcome.REACHED
    if goal == seen.state:
        return Outcome.REACHED
    if not seen.live:
        return Outcome.NEVER
    if seen.state == "blocked":
        return Outcome.BLOCKED
    if goal == "done" and seen.state == "idle" and seen.failure and not seen.tasks:
        return Outcome.NEVER
    return Outcome.NOT_YET


def wait(
    where: Paths, sessions: Sequence[SessionDirectory], goal: Goal, *, patience: float | None = None,
    through_blocks: bool = False, on_change: Callable[[SessionOverview], object] = lambda seen: None,
) -> list[tuple[SessionOverview, Outcome]]:  # fmt: skip
    """Wait until each of them has reached the goal or will not; in their order, with how each ended up.

    ``patience``: seconds, after which those that are not there yet are said to be so. ``through_blocks``: go on waiting
    for one that waits for an answer itself, since somebody may give it; otherwise it counts as an end.
    """
    deadline = None if patience is None else time.monotonic() + patience
    found: dict[str, tuple[SessionOverview, Outcome]] = {}
    with Watch(where, [directory.id for directory in sessions]) as watch:
        due = {directory.id for directory in sessions}
        while True:
            for directory in sessions:
                if directory.id in due:
                    seen = view(directory, where.runtime).overview
                    outcome = judge(seen, goal)
                    if outcome is Outcome.BLOCKED and through_blocks:
                        outcome = Outcome.NOT_YET
                    if directory.id not in found or found[directory.id][0].state != seen.state:
                        on_change(seen)
                    found[directory.id] = seen, outcome
            open_ = {one for one, (_, outcome) in found.items() if outcome is Outcome.NOT_YET}
            left = None if deadline is None else deadline - time.monotonic()
            if not open_ or (left is not None and left <= 0):
                return [found[directory.id] for directory in sessions]
            news = watch.wait(LOOK_AGAIN if left is None else min(left, LOOK_AGAIN))
            due = news & open_ if news else open_
