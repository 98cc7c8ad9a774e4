"""Fixtures of the integration tests."""

from tests.support.holding import either, folder, here

__all__ = ["either", "folder", "here"]
