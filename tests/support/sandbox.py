"""Programs in the sandbox of a daemon, as a client starts them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support.client import Message
from tests.support.daemon import RunningDaemon

NAME = "brave-otter"
ROOT = f"/sessions/{NAME}"
MNT = f"{ROOT}/mnt"


class Ended(NamedTuple):
    """How a program ended: its exit event and what it printed."""

    exit: Message
    out: str
    err: str

    @property
    def code(self) -> int:
        """Its exit code, -1 for a signal."""
        code = self.exit["exitCode"]
        assert isinstance(code, int)
        return code


class Session:
    """One connection that spawns programs in one session and waits for their ends."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.daemon = daemon
        self.home = daemon.place.home
        self.client = daemon.client()
        self.client.subscribe()
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.close()

    def folder(self, name: str) -> Path:
        """A folder of the user's."""
        made = self.home / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def spawn(
        self, command: str, *args: str, mounts: Mapping[str, str] | None = None, name: str = NAME, **params: Any
    ) -> str:  # fmt: skip
        """Start a program; its id. ``mounts``: "path" or "path:mode" below the home folder, by name."""
        return str(self.spawn_reply(command, *args, mounts=mounts, name=name, **params)["id"])

    def spawn_reply(
        self, command: str, *args: str, mounts: Mapping[str, str] | None = None, name: str = NAME, **params: Any
    ) -> Message:  # fmt: skip
        """The same; the whole reply."""
        self._count += 1
        listing = {}
        for mount, text in (mounts or {}).items():
            path, _, mode = text.partition(":")
            listing[mount] = {"path": str(self.home / path).lstrip("/"), "mode": mode or "rw"}
        asked = {
            "id": f"p{self._count}", "name": name, "command": command, "args": list(args),
            "additionalMounts": listing, **params,
        }  # fmt: skip
        return self.client.ask("spawn", asked)

    def end(self, id: str) -> Ended:
        """Wait for the end of a program."""
        events = self.client.until_exit(id)
        texts = {
            kind: "".join(e["data"] for e in events if e["type"] == kind and e["id"] == id)
            for kind in ("stdout", "stderr")
        }
        return Ended(events[-1], texts["stdout"], texts["stderr"])

    def run(
        self, command: str, *args: str, mounts: Mapping[str, str] | None = None, **params: Any
    ) -> Ended:  # fmt: skip
        """Start a program and wait for its end."""
        return self.end(self.spawn(command, *args, mounts=mounts, **params))

    def sh(self, script: str, mounts: Mapping[str, str] | None = None, **params: Any) -> Ended:
        """A shell script."""
        return self.run("/bin/sh", "-c", script, mounts=mounts, **params)

    def python(self, script: str, *args: str, mounts: Mapping[str, str] | None = None, **params: Any) -> Ended:
        """A Python program; isolated, since nothing of ours is inside."""
        return self.run("/usr/bin/python3", "-I", "-c", script, *args, mounts=mounts, **params)

    def json(self, script: str, mounts: Mapping[str, str] | None = None, **params: Any) -> object:
        """What a Python program that must succeed prints, as JSON."""
        ended = self.python(script, mounts=mounts, **params)
        assert ended.code == 0, ended
        return json.loads(ended.out)

    def record(self) -> Message:
        """session.json of the youngest session."""
        youngest = max(self.daemon.sessions(), key=lambda p: p.stat().st_mtime_ns)
        found: Message = json.loads((youngest / "session.json").read_text())
        return found

    def network_log(self) -> str:
        """All that the proxies of this daemon's sessions have written."""
        files = [folder / "network.log" for folder in self.daemon.sessions()]
        return "".join(file.read_text() for file in files if file.exists())


def lines(ended: Ended) -> Sequence[str]:
    """What it printed, line by line."""
    return ended.out.splitlines()
