"""When something that has ended is started again, and when it is given up: one policy for all that is kept running.

A state machine that is told how long a run lasted and how it ended; it looks at no clock. Lengths are measured with a
clock that only runs forward (time.monotonic), so a clock that is set does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

BAD_CONFIGURATION = 78
"""Exit status of a program that can never run as it is configured (EX_CONFIG, sysexits.h)."""


class Policy(NamedTuple):
    """Seconds: the first delay, the longest, and how long a run has to last to count as good.

    ``attempts``: after so many runs in a row that were not good it is parked; 0: never.
    """

    first: float
    longest: float
    good: float
    attempts: int


WORKER = Policy(first=2.0, longest=120.0, good=10.0, attempts=5)
"""Of workers."""


class Restarts(msgspec.Struct, omit_defaults=True):
    """What has to be remembered between two runs.

    ``failed``: runs in a row that were not good. ``parked``: why it is not started again, in words; empty if it is.
    """

    failed: int = 0
    parked: str = ""

    def ended(self, policy: Policy, lasted: float, status: int | None) -> float | None:
        """A run of ``lasted`` seconds is over, with exit status ``status`` (None: a signal).

        However it ended, it should not have: what is kept running has no good end.

        Returns:
            seconds until the next run; None if there is none, and ``parked`` says why.
        """
        if status == BAD_CONFIGURATION:
            self.parked = f"exit status {BAD_CONFIGURATION}: it says that its configuration is wrong"
            return None
        if lasted >= policy.good:
            self.failed = 0
            return policy.first
        self.failed += 1
        if policy.attempts and self.failed >= policy.attempts:
            self.parked = f"{self.failed} runs in a row lasted less than {policy.good:g} seconds"
            return None
        # Before the power, which grows without end where nothing is ever parked.
        doublings = min(self.failed - 1, 64)
        return min(policy.first * 2.0**doublings, policy.longest)

    def refused(self, why: str) -> None:
        """It cannot be started at all: trying again would not help."""
        self.parked = why

    def unpark(self) -> None:
        """Somebody wants it to be tried again, as if nothing had been."""
        self.failed = 0
        self.parked = ""
