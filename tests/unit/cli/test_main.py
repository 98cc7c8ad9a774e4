"""The group: lazy verbs, usage errors."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from cowork.cli import main


def test_every_verb_can_be_loaded_and_has_help() -> None:
    context = click.Context(main.group)
    for verb in main.VERBS:
        command = main.group.get_command(context, verb)
        assert command is not None
        assert command.name == verb


def test_help_lists_the_verbs_without_loading_them() -> None:
    code = (
        "import sys; from cowork.cli import main; main.cli(['--help']);"
        "print([m for m in sys.modules if m in ('cowork.cli.demo', 'rich', 'asyncio')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    for verb in main.VERBS:
        assert f"\n  {verb} " in done.stdout


@pytest.mark.parametrize("arguments", [["nope"], ["ps", "--nope"], ["demo", "superfluous"]])
def test_usage_errors_are_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.cli(arguments) == 2
    assert "Error" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from cowork import __version__

    assert main.cli(["--version"]) == 0
    assert capsys.readouterr().out == f"cowork {__version__}\n"
