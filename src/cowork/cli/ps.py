"""``cowork ps``: the sessions on this host, whoever started them; no daemon needed."""

from __future__ import annotations

import os
import shlex
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cowork import paths
from cowork.cli import output
from cowork.supervisor.overview import SessionOverview, look
from cowork.supervisor.wording import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.live import Live

    from cowork.paths import Paths
    from cowork.supervisor.agents import Agent

HEADERS = ("ID", "NAME", "STATE", "BACKEND", "ISOLATION", "AGE", "LAST", "TURNS", "COST", "WHAT")
_WIDTH = 60
_LOOK_AGAIN = 5.0
"""Seconds after which ``--watch`` looks though nothing has been heard."""


@click.command("ps")
@click.option("-a", "--all", "everything", is_flag=True, help="Also ended ones, and those of claude's own agents.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
@click.option("--watch", is_flag=True, help="Go on showing them; with --json an object for every change.")
def command(everything: bool, quiet: bool, as_json: bool, watch: bool) -> int:
    """List sessions: those that run, or all.

    A session is starting, working, blocked (it asks something: cowork approvals), idle (it waits for the next message:
    cowork send), done, failed or stopped.
    """
    where = paths.resolve()
    listing = Listing(where, everything=everything)
    with output.progress("looking at sessions"):
        listing.look()
    if watch:
        return _watch(listing, quiet=quiet, as_json=as_json)
    if as_json:
        output.json_line(listing.as_json())
    elif quiet:
        for session in listing.sessions:
            click.echo(session.id)
    else:
        output.table(HEADERS, listing.rows())
        _say_what_waits(listing.sessions)
    return 0


class Listing:
    """What ``ps`` shows. With ``everything``: ended sessions, and those of Claude Code's own supervisor."""

    def __init__(self, where: Paths, *, everything: bool) -> None:
        self.where = where
        self.sessions: list[SessionOverview] = []
        self.agents: list[Agent] = []
        self._everything = everything
        self._listed: list[Agent] = []
        self._ask_at = 0.0

    def look(self) -> None:
        """Find out how things are now. Claude Code is not asked each time, since that takes two starts of it."""
        found = look(self.where.sessions, self.where.runtime)
        self.sessions = [s for s in found if self._everything or s.live or s.state == "unreadable"]
        if self._everything:
            from cowork.supervisor.agents import listed

            if time.monotonic() >= self._ask_at:
                self._listed = listed(os.environ)
                self._ask_at = time.monotonic() + _LOOK_AGAIN
            ours = {s.pid for s in found} - {0} | {s.conversation for s in found if s.conversation}
            self.agents = [a for a in self._listed if a.pid not in ours and a.session not in ours]

    def as_json(self) -> dict[str, object]:
        """The object of ``--json``."""
        agents = {"agents": self.agents} if self._everything else {}
        return {"v": 1, "sessions": self.sessions, **agents}

    def rows(self) -> list[tuple[str, ...]]:
        """Those of the table."""
        return [*map(row, self.sessions), *map(_agent_row, self.agents)]

    def news(self) -> object:
        """What is another when something has changed, beside the time."""
        return [(s.id, s.state, s.detail, s.turns) for s in self.sessions], self.agents


def row(s: SessionOverview) -> tuple[str, ...]:
    """One session's cells, as ``HEADERS``."""
    cost = "" if s.cost is None else f"${s.cost:.2f}" if s.cost >= 0.01 or not s.cost else f"${s.cost:.4f}"
    turns = str(s.turns) if s.turns else ""
    return (
        s.id, s.name, s.state, s.backend, isolation_of(s), _age(s.created), _age(s.last_event), turns, cost, what(s),
    )  # fmt: skip


def _age(since: float) -> str:
    return output.age(since) if since else ""


def what(s: SessionOverview) -> str:
    """What it waits for, does, or said; else its command line."""
    return shorten(s.detail or (shlex.join(s.argv) if s.argv else ""))


def shorten(text: str) -> str:
    """One harmless line that fits a table."""
    line = " ".join(harmless(text).split())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def isolation_of(s: SessionOverview) -> str:
    """What separates it from the host, and where that falls short."""
    notes = (["ro not enforced"] if s.unenforced else []) + s.weaker
    network = [] if s.network in ("", "host") else [f"network: {s.network}"]
    return f"{s.isolation} ({'; '.join(notes + network)})" if notes or network else s.isolation


def _agent_row(a: Agent) -> tuple[str, ...]:
    return (a.id, a.name, a.state or "?", "claude", "none", _age(a.started), "", "", "", shorten(a.detail or a.cwd))


def _say_what_waits(sessions: Sequence[SessionOverview]) -> None:
    waiting = sum(s.prompts for s in sessions)
    if waiting:
        output.hint("cowork approvals", f"# {waiting} question{'s' if waiting > 1 else ''} to answer")


def _watch(listing: Listing, *, quiet: bool, as_json: bool) -> int:
    """Show it anew whenever something has changed, until Ctrl-C: in place on a terminal, else one after another."""
    from cowork.supervisor.watch import Watch

    shown: object = None
    with Watch(listing.where) as watch, _screen(live=not (as_json or quiet) and sys.stdout.isatty()) as screen:
        while True:
            listing.look()  # also the first time: what came before there was a watch is told by nobody
            now = [s.id for s in listing.sessions] if quiet and not as_json else listing.news()
            if screen is not None:
                # Each time, since the times that it shows go on.
                screen.update(output.rich_table(HEADERS, listing.rows(), screen.console.width), refresh=True)
            elif now != shown:
                _print(listing, quiet=quiet, as_json=as_json)
            shown = now
            watch.wait(_LOOK_AGAIN)


def _print(listing: Listing, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        output.json_line(listing.as_json())
    elif quiet:
        click.echo(" ".join(s.id for s in listing.sessions))
    else:
        click.echo(output.plain_table(HEADERS, listing.rows()))


@contextmanager
def _screen(*, live: bool) -> Iterator[Live | None]:
    if not live:
        yield None
        return
    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as display:
        yield display
