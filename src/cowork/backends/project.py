"""``.cowork.toml`` in the root of a workspace folder: a project may ask for less than the user allows, never for more.

Whoever wrote the repository wrote the file, so it is read as carefully as any stranger's, and whatever in it would
loosen something is told and has no effect. What is not understood may have been meant to tighten, and is refused
(``insist``).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from cowork import config
from cowork.config import Limits, Refusal
from cowork.errors import RpcError
from cowork.translate.paths import MAX_PATH, NAME_MAX, has_control

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = ".cowork.toml"
MAX_SIZE = 64 * 1024
"""Longest file that is read, bytes."""
MAX_DOTS = 2000
"""Most dots in a file. tomllib takes time with the square of a dotted key's length: 16 s for one of 64 KiB."""
MAX_PATHS = 256
"""Most read-only paths: each is a mount at every spawn."""
MAX_TOLD = 50
"""Most refusals that are told one by one: they go to a log."""
TIGHTEN = "a project file may only tighten"
_ELSEWHERE = "put it into config.toml"
_CORRECT = "correct it, or leave it out"


class Project(NamedTuple):
    """What a workspace folder asks for.

    ``required``: sessions here need isolation. ``allow``: rules for host names that must also allow; None: no such
    rules; empty: nothing is allowed. ``api_only``: a session for which the client names no hosts reaches the model's
    API alone. ``read_only``: paths relative to the folder, normalised; they need not exist. ``broken``: the file
    could not be read or is no TOML; nothing of it counts, and ``refused`` tells.
    """

    required: bool = False
    allow: tuple[str, ...] | None = None
    api_only: bool = False
    read_only: tuple[str, ...] = ()
    limits: Limits = Limits()
    refused: tuple[Refusal, ...] = ()
    broken: bool = False

    def rule_sets(self, *, named: bool) -> tuple[tuple[str, ...], ...]:
        """Rules that have to allow a host besides those of the client or the configuration.

        ``named``: the client sent ``allowedDomains``. As in config.toml, ``allow`` takes the place of ``default``.
        The model's API is not among the rules: whoever applies them lets it through in any case.
        """
        if self.allow is not None:
            return (self.allow,)
        return ((),) if self.api_only and not named else ()


def load(folder: str) -> Project:
    """Read the project file of a workspace folder (an absolute path); never raises for what is in it."""
    try:
        data = _read(os.path.join(folder, FILE))
        if data is None:
            return Project()
        return _Reader(_parse(data)).project()
    except _Broken as e:
        return Project(refused=(Refusal(FILE, e.rule, e.fix),), broken=True)


def insist(project: Project, folder: str) -> None:
    """Have what cannot be understood mended: a session without it could have more than the file meant to allow.

    Raises:
        RpcError: the file is broken, or an entry that would tighten is malformed; with the entry, the rule, the fix.
    """
    for refusal in project.refused:
        if refusal.rule != TIGHTEN:
            raise RpcError(f"{folder}/{FILE}: {refusal.entry}: {refusal.rule}", hint=refusal.fix)


def tighten(limits: Limits, project: Project) -> Limits:
    """The smaller of both limits, each for itself."""
    return Limits(
        memory=_smaller(limits.memory, project.limits.memory), tasks=_smaller(limits.tasks, project.limits.tasks)
    )


class _Broken(Exception):
    def __init__(self, rule: str, fix: str) -> None:
        super().__init__(rule)
        self.rule = rule
        self.fix = fix


