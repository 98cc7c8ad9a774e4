"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.daemon import Place, RunningDaemon
from tests.support.holding import either, folder, here
from tests.support.ordinary import ordinary_user
from tests.support.sandbox import Session

__all__ = ["either", "folder", "here", "ordinary", "sandboxed", "session"]


@pytest.fixture
def ordinary() -> Iterator[None]:
    """Not root."""
    with ordinary_user():
        yield


@pytest.fixture
def sandboxed(ordinary: None) -> Iterator[RunningDaemon]:
    """A daemon of an ordinary user with the bubblewrap backend, started by the test or by ``session``."""
    place = Place()
    daemon = RunningDaemon(place)
    daemon.backend = "bwrap"
    try:
        yield daemon
        if daemon.process is not None:
            assert daemon.stop() == 0
        daemon.check()
    finally:
        place.remove()


@pytest.fixture
def session(sandboxed: RunningDaemon) -> Iterator[Session]:
    """Programs in the sandbox of a running daemon."""
    sandboxed.start()
    with Session(sandboxed) as made:
        yield made
