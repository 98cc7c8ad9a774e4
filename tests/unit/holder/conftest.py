"""Fixtures of these tests."""

from tests.support.holding import folder, here

__all__ = ["folder", "here"]
