"""What a holder is told to start, as it travels in BEGIN. It carries the environment, so it never touches the disk."""

from __future__ import annotations

from typing import Any, NamedTuple


class Folder(NamedTuple):
    """A file or folder of the host, ``path`` without links, that bubblewrap gets as descriptor ``fd`` and has to show
    at ``place``; a ``place`` of "" is not looked at."""

    fd: int
    path: str
    place: str


class Cover(NamedTuple):
    """One placeholder: ``path`` below the folder ``root`` (absolute, without links); ``content`` of a file, None for
    a folder."""

    root: str
    path: str
    content: str | None = ""


class Listen(NamedTuple):
    """A socket inside: its ``role`` for the proxy, where it listens, and whither "forward" leads."""

    role: str
    protocol: str
    host: str
    port: int
    target: tuple[str, int] | None = None


class Sandbox(NamedTuple):
    """What to start bubblewrap with.

    ``program``: bubblewrap. ``options``: its options, without the gate. ``files``: contents (one character a byte)
    by descriptor, ``copies``: files of the host to copy, likewise. ``folders`` and ``covers``: see there. ``listen``:
    sockets inside; ``proxy``: the settings of the proxy (``cowork.proxy.settings``), None for none.
    """

    program: str
    options: list[str]
    files: dict[int, str] = {}  # noqa: RUF012 - nobody changes it
    copies: dict[int, str] = {}  # noqa: RUF012 - nobody changes it
    folders: list[Folder] = []  # noqa: RUF012 - nobody changes it
    covers: list[Cover] = []  # noqa: RUF012 - nobody changes it
    listen: list[Listen] = []  # noqa: RUF012 - nobody changes it
    proxy: dict[str, object] | None = None

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        by_number = {name: {str(fd): text for fd, text in getattr(self, name).items()} for name in ("files", "copies")}
        return {**self._asdict(), **by_number}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Sandbox:
        """The inverse; keys of a newer release are ignored."""
        known = {k: v for k, v in plain.items() if k in cls._fields}
        for name in ("files", "copies"):
            known[name] = {int(fd): text for fd, text in known.get(name, {}).items()}
        known["folders"] = [Folder(*entry) for entry in known.get("folders", [])]
        known["covers"] = [Cover(*entry) for entry in known.get("covers", [])]
        known["listen"] = [_listen(entry) for entry in known.get("listen", [])]
        return cls(**known)


def _listen(entry: list[Any]) -> Listen:
    role, protocol, host, port, target = entry
    return Listen(role, protocol, host, port, None if target is None else (target[0], target[1]))


class StartSpec(NamedTuple):
    """One session to be started.

    ``folder``: the session's directory (exists, holds session.json). ``socket``: where to listen for clients.
    ``argv``: what the program sees; ``executable``: the file that is run. ``terminal``: (rows, columns) for a
    pseudo-terminal, None for three pipes. ``history``, ``limit``: bytes, see spool.py; ``hold``: keep what
    nobody has taken. ``grace``: seconds that descendants get after the leader's end. ``cgroup``: a writable
    cgroup v2 folder in which the session may make its own, or None. ``umask``: the child's. ``sandbox``: what the
    program is started in, if it is (see ``Sandbox``). ``memory`` (bytes) and ``tasks``: limits of the session's cgroup.
    ``rlimits``: the caller's (number, soft, hard), which need not be the holder's (getrlimit(2)).
    """

    folder: str
    socket: str
    argv: list[str]
    executable: str
    env: dict[str, str]
    cwd: str
    terminal: tuple[int, int] | None = None
    history: int = 16 * 1024 * 1024
    limit: int = 64 * 1024 * 1024
    hold: bool = True
    grace: float = 0.2
    cgroup: str | None = None
    umask: int = 0o022
    sandbox: Sandbox | None = None
    memory: int | None = None
    tasks: int | None = None
    rlimits: list[tuple[int, int, int]] = []  # noqa: RUF012 - nobody changes it

    def encode(self) -> bytes:
        """JSON; names that are not UTF-8 travel as surrogate escapes."""
        import json  # not at the daemon's start, which is waited for

        plain: dict[str, Any] = self._asdict()
        if self.sandbox is not None:
            plain["sandbox"] = self.sandbox.plain()
        return json.dumps(plain).encode()

    @classmethod
    def decode(cls, data: bytes) -> StartSpec:
        """The inverse; keys of a newer release are ignored."""
        import json

        raw = json.loads(data)
        known = {k: v for k, v in raw.items() if k in cls._fields}
        if known.get("terminal") is not None:
            known["terminal"] = tuple(known["terminal"])
        known["rlimits"] = [(number, soft, hard) for number, soft, hard in known.get("rlimits", [])]
        if known.get("sandbox") is not None:
            known["sandbox"] = Sandbox.of(known["sandbox"])
        return cls(**known)
