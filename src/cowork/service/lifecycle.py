"""The daemon's diary: start, sockets, signals, errors, end. Always written, whatever the debug switch says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cowork.holder.files import LifecycleLog

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1024 * 1024
"""Bytes from which on the file is set aside at the next start of a daemon; one older one is kept."""


def open_log(path: Path) -> LifecycleLog:
    """The log at ``path``, with an overlong predecessor set aside."""
    turn(path)
    return LifecycleLog(str(path))


def turn(path: Path) -> None:
    """Move a log that has grown over ``LIMIT`` to ``<path>.1``; one that cannot be moved is still better than none."""
    try:
        if path.stat().st_size > LIMIT:
            os.replace(path, path.with_name(path.name + ".1"))
    except OSError:
        pass
