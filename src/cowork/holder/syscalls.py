"""The kernel interfaces that the standard library does not wrap, one function each.

Sources: prctl(2), PR_SET_CHILD_SUBREAPER and PR_SET_NAME; fcntl(2), F_SETPIPE_SZ.
"""

from __future__ import annotations

import ctypes
import fcntl
import os

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_F_SETPIPE_SZ = 1031
_F_GETPIPE_SZ = 1032

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int | bytes) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"prctl({option})")


def become_subreaper() -> None:
    """Orphaned descendants become our children instead of init's, so that none can be lost."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """The name that ``ps`` and ``top`` show; the kernel keeps 15 bytes."""
    _prctl(_PR_SET_NAME, name.encode()[:15])


def grow_pipe(fd: int, size: int) -> bool:
    """Ask for a pipe buffer of ``size`` bytes; False where the kernel or the user's quota refuses."""
    try:
        return fcntl.fcntl(fd, _F_GETPIPE_SZ) >= size or fcntl.fcntl(fd, _F_SETPIPE_SZ, size) >= size
    except OSError:
        return False
