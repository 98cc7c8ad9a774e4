"""Which session is meant: by its id, by the beginning of one, or by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cowork.errors import ConfigError, CoworkError, NotFound
from cowork.sessions.directory import list_sessions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cowork.paths import Paths
    from cowork.sessions.directory import SessionDirectory


def find(where: Paths, wanted: str) -> SessionDirectory:
    """The session that is meant. A whole id goes before a name, a name before the beginning of an id, and a session
    that runs before those that have ended.

    Raises:
        NotFound: none is.
        ConfigError: several are; all of them are named.
    """
    every = list(list_sessions(where.sessions))
    for candidates in (
        [d for d in every if d.id == wanted],
        [d for d in every if wanted and _name(d) == wanted],
        [d for d in every if wanted and d.id.startswith(wanted)],
    ):
        running = [d for d in candidates if not (d.path / "exit.json").exists()]
        if len(candidates) == 1 or len(running) == 1:
            return (running or candidates)[0]
        if candidates:
            raise ConfigError(f"{wanted} may be any of {', '.join(map(_shown, candidates))}", hint="name one by its id")
    raise NotFound(f"no session {wanted}", hint="cowork ps --all lists them")


def find_all(where: Paths, wanted: Iterable[str]) -> list[SessionDirectory]:
    """Several, each once, in the order they were named.

    Raises:
        NotFound, ConfigError: as ``find``, before anything is done with any of them.
    """
    return list({directory.id: directory for directory in (find(where, one) for one in wanted)}.values())


def _name(directory: SessionDirectory) -> str:
    try:
        return directory.record().name
    except (CoworkError, OSError):
        return ""


def _shown(directory: SessionDirectory) -> str:
    name = _name(directory)
    return f"{directory.id} ({name})" if name else directory.id
