"""What all contract tests start with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.claude import claude_binary


@pytest.fixture(scope="session")
def binary() -> Path:
    """The real CLI."""
    return claude_binary()


@pytest.fixture(scope="session")
def public_binary(binary: Path) -> Iterator[Path]:
    """The real CLI where every user can run it: its cache may lie in a folder of root's."""
    folder = Path(tempfile.mkdtemp(prefix="cw", dir="/tmp"))
    try:
        folder.chmod(0o755)
        try:
            os.link(binary, folder / "claude")
        except OSError:
            shutil.copy2(binary, folder / "claude")
        yield folder / "claude"
    finally:
        shutil.rmtree(folder)
