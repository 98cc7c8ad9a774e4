"""The program in a bubblewrap sandbox, as the holder sees it from outside.

The holder's child is bubblewrap itself. Below it is the first process of the sandbox's pid namespace, which only
reaps; the program is that one's child. A signal to bubblewrap would end everything at once and the program would never
see it, so signals go to the program. bubblewrap tells of a signal that ended the program as 128 + its number, which
a program can exit with, too; the kernel is asked which it was.
"""

from __future__ import annotations

import os
import select
import signal
import time

from cowork.holder import syscalls, tree

_FIND = 0.1
"""Seconds in which the program is looked for at its start; on a quiet machine it is there after one or two ms."""
_LOOK = 0.0002
"""Seconds between two looks: bubblewrap needs the processor, too."""
_CRASHES = frozenset({
    signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS,
    signal.SIGTRAP,
})  # fmt: skip
"""Signals that end a program without anybody sending them: such a code is hardly a program's own."""


class Inside:
    """``init``: pid of the namespace's first process. The program is found once it is there."""

    def __init__(self, init: int) -> None:
        self.init = init
        self._init_fd = os.pidfd_open(init)
        self.program: int | None = None
        self._program_fd = -1
        self._sent: set[int] = set()

    def find(self, patience: float = _FIND) -> None:
        """Look for the program; it may have ended before it was seen."""
        end = time.monotonic() + patience
        while self.program is None:
            for pid in tree.children(self.init)[:1]:
                try:
                    self._program_fd = os.pidfd_open(pid)
                    self.program = pid
                except ProcessLookupError:
                    pass
            if self.program is None:
                if time.monotonic() > end or _ended(self._init_fd):
                    return
                time.sleep(_LOOK)

    def send(self, to: str, number: int) -> bool:
        """Signal the program ("leader"), its process group, or everything in the sandbox; True if anybody was there."""
        self.find(0.0)
        if self.program is None or _ended(self._init_fd):
            return False
        if number:
            self._sent.add(number)
        if to == "leader":
            return self._to_program(number)
        if to == "group":
            return self._to_group(number)
        sent = False
        for pid in tree.descendants(self.init):
            sent |= tree.kill(pid, number)
        return sent

    def end(self) -> None:
        """The program has ended: with the first process of its namespace the kernel ends all others there.

        bubblewrap asks the kernel for that, too (``--die-with-parent``), but nobody can wait for it.
        """
        try:
            signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def outcome(self, status: os.waitid_result) -> tuple[int, int]:
        """How the program ended: (exit code, 0) or (-1, signal). ``status`` is that of bubblewrap itself."""
        if status.si_code != os.CLD_EXITED:
            return -1, status.si_status
        told = syscalls.exit_status_of(self._program_fd) if self._program_fd >= 0 else None
        if told is not None:
            return (-1, os.WTERMSIG(told)) if os.WIFSIGNALED(told) else (os.WEXITSTATUS(told), 0)
        number = status.si_status - 128
        if number in self._sent or number in _CRASHES:
            return -1, number
        return status.si_status, 0

    def close(self) -> None:
        """Let go."""
        os.close(self._init_fd)
        if self._program_fd >= 0:
            os.close(self._program_fd)

    def _to_program(self, number: int) -> bool:
        try:
            signal.pidfd_send_signal(self._program_fd, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _to_group(self, number: int) -> bool:
        # The program is in the session of the namespace's first process, which takes no signal but KILL and STOP. On a
        # terminal that is bubblewrap's own, and a signal to bubblewrap would end everything: so one by one.
        assert self.program is not None
        try:
            group = os.getpgid(self.program)
        except ProcessLookupError:
            return False
        sent = False
        for pid in tree.descendants(self.init):
            try:
                sent |= os.getpgid(pid) == group and tree.kill(pid, number)
            except ProcessLookupError:
                pass
        return sent


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
