"""``cowork prune``: remove all sessions from the shell that have ended."""

from __future__ import annotations

import click

from cowork import paths
from cowork.cli import output
from cowork.cli.rm import report
from cowork.errors import CoworkError
from cowork.sessions.directory import list_sessions
from cowork.supervisor.overview import ENDED
from cowork.supervisor.removal import Removed, leftovers, prunable, remove, sweep


@click.command("prune")
@click.option(
    "--older-than",
    type=output.Duration(),
    default=0.0,
    metavar="DURATION",
    help="Only what ended that long ago: 90s, 15m, 2h, 7d.",
)
@click.option("--state", type=click.Choice(sorted(ENDED)), multiple=True, help="Only those in this state; repeatable.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(older_than: float, state: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Remove the sessions from the shell that have ended. Sessions of Claude Desktop are the daemon's to remove.

    As with rm, a worktree stays if anything in it would be lost.
    """
    where = paths.resolve()
    wanted = frozenset(state) or ENDED
    with output.progress("looking at sessions"):
        found = prunable(where, list(list_sessions(where.sessions)), older_than=older_than, states=wanted)
    if dry_run:
        if as_json:
            output.json_line({"v": 1, "wouldRemove": [seen.id for _, seen in found]})
        for _, seen in found if not as_json else ():
            click.echo(f"{seen.id}  {seen.name}  {seen.state}")
        return 0
    removed: list[Removed] = []
    refused: list[CoworkError | OSError] = []
    with output.progress("removing"):
        for directory, _ in found:
            try:
                removed.append(remove(where, directory))
            except (CoworkError, OSError) as e:
                refused.append(e)
        swept = sum(map(sweep, leftovers(where)))
    for error in refused:
        output.note(output.reason(error))
    report(removed, as_json=as_json)
    if not as_json:
        output.note(f"{len(removed)} removed, {output.size(sum(one.freed for one in removed) + swept)} freed")
    return 1 if refused else 0
