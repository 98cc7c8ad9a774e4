"""The results as a text table, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.floor import NAME as FLOOR
from bench.result import Figure
from bench.run import Report, Run
from bench.targets import target, verdict

Row = tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """What the report says once."""

    started: str
    machine: str
    rounds: int
    scale: float
    judged: str
    commands: dict[str, str]

    def lines(self) -> list[str]:
        """For the top of a page."""
        scaled = "" if self.scale == 1 else f", volumes x {self.scale:g} (goals are meant for 1)"
        return [
            f"{self.started}, {self.machine}",
            f"{self.rounds} rounds, medians{scaled}",
            *(f"{name}: {command}" for name, command in self.commands.items()),
        ]


def number(value: Figure) -> str:
    """A figure for people: about three digits."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, str):
        return value if len(value) <= 40 else value[:37] + "..."
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def rows(section: str, runs: dict[str, Run], names: Sequence[str], judged: str) -> list[Row]:
    """One row a figure: its name, its value for each of `names`, and how `judged` stands to must and next."""
    figures = {name: runs[name].figures() for name in names if name in runs}
    keys = dict.fromkeys(key for found in figures.values() for key in found)
    out: list[Row] = []
    for key in sorted(keys, key=lambda k: k not in figures.get(judged, {})):
        goal, value = target(section, key), figures.get(judged, {}).get(key)
        marks = (verdict(goal.must, goal.more, value), verdict(goal.next, goal.more, value)) if goal else ("", "")
        out.append(
            (key, *(number(figures.get(n, {}).get(key)) if key in figures.get(n, {}) else "" for n in names), *marks)
        )
    return out


def columns(report: Report, names: Sequence[str]) -> list[str]:
    """The floor, if it was measured, then the daemons."""
    return [FLOOR, *names] if any(FLOOR in runs for runs in report.values()) else list(names)


def text(report: Report, names: Sequence[str], heading: Heading) -> str:
    """An aligned plain-text table of all sections, then everything that was not right."""
    shown = columns(report, names)
    head = ("", *shown, "must", "next")
    table = {section: rows(section, runs, shown, heading.judged) for section, runs in report.items() if runs}
    every = [head, *(row for part in table.values() for row in part)]
    widths = [max(len(row[i]) for row in every) for i in range(len(head))]
    widths[0] = max([widths[0] + 2, *map(len, table)])

    def line(row: Row) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:-2], widths[1:-2], strict=True)]
        cells += [cell.ljust(width) for cell, width in zip(row[-2:], widths[-2:], strict=True)]
        return "  ".join(cells).rstrip()

    out = [*heading.lines(), "", line(head)]
    for section, part in table.items():
        out += [section, *(line(("  " + row[0], *row[1:])) for row in part)]
    return "\n".join([*out, "", *remarks(report, heading.judged)])


def markdown(report: Report, names: Sequence[str], heading: Heading) -> str:
    """The same for a page."""
    shown = columns(report, names)
    out = ["# Benchmark", "", *(f"{line}  " for line in heading.lines()), ""]
    for section, runs in report.items():
        out += [
            f"## {section}",
            "",
            "| | " + " | ".join([*shown, "must", "next"]) + " |",
            "|---|" + "---:|" * len(shown) + "---|---|",
        ]
        for row in rows(section, runs, shown, heading.judged):
            out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        out.append("")
    return "\n".join([*out, *(f"* {line}" for line in remarks(report, heading.judged))]) + "\n"


def remarks(report: Report, judged: str) -> list[str]:
    """What was not correct, by daemon and section, and which figures other load may have spoilt."""
    out = []
    for section, runs in report.items():
        out += [
            f"{'WRONG' if name == judged else 'wrong'}: {name}, {section}: {fault}"
            for name, run in runs.items()
            for fault in run.faults()
        ]
    out = out or ["everything was intact and in order"]
    disturbed = {section: sum(run.disturbed for run in runs.values()) for section, runs in report.items()}
    if any(disturbed.values()):
        spoilt = ", ".join(f"{section} {n}" for section, n in disturbed.items() if n)
        out.append(f"runs with other load on the machine just before them: {spoilt}")
    return out


def is_correct(report: Report, judged: str) -> bool:
    """Whether the judged daemon lost, repeated, altered or reordered nothing and could be measured."""
    return not any(run.faults() for runs in report.values() for name, run in runs.items() if name == judged)


def document(report: Report, heading: Heading) -> dict[str, Any]:
    """Everything, for JSON: the medians and every run."""
    return {
        **asdict(heading),
        "correct": is_correct(report, heading.judged),
        "sections": {
            section: {
                name: {
                    "median": run.figures(),
                    "faults": run.faults(),
                    "errors": run.errors,
                    "disturbed": run.disturbed,
                    "runs": [asdict(r) for r in run.results],
                }
                for name, run in runs.items()
            }
            for section, runs in report.items()
        },
    }
