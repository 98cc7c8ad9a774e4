"""Fixtures of these tests."""

from __future__ import annotations

import pytest

from tests.support import supervised
from tests.support.holding import folder, here

__all__ = ["folder", "here", "home"]

home = pytest.fixture(supervised.home)
