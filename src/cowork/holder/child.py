"""Starting the child: streams or a terminal, its own session and process group, and an honest report of a failed exec."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import termios
from dataclasses import dataclass

from cowork.holder import syscalls
from cowork.holder.spec import StartSpec

_WINSIZE = struct.Struct("HHHH")


class StartError(Exception):
    """The child could not be started. ``what``: "cwd", "exec", "cgroup" or "fork"; ``errno`` as the kernel gave it."""

    def __init__(self, what: str, errno: int, text: str) -> None:
        super().__init__(text)
        self.what = what
        self.errno = errno
        self.text = text

    def as_json(self) -> bytes:
        """Body of FAILED."""
        return json.dumps({"what": self.what, "errno": self.errno, "text": self.text}).encode()


@dataclass(slots=True)
class Child:
    """A started child and our ends of its streams (all non-blocking). With a terminal, ``stdout`` is the master."""

    pid: int
    pidfd: int
    stdin: int
    stdout: int
    stderr: int


def start(spec: StartSpec, cgroup: str | None) -> Child:
    """Fork and exec ``spec``; returns when the exec has succeeded.

    Raises:
        StartError: with the step that failed.
    """
    report_r, report_w = os.pipe2(os.O_CLOEXEC)
    ours, theirs = _terminal(spec.terminal) if spec.terminal else _pipes()
    try:
        pid = os.fork()
    except OSError as e:
        _close([report_r, report_w, *ours, *theirs])
        raise StartError("fork", e.errno or 0, f"cannot fork: {e.strerror}") from e
    if pid == 0:
        _become(spec, cgroup, theirs, report_w)
    _close([report_w, *theirs])
    pidfd = os.pidfd_open(pid)
    with os.fdopen(report_r, "rb") as report:
        failure = report.read()
    if failure:
        os.waitpid(pid, 0)
        _close([pidfd, *ours])
        what, number, text = json.loads(failure)
        raise StartError(what, number, text)
    for fd in ours:
        os.set_blocking(fd, False)
    if spec.terminal:
        # One descriptor to write and one to read, so that either can be closed without the other.
        return Child(pid, pidfd, stdin=os.dup(ours[0]), stdout=ours[0], stderr=-1)
    return Child(pid, pidfd, stdin=ours[0], stdout=ours[1], stderr=ours[2])


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
    return [master], [slave]


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _become(spec: StartSpec, cgroup: str | None, fds: list[int], report: int) -> None:
    """In the child: everything between fork and exec. Never returns."""
    what = "exec"
    try:
        what = "cgroup"
        if cgroup is not None:
            with open(os.path.join(cgroup, "cgroup.procs"), "w") as f:
                f.write("0")
        what = "exec"
        if spec.terminal:
            os.login_tty(fds[0])
        else:
            os.setsid()
            for number, fd in enumerate(fds):
                # dup2 onto itself would keep close-on-exec; pipes made by a holder never have these numbers, but
                # the rule costs nothing.
                os.dup2(fd, number, inheritable=True)
        # A holder that is killed must not leave a program behind that nobody can see or stop.
        syscalls.die_with_parent(signal.SIGTERM)
        for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.umask(spec.umask)
        what = "cwd"
        os.chdir(spec.cwd)
        what = "exec"
        os.execve(spec.executable, spec.argv, spec.env)
    except BaseException as e:
        number = e.errno if isinstance(e, OSError) and e.errno else 0
        text = os.strerror(number) if number else str(e)
        target = {"cwd": f"working directory {spec.cwd}", "cgroup": f"cgroup {cgroup}"}.get(what, spec.executable)
        os.write(report, json.dumps([what, number, f"{target}: {text}"]).encode())
    finally:
        os._exit(127)
