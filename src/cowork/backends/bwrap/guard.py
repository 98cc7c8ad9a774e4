"""What a session must not write in a folder of the user's although it may write there: it would run on the host.

Git hooks and Git's settings (``core.fsmonitor``), Claude Code's settings with their hooks, MCP servers, the start
files of shells. What exists is shown read-only; what does not is covered as well (holder/covers.py). A folder on the
way to such a file is mounted on itself, so that it cannot be moved away and made anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from cowork.holder.covers import looks_like_one

SETTINGS = b"{}\n"
REPOSITORY: dict[str, bytes | None] = {
    ".git/hooks": None, ".git/config": b"", ".git/config.worktree": b"", ".git/commondir": b".\n",
}  # fmt: skip
"""In every repository: the content that covers what is not there; None: a folder. A ``commondir`` of "." means what
none means, and any other would be where git takes its settings from (gitrepository-layout(5))."""
TARGETS: dict[str, bytes | None] = {
    **REPOSITORY, ".claude/settings.json": SETTINGS, ".claude/settings.local.json": SETTINGS,
    ".mcp.json": b'{"mcpServers":{}}\n',
}  # fmt: skip
"""In every folder of the user's that may be written to."""
HOME: dict[str, bytes | None] = {
    **dict.fromkeys((
        ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".zshrc", ".zshenv", ".zprofile",
        ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".xprofile", ".xinitrc", ".xsession",
        ".gitconfig", ".config/fish/config.fish", ".config/git/config", ".ssh/authorized_keys", ".ssh/config",
        ".ssh/rc",
    ), b""),
    ".config/autostart": None, ".config/systemd/user": None, ".config/cowork": None,
}  # fmt: skip
"""Start files: shown read-only wherever they exist, and covered in the home folder, where they count."""
_IF_THERE = (*HOME, ".envrc", ".cowork.toml", ".git/modules")
DEPTH = 3
"""Levels below a folder at which repositories are looked for."""
FOLDERS = 1000
"""Folders in which they are looked for."""
REPOSITORIES = 40
"""Repositories below a folder that are guarded."""
_NOT_SEARCHED = frozenset({"node_modules", ".venv", "venv", "__pycache__", ".tox", ".cache", "target", "site-packages"})


class Guard(NamedTuple):
    """What to do at ``path`` below the folder: "pin" (a folder onto itself), "seal" (read-only onto itself), "file"
    (a file with ``content`` where none is), "folder" (an empty one where none is) or "open" (nothing can be done:
    ``content`` says why)."""

    kind: str
    path: str
    content: bytes = b""


def guards(folder: str, *, home: str) -> list[Guard]:
    """What has to be done in ``folder``, a real path, in the order in which it has to be done."""
    wanted = {**TARGETS, **(HOME if folder == home else {})}
    if _mode(folder, ".git") is None:
        wanted["HEAD"] = b""  # with it, and two folders, the folder itself would be a repository
    found: dict[str, Guard] = {}
    for path in (*wanted, *_IF_THERE):
        for guard in _guard(folder, path, wanted.get(path, b""), absent=path in wanted):
            found.setdefault(guard.path, guard)
    nested, complete = repositories(folder)
    for place in nested:
        for path in (*TARGETS, ".git/modules"):
            for guard in _guard(folder, f"{place}/{path}", TARGETS.get(path, b""), absent=path in TARGETS):
                if guard.path.startswith(f"{place}/"):
                    found.setdefault(guard.path, guard)
    if not complete:
        found["…"] = Guard("open", "…/.git", b"there are too many folders to look into")
    return list(found.values())


def repositories(folder: str) -> tuple[list[str], bool]:
    """Repositories below ``folder``, not the one that it is itself, as relative paths; and whether all were found
    that are not deeper than ``DEPTH``."""
    found: list[str] = []
    level, seen = [""], 0
    for _ in range(DEPTH):
        below: list[str] = []
        for place in level:
            seen += 1
            if seen > FOLDERS or len(found) > REPOSITORIES:
                return found[:REPOSITORIES], False
            below += _folders(folder, place)
        found += [place for place in below if os.path.lexists(f"{folder}/{place}/.git")]
        level = below
    return found[:REPOSITORIES], len(found) <= REPOSITORIES


def _folders(folder: str, place: str) -> list[str]:
    try:
        with os.scandir(f"{folder}/{place}") as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name not in _NOT_SEARCHED]
    except OSError:
        return []
    return [f"{place}/{name}".lstrip("/") for name in sorted(names) if name != ".git"]


def _guard(folder: str, path: str, content: bytes | None, *, absent: bool) -> Iterator[Guard]:
    so_far = ""
    *above, last = path.split("/")
    for element in above:
        so_far = f"{so_far}/{element}".lstrip("/")
        mode = _mode(folder, so_far)
        if mode is None:
            if absent:
                yield from _absent(folder, so_far, None)
            return
        if stat.S_ISREG(mode):
            yield Guard("seal", so_far)  # the .git of a worktree, which says where the rest is
            return
        if not stat.S_ISDIR(mode):
            yield Guard("open", so_far, b"it is a symbolic link")
            return
        yield Guard("pin", so_far)
    so_far = f"{so_far}/{last}".lstrip("/")
    mode = _mode(folder, so_far)
    if mode is None:
        if absent:
            yield from _absent(folder, so_far, content)
    elif stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        yield Guard("seal", so_far)
    else:
        yield Guard("open", so_far, b"it is a symbolic link")


def _absent(folder: str, path: str, content: bytes | None) -> Iterator[Guard]:
    above = os.path.dirname(f"{folder}/{path}")
    if os.access(above, os.W_OK):
        yield Guard("folder", path) if content is None else Guard("file", path, content)
    elif can_be_changed(above):
        yield Guard("open", path, b"its folder cannot be written to, though its owner may change that")


def can_be_changed(folder: str) -> bool:
    """Whether this user, and so the session, can make something in it, if need be by giving itself the right."""
    try:
        return os.access(folder, os.W_OK) or os.stat(folder).st_uid == os.geteuid()
    except OSError:
        return False


def _mode(folder: str, path: str) -> int | None:
    """The mode of what is there; None for nothing, and for another session's placeholder, which is as good."""
    try:
        info = os.lstat(f"{folder}/{path}")
    except OSError:
        return None
    return None if looks_like_one(info) else info.st_mode
