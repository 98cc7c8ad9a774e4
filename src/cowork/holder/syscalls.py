"""The kernel interfaces that the standard library does not wrap, one function each.

Sources: prctl(2), PR_SET_CHILD_SUBREAPER, PR_SET_NAME and PR_SET_PDEATHSIG; fcntl(2), F_SETPIPE_SZ; setns(2);
unshare(2); ioctl_ns(2), NS_GET_USERNS; open_tree(2), move_mount(2) and mount_setattr(2), Linux 5.12; PIDFD_GET_INFO of
include/uapi/linux/pidfd.h, with the exit status since Linux 6.15; renameat2(2); openat2(2), RESOLVE_IN_ROOT, Linux 5.6.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_F_SETPIPE_SZ = 1031
_F_GETPIPE_SZ = 1032

_NS_GET_USERNS = 0xB701
_PIDFD_GET_INFO = 0xC040FF0B  # of the first, 64-byte, struct pidfd_info
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_INFO = struct.Struct("=QQ11Ii")

# These numbers are the same on every architecture.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_OPENAT2, _SYS_MOUNT_SETATTR = 428, 429, 437, 442
_RESOLVE_IN_ROOT = 0x10
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_CLONE_ALL = 1 | os.O_CLOEXEC | _AT_EMPTY_PATH | _AT_RECURSIVE
_MOVE_F_EMPTY, _MOVE_T_EMPTY = 0x04, 0x40
_RENAME_NOREPLACE = 1
_RDONLY, _NOSUID, _NODEV = 1, 2, 4

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int | bytes) -> None:
    _checked(_libc.prctl(option, argument, 0, 0, 0), f"prctl({option})")


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


def die_with(number: int) -> None:
    """Get signal ``number`` when the thread that forked this process ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def enter_namespace(fd: int, kind: int) -> None:
    """Join the namespace of ``kind`` (a CLONE_NEW constant) that ``fd`` stands for.

    Raises:
        OSError: not allowed, or this process has threads.
    """
    _checked(_libc.setns(fd, kind), "setns")


def leave_namespaces(kinds: int) -> None:
    """Have namespaces of one's own from now on (CLONE_NEW constants).

    Raises:
        OSError: not allowed.
    """
    _checked(_libc.unshare(kinds), "unshare")


def open_in_root(root: int, path: str) -> int:
    """An ``O_PATH`` descriptor of what ``path`` is for a process whose root is ``root`` (a descriptor).

    Raises:
        OSError: it is not there, or this kernel cannot tell (ENOSYS before 5.6; EPERM from some containers' filters).
    """
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    return _checked(_libc.syscall(_SYS_OPENAT2, root, ctypes.c_char_p(os.fsencode(path)), how, len(how)), path)


def clone_mount(at: int) -> int:
    """A detached copy of what the descriptor ``at`` is of, with all that is mounted below, as a descriptor.

    Raises:
        OSError: not allowed, or not known to this kernel.
    """
    return _checked(_libc.syscall(_SYS_OPEN_TREE, at, b"", _CLONE_ALL), "open_tree")


def set_mount(fd: int, path: str, *, read_only: bool | None, recursive: bool = False) -> None:
    """Change a mount, that of ``fd`` if ``path`` is empty: no devices, no setuid; read-only or not, None: as it is.

    Raises:
        OSError: not allowed, or not known to this kernel.
    """
    put = _NOSUID | _NODEV | (_RDONLY if read_only else 0)
    attributes = struct.pack("=QQQQ", put, _RDONLY if read_only is False else 0, 0, 0)
    flags = (_AT_EMPTY_PATH if not path else 0) | (_AT_RECURSIVE if recursive else 0)
    done = _libc.syscall(_SYS_MOUNT_SETATTR, fd, os.fsencode(path), flags, attributes, len(attributes))
    _checked(done, "mount_setattr")


def move_mount(fd: int, folder: int, name: str) -> None:
    """Attach the detached mount ``fd`` to ``name`` in ``folder`` (a descriptor), to ``folder`` itself if it is empty.

    Raises:
        OSError: not allowed, or not known to this kernel.
    """
    flags = _MOVE_F_EMPTY | (_MOVE_T_EMPTY if not name else 0)
    _checked(_libc.syscall(_SYS_MOVE_MOUNT, fd, b"", folder, os.fsencode(name), flags), "move_mount")


def rename_new(folder: int, old: str, new: str) -> None:
    """Rename within ``folder`` (a descriptor), never over something that is there.

    Raises:
        FileExistsError: ``new`` is there.
        OSError: it cannot be renamed, or not without that risk.
    """
    done = _libc.renameat2(folder, os.fsencode(old), folder, os.fsencode(new), _RENAME_NOREPLACE)
    _checked(done, new)


def _checked(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def owner_of_namespace(fd: int) -> int:
    """A descriptor of the user namespace that owns the namespace ``fd`` stands for.

    Raises:
        OSError: it is out of reach.
    """
    return fcntl.ioctl(fd, _NS_GET_USERNS)


def exit_status_of(pidfd: int) -> int | None:
    """The wait status of a process that has ended and is somebody else's child; None where the kernel does not tell."""
    info = bytearray(_PIDFD_INFO.pack(_PIDFD_INFO_EXIT, *([0] * 13)))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info, True)
    except OSError:
        return None
    mask, *_, status = _PIDFD_INFO.unpack(info)
    return status if mask & _PIDFD_INFO_EXIT else None
