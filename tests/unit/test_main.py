"""The boundary: what the process prints and ends with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cowork.__main__ as entry
from cowork.errors import NotFound


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cowork", *arguments])
    return entry.main()


def test_an_error_is_told_with_its_hint_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise NotFound("no session x", hint="cowork ps")

    monkeypatch.setattr("cowork.cli.main.cli", fail)
    assert run(monkeypatch, "ps") == 4
    assert capsys.readouterr().err == "cowork: no session x\n  hint: cowork ps\n"


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("cowork.cli.main.cli", interrupt)
    assert run(monkeypatch, "ps") == 130


@pytest.mark.parametrize("arguments", [["serve", "-version"], ["-backend=host", "-version"], ["--debug", "-version"]])
def test_serve_and_the_flags_of_other_daemons_lead_to_the_daemon(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.startswith("cowork ")


def test_a_reader_that_went_away_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        command = [sys.executable, "-m", "cowork", "ps", "--json"]
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 141
    assert done.stderr == b""


def test_the_daemon_is_started_without_click_and_rich() -> None:
    code = (
        "import sys; sys.argv = ['cowork', 'serve', '--check', '--socket', '/tmp/x.sock'];"
        "import cowork.__main__ as m; m.main();"
        "print(sorted(n for n in ('click', 'rich', 'ssl', 'asyncio') if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
