"""``cowork rm``: remove sessions that have ended."""

from __future__ import annotations

import shlex
import signal

import click

from cowork import paths
from cowork.cli import output
from cowork.cli.names import session_argument
from cowork.errors import CoworkError
from cowork.supervisor import ending
from cowork.supervisor.find import find_all
from cowork.supervisor.removal import Removed, remove


@click.command("rm")
@session_argument(nargs=-1)
@click.option("-f", "--force", is_flag=True, help="End those that run first.")
@click.option("--discard", is_flag=True, help="Also worktrees with changes, and what nobody has been told yet.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(session: tuple[str, ...], force: bool, discard: bool, as_json: bool) -> int:
    """Remove SESSIONs: what they printed and how they ended.

    A worktree goes with its session only if nothing would be lost: no change, no new file, no commit that is nowhere
    else. Otherwise it stays where it is, and what is in it is said.
    """
    where = paths.resolve()
    removed, refused = [], 0
    for directory in find_all(where, session):
        try:
            if force:
                with output.progress(f"ending {directory.id}"):
                    ending.send(directory, where.runtime, signal.SIGTERM)
            removed.append(remove(where, directory, discard=discard))
        except (CoworkError, OSError) as e:
            refused = max(refused, e.exit_status if isinstance(e, CoworkError) else 1)
            output.note(output.reason(e))
    report(removed, as_json=as_json)
    return refused


def report(removed: list[Removed], *, as_json: bool) -> None:
    """Say what is gone, and what is kept and why."""
    if as_json:
        output.json_line({"v": 1, "removed": [one._asdict() for one in removed]})
        return
    for one in removed:
        click.echo(one.id)
        if one.kept:
            tree = shlex.quote(one.kept)
            discarding = f"git -C {tree} worktree remove --force {tree}"
            output.note(f"its worktree is kept: {'; '.join(one.reasons)} ({discarding})")
