"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.daemon import Place
from tests.support.desk import Desk, Terminal
from tests.support.holding import folder

__all__ = ["desk", "folder", "terminal"]


@pytest.fixture
def desk(place: Place, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Desk:
    """Commands called in this process."""
    return Desk(place, monkeypatch, capfdbinary)


@pytest.fixture
def terminal(desk: Desk) -> Iterator[Terminal]:
    """A terminal with colours, at which nobody sits yet."""
    with Terminal() as made:
        desk.patch.setenv("TERM", "xterm-256color")
        yield made
