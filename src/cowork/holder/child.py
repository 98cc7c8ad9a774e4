"""Starting the child: streams or a terminal, its own session and process group, an honest report of a failed exec."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import struct
import subprocess
import termios
from collections.abc import Callable
from typing import NamedTuple

from cowork.holder.spec import StartSpec

_WINSIZE = struct.Struct("HHHH")


class StartError(Exception):
    """The child could not be started. ``what``: "cwd", "exec", "spool" or "socket"; ``errno`` as the kernel gave it."""

    def __init__(self, what: str, errno: int, text: str) -> None:
        super().__init__(text)
        self.what = what
        self.errno = errno
        self.text = text

    def as_json(self) -> bytes:
        """Body of FAILED."""
        return json.dumps({"what": self.what, "errno": self.errno, "text": self.text}).encode()


class Child(NamedTuple):
    """A started child and our ends of its streams (all non-blocking). With a terminal, ``stdout`` is the master."""

    pid: int
    pidfd: int
    stdin: int
    stdout: int
    stderr: int


def start(spec: StartSpec, cgroup: str | None) -> Child:
    """Start ``spec``; returns when the exec has succeeded.

    Raises:
        StartError: with the step that failed.
    """
    ours, theirs = _terminal(spec.terminal) if spec.terminal else _pipes()
    try:
        # Without a preexec_fn this is vfork and costs nothing; with one it is fork, which is safe in a process
        # that has one thread.
        process = subprocess.Popen(
            spec.argv, executable=spec.executable, cwd=spec.cwd, env=spec.env, umask=spec.umask,
            stdin=theirs[0], stdout=theirs[-2], stderr=theirs[-1], start_new_session=True, close_fds=False,
            preexec_fn=_preparation(spec.terminal is not None, cgroup, _other_limits(spec)),
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError) as e:
        _close(ours)
        raise _explain(e, spec) from e
    finally:
        _close(set(theirs))
    # From here on the pid is ours alone: Popen would reap it behind our back when it is collected.
    process.returncode = 0
    pidfd = os.pidfd_open(process.pid)
    for fd in ours:
        os.set_blocking(fd, False)
    if spec.terminal:
        # One descriptor to write and one to read, so that either can be closed without the other.
        return Child(process.pid, pidfd, stdin=os.dup(ours[0]), stdout=ours[0], stderr=-1)
    return Child(process.pid, pidfd, stdin=ours[0], stdout=ours[1], stderr=ours[2])


def resize(fd: int, rows: int, columns: int) -> None:
    """Tell a terminal its size; the kernel sends SIGWINCH to the program in front."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, _WINSIZE.pack(rows, columns, 0, 0))


def _pipes() -> tuple[list[int], list[int]]:
    in_r, in_w = os.pipe2(os.O_CLOEXEC)
    out_r, out_w = os.pipe2(os.O_CLOEXEC)
    err_r, err_w = os.pipe2(os.O_CLOEXEC)
    return [in_w, out_r, err_r], [in_r, out_w, err_w]


def _terminal(size: tuple[int, int]) -> tuple[list[int], list[int]]:
    master, slave = os.openpty()
    resize(slave, *size)
    return [master], [slave, slave, slave]


def _close(fds: list[int] | set[int]) -> None:
    for fd in fds:
        os.close(fd)


def _other_limits(spec: StartSpec) -> list[tuple[int, int, int]]:
    """The limits that are not those which the child inherits anyway."""
    return [(number, soft, hard) for number, soft, hard in spec.rlimits if resource.getrlimit(number) != (soft, hard)]


def _preparation(
    terminal: bool, cgroup: str | None, rlimits: list[tuple[int, int, int]]
) -> Callable[[], None] | None:  # fmt: skip
    """What has to be done inside the child before the exec, or None when nothing has to."""
    if not terminal and cgroup is None and not rlimits:
        return None

    def prepare() -> None:
        for number, soft, hard in rlimits:
            try:
                resource.setrlimit(number, (soft, hard))
            except (OSError, ValueError):
                pass  # more than this holder may give
        if cgroup is not None:
            with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    return prepare


def _explain(error: Exception, spec: StartSpec) -> StartError:
    number = error.errno or 0 if isinstance(error, OSError) else 0
    text = os.strerror(number) if number else str(error)
    if isinstance(error, OSError) and error.filename == spec.cwd and spec.cwd != spec.executable:
        return StartError("cwd", number, f"working directory {spec.cwd}: {text}")
    return StartError("exec", number, f"{spec.executable}: {text}")
