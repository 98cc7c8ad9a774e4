"""``cowork status``: running, stopped or stale."""

from __future__ import annotations

import click

from cowork import paths
from cowork.cli import output
from cowork.errors import NotRunning
from cowork.linux.lockfile import LockFile
from cowork.service import asking
from cowork.service.control import DaemonStatus
from cowork.service.daemon import holder_of

NOT_RUNNING = 3


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(as_json: bool) -> int:
    """Tell whether the daemon runs, and how it is. Exit status 3 when it does not."""
    where = paths.resolve()
    lock = LockFile(where.lock)
    try:
        found = asking.status(where.control_socket)
    except NotRunning as e:
        state, detail = _why_not(where, lock, e)
        if as_json:
            output.json_line({"v": 1, "state": state, "detail": detail})
        else:
            click.echo(f"{state}: {detail}")
        return NOT_RUNNING
    if as_json:
        output.json_line({"v": 1, "state": "running", "daemon": found})
    else:
        _show(found)
    return 0


def _why_not(where: paths.Paths, lock: LockFile, error: NotRunning) -> tuple[str, str]:
    if lock.held():
        return "stuck", f"{error.message}{holder_of(lock)}"
    if where.control_socket.exists():
        # Nobody has the lock, so nobody can be listening: a daemon was killed.
        where.control_socket.unlink(missing_ok=True)
        return "stale", f"the daemon{holder_of(lock)} was killed; cleaned up"
    return "stopped", "no daemon is running (cowork serve starts one)"


def _show(found: DaemonStatus) -> None:
    click.echo(f"running   pid {found.pid}, version {found.version}, up {output.age(found.started)}")
    click.echo(f"backend   {found.backend} (isolation: {found.isolation})")
    for reason in found.reasons:
        click.echo(f"          not {reason}")
    click.echo(f"machine   {'started' if found.machine else 'not started'}, {found.running} processes")
    click.echo(f"clients   {found.connections} connections, {found.subscribers} subscribers")
    for listener in found.listeners:
        lent = ", lent by a helper" if listener.lent else ""
        click.echo(f"socket    {listener.path} (dialect {listener.dialect}{lent})")
