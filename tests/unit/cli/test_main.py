"""The group: lazy verbs, usage errors, how a command ends."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from cowork import __version__
from cowork.cli import main
from tests.support.desk import PATIENCE, Desk


@pytest.mark.parametrize("verb", main.VERBS)
def test_a_verb_can_be_loaded_and_has_a_help_that_fits_a_terminal(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    command = main.group.get_command(click.Context(main.group), verb)
    assert command is not None
    assert command.name == verb
    if verb != "serve":  # which has a parser and a help of its own
        assert main.cli([verb, "-h"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"Usage: cowork {verb}")
        assert max(map(len, lines)) <= 80, "also what is not folded"
        options = [param for param in command.params if isinstance(param, click.Option)]
        assert [option.name for option in options if not option.help] == [], "every option says what it is for"


def test_help_lists_the_verbs_without_loading_them() -> None:
    code = (
        "import sys; from cowork.cli import main; main.cli(['--help']);"
        "print([m for m in sys.modules if m in ('cowork.cli.demo', 'rich', 'asyncio', 'prompt_toolkit')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    for verb in main.VERBS:
        assert f"\n  {verb} " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("verb", ["ps", "bg", "logs", "kill", "wait", "approvals"])
def test_a_verb_loads_no_more_than_it_needs(verb: str) -> None:
    code = (
        f"import sys; from cowork.cli import main; main.cli(['{verb}', '--help']);"
        "print([m for m in sys.modules if m in ('rich', 'asyncio', 'prompt_toolkit', 'cowork.service')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    "arguments", [["nope"], ["ps", "--nope"], ["demo", "superfluous"], ["wait"], ["wait", "x", "--for", "nothing"], []]
)
def test_usage_errors_are_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.cli(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage: cowork" in err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.cli(["--version"]) == 0
    assert capsys.readouterr().out == f"cowork {__version__}\n"


def test_what_a_command_returns_is_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    command = click.Command("ps", callback=lambda: 7)
    monkeypatch.setattr(main.LazyGroup, "get_command", lambda self, ctx, name: command)
    assert main.cli(["ps"]) == 7


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    command = click.Command("ps", callback=interrupted)
    monkeypatch.setattr(main.LazyGroup, "get_command", lambda self, ctx, name: command)
    assert main.cli(["ps"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_went_away_is_141(desk: Desk) -> None:
    source, sink = os.pipe()
    os.close(source)
    command = desk.popen("ps", stdout=sink, stderr=subprocess.PIPE)
    os.close(sink)
    assert command.communicate(timeout=PATIENCE)[1] == b""
    assert command.returncode == 141


def test_a_shell_that_is_told_how_to_complete_a_line_is_no_failure(desk: Desk) -> None:
    for name, value in {"_COWORK_COMPLETE": "bash_complete", "COMP_WORDS": "cowork st", "COMP_CWORD": "1"}.items():
        desk.patch.setenv(name, value)
    assert desk.run() == (0, "plain,status\nplain,stop\n", "")
