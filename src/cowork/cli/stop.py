"""``cowork stop``: end the daemon. The sessions are held by their holders and go on."""

from __future__ import annotations

import os
import signal

import click

from cowork import paths
from cowork.errors import NotRunning
from cowork.linux.lockfile import LockFile
from cowork.service import background
from cowork.supervisor.overview import look


@click.command("stop")
def command() -> int:
    """End the daemon; sessions go on and are taken over by the next one. Exit status 3 when none runs."""
    where = paths.resolve()
    pid = background.running_pid(where)
    if pid is None:
        raise NotRunning("no daemon is running")
    try:
        # A descriptor of the process, checked against the lock after it was opened: the pid cannot be another's.
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise NotRunning("no daemon is running") from None
    try:
        if background.running_pid(where) == pid:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        LockFile(where.lock).wait_until_free()
    finally:
        os.close(pidfd)
    running = sum(1 for s in look(where.sessions, where.runtime) if s.live)
    go_on = "1 session goes on" if running == 1 else f"{running} sessions go on"
    click.echo(f"stopped daemon {pid}" + (f"; {go_on} (cowork ps)" if running else ""))
    return 0
