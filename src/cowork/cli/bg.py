"""``cowork bg``: start a session in the background and return at once; no daemon needed."""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import CompletionItem

from cowork import paths
from cowork.cli import output
from cowork.errors import ConfigError
from cowork.supervisor import launch, notifier


class CommandBehindDashes(click.Command):
    """Keeps what stands behind ``--`` apart from what stands before it, which click does not."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See ``click.Command``."""
        ctx.meta["command"], ctx.meta["dashes"] = (), "--" in args
        if "--" in args:
            at = args.index("--")
            ctx.meta["command"] = tuple(args[at + 1 :])
            if not ctx.meta["command"] and not ctx.resilient_parsing:
                raise click.UsageError("a command is missing behind --", ctx)
            args = args[:at]
        return super().parse_args(ctx, args)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A prompt is nobody's to complete; a command line consists of files for the most part."""
    return [CompletionItem(incomplete, type="file")] if ctx.meta.get("dashes") else []


@click.command("bg", cls=CommandBehindDashes, options_metavar="[OPTIONS]")
@click.argument("prompt", nargs=-1, metavar="[PROMPT] [-- COMMAND...]", shell_complete=_complete)
@click.option("--name", default="", help="Name of the session; by default the first words of the prompt.")
@click.option("--dir", "folder", type=click.Path(), default=None, help="Folder that it works in; by default this one.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "host", "bwrap"]),
    help="Where it runs; by default what config.toml says, else host.",
)
@click.option("--worktree", is_flag=True, help="In a git worktree of its own, on a branch of its own.")
@click.option("--tty", is_flag=True, help="On a terminal of its own, to be attached to.")
@click.option("--model", help="Model for claude.")
@click.option("--permission-mode", help="Permission mode for claude.")
@click.option("--resume", metavar="CONVERSATION", help="Id of a conversation of claude's to go on with.")
@click.option("--claude-arg", "more", multiple=True, metavar="ARG", help="One more argument for claude; repeatable.")
@click.option("-q", "--quiet", is_flag=True, help="Print the id alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(prompt: tuple[str, ...], quiet: bool, as_json: bool, **options: Any) -> int:
    """Start a session in the background, in this folder and with this environment.

    \b
    cowork bg "fix the failing test"   claude with a prompt; "-": from stdin
    cowork bg --tty                    claude on a terminal, for cowork attach
    cowork bg -- make check            any command

    It goes on when this terminal is closed. cowork ps lists it, wait waits for it, logs shows what it printed, and
    approvals what it asks.
    """
    where = paths.resolve()
    wanted = _wanted(prompt, click.get_current_context().meta["command"], **options)
    with output.progress("starting"):
        started = launch.start(where, wanted, os.environ)
    notifier.ensure(where, os.environ)
    asked = started.record
    for note in (*started.notes, *asked.weaker):
        output.note(note)
    if as_json:
        output.json_line({
            "v": 1, "id": asked.id, "name": asked.name, "backend": asked.backend, "isolation": asked.isolation,
            "network": asked.network, "weaker": asked.weaker, "cwd": asked.cwd, "argv": asked.argv,
            "worktree": asked.worktree, "notes": started.notes,
        })  # fmt: skip
    elif quiet:
        click.echo(asked.id)
    else:
        click.echo(f"{asked.id}  {asked.name}  on {asked.backend} (isolation: {asked.isolation})")
        if asked.worktree is not None:
            click.echo(f"  in {asked.cwd}, branch {asked.worktree.branch}")
        output.hint(f"cowork attach {asked.name}", f"cowork logs -f {asked.name}", f"cowork wait {asked.name}")
    return 0


def _wanted(
    prompt: tuple[str, ...], behind: tuple[str, ...], *, name: str, folder: str | None, backend: str | None,
    worktree: bool, tty: bool, model: str | None, permission_mode: str | None, resume: str | None,
    more: tuple[str, ...],
) -> launch.Wanted:  # fmt: skip
    arguments = [
        f"{flag}={value}"
        for flag, value in (("--model", model), ("--permission-mode", permission_mode), ("--resume", resume))
        if value is not None
    ]
    arguments += more
    if len(prompt) > 1:
        raise ConfigError(
            "a prompt is one argument, and a command stands behind --",
            hint=f'cowork bg "{" ".join(prompt)}", or cowork bg -- {" ".join(prompt)}',
        )
    if behind and (prompt or arguments):
        raise ConfigError("a prompt and options for claude do not go with a command", hint="leave out either")
    if not behind and not prompt and not tty:
        raise ConfigError(
            "nothing to run", hint='cowork bg "prompt", cowork bg --tty for claude itself, or cowork bg -- COMMAND'
        )
    text = prompt[0] if prompt else None
    if text == "-":
        text = output.stdin()
    if text is not None and not text.strip():
        raise ConfigError("the prompt is empty", hint='cowork bg "prompt"')
    return launch.Wanted(
        folder=_folder(folder), prompt=text, command=behind, arguments=tuple(arguments), name=name, backend=backend,
        worktree=worktree, terminal=_size() if tty else None,
    )  # fmt: skip


def _folder(given: str | None) -> str:
    try:
        here = os.getcwd()
    except FileNotFoundError:
        if given is None or not os.path.isabs(given):
            raise ConfigError("this folder has been deleted", hint="cd to another one, or use --dir /path") from None
        return given
    return os.path.join(here, given) if given is not None else here


def _size() -> tuple[int, int]:
    """Rows and columns of the terminal that we are called from; a usual size without one."""
    for fd in (0, 1, 2):
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        if size.lines and size.columns:
            return size.lines, size.columns
    return 24, 80
