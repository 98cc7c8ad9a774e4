"""Reaching a path without following a single link, so that nothing can be put in its place on the way.

Source: openat(2): O_PATH, O_NOFOLLOW.
"""

from __future__ import annotations

import errno
import os
import stat

from cowork.holder import syscalls


def open_path(path: str, root: int | None = None) -> int:
    """An ``O_PATH`` descriptor of ``path``, every element of which is opened by itself and is no symbolic link.

    ``root``: a descriptor of the folder that ``/`` stands for; the real root without it.

    Raises:
        OSError: with ``filename``; ELOOP for a symbolic link, wherever it stands.
    """
    at = os.open("/" if root is None else ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        for element in path.split("/"):
            if element in ("", "."):
                continue
            if element == "..":
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
            try:
                below = os.open(element, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            except OSError as e:
                raise OSError(e.errno, e.strerror, path) from e
            os.close(at)
            at = below
            if stat.S_ISLNK(os.fstat(at).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    except BaseException:
        os.close(at)
        raise
    return at


def exists_in(root: int, path: str) -> bool:
    """Whether a process whose root is ``root`` would find ``path``, links followed as it would follow them.

    True as well on a kernel that cannot tell (before 5.6).
    """
    try:
        os.close(syscalls.open_in_root(root, path))
    except OSError as e:
        return e.errno in (errno.ENOSYS, errno.EPERM)
    return True


def same_file(one: int, other: int) -> bool:
    """Whether two descriptors are of the same file."""
    a, b = os.fstat(one), os.fstat(other)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
