"""Runs the configured command when a session from the shell becomes blocked, done or failed.

One process for all sessions of a user, started when there is a command to be run and a session to be watched, and gone
when none runs any more. What has been told is written down for each session, so a notifier that was killed is followed
by one that neither repeats nor forgets.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from cowork import config, paths
from cowork.errors import CoworkError
from cowork.holder import files
from cowork.linux import systemd
from cowork.linux.lockfile import LockFile
from cowork.sessions.directory import list_sessions
from cowork.sessions.record import SHELL
from cowork.supervisor.approvals import digest
from cowork.supervisor.overview import view
from cowork.supervisor.watch import Watch
from cowork.supervisor.wording import flat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cowork.config import Notify
    from cowork.paths import Paths
    from cowork.sessions.directory import SessionDirectory
    from cowork.supervisor.overview import SessionOverview, View

MEMORY = 60.0
"""Seconds back from the notifier's start; what happened before is old news."""
COMMAND_TIME = 30.0
"""Seconds after which a command that does not end is killed."""

_log = logging.getLogger(__name__)


def ensure(where: Paths, environ: Mapping[str, str]) -> bool:
    """Have a notifier run if one is wanted; whether one was started. Never fails: no session needs it."""
    try:
        if not config.load(environ).notify.command or _lock(where).held():
            return False
        command = [*systemd.scope_command(), sys.executable, "-m", "cowork.supervisor.notifier"]
        process = subprocess.Popen(
            command, env=dict(environ), cwd="/", start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        process.returncode = 0  # it is not ours to wait for
    except (CoworkError, OSError) as e:
        _log.warning("no notifier: %s", e)
        return False
    return True


def event_of(seen: View) -> tuple[str, str]:
    """What there is to tell of a session: "blocked", "done" or "failed", and what tells one such time from another;
    both empty if there is nothing."""
    one, conversation = seen
    if one.state == "blocked" and conversation is not None:
        return "blocked", ",".join(digest(prompt) for prompt in conversation.prompts.values())
    if one.state == "failed":
        return "failed", f"ended {one.ended}"
    if one.state == "idle" and one.results and not one.tasks:
        return ("failed" if one.failure else "done"), f"result {one.results}"
    if one.state == "done":
        # That it has ended is no news when its last turn was.
        return "done", f"result {one.results}" if one.results else f"ended {one.ended}"
    return "", ""


def fill_in(command: Sequence[str], one: SessionOverview, state: str) -> list[str]:
    """The command line with ``{id}``, ``{name}``, ``{state}``, ``{detail}`` and ``{cwd}`` replaced."""
    values = {f"{{{name}}}": value for name, value in _about(one, state).items()}
    return [_replaced(part, values) for part in command]


def _about(one: SessionOverview, state: str) -> dict[str, str]:
    """What a command is told. What the model said may hold anything, also what no argument can hold."""
    return {"id": one.id, "name": one.name, "state": state, "detail": flat(one.detail), "cwd": one.cwd}


class Notifier:
    """One run of the process."""

    def __init__(self, where: Paths, environ: Mapping[str, str]) -> None:
        self._where = where
        self._environ = dict(environ)
        self._config = config.Watched(environ)
        self._since = time.time() - MEMORY
        self._commands: list[tuple[float, subprocess.Popen[bytes]]] = []
        self._looked: set[str] = set()

    def run(self) -> None:
        """Until no session runs, and all has been told."""
        with Watch(self._where) as watch:
            due = {directory.id for directory in list_sessions(self._where.sessions)}
            while True:
                live = 0
                for directory in list_sessions(self._where.sessions):
                    if directory.id in due or not (directory.path / "exit.json").exists():
                        live += self._look(directory)
                self._reap()
                if not live and not self._commands:
                    return
                due = watch.wait(1.0 if self._commands else 10.0)

    def has_work(self) -> bool:
        """Whether a session from the shell runs, or has come and gone since this run looked for the last time."""
        every = list_sessions(self._where.sessions)
        open_ = (d for d in every if d.id not in self._looked or not (d.path / "exit.json").exists())
        found = (view(directory, self._where.runtime).overview for directory in open_)
        return any(one.kind == SHELL and (one.live or one.id not in self._looked) for one in found)

    def _look(self, directory: SessionDirectory) -> bool:
        """Tell what is new of a session; whether it runs."""
        self._looked.add(directory.id)
        seen = view(directory, self._where.runtime)
        one = seen.overview
        if one.kind != SHELL:
            return False
        state, key = event_of(seen)
        told = _told(directory)
        if key and _is_new(state, key, told):
            wanted = self._config.current().notify  # before it counts as told: the file may need mending first
            old = not told and max(one.ended, one.last_event) < self._since
            if self._remember(directory, f"{state} {key}") and not old:
                self._tell(one, state, wanted)
        return one.live

    def _tell(self, one: SessionOverview, state: str, wanted: Notify) -> None:
        if not wanted.command or state not in wanted.on:
            return
        about = {f"COWORK_{name.upper()}": value for name, value in _about(one, state).items()}
        about["COWORK_SESSION"] = about.pop("COWORK_ID")
        try:
            process = subprocess.Popen(
                fill_in(wanted.command, one, state), env={**self._environ, **about}, cwd="/", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, ValueError) as e:
            files.LifecycleLog(str(self._where.lifecycle_log))(f"notify: {wanted.command[0]}: {e}")
        else:
            self._commands.append((time.monotonic() + COMMAND_TIME, process))

    def _remember(self, directory: SessionDirectory, told: str) -> bool:
        """Written down before it is told: rather not at all than again and again."""
        try:
            files.write_whole(str(directory.path / "notified"), f"{told}\n".encode(), sync=False)
        except OSError as e:
            _log.warning("session %s: %s", directory.id, e)
            return False
        return True

    def _reap(self) -> None:
        now = time.monotonic()
        for deadline, process in list(self._commands):
            if process.poll() is None:
                if now < deadline:
                    continue
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._commands.remove((deadline, process))


def main() -> int:
    """Entry of the process; the exit status."""
    where = paths.resolve()
    lock = _lock(where)
    while lock.acquire():
        try:
            notifier = Notifier(where, os.environ)
            notifier.run()
        except CoworkError as e:
            files.LifecycleLog(str(where.lifecycle_log))(f"notifier: {e.message}")
            return e.exit_status
        finally:
            lock.release()
        # A session that was started while the lock was still held has been told that there is a notifier.
        if not notifier.has_work():
            break
    return 0


def _lock(where: Paths) -> LockFile:
    return LockFile(where.state / "notifier.lock")


def _told(directory: SessionDirectory) -> str:
    try:
        return (directory.path / "notified").read_text(encoding="utf-8", errors="replace").rstrip("\n")
    except OSError:
        return ""


def _is_new(state: str, key: str, told: str) -> bool:
    """Whether there is more than was told. That one of several questions is answered is no news of the others."""
    before, _, keys = told.partition(" ")
    return state != before or not set(key.split(",")) <= set(keys.split(","))


def _replaced(part: str, values: Mapping[str, str]) -> str:
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], part)


if __name__ == "__main__":
    sys.exit(main())
