"""Our own configuration: ``$XDG_CONFIG_HOME/cowork/config.toml``.

A file that says something we do not understand is an error, never a default: it may have been meant to keep something
in or out. The shape is checked here; the rules for mounts are in ``backends.bwrap.usermounts``, those for host names
with the proxy.
"""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

import msgspec

from cowork import paths
from cowork.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_SIZE = 1024 * 1024
"""Longest file that is read, bytes."""
MIN_MEMORY = 16 * 1024 * 1024
"""Smallest memory limit, bytes: below it no program starts."""
MAX_MEMORY = 2**63 - 1
MIN_HISTORY = 4 * 1024 * 1024
"""Smallest history, bytes: a segment of the spool."""
MAX_TASKS = 4194304
"""Largest number of tasks the kernel knows (``PID_MAX_LIMIT``, proc_sys_kernel(5))."""
_SETTLED = 100_000_000
"""Nanoseconds after which another change of a file has another time: several ticks of the kernel's clock."""
_SIZE = re.compile(r"([0-9]{1,19})([KMGT]?)", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_PROXY = re.compile(r"http://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")
_MOUNTS = 'a list of "/path" or {src = "/path", dst = "/path"}'
_ALLOWED = {
    "isolation": '"any" or "required"',
    "network.default": '"open" or "api"',
    "network.allow": 'a list of names such as "pypi.org" or "*.pypi.org"',
    "network.proxy": '"http://host:port", or "" for none',
    "sandbox.ro": _MOUNTS,
    "sandbox.rw": _MOUNTS,
    "sandbox.disable": 'a list of "/path"',
    "sandbox.allow-home": "true or false",
    "sandbox.protect": "true or false",
    "limits.memory": 'bytes, at least 16 MiB, such as 4294967296, "512M" or "4G"',
    "limits.tasks": f"a number from 1 to {MAX_TASKS}",
    "background.backend": '"auto", "bwrap" or "host"',
    "background.history": 'bytes, at least 4 MiB, such as "256M"',
    "attach.detach-keys": r'keys such as "ctrl-\\ d" or "ctrl-p,ctrl-q"',
    "notify.command": 'a program and its arguments, such as ["notify-send", "--", "{name}", "{detail}"]',
    "notify.on": 'a list of "blocked", "done" and "failed"',
}


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    pass


class Bind(_Table, frozen=True):
    """A mount whose place inside is not its place outside."""

    src: str
    dst: str


class Network(_Table, frozen=True):
    """``[network]``: what a session may reach for which the client sent no ``allowedDomains``.

    ``allow``: used instead of ``default`` if it is there; empty means nothing but the model's API. ``proxy``: the
    proxy to go through; None: ``HTTPS_PROXY`` of the daemon's environment, empty: none.
    """

    default: Literal["open", "api"] = "open"
    allow: tuple[str, ...] | None = None
    proxy: str | None = None


class Sandbox(_Table, frozen=True):
    """``[sandbox]``: further mounts, default mounts to leave out, and what is protected. See ``usermounts``."""

    ro: tuple[str | Bind, ...] = ()
    rw: tuple[str | Bind, ...] = ()
    disable: tuple[str, ...] = ()
    allow_home: bool = False
    protect: bool = True


class Limits(_Table, frozen=True):
    """``[limits]`` of one session: bytes of memory, number of processes and threads. None: no limit."""

    memory: int | None = None
    tasks: int | None = None


class Background(_Table, frozen=True):
    """``[background]``: sessions from the shell. ``backend``: where they run unless it is said; ``history``: how much
    of its output is kept for each, bytes."""

    backend: Literal["auto", "bwrap", "host"] = "host"
    history: int = 256 * 1024 * 1024


class Attach(_Table, frozen=True):
    """``[attach]``: the keys that let go of a session (``cli.keys``)."""

    detach_keys: str = "ctrl-\\ d"


class Notify(_Table, frozen=True):
    """``[notify]``: a command that is run when a session from the shell becomes one of ``on``; none if it is empty."""

    command: tuple[str, ...] = ()
    on: tuple[Literal["blocked", "done", "failed"], ...] = ("blocked", "done", "failed")


class Config(_Table, frozen=True):
    """The whole file. ``isolation`` "required": a session that nothing would separate from the host is refused."""

    isolation: Literal["any", "required"] = "any"
    network: Network = Network()
    sandbox: Sandbox = Sandbox()
    limits: Limits = Limits()
    background: Background = Background()
    attach: Attach = Attach()
    notify: Notify = Notify()


_SECTIONS: dict[str, type[_Table]] = {
    "network": Network, "sandbox": Sandbox, "limits": Limits, "background": Background, "attach": Attach,
    "notify": Notify,
}  # fmt: skip


class Refusal(NamedTuple):
    """Something the user asked for that is not done: the entry as written, the rule against it, what to do."""

    entry: str
    rule: str
    fix: str


def config_home(environ: Mapping[str, str]) -> Path:
    """``$XDG_CONFIG_HOME``; a value that is empty or relative counts as unset.

    Raises:
        ConfigError: the home folder is not known either.
    """
    value = environ.get("XDG_CONFIG_HOME", "")
    return Path(value) if value.startswith("/") else paths.resolve(environ).home / ".config"


def path(environ: Mapping[str, str]) -> Path:
    """Where the configuration is, whether or not there is one."""
    return config_home(environ) / "cowork" / "config.toml"


def load(environ: Mapping[str, str]) -> Config:
    """Read the configuration; the defaults if there is no file.

    Raises:
        ConfigError: it cannot be read or says something that makes no sense; the text names file, line and key.
        PolicyError: somebody else can write it.
    """
    return _load(path(environ))


class Watched:
    """The configuration as it is now: read again whenever the file is another one or was changed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = path(environ)
        self._seen: tuple[int, ...] | None = None
        self._config = Config()

    def current(self) -> Config:
        """What the file says at this moment.

        Raises:
            ConfigError, PolicyError: as ``load``, at every call until it is mended; an older state never serves.
        """
        seen = identity(self._path)
        if seen is None or seen != self._seen:
            self._config = _load(self._path)
            self._seen = seen  # of before the reading: a change during it is seen at the next call
        return self._config


def identity(file: Path) -> tuple[int, ...] | None:
    """What differs when ``file`` is another one or has changed; None if it cannot be looked at.

    A file that was changed just now has an identity of its own at each call, since the next change might leave all
    times and sizes as they are.
    """
    try:
        info = file.stat()
    except OSError:
        return None
    now = time.time_ns()
    unsettled = now if now - info.st_ctime_ns < _SETTLED else 0
    # The time of the last change of the inode tells what a restored mtime hides, and that the rights have changed.
    return info.st_mtime_ns, info.st_size, info.st_ino, info.st_dev, info.st_ctime_ns, unsettled


def read_own(file: Path, *, limit: int) -> bytes | None:
    """All of a file of settings that nobody but its owner (us, or root) can write; None if there is none.

    Raises:
        PolicyError: another user owns it or can write it.
        ConfigError: it is too long (``limit``, bytes), no regular file, a link to nothing, or cannot be read.
    """
    try:
        # Not to hang on a FIFO; a symbolic link is how people keep such files, so it is followed.
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            _check_own(file, os.fstat(fd))
            with open(fd, "rb", closefd=False) as stream:
                data = stream.read(limit + 1)
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(file):
            raise ConfigError(f"{file} is a link to nothing", hint="mend the link, or remove it") from None
        return None
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}", hint="make it readable, or remove it") from e
    if len(data) > limit:
        raise ConfigError(f"{file} is longer than {limit} bytes", hint="make it shorter")
    return data


def memory_limit(value: object) -> int:
    """Bytes from a number of bytes or a text with a suffix K, M, G or T (powers of 1024).

    Raises:
        ValueError: it is neither, or out of range; the text says what is allowed.
    """
    size = _size(value)
    if size is not None and MIN_MEMORY <= size <= MAX_MEMORY:
        return size
    raise ValueError(_ALLOWED["limits.memory"])


def _history(value: object) -> int:
    size = _size(value)
    if size is not None and MIN_HISTORY <= size <= MAX_MEMORY:
        return size
    raise ValueError(_ALLOWED["background.history"])


def _size(value: object) -> int | None:
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return int(match[1]) * _FACTORS[match[2].upper()]
    return value if type(value) is int else None


def tasks_limit(value: object) -> int:
    """A number of processes and threads.

    Raises:
        ValueError: it is none, or out of range; the text says what is allowed.
    """
    if type(value) is int and 1 <= value <= MAX_TASKS:
        return value
    raise ValueError(_ALLOWED["limits.tasks"])


def nearest(name: str, known: list[str]) -> str:
    """The one of ``known`` that ``name`` was probably meant to be; empty if none is like it."""
    import difflib  # only after a mistake

    return next(iter(difflib.get_close_matches(name, known, 1)), "")


def shown(value: object) -> str:
    """A value of a decoded file as messages name it: on one line, printable and short."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = value if value.isprintable() else ascii(value)[1:-1]
            return f'"{text[:200]}…"' if len(text) > 200 else f'"{text}"'
        case int() if abs(value) >= 2**64:
            return "a huge number"  # Python does not even print one of more than 4300 digits
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case None:
            return "null"
        case _:
            return str(value)


def shown_key(key: str) -> str:
    """A key of a decoded file as messages name it: in quotes where TOML needs them."""
    return key if len(key) < 200 and re.fullmatch(r"[\w-]+", key, re.ASCII) else shown(key)


def _check_own(file: Path, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise ConfigError(f"{file} is no regular file", hint="move it away")
    if info.st_uid not in (os.geteuid(), 0):
        raise PolicyError(f"{file} belongs to uid {info.st_uid}", hint=f"it has to be yours: chown $USER {file}")
    if info.st_mode & 0o022:
        raise PolicyError(f"other users can write {file}", hint=f"chmod go-w {file}")


def _load(file: Path) -> Config:
    data = read_own(file, limit=MAX_SIZE)
    if data is None:
        return Config()
    import tomllib  # 20 ms, spent only where there is a file

    try:
        text = data.decode()
        raw = tomllib.loads(text)
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise ConfigError(f"{file}:{line}: not UTF-8", hint="save the file as UTF-8") from None
    except (ValueError, RecursionError) as e:
        match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", str(e), re.DOTALL)
        where = f"{file}:{match[2]}: {match[1]}" if match else f"{file}: {e}"
        raise ConfigError(where, hint="the file is TOML: https://toml.io") from None
    return _Decoder(file, text, raw).config()


class _Decoder:
    """Turns one file's content into a ``Config``, or into an error that names the place."""

    def __init__(self, file: Path, text: str, raw: dict[str, object]) -> None:
        self._file = file
        self._text = text
        self._raw = raw

    def config(self) -> Config:
        raw = self._raw
        self._no_unknown("", raw, Config)
        for name, kind in _SECTIONS.items():
            self._no_unknown(f"{name}.", raw.get(name), kind)
        raw = {
            **raw,
            "limits": self._checked("limits", memory=memory_limit, tasks=tasks_limit),
            "background": self._checked("background", history=_history),
        }
        self._checked("network", proxy=_proxy)
        try:
            return msgspec.convert(raw, Config)
        except (ValueError, OverflowError, RecursionError) as e:
            match = re.search(r" at `\$\.(.+)`$", str(e))
            raise self._refused(match[1] if match else "", str(e).split(" - at", maxsplit=1)[0]) from None

    def _no_unknown(self, prefix: str, table: object, kind: type[msgspec.Struct]) -> None:
        if not isinstance(table, dict):
            return  # what it is instead, msgspec tells
        known = [field.encode_name for field in msgspec.structs.fields(kind)]
        for key in table:
            if key not in known:
                name = prefix + shown_key(key)
                close = nearest(key, known)
                raise ConfigError(
                    f"{self._at(prefix + key)}: {name}: unknown key; known here: {', '.join(known)}",
                    hint=f"did you mean {prefix}{close}?" if close else f"remove {name}",
                )

    def _checked(self, section: str, **checks: Callable[[object], object]) -> object:
        """The section with the values that its checks make of them."""
        table = self._raw.get(section, {})
        if not isinstance(table, dict):
            return table
        made = dict(table)
        for key, check in checks.items():
            if key in made:
                try:
                    made[key] = check(made[key])
                except ValueError:
                    self._refuse(f"{section}.{key}", made[key])
        return made

    def _refuse(self, key: str, value: object) -> NoReturn:
        # A proxy's URL may carry a password, and messages go to logs.
        raise self._refused(key, "this value makes no sense" if key == "network.proxy" else f"not {shown(value)}")

    def _refused(self, key: str, problem: str) -> ConfigError:
        base = re.sub(r"\[\d+\].*", "", key)
        allowed = _ALLOWED.get(base, "a table of its own")
        return ConfigError(f"{self._at(base)}: {key}: {problem}; allowed: {allowed}", hint=f"edit {self._file}")

    def _at(self, key: str) -> str:
        line = _line(self._text, key)
        return f"{self._file}:{line}" if line else str(self._file)


def _proxy(value: object) -> str:
    if isinstance(value, str):
        match = _PROXY.fullmatch(value)
        if not value or (match and 0 < int(match[1]) < 65536):
            return value
    raise ValueError(_ALLOWED["network.proxy"])


def _line(text: str, key: str) -> int:
    """The line that sets ``key`` (or what it is in), where one and only one looks like it; else 0.

    The parser forgets where values were, so this is a look at the text, good for a message and nothing else.
    """
    found: dict[str, list[int]] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = _plain(header[1])
            found.setdefault(section, []).append(number)
        elif setting := re.match(r"\s*([^=#]+)=", line):
            name = _plain(setting[1])
            found.setdefault(f"{section}.{name}" if section else name, []).append(number)
    while key not in found and "." in key:
        key = key.rpartition(".")[0]
    lines = found.get(key, [])
    return lines[0] if len(lines) == 1 else 0


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))
