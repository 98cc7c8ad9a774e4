"""Paths as texts: which host path a client means, whether one lies in another, what no name may have in it.

Pure: nothing is looked up on the disk except whether a path exists, which the caller passes in.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

GUEST_ROOT = "/sessions"
MAX_PATH = 4000
"""Longest path of a mount, bytes: bwrap puts its own folder in front, and 4096 is the end (PATH_MAX)."""
NAME_MAX = 255
"""Longest element of a path, bytes."""


def resolve_subpath(path: str, home: str, exists: Callable[[str], bool]) -> str:
    """The host path of a ``subpath`` as clients send them: relative to ``/``, absolute, or relative to home.

    Clients send ``home/ana/x`` for ``/home/ana/x``; older ones ``.config/x`` for ``/home/ana/.config/x``. The form
    below ``/`` wins if it exists or lies in home, so that ``srv/data`` is never mistaken for ``~/srv/data``.
    """
    if not path:
        return home
    rooted = posixpath.normpath("/" + path.lstrip("/"))
    if is_below(rooted, home) or path.startswith("/") or exists(rooted):
        return rooted
    return posixpath.normpath(posixpath.join(home, path))


def is_below(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it; both absolute and normalised, or both relative to the same."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def has_control(text: str) -> bool:
    """Whether there is a control character (NUL, line feed, DEL...) in a path or a name."""
    return any(ord(character) < 32 or ord(character) == 127 for character in text)
