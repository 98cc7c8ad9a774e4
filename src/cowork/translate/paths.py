"""Which host path a client means: by a guest path, or by one relative to ``/`` or to the home folder.

Pure: nothing is looked up on the disk except whether a path exists, which the caller passes in.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

GUEST_ROOT = "/sessions"


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
