"""Fixtures of these tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cowork.holder import tree
from tests.support.holding import folder, here

__all__ = ["folder", "here"]


@pytest.fixture
def no_descriptor_is_left() -> Iterator[None]:
    """For tests that open some."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def nothing_is_left(no_descriptor_is_left: None) -> Iterator[None]:
    """For tests that start processes, too."""
    children = tree.children(os.getpid())
    yield
    assert tree.children(os.getpid()) == children
