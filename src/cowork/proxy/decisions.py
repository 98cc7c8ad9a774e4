"""The log of decisions: one line each, the same one at most once a minute, and never more than a log can take."""

from __future__ import annotations

import time
from collections.abc import Callable

_PERIOD = 60.0
"""Seconds in which a decision is logged once."""
_LINES = 1000
"""Lines a period at most: a program inside could ask for a million names."""
_REMEMBERED = 4096
_MAX_NAME = 255


def printable(text: str) -> str:
    """At most 255 characters, all of them printable ASCII."""
    return text[:_MAX_NAME].encode("unicode_escape").decode()[:_MAX_NAME]


class Decisions:
    """Writes ``allowed CONNECT api.example.com:443``, ``denied DNS evil.com: not in allowedDomains`` and the like."""

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._seen: dict[tuple[str, str, str], list[float]] = {}
        """Decision: when it was logged, and how often it was made since then."""
        self._since = clock()
        self._lines = 0
        self._swallowed = 0

    def __call__(self, outcome: str, how: str, where: str, reason: str = "") -> None:
        """``outcome``: allowed, denied or failed; ``how``: CONNECT, HTTP, …; ``where``: host and port."""
        now = self._clock()
        where = printable(where)
        key = (outcome, how, where)
        seen = self._seen.get(key)
        if seen is not None and now - seen[0] < _PERIOD:
            seen[1] += 1
            return
        repeats = int(seen[1]) if seen is not None else 0
        self._seen.pop(key, None)
        self._seen[key] = [now, 0]
        if len(self._seen) > _REMEMBERED:
            self._forget(next(iter(self._seen)), now)
        text = f"{outcome} {how} {where}" + (f": {printable(reason)}" if reason else "")
        self._write(text + (f" (and {repeats} times before)" if repeats else ""), now)

    def close(self) -> None:
        """Tell the repeats that nobody has heard of."""
        for key in list(self._seen):
            self._forget(key, self._clock())
        self._report_swallowed()

    def _forget(self, key: tuple[str, str, str], now: float) -> None:
        _, repeats = self._seen.pop(key)
        if repeats:
            self._write(" ".join(key) + f" (and {int(repeats)} times more)", now)

    def _write(self, line: str, now: float) -> None:
        if now - self._since >= _PERIOD:
            self._report_swallowed()
            self._since, self._lines = now, 0
        self._lines += 1
        if self._lines > _LINES:
            self._swallowed += 1
        else:
            self._log(line)

    def _report_swallowed(self) -> None:
        if self._swallowed:
            self._log(f"{self._swallowed} more decisions in a minute were not logged")
            self._swallowed = 0
