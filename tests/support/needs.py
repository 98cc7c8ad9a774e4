"""What a test needs of the machine: without it the test is skipped and says why; in CI, which installs it, it fails."""

from __future__ import annotations

import functools
import os
import shutil
from typing import NoReturn

import pytest

from cowork.backends.bwrap import probe


def missing(what: str) -> NoReturn:
    """Something is not there."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def programs(**packages: str) -> None:
    """Programs by name, with the Debian package that brings each."""
    absent = {package for name, package in packages.items() if not shutil.which(name)}
    if absent:
        missing(f"needs Debian's {', '.join(sorted(absent))}")


def bubblewrap() -> None:
    """A sandbox that works."""
    reason = _why_no_bubblewrap()
    if reason:
        missing(f"needs bubblewrap: {reason}")


@functools.cache
def _why_no_bubblewrap() -> str:
    found = probe.probe(os.environ)
    return "" if found.works else f"{found.reason} ({found.fix})"
