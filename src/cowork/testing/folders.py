"""What the user's folders hold before and after a session, and how a session spells their paths."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cowork.backends.base import Prepared

NAME = "brave-otter"
"""The session, unless a test wants another."""


def guest(path: str = "", name: str = NAME) -> str:
    """The guest's path of something below a session's mounts; without a path, that of its root."""
    return f"/sessions/{name}/mnt/{path}" if path else f"/sessions/{name}"


def seen(prepared: Prepared, path: str) -> str:
    """A guest path as the program itself spells it."""
    return (prepared.session.to_host(path) or path) if prepared.translated else path


def listing(folder: Path, *, without: Path | None = None, times: bool = False) -> dict[str, tuple[object, ...]]:
    """Everything below a folder: kind, mode and content, and when files were changed; with ``times`` folders, too."""
    found: dict[str, tuple[object, ...]] = {}
    for root, folders, files in os.walk(folder):
        if without is not None:
            folders[:] = [name for name in folders if Path(root, name) != without]
        for name in (".", *folders, *files):
            path = os.path.join(root, name)
            info = os.lstat(path)
            content: str | bytes = b""
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                content = Path(path).read_bytes()
            changed = info.st_mtime_ns if times or not stat.S_ISDIR(info.st_mode) else 0
            found[os.path.relpath(path, folder)] = (info.st_mode, info.st_uid, content, changed)
    return found


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The paths that are not what they were."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
