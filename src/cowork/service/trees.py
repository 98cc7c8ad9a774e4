"""The guests' trees on this host: what stands for ``/sessions/<name>``, its sizes, its removal.

A tree holds what the session made and links to what it was given; links are never followed here, so nothing that
belongs to the user elsewhere can be measured or removed.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cowork.errors import InvalidParams
from cowork.sessions.directory import tree_size
from cowork.translate.paths import has_control

if TYPE_CHECKING:
    from collections.abc import Callable

BACKUP = ".pre-stop-"
"""Marks copies of a session's folder that other daemons made; ``<name>.pre-stop-YYYYMMDD-HHMMSS``."""
_STAMP = re.compile(r"\d{8}-\d{6}")
NAME_MAX = 200
"""Longest name in bytes: ecryptfs leaves 143 of 255, but names this long come from no client."""


def check_name(name: str, field: str = "name") -> str:
    """A session's name: one plain path element.

    Raises:
        InvalidParams: empty, ``.`` or ``..``, with a slash, a NUL or a control character, hidden, or too long.
    """
    problem = ""
    if not name:
        problem = "must not be empty"
    elif len(os.fsencode(name)) > NAME_MAX:
        problem = f"is longer than {NAME_MAX} bytes"
    elif "/" in name or "\\" in name:
        problem = "must not contain a slash"
    elif has_control(name):
        problem = "must not contain NUL or other control characters"
    elif name.startswith("."):
        problem = "must not begin with a dot"
    if problem:
        raise InvalidParams(f"Invalid params: {field} {problem}", field=field)
    return name


class Trees:
    """All trees below ``root``. ``is_live(name)`` tells whether a process of that session runs."""

    def __init__(self, root: Path, is_live: Callable[[str], bool]) -> None:
        self.root = root
        self._is_live = is_live

    def make(self, name: str) -> Path:
        """The tree of a session, made if it is new.

        Raises:
            InvalidParams: the name is no plain name.
            OSError: it cannot be made.
        """
        tree = self.path(name)
        tree.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tree

    def path(self, name: str) -> Path:
        """Where the tree of a session is, whether it exists or not.

        Raises:
            InvalidParams: the name is no plain name.
        """
        return self.root / check_name(name)

    def space(self) -> tuple[int, int]:
        """Size of the file system and what an ordinary user may still write, in bytes."""
        at = self.root
        while not at.exists() and at != at.parent:
            at = at.parent
        info = os.statvfs(at)
        return info.f_frsize * info.f_blocks, info.f_frsize * info.f_bavail

    def sizes(self) -> dict[str, int]:
        """Bytes of every tree, backups counted to their owner; sorted by name."""
        out: dict[str, int] = {}
        for name in self._names():
            owner = _owner(name)
            out[owner] = out.get(owner, 0) + tree_size(self.root / name)
        return dict(sorted(out.items()))

    def delete(self, names: list[str]) -> tuple[list[str], dict[str, str]]:
        """Remove trees with their backups; the removed names, and for each other one why not."""
        deleted: list[str] = []
        errors: dict[str, str] = {}
        for name in names:
            try:
                check_name(name)
            except InvalidParams as e:
                errors[name] = f"invalid session name: {e.message.removeprefix('Invalid params: ')}"
                continue
            if self._is_live(name):
                errors[name] = "session has a running process"
                continue
            try:
                for found in self._names():
                    if found == name or (BACKUP in found and _owner(found) == name):
                        _remove(self.root / found)
                deleted.append(name)
            except OSError as e:
                errors[name] = str(e)
        return deleted, errors

    def prune(self, *, below: int, older_than: int) -> tuple[list[str], list[str], int, dict[str, str]]:
        """Remove backups older than ``older_than`` seconds when less than ``below`` bytes are free (0: in any case).

        Returns:
            owners pruned, owners skipped, bytes freed, errors by backup name.
        """
        pruned: set[str] = set()
        skipped: set[str] = set()
        errors: dict[str, str] = {}
        freed = 0
        if 0 < below <= self.space()[1]:
            return [], [], 0, {}
        for name in self._names():
            if BACKUP not in name[1:]:
                continue
            owner = _owner(name)
            age = _age(name)
            if self._is_live(owner) or (older_than > 0 and (age is None or age < older_than)):
                skipped.add(owner)
                continue
            size = tree_size(self.root / name)
            try:
                _remove(self.root / name)
            except OSError as e:
                errors[name] = str(e)
            else:
                pruned.add(owner)
                freed += size
        return sorted(pruned), sorted(skipped - pruned), freed, errors

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.root) as entries:
                return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []


def _owner(name: str) -> str:
    at = name.find(BACKUP, 1)
    return name[:at] if at > 0 else name


def _age(backup: str) -> float | None:
    """Seconds since the time in a backup's name; None if there is none. (Copying keeps the files' own times.)"""
    stamp = backup.rpartition(BACKUP)[2]
    if not _STAMP.fullmatch(stamp):
        return None
    try:
        return time.time() - time.mktime(time.strptime(stamp, "%Y%m%d-%H%M%S"))
    except (ValueError, OverflowError):
        return None


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        import shutil  # brings three decompressors along, which a daemon's start should not wait for

        shutil.rmtree(path)
