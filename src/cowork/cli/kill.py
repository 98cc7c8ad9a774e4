"""``cowork kill``: end sessions, or send them any other signal."""

from __future__ import annotations

import click

from cowork import paths
from cowork.cli import output
from cowork.cli.names import session_argument
from cowork.errors import ConfigError, CoworkError
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import SHELL
from cowork.sessions.steps import parse_signal
from cowork.supervisor import ending
from cowork.supervisor.find import find_all
from cowork.supervisor.overview import look


@click.command("kill")
@session_argument(required=False, nargs=-1)
@click.option("-s", "--signal", "name", default="TERM", show_default=True, help="Name or number of the signal.")
@click.option("--all", "every", is_flag=True, help="Every session that was started from the shell.")
def command(session: tuple[str, ...], name: str, every: bool) -> int:
    """End SESSIONs, and wait until they have ended. Any other signal is sent, and nothing is waited for.

    It goes to the whole process group; TERM, INT, HUP and QUIT are followed by KILL after 5 seconds. A claude with a
    prompt gets INT before TERM, and 3 seconds to end its turn: TERM in the middle of a tool call would cut off what it
    is writing down.
    """
    where = paths.resolve()
    number = parse_signal(name)
    if every == bool(session):
        raise ConfigError("name the sessions, or use --all", hint="cowork ps lists those that run")
    if every:
        running = [s for s in look(where.sessions, where.runtime) if s.live and s.kind == SHELL]
        directories = [SessionDirectory(where.sessions, one.id) for one in running]
    else:
        directories = find_all(where, session)
    with output.progress("waiting for the end"):
        sent = list(ending.send_all(directories, where.runtime, number))
    failed = 0
    for directory, error in sent:
        if error is not None:
            failed += 1
            output.note(output.reason(error))
        else:
            click.echo(directory.id)
    if failed:
        raise CoworkError(f"{failed} of {len(directories)} could not be signalled", hint="cowork ps")
    return 0
