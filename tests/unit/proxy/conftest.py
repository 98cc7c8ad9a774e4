"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cowork.proxy.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop that fails at an exception, and gives up after 10 s."""
    made = Loop(lambda e: pytest.fail(repr(e)))
    made.after(10, made.stop)
    yield made
    made.shut()
