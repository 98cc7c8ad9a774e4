"""``cowork completion``: the script by which a shell completes verbs, options, sessions and questions."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class

from cowork.errors import ConfigError

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def command(shell: str | None) -> int:
    """Print the completion script for SHELL (by default the one of $SHELL).

    \b
    cowork completion bash >~/.local/share/bash-completion/completions/cowork
    cowork completion zsh >~/.zfunc/_cowork     (~/.zfunc has to be in fpath)
    cowork completion fish >~/.config/fish/completions/cowork.fish
    """
    from cowork.cli.main import group

    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    if name not in SHELLS:
        raise ConfigError(
            f"no completion for {name or 'an unknown shell'}", hint=f"cowork completion {'|'.join(SHELLS)}"
        )
    found = get_completion_class(name)
    assert found is not None
    click.echo(found(group, {}, "cowork", "_COWORK_COMPLETE").source())
    return 0
