"""Which host path a client means: by a guest path, or by one relative to ``/`` or to the home folder.

Pure: nothing is looked up on the disk except whether a path exists, which the caller passes in.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

GUEST_ROOT = "/sessions"


def guest_to_tree(path: str, name: str, tree: str) -> str | None:
    """The host path of guest path ``path`` in the tree of session ``name``; None for any other path.

    ``/sessions/otter/a`` is ``<tree>/a`` for session ``otter``, and nothing for any other session. Elements ``..``
    do not lead out of the tree.
    """
    base = f"{GUEST_ROOT}/{name}"
    clean = posixpath.normpath(path) if path.startswith("/") else path
    if clean == base:
        return tree
    if clean.startswith(base + "/"):
        return tree + clean[len(base) :]
    return None


def resolve_subpath(path: str, home: str, exists: Callable[[str], bool]) -> str:
    """The host path of a ``subpath`` as clients send them: relative to ``/``, absolute, or relative to home.

    Clients send ``home/ana/x`` for ``/home/ana/x``; older ones ``.config/x`` for ``/home/ana/.config/x``. The form
    below ``/`` wins if it exists or lies in home, so that ``srv/data`` is never mistaken for ``~/srv/data``.
    """
    if not path:
        return home
    rooted = posixpath.normpath("/" + path.lstrip("/"))
    if rooted == home or rooted.startswith(home.rstrip("/") + "/") or path.startswith("/") or exists(rooted):
        return rooted
    return posixpath.normpath(posixpath.join(home, path))
