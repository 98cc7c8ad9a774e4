"""The command group: verbs are loaded when they are used, since a command line is measured in milliseconds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from cowork import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "bg": "Start a session in the background.",
    "ps": "List sessions, and how they are.",
    "attach": "Connect this terminal to a session.",
    "logs": "Print what a session printed, or what it reached.",
    "send": "Send a message to a session.",
    "wait": "Wait until sessions are done, blocked, idle or ended.",
    "approvals": "Show what sessions ask.",
    "approve": "Allow what a session asks for.",
    "deny": "Forbid what a session asks for.",
    "kill": "End sessions, or send them a signal.",
    "rm": "Remove sessions that have ended.",
    "prune": "Remove all sessions from the shell that have ended.",
    "du": "Show what sessions take on the disk.",
    "serve": "Serve Claude Desktop's Cowork sessions in the foreground.",
    "status": "Tell whether the daemon runs, and how it is.",
    "stop": "End the daemon; sessions go on.",
    "demo": "Show a real session through the Cowork socket, frame by frame.",
    "completion": "Print the completion script for a shell.",
}


class LazyGroup(click.Group):
    """Finds ``cowork.cli.<verb>:command`` by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one verb."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"cowork.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, without loading the verbs."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cowork", message="%(prog)s %(version)s")
def group() -> None:
    """Run and keep Claude Cowork sessions on Linux, with or without KVM."""


def cli(arguments: Sequence[str]) -> int:
    """Run a command line; the exit status. ``CoworkError`` passes through."""
    try:
        result = group.main(args=list(arguments), prog_name="cowork", standalone_mode=False)
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except click.Abort:
        return 130
    except SystemExit as e:
        # Outside standalone mode click ends the process in two cases only: a shell was told how to complete a line,
        # or the reader of our output went away.
        return 141 if e.code else 0
    return result if isinstance(result, int) else 0
