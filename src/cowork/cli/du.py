"""``cowork du``: what sessions take on the disk."""

from __future__ import annotations

import click

from cowork import paths
from cowork.cli import output
from cowork.cli.names import session_argument
from cowork.sessions.directory import list_sessions
from cowork.supervisor.find import find_all
from cowork.supervisor.overview import view
from cowork.supervisor.removal import usage


@click.command("du")
@session_argument(required=False, nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(session: tuple[str, ...], as_json: bool) -> int:
    """Show what SESSIONs (all, if none is named) take on the disk, the largest first."""
    where = paths.resolve()
    directories = find_all(where, session) if session else list(list_sessions(where.sessions))
    with output.progress("adding up"):
        seen = [view(directory, where.runtime).overview for directory in directories]
        used = [usage(where, directory, one) for directory, one in zip(directories, seen, strict=True)]
    every = sorted(zip(seen, used, strict=True), key=lambda pair: -sum(pair[1]))
    if as_json:
        sessions = [{"id": one.id, "name": one.name, "state": one.state, **use._asdict()} for one, use in every]
        output.json_line({"v": 1, "total": sum(map(sum, used)), "sessions": sessions})
        return 0
    rows = [(one.id, one.name, one.state, *map(output.size, (*use, sum(use)))) for one, use in every]
    output.table(("ID", "NAME", "STATE", "OUTPUT", "HOME", "WORKTREE", "ALL"), rows)
    output.note(f"{output.size(sum(map(sum, used)))} in {len(rows)} session{'' if len(rows) == 1 else 's'}")
    return 0
