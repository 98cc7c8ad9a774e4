"""Rows of ``cowork ps``."""

from __future__ import annotations

import pytest

from cowork.cli.ps import state_of
from cowork.sessions.overview import SessionOverview


@pytest.mark.parametrize(
    ("overview", "says"),
    [
        (SessionOverview("a", "running"), "running"),
        (SessionOverview("a", "running", output="full"), "running (held back: nobody reads)"),
        (SessionOverview("a", "running", output="disk full"), "running (held back: disk full)"),
        (SessionOverview("a", "ended", exit_code=3), "ended (3)"),
        (SessionOverview("a", "ended", exit_code=-1, signal="SIGTERM"), "ended (SIGTERM)"),
        (SessionOverview("a", "lost", exit_code=-1), "lost"),
    ],
)
def test_the_state_says_what_matters_most(overview: SessionOverview, says: str) -> None:
    assert state_of(overview) == says
