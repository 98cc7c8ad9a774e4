"""Small bubblewrap sandboxes, started and let go of as a holder does it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cowork.backends.bwrap import program
from cowork.errors import PolicyError
from cowork.holder import child, sandbox
from cowork.holder.spec import Sandbox, StartSpec
from tests.support.holding import short_folder, wait_gone
from tests.support.ordinary import ordinary_user

FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
"""For tests that fork in the process of the test run, which has threads where the holder has none."""


def bwrap() -> str:
    """bubblewrap's path; without one the test is skipped, in CI it fails."""
    try:
        return program.find(os.environ.get("PATH", "")).path
    except PolicyError as e:
        if os.environ.get("CI") == "true":
            pytest.fail(e.message, pytrace=False)
        pytest.skip(e.message)


def system() -> list[str]:
    """Options for a sandbox in which programs of the system run, with a network of its own."""
    options = [
        "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--die-with-parent", "--cap-drop", "ALL",
        "--ro-bind", "/usr", "/usr",
    ]  # fmt: skip
    for place in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.islink(place):
            options += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            options += ["--ro-bind", place, place]
    return [*options, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]


def spec(folder: Path, script: str, *options: str, terminal: bool = False, **more: Any) -> StartSpec:
    """A sandbox for a shell script; ``folder`` is the session's, and in the command line for ``processes_of``."""
    own = [] if terminal else ["--new-session"]
    made = Sandbox(program=bwrap(), options=[*system(), *own, "--setenv", "PATH", "/usr/bin:/bin", *options], **more)
    return StartSpec(
        folder=str(folder), socket="", argv=["/bin/sh", "-c", script, str(folder)], executable="/bin/sh", env={},
        cwd="/", sandbox=made, terminal=(24, 80) if terminal else None,
    )  # fmt: skip


class Ended(NamedTuple):
    """What a program printed, and how it ended: (exit code, 0) or (-1, signal)."""

    out: str
    err: str
    outcome: tuple[int, int]


class Box:
    """One started sandbox."""

    def __init__(self, made: child.Child, running: sandbox.Running) -> None:
        self.made = made
        self.running = running
        self.inside = running.inside
        self.out = b""

    def line(self) -> str:
        """Wait for the next line that it prints."""
        os.set_blocking(self.made.stdout, True)
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self.made.stdout, 1)
            assert byte, f"it ended behind {line!r}"
            line += byte
        return line.decode().rstrip("\r\n")

    def end(self) -> Ended:
        """Wait for its end."""
        out, err = (_all(fd) if fd >= 0 else "" for fd in (self.made.stdout, self.made.stderr))
        status = os.waitid(os.P_PIDFD, self.made.pidfd, os.WEXITED | os.WNOWAIT)
        assert status is not None
        return Ended(out, err, self.inside.outcome(status))

    def close(self) -> None:
        """End it and wait until nothing of it is left."""
        init = self.inside.init
        sandbox.abandon(self.made)
        self.running.close()
        wait_gone(init)


def _all(fd: int) -> str:
    os.set_blocking(fd, True)
    said = b""
    try:
        while more := os.read(fd, 65536):
            said += more
    except OSError:
        pass  # a terminal's end
    return said.decode()


@contextmanager
def started(asked: StartSpec) -> Iterator[Box]:
    """Start it; ended with the block."""
    box = Box(*sandbox.start(asked, None))
    try:
        yield box
    finally:
        box.close()


@contextmanager
def user_folder() -> Iterator[Path]:
    """As an ordinary user, with a private folder."""
    with ordinary_user(), short_folder() as folder:
        yield folder


def processes_of(folder: Path) -> list[int]:
    """The processes that have ``folder`` in their command line, however they were started."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            arguments = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(folder) in arguments and int(name) != os.getpid():
            found.append(int(name))
    return found


def check_all_gone(folder: Path) -> None:
    """Nothing of the sandbox of ``folder`` runs, but for what was killed a moment ago."""
    for pid in processes_of(folder):
        wait_gone(pid)


def kill_all(folder: Path) -> list[int]:
    """End what is left of it, and say what it was: what has not ended by itself after a moment."""
    found = processes_of(folder)
    stubborn = [pid for pid in found if not _ends_by_itself(pid)]
    for pid in stubborn:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for pid in found:
        wait_gone(pid)
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
    return stubborn


def _ends_by_itself(pid: int) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 2.0)[0])
    finally:
        os.close(fd)


__all__ = ["FORKS", "Box", "Ended", "bwrap", "check_all_gone", "kill_all", "processes_of", "spec", "started", "system",
           "user_folder"]  # fmt: skip
