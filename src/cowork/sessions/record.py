"""What a session's directory says in JSON: ``session.json`` (what was asked for), ``exit.json`` (how it ended) and
others.

Neither ever holds a secret: no token, no environment value. Files written by an older release must still load
(samples in tests/data), so every field that was not there from the start has a default, and unknown ones are kept
out of the way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import msgspec

from cowork.errors import CoworkError

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T", bound=msgspec.Struct)
VERSION = 1
DESKTOP = "cowork"
"""Kind of the sessions that Claude Desktop has asked for."""
SHELL = "shell"
"""Kind of the sessions that were started from the shell."""
HIDDEN = "…"
"""Stands for what is not written down."""
_SECRET_OPTIONS = frozenset({"--mcp-config", "--settings", "--agents"})
_FIRST = "abcdefghijklmnopqrstuvwxyz"
_REST = "abcdefghijklmnopqrstuvwxyz234567"


class MountRecord(msgspec.Struct, frozen=True):
    """A mount: the guest's name below ``mnt/``, the folder on the host, the mode that was asked for."""

    name: str
    host: str
    mode: str = "rw"


class WorktreeRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A git worktree made for a session: its folder, its branch, the repository's common folder, the commit it began
    with."""

    path: str
    branch: str
    repository: str
    base: str


class SessionRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``session.json``.

    ``kind``: ``DESKTOP`` or ``SHELL``. ``process``: the client's process id. ``name``:
    the client's name of the session, which is also its tree's. ``argv``: see ``without_secrets``. ``isolation``: what
    really separates it from the host: "none", "bubblewrap" or "vm". ``created``: seconds since the epoch.
    ``translated``: guest paths are none of its own and are translated. ``remote``: its user is not at this computer.
    ``network``: what it may reach, in words; ``weaker``: what is less than its isolation promises, in words.
    ``worktree``: what was made for it, if anything was. ``history``: bytes of output that are kept.
    """

    version: int = VERSION
    id: str
    kind: str
    name: str
    process: str = ""
    argv: list[str] = []
    executable: str = ""
    cwd: str = ""
    backend: str = "host"
    isolation: str = "none"
    terminal: bool = False
    created: float = 0.0
    mounts: list[MountRecord] = []
    translated: bool = False
    remote: bool = False
    network: str = "host"
    weaker: list[str] = []
    history: int = 16 * 1024 * 1024
    worktree: WorktreeRecord | None = None


class ExitRecord(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """``exit.json``. ``exit_code`` is -1 when ``signal`` ended it, or when nobody saw the end (``lost``)."""

    version: int = VERSION
    ended: float = 0.0
    exit_code: int = -1
    signal: str = ""
    oom_kill_count: int | None = None
    head: int | None = None
    lost: bool = False


class ChildRecord(msgspec.Struct, kw_only=True):
    """``child.json``: pids and start times (clock ticks since boot) of the leader and of its holder.

    ``cgroup``: the session's own, if it has one.
    """

    pid: int
    start: int
    holder: int
    holder_start: int = 0
    cgroup: str | None = None


class StopRecord(msgspec.Struct, kw_only=True):
    """``stop.json``: a person (or a program for one) has asked for the end, by ``signal``, ``asked`` seconds since the
    epoch."""

    version: int = VERSION
    asked: float
    signal: str


class RecordError(CoworkError):
    """A file of a session's directory cannot be understood; the rest of the directory is untouched."""


def new_id() -> str:
    """A session id: 12 characters, 59 random bits, unique across hosts; begins with a letter."""
    # The first letter is a little uneven (256 is no multiple of 26), which costs a fraction of a bit.
    first, *rest = os.urandom(12)
    return _FIRST[first % 26] + "".join(_REST[byte & 31] for byte in rest)


def without_secrets(argv: list[str]) -> list[str]:
    """A command line as it may be written down: the values of options that take whole configurations are left out.

    An ``--mcp-config`` carries the servers' tokens.
    """
    shown: list[str] = []
    for argument in argv:
        flag, equals, _ = argument.partition("=")
        if shown and shown[-1] in _SECRET_OPTIONS:
            shown.append(HIDDEN)
        elif equals and flag in _SECRET_OPTIONS:
            shown.append(f"{flag}={HIDDEN}")
        else:
            shown.append(argument)
    return shown


def load(path: Path, kind: type[T]) -> T:
    """Read one of the records.

    Raises:
        FileNotFoundError: there is none.
        RecordError: it is damaged, or of a release that changed what the fields mean.
    """
    data = path.read_bytes()
    try:
        record = _decode(data, kind)
    except msgspec.MsgspecError as e:
        raise RecordError(f"{path}: {e}") from e
    version = getattr(record, "version", VERSION)
    if version > VERSION:
        raise RecordError(f"{path} was written by a newer release (version {version})", hint="upgrade cowork")
    return record


def encode(record: msgspec.Struct) -> bytes:
    """One line of JSON. An argument that is no text is shown with U+FFFD."""
    try:
        return msgspec.json.encode(record) + b"\n"
    except UnicodeEncodeError:
        import json  # rarely needed, and a command's start is waited for

        from cowork.wire.text import repair_json

        return repair_json(json.dumps(msgspec.to_builtins(record)).encode()) + b"\n"


def _decode(data: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(data, type=kind)
