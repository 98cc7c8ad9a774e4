"""``cowork ps``: the sessions on this host, whoever started them; no daemon needed."""

from __future__ import annotations

import shlex

import click

from cowork import paths
from cowork.cli import output
from cowork.sessions.overview import SessionOverview, look

HEADERS = ("ID", "NAME", "STATE", "BACKEND", "ISOLATION", "NETWORK", "AGE", "COMMAND")
_WIDTH = 60


@click.command("ps")
@click.option("-a", "--all", "everything", is_flag=True, help="Ended sessions, too.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(everything: bool, quiet: bool, as_json: bool) -> int:
    """List sessions: the running ones, or all."""
    where = paths.resolve()
    found = [s for s in look(where.sessions, where.runtime) if everything or s.state != "ended"]
    if as_json:
        output.json_line({"v": 1, "sessions": found})
    elif quiet:
        for session in found:
            click.echo(session.id)
    else:
        output.table(HEADERS, [_row(s) for s in found])
    return 0


def _row(s: SessionOverview) -> tuple[str, ...]:
    command_line = shlex.join(s.argv) if s.argv else s.detail
    if len(command_line) > _WIDTH:
        command_line = command_line[: _WIDTH - 1] + "…"
    return (s.id, s.name, state_of(s), s.backend, isolation_of(s), s.network, output.age(s.created), command_line)


def isolation_of(s: SessionOverview) -> str:
    """What separates it from the host, and where that falls short."""
    notes = (["ro not enforced"] if s.unenforced else []) + s.weaker
    return f"{s.isolation} ({'; '.join(notes)})" if notes else s.isolation


def state_of(s: SessionOverview) -> str:
    """The state with what matters most about it."""
    if s.state == "ended":
        return f"ended ({s.signal or s.exit_code})"
    if s.output in ("full", "disk full"):
        return f"{s.state} (held back: {'nobody reads' if s.output == 'full' else s.output})"
    return s.state
