"""Removing sessions that have ended, without losing anything that somebody may still want."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, NamedTuple

from cowork.errors import PolicyError
from cowork.holder.page import EXIT_TAKEN, HOLDING, SLOTS, Page
from cowork.sessions.directory import tree_size
from cowork.sessions.leftovers import bury, holder_lives
from cowork.sessions.record import DESKTOP, SHELL
from cowork.supervisor import worktree
from cowork.supervisor.overview import view

if TYPE_CHECKING:
    from pathlib import Path

    from cowork.paths import Paths
    from cowork.sessions.directory import SessionDirectory
    from cowork.supervisor.overview import SessionOverview

LEFTOVER_AGE = 3600.0
"""Seconds after which a directory without a record is what a start that was cut short has left."""


class Removed(NamedTuple):
    """A session that is gone: bytes that were freed; its worktree, if that is kept, and why."""

    id: str
    freed: int
    kept: str = ""
    reasons: tuple[str, ...] = ()


class Usage(NamedTuple):
    """Bytes on the disk that a session has: what it printed and its records, its private home, its worktree."""

    records: int
    home: int
    worktree: int


def usage(where: Paths, directory: SessionDirectory, seen: SessionOverview) -> Usage:
    """How much there is of a session."""
    tree = 0 if seen.worktree is None else tree_size(_path(seen.worktree.path))
    return Usage(directory.size(), tree_size(_home(where, directory, seen)), tree)


def remove(where: Paths, directory: SessionDirectory, *, discard: bool = False) -> Removed:
    """Remove a session that has ended: its records and output, its private home, and its worktree if nothing in it
    would be lost (or ``discard``).

    Raises:
        PolicyError: it runs, or its output has not reached Claude Desktop yet.
    """
    seen = view(directory, where.runtime).overview
    if seen.live or (seen.state == "unreadable" and holder_lives(directory)):
        raise PolicyError(f"session {directory.id} runs", hint=f"cowork kill {directory.id}, or rm --force")
    if seen.kind != SHELL and seen.kind and not discard and not _told(directory):
        raise PolicyError(
            f"Claude Desktop has not been told yet how session {directory.id} ended, nor all that it printed",
            hint="start Claude Desktop, or rm --discard",
        )
    if seen.lost and directory.exit() is None:
        bury(directory)  # what is left of it would run on, and nobody would know of it any more
    used = usage(where, directory, seen)
    reasons: list[str] = []
    if seen.worktree is not None:
        reasons = worktree.remove(seen.worktree, discard=discard)
        if not reasons:
            _remove_empty(_path(seen.worktree.path).parent)
    directory.remove()
    shutil.rmtree(where.homes / directory.id, ignore_errors=True)
    freed = used.records + (used.home if seen.kind != DESKTOP else 0) + (0 if reasons else used.worktree)
    return Removed(directory.id, freed, seen.worktree.path if seen.worktree and reasons else "", tuple(reasons))


def prunable(
    where: Paths, every: list[SessionDirectory], *, older_than: float, states: frozenset[str]
) -> list[tuple[SessionDirectory, SessionOverview]]:  # fmt: skip
    """Sessions from the shell that ended at least ``older_than`` seconds ago in one of ``states``, the oldest first."""
    now = time.time()
    seen = [(directory, view(directory, where.runtime).overview) for directory in every]
    found = [
        (directory, one) for directory, one in seen
        if one.kind == SHELL and one.state in states and now - (one.ended or one.last_event) >= older_than
    ]  # fmt: skip
    return sorted(found, key=lambda pair: pair[1].created)


def leftovers(where: Paths) -> list[Path]:
    """What starts that were cut short have left: directories of sessions without a record, an hour old."""
    try:
        entries = list(where.sessions.iterdir())
    except FileNotFoundError:
        return []
    old = time.time() - LEFTOVER_AGE
    return [
        path for path in entries
        if path.is_dir() and not path.is_symlink() and not (path / "session.json").exists()
        and path.stat().st_mtime < old
    ]  # fmt: skip


def sweep(path: Path) -> int:
    """Remove one of ``leftovers``; the bytes that were freed."""
    size = tree_size(path)
    shutil.rmtree(path, ignore_errors=True)
    return size


def _told(directory: SessionDirectory) -> bool:
    """Whether every client of the daemon that has a position in its output has been told of its end."""
    try:
        page = Page(directory.readers, writable=False)
    except (OSError, ValueError):
        return True
    try:
        states = [page.state(slot) for slot in range(SLOTS)]
        return any(state & EXIT_TAKEN for state in states) and all(
            state & EXIT_TAKEN for state in states if state & HOLDING
        )
    finally:
        page.close()


def _home(where: Paths, directory: SessionDirectory, seen: SessionOverview) -> Path:
    return where.trees / seen.name if seen.kind == DESKTOP else where.homes / directory.id


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass
