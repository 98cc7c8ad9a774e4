"""What all contract tests start with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.claude import claude_binary


@pytest.fixture(scope="session")
def binary() -> Path:
    """The real CLI."""
    return claude_binary()
