"""The ``cowork`` command as a person types it, in a folder of theirs, as real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.client import TIMEOUT
from tests.support.daemon import Place

COWORK = [sys.executable, "-W", "error", "-m", "cowork"]


class Shell:
    """A person at work in a place. ``environ`` is added to the place's environment."""

    def __init__(self, place: Place, **environ: str) -> None:
        self.place = place
        self.work = place.root / "work"
        self.work.mkdir(exist_ok=True)
        self.environment = {**place.environment(), **environ}

    def run(
        self, *arguments: str | Path, cwd: Path | None = None, stdin: str = "", patience: float = TIMEOUT,
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a command to its end, whatever its exit status; ``patience``: seconds that it may take."""
        return subprocess.run(
            [*COWORK, *map(str, arguments)], env={**self.environment, **environ}, cwd=cwd or self.work, input=stdin,
            capture_output=True, text=True, timeout=patience, check=False,
        )  # fmt: skip

    def ok(self, *arguments: str | Path, **options: Any) -> str:
        """Run a command that has to succeed; what it prints."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"cowork {' '.join(map(str, arguments))}: {done.returncode}: {done.stderr}"
        return done.stdout

    def json(self, *arguments: str | Path, **options: Any) -> Any:
        """The object that a command prints with --json."""
        return json.loads(self.ok(*arguments, "--json", **options))

    def bg(self, *arguments: str | Path, **options: Any) -> str:
        """Start a session; its id."""
        return self.ok("bg", "-q", *arguments, **options).strip()

    def session(self, wanted: str) -> dict[str, Any]:
        """One session as ``ps --all`` shows it."""
        found = [one for one in self.json("ps", "--all")["sessions"] if wanted in (one["id"], one.get("name"))]
        assert len(found) == 1, f"{wanted} is not one session: {found}"
        one: dict[str, Any] = found[0]
        return one

    def popen(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command that goes on for a while; its output is piped."""
        return subprocess.Popen(
            [*COWORK, *map(str, arguments)], env=self.environment, cwd=self.work, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def directory(self, session: str) -> Path:
        """The session's folder."""
        return self.place.state / "cowork" / "sessions" / session


def without_cli(place: Place) -> str:
    """A PATH on which no ``claude`` is."""
    folders = place.environment()["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not (Path(folder) / "claude").exists())
