"""``cowork attach``: this terminal becomes a session's; no daemon needed."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from cowork import config, paths
from cowork.cli import keys, output
from cowork.cli.names import session_argument
from cowork.errors import ConfigError, NotRunning
from cowork.sessions.record import SHELL, ExitRecord
from cowork.sessions.steps import converses, parse_signal
from cowork.supervisor.find import find

if TYPE_CHECKING:
    from cowork.sessions.directory import SessionDirectory

_DYING = 5.0
"""Seconds that a process may take to die."""


@click.command("attach")
@session_argument()
@click.option("-r", "--read-only", is_flag=True, help="Look on: nothing that is typed gets there, nor this one's size.")
@click.option("--detach-keys", metavar="KEYS", help=r'Such as "ctrl-p,ctrl-q"; otherwise ctrl-\ d.')
def command(session: str, read_only: bool, detach_keys: str | None) -> int:
    r"""Connect this terminal to SESSION; several terminals can be connected to one.

    A program on a terminal of its own (cowork bg --tty) is shown as it stands and goes on, in this terminal's size;
    Ctrl-\ d lets go of it. A claude that was started with a prompt is shown as a conversation, with a line to type the
    next message in; Ctrl-C interrupts its turn, Ctrl-D lets go.

    The exit status is the session's when it ends (128+n for signal n), and 0 when it was let go of.
    """
    where = paths.resolve()
    directory = find(where, session)
    asked = directory.record()
    wanted = keys.parse(detach_keys or config.load(os.environ).attach.detach_keys)
    if directory.exit() is not None:
        raise NotRunning(f"session {directory.id} has ended", hint=f"cowork logs {directory.id}")
    read_only = read_only or asked.kind != SHELL
    if asked.terminal:
        from cowork.cli.terminal import attach

        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ConfigError("attach needs a terminal", hint=f"cowork logs -f {directory.id}")
        over = attach(directory, where.runtime, wanted, read_only=read_only)
    elif converses(asked):
        from cowork.cli.chat import attach as chat

        over = chat(where, directory, wanted, read_only=read_only)
    else:
        from cowork.cli.plain import attach as plain

        over = plain(directory, where.runtime, read_only=read_only)
    if not over:
        output.note(f"let go of {asked.name}, which goes on (cowork attach {asked.name})")
        return 0
    from cowork.supervisor.overview import ended_state

    ended = end_of(directory, where)
    state, detail = ended_state(ended, directory.stop())
    output.note(f"{asked.name} is {state}" + (f": {detail}" if detail else ""))
    return exit_status(ended)


def end_of(directory: SessionDirectory, where: paths.Paths) -> ExitRecord:
    """How a session ended whose holder has said goodbye, or has been killed."""
    from cowork.supervisor.overview import view

    deadline = time.monotonic() + _DYING
    while (ended := directory.exit()) is None:
        view(directory, where.runtime)  # whoever looks at a session whose holder was killed writes that down
        if time.monotonic() > deadline:
            return ExitRecord(lost=True)
        time.sleep(0.02)  # its connections are closed before it is dead
    return ended


def exit_status(ended: ExitRecord) -> int:
    """A session's end as the status of a command: its exit code, or 128+n for signal n."""
    if ended.signal:
        return 128 + parse_signal(ended.signal)
    return ended.exit_code if ended.exit_code >= 0 else 1
