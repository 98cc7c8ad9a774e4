"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import needs
from tests.support.client import Client
from tests.support.daemon import Place, RunningDaemon


@pytest.fixture(autouse=True)
def _needs_bubblewrap(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("bwrap") is not None:
        needs.bubblewrap()


@pytest.fixture
def place() -> Iterator[Place]:
    """Folders of its own for one test, under a short path; every process of it is ended afterwards."""
    made = Place()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def stopped(place: Place) -> Iterator[RunningDaemon]:
    """A daemon that has yet to be started; at the end it is stopped and nothing may have gone wrong unseen."""
    made = RunningDaemon(place)
    yield made
    if made.process is not None:
        assert made.stop() == 0
    made.check()


@pytest.fixture
def daemon(stopped: RunningDaemon) -> RunningDaemon:
    """A running daemon."""
    stopped.start()
    return stopped


@pytest.fixture
def client(daemon: RunningDaemon) -> Iterator[Client]:
    """A client of the running daemon, not subscribed."""
    with daemon.client() as connected:
        yield connected
