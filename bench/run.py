"""Runs the sections, round by round, the daemons in turn, and keeps what they yield."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

from bench import floor, machine
from bench.daemon import OURS, Spec
from bench.harness import Harness
from bench.result import Figure, Result
from bench.section import Section, ratio_name
from bench.stats import middle

DISTURBED = 0.3
"""CPUs used by others, sampled before a run, from which on the run counts as disturbed."""


class Overrun(Exception):
    """A section took longer than its limit."""


@dataclass
class Run:
    """The results of one section on one daemon, and why runs without a result failed."""

    results: list[Result] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    disturbed: int = 0

    def figures(self) -> dict[str, Figure]:
        """Medians of the rounds."""
        names = dict.fromkeys(name for result in self.results for name in result.figures)
        return {name: middle([r.figures.get(name) for r in self.results]) for name in names}

    def faults(self) -> list[str]:
        """What was not correct in any round, and errors, without repetition."""
        found = [fault for result in self.results for fault in result.faults]
        return list(dict.fromkeys(found + [f"not measured: {error}" for error in self.errors]))


Report = dict[str, dict[str, Run]]
"""Section name -> daemon (or floor) name -> its runs."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Overrun in the block when it lasts longer."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Overrun(f"took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def rounds(
    harness: Harness, sections: Sequence[Section], specs: Sequence[Spec], count: int, say: Callable[[str], None]
) -> Iterator[Report]:
    """Run every section `count` times on every daemon and, where it has one, on the floor.

    Yields the growing report after every section. The daemons change places from round to round.
    """
    report: Report = {section.name: {} for section in sections}
    gc.disable()
    try:
        for number in range(count):
            turn = number % len(specs)
            for section in sections:
                reference = None
                if section.floor is not None:
                    run = report[section.name].setdefault(floor.NAME, Run())
                    reference = one(run, partial(section.floor, harness), section.limit)
                for spec in measured(section, [*specs[turn:], *specs[:turn]]):
                    say(f"round {number + 1} of {count}: {section.name}, {spec.name}")
                    run = report[section.name].setdefault(spec.name, Run())
                    result = one(run, partial(section.measure, harness, spec), section.limit)
                    if result and reference:
                        add_ratios(result, reference, section.ratios)
                yield report
    finally:
        gc.enable()


def measured(section: Section, specs: Sequence[Spec]) -> list[Spec]:
    """The daemons on which a section is measured."""
    return [spec for spec in specs if spec.name == OURS or not section.own]


def one(run: Run, measure: Callable[[], Result], limit: float) -> Result | None:
    """One measurement into `run`; None when it failed, which is noted there."""
    gc.collect()
    run.disturbed += machine.load() > DISTURBED
    try:
        with time_limit(limit):
            result = measure()
    except Exception as e:
        run.errors.append(f"{type(e).__name__}: {e}")
        return None
    run.results.append(result)
    return result


def add_ratios(result: Result, reference: Result, names: Sequence[str]) -> None:
    """Add `result` / `reference` for the named figures, as ..._x_floor."""
    for name in names:
        value, base = result.figures.get(name), reference.figures.get(name)
        if isinstance(value, (int, float)) and isinstance(base, (int, float)) and base:
            result.figures[ratio_name(name)] = value / base
