"""The programs of conformance tests are programs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cowork.testing import programs

PYTHON = ("ENVIRONMENT", "FOLDER", "ARGUMENTS", "PRINTS", "ALTERNATES", "TRAPS", "LEAVES_OTHERS", "TERMINAL", "STARTER")


@pytest.mark.parametrize("name", PYTHON)
def test_python_text_compiles(name: str) -> None:
    compile(getattr(programs, name), name, "exec")


def test_shell_text_is_taken() -> None:
    assert subprocess.run(["sh", "-n", "-c", programs.WAITS], check=False).returncode == 0


def test_the_printer_prints_what_is_expected() -> None:
    said = subprocess.run([sys.executable, "-c", programs.PRINTS, "100"], capture_output=True, check=True).stdout
    assert len(said) == 100
    assert said.startswith(programs.LINE % 0)
