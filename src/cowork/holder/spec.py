"""What a holder is told to start, as it travels in BEGIN. It carries the environment, so it never touches the disk."""

from __future__ import annotations

from typing import NamedTuple


class StartSpec(NamedTuple):
    """One session to be started.

    ``folder``: the session's directory (exists, holds session.json). ``socket``: where to listen for clients.
    ``argv``: what the program sees; ``executable``: the file that is run. ``terminal``: (rows, columns) for a
    pseudo-terminal, None for three pipes. ``history``, ``limit``: bytes, see spool.py; ``hold``: keep what
    nobody has taken. ``grace``: seconds that descendants get after the leader's end. ``cgroup``: a writable
    cgroup v2 folder in which the session may make its own, or None. ``umask``: the child's.
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

    def encode(self) -> bytes:
        """JSON; names that are not UTF-8 travel as surrogate escapes."""
        import json  # not at the daemon's start, which is waited for

        return json.dumps(self._asdict()).encode()

    @classmethod
    def decode(cls, data: bytes) -> StartSpec:
        """The inverse; keys of a newer release are ignored."""
        import json

        raw = json.loads(data)
        known = {k: v for k, v in raw.items() if k in cls._fields}
        if known.get("terminal") is not None:
            known["terminal"] = tuple(known["terminal"])
        return cls(**known)
