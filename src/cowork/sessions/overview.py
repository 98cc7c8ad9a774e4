"""What can be said of every session without a daemon: its records, and its holder's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cowork.errors import CoworkError
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.directory import SessionDirectory, list_sessions
from cowork.sessions.leftovers import holder_lives

if TYPE_CHECKING:
    from pathlib import Path


class SessionOverview(msgspec.Struct, rename="camel", omit_defaults=True):
    """One line of ``cowork ps``.

    ``state``: "running", "ended", "lost" (its holder was killed) or "unreadable". ``output``: "full" when nobody
    takes what it prints. ``head``: bytes printed so far. ``created``, ``ended``: seconds since the epoch.
    ``unenforced``: names of mounts that were asked for read-only and can be written to. ``network``: what it may
    reach, in words. ``weaker``: what is less than its isolation promises, in words.
    """

    id: str
    state: str
    name: str = ""
    kind: str = ""
    process: str = ""
    argv: list[str] = []
    cwd: str = ""
    backend: str = ""
    isolation: str = ""
    unenforced: list[str] = []
    network: str = ""
    weaker: list[str] = []
    created: float = 0.0
    pid: int = 0
    head: int = 0
    output: str = ""
    ended: float = 0.0
    exit_code: int | None = None
    signal: str = ""
    detail: str = ""


def look(root: Path, runtime: Path) -> list[SessionOverview]:
    """All sessions, oldest first. ``root`` and ``runtime`` are those of ``Paths``."""
    found = [_look_at(directory, runtime) for directory in list_sessions(root)]
    return sorted(found, key=lambda s: s.created)


def _look_at(directory: SessionDirectory, runtime: Path) -> SessionOverview:
    try:
        asked = directory.record()
        out = SessionOverview(
            asked.id, "ended", asked.name, asked.kind, asked.process, asked.argv, asked.cwd, asked.backend,
            asked.isolation, [m.name for m in asked.mounts if m.mode == "ro" and asked.translated],
            asked.network, asked.weaker, asked.created,
        )  # fmt: skip
        ended = directory.exit()
        if ended is None:
            _ask(directory, runtime, out)
            ended = directory.exit() if out.state != "running" else None
        if ended is not None:
            out.state = "lost" if ended.lost else "ended"
            out.ended, out.exit_code, out.signal = ended.ended, ended.exit_code, ended.signal
            out.head = ended.head or 0
    except (CoworkError, OSError) as e:
        return SessionOverview(directory.id, "unreadable", detail=str(e))
    return out


def _ask(directory: SessionDirectory, runtime: Path, out: SessionOverview) -> None:
    """Have the holder tell; nobody answers for a session whose holder was killed."""
    try:
        with BlockingClient.connect(socket_path(runtime, directory.id), timeout=1.0) as holder:
            status = holder.status()
    except (OSError, CoworkError):
        # A holder that is stopped or very busy does not answer in time, but holds.
        out.state = "running" if holder_lives(directory) else "lost"
        return
    out.state = "running" if status.running else "ended"
    out.pid, out.head, out.output = status.pid, status.head, status.output