class _Reader:
    """Takes from a decoded file what tightens, and keeps account of the rest."""

    def __init__(self, raw: dict[str, object]) -> None:
        self._raw = raw
        self._refused: list[Refusal] = []

    def project(self) -> Project:
        root = dict(self._raw)
        network, sandbox, limits = (self._table(root, name) for name in ("network", "sandbox", "limits"))
        made = Project(
            required=self._exactly(root, "", "isolation", "required"),
            allow=self._names(network),
            api_only=self._exactly(network, "network.", "default", "api"),
            read_only=self._paths(sandbox),
            limits=Limits(
                memory=self._limit(limits, "memory", config.memory_limit),
                tasks=self._limit(limits, "tasks", config.tasks_limit),
            ),
        )
        for prefix, left in (("", root), ("network.", network), ("sandbox.", sandbox), ("limits.", limits)):
            for key, value in left.items():  # what nobody has taken
                self._refuse(f"{prefix}{config.shown_key(key)} = {config.shown(value)}", TIGHTEN, _ELSEWHERE)
        told, more = self._refused[:MAX_TOLD], len(self._refused) - MAX_TOLD
        if more > 0:
            told.append(Refusal(f"{more} more", "not told one by one", _CORRECT))
        return made._replace(refused=tuple(told))

    def _refuse(self, entry: str, rule: str, fix: str = _CORRECT) -> None:
        self._refused.append(Refusal(entry, rule, fix))

    def _table(self, root: dict[str, object], name: str) -> dict[str, object]:
        value = root.pop(name, {})
        if isinstance(value, dict):
            return dict(value)
        self._refuse(f"{name} = {config.shown(value)}", "has to be a table")
        return {}

    def _exactly(self, table: dict[str, object], prefix: str, key: str, only: str) -> bool:
        value = table.pop(key, None)
        if value is not None and value != only:
            self._refuse(f"{prefix}{key} = {config.shown(value)}", TIGHTEN, _ELSEWHERE)
        return value == only

    def _names(self, network: dict[str, object]) -> tuple[str, ...] | None:
        value = network.pop("allow", None)
        if value is None:
            return None
        if not isinstance(value, list):
            self._refuse(f"network.allow = {config.shown(value)}", "has to be a list of names")
            return None
        for name in value:
            if not isinstance(name, str):
                self._refuse(f"network.allow: {config.shown(name)}", "has to be a name")
        # An entry less in this list is a host less that is allowed.
        return tuple(name for name in value if isinstance(name, str))

    def _paths(self, sandbox: dict[str, object]) -> tuple[str, ...]:
        value = sandbox.pop("read-only", [])
        if not isinstance(value, list):
            self._refuse(f"sandbox.read-only = {config.shown(value)}", "has to be a list of paths")
            return ()
        kept: dict[str, None] = {}
        for path in value:
            problem = _path_problem(path) or (f"more than {MAX_PATHS} paths" if len(kept) >= MAX_PATHS else "")
            if problem:
                self._refuse(f"sandbox.read-only: {config.shown(path)}", problem)
            else:
                kept[path.rstrip("/")] = None
        return tuple(kept)

    def _limit(self, limits: dict[str, object], key: str, check: Callable[[object], int]) -> int | None:
        value = limits.pop(key, None)
        if value is None:
            return None
        try:
            return check(value)
        except ValueError as e:
            self._refuse(f"limits.{key} = {config.shown(value)}", f"allowed: {e}")
            return None


def _read(path: str) -> bytes | None:
    """The content, or None if there is no such file.

    Raises:
        _Broken: it is not a plain file of ours, too long, or cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise _Broken("is no regular file", "move it away")
            if info.st_uid != os.geteuid():
                raise _Broken(f"belongs to uid {info.st_uid}", "it counts only if it is yours")
            with open(fd, "rb", closefd=False) as stream:
                data = stream.read(MAX_SIZE + 1)
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise _Broken("is a symbolic link", "put the file itself there") from None
        raise _Broken(f"cannot be read: {e.strerror}", "make it readable, or remove it") from None
    if len(data) > MAX_SIZE:
        raise _Broken(f"is longer than {MAX_SIZE} bytes", "make it shorter")
    return data


def _parse(data: bytes) -> dict[str, object]:
    if data.count(b".") > MAX_DOTS:
        raise _Broken(f"has more than {MAX_DOTS} dots", "make it shorter")
    import tomllib  # 20 ms, spent only where there is a file

    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as e:
        reason = "not UTF-8" if isinstance(e, UnicodeDecodeError) else config.shown(str(e))[1:-1]
        raise _Broken(f"is no TOML: {reason}", "correct the file") from None


def _path_problem(path: object) -> str:
    """What keeps a path from being a place inside the folder; empty if nothing does."""
    if not isinstance(path, str):
        return "has to be a path"
    if path.startswith("/"):
        return "has to be relative to the folder"
    if has_control(path):
        return "has a control character"
    if "*" in path or "?" in path:
        return "patterns are not understood: name each path"  # taken literally it would protect nothing
    elements = path.rstrip("/").split("/")
    if any(element in ("", ".", "..") for element in elements):
        return "has an empty element, . or .."
    if len(path.encode()) > MAX_PATH or any(len(element.encode()) > NAME_MAX for element in elements):
        return "is too long for a file name"
    return ""


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)
