"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from types import FrameType

from bench import machine, report
from bench.daemon import OURS, Spec, ours
from bench.harness import Harness
from bench.run import Report, rounds
from bench.section import Section
from bench.sections import SECTIONS

EPILOG = """{sock}, {dir} and {python} are substituted in COMMAND and VALUE: the socket to listen on, the daemon's
private directory (HOME and the XDG directories are inside it) and this interpreter. --daemon cowork=COMMAND
replaces this repository's daemon. Exit status: 0; 1 when the first daemon (cowork) lost, repeated, altered or
reordered something or a section could not be measured on it; 2 for wrong usage. Figures that fall short of a
goal do not change it."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    names = ", ".join(section.name for section in SECTIONS)
    out = argparse.ArgumentParser(
        "python -m bench",
        description=f"Measure the Cowork daemon beside a raw echo process and beside other daemons. Sections: {names}.",
        epilog=EPILOG,
    )
    out.add_argument("--daemon", action="append", default=[], metavar="NAME=COMMAND", help="measure another daemon too")
    out.add_argument("--env", action="append", default=[], metavar="NAME:KEY=VALUE", help="environment of one daemon")
    out.add_argument("--rounds", type=int, default=3, help="repetitions, of which medians are shown (default 3)")
    out.add_argument("--only", default="", metavar="SECTIONS", help="only these, separated by commas")
    out.add_argument("--skip", default="", metavar="SECTIONS", help="not these")
    out.add_argument("--scale", type=float, default=1.0, help="factor on volumes and counts; 0.1 is a quick look")
    out.add_argument("--json", type=Path, metavar="FILE", help="write all runs and medians")
    out.add_argument("--md", type=Path, metavar="FILE", help="write the table as Markdown")
    out.add_argument(
        "--work",
        default=gettempdir(),
        metavar="DIR",
        help="where the daemons' directories are made (a short path; default %(default)s)",
    )
    out.add_argument("--list", action="store_true", help="say what each section measures, and stop")
    return out


def specs(daemons: Sequence[str], settings: Sequence[str]) -> list[Spec]:
    """Our daemon and those of the options; ValueError says which option is wrong."""
    found = {OURS: ours()}
    for item in daemons:
        name, sign, command = item.partition("=")
        if not (name and sign and command) or "/" in name:
            raise ValueError(f"--daemon {item}: NAME=COMMAND is wanted")
        found[name] = Spec(name, command)
    for item in settings:
        name, _, setting = item.partition(":")
        key, sign, value = setting.partition("=")
        if name not in found or not key or not sign:
            raise ValueError(f"--env {item}: NAME:KEY=VALUE is wanted, NAME being one of {', '.join(found)}")
        found[name].env[key] = value
    return list(found.values())


def chosen(only: str, skip: str) -> list[Section]:
    """The sections to run; ValueError for an unknown name."""
    known = {section.name: section for section in SECTIONS}
    wanted, unwanted = (set(filter(None, part.split(","))) for part in (only, skip))
    if unknown := (wanted | unwanted) - set(known):
        raise ValueError(f"no section {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [s for name, s in known.items() if (not wanted or name in wanted) and name not in unwanted]


@contextmanager
def scratch(work: str, scale: float) -> Iterator[Harness]:
    """A harness whose directories are removed afterwards; SIGINT and SIGTERM leave through here."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    shm = "/dev/shm" if Path("/dev/shm").is_dir() else work
    with (
        TemporaryDirectory(prefix="cb-", dir=work, ignore_cleanup_errors=True) as directory,
        TemporaryDirectory(prefix="cb-", dir=shm, ignore_cleanup_errors=True) as data,
    ):
        yield Harness(Path(directory), Path(data), scale)


def save(found: Report, names: Sequence[str], heading: report.Heading, options: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if options.json:
        options.json.write_text(json.dumps(report.document(found, heading), indent=1) + "\n")
    if options.md:
        options.md.write_text(report.markdown(found, names, heading))


def main(argv: Sequence[str] | None = None, say: Callable[[str], None] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    options = parser().parse_args(argv)
    if options.list:
        for section in SECTIONS:
            print(f"{section.name:14}  {section.what}")
        return 0
    try:
        daemons, sections = specs(options.daemon, options.env), chosen(options.only, options.skip)
        if options.rounds < 1 or not 0 < options.scale <= 4:
            raise ValueError("--rounds must be at least 1, --scale above 0 and at most 4")
    except ValueError as e:
        print(f"bench: {e}", file=sys.stderr)
        return 2
    names = [spec.name for spec in daemons]
    heading = report.Heading(
        time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        machine.description(),
        options.rounds,
        options.scale,
        names[0],
        {spec.name: spec.command for spec in daemons},
    )
    tell = say or (lambda line: print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True))
    found: Report = {}
    with scratch(options.work, options.scale) as harness:
        _ = harness.sink  # its pages exist before anything is timed
        for found in rounds(harness, sections, daemons, options.rounds, tell):
            save(found, names, heading, options)
    print(report.text(found, names, heading))
    return 0 if report.is_correct(found, heading.judged) else 1
