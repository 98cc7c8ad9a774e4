"""Starting a daemon in the background, and waiting until clients can connect."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from cowork.errors import NotRunning
from cowork.linux import systemd
from cowork.linux.lockfile import LockFile
from cowork.service import lifecycle
from cowork.service.daemon import LockNote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cowork.paths import Paths


def log_path(paths: Paths) -> Path:
    """Where the log lines of a daemon go that was started in the background."""
    return paths.state / "daemon.log"


def start(paths: Paths, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Start ``cowork serve ARGUMENTS``, detached; returns its pid once clients can connect.

    Raises:
        NotRunning: it ended instead; the message holds what it said last.
        CoworkError: our folders cannot be made.
    """
    paths.make()
    ready_r, ready_w = os.pipe2(os.O_CLOEXEC)
    path = log_path(paths)
    lifecycle.turn(path)
    command = [*systemd.scope_command(), sys.executable, "-m", "cowork", "serve", *arguments, f"--ready-fd={ready_w}"]
    with path.open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            command, pass_fds=[ready_w], start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environ, cwd="/",
        )  # fmt: skip
    os.close(ready_w)
    with os.fdopen(ready_r, "rb") as ready:
        if ready.read(1):
            process.returncode = 0  # it is not ours to wait for any more
            return process.pid
    code = process.wait()
    with path.open("rb") as log:
        log.seek(begin)
        said = log.read(16384).decode("utf-8", "replace").strip().splitlines()
    why = [line.removeprefix("cowork: ") for line in said if line.startswith("cowork: ")] or said[-1:]
    reason = why[-1] if why else f"exit status {code}"
    raise NotRunning(f"the daemon could not be started: {reason}", hint=f"the whole story is in {path}")


def running_pid(paths: Paths) -> int | None:
    """Pid of the daemon that serves this user's state, None without one."""
    lock = LockFile(paths.lock)
    if not lock.held():
        return None
    try:
        return msgspec.json.decode(lock.read(), type=LockNote).pid
    except msgspec.MsgspecError:
        return None
