"""Places in a user's folder on which something is mounted for a session, though the user has nothing there.

A file that does not exist cannot be covered, and one that the session makes there may run on the host later (a git
hook, a hook in Claude Code's settings: CVE-2026-25725). So a placeholder is made for as long as a session needs it. It
is known by its content, mode and time, and locked (flock) by every session that uses it: the last one removes it, and
what is left after a crash goes with the next session's end. Nothing that is not a placeholder is ever removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Sequence

from cowork.holder import syscalls
from cowork.holder.beneath import open_path
from cowork.holder.spec import Cover

_TIME = 1
"""Seconds since the epoch: the modification time of placeholders, which no user's file has."""
_FILE_MODE = 0o444
_FOLDER_MODE = 0o500


class Covers:
    """The placeholders of one session."""

    def __init__(self, wanted: Sequence[Cover]) -> None:
        self._wanted = list(wanted)
        self._locks: list[int] = []

    def make(self) -> None:
        """Make what is missing, and lock what is there. The user's own file or folder at such a place stays as it is.

        Raises:
            OSError: a placeholder cannot be made.
        """
        for cover in self._wanted:
            self._make_at(cover)

    def add(self, more: Sequence[Cover]) -> None:
        """The same for some more."""
        self._wanted += more
        for cover in more:
            self._make_at(cover)

    @property
    def wanted(self) -> list[Cover]:
        """All of them."""
        return list(self._wanted)

    def _make_at(self, cover: Cover) -> None:
        folder, name = _parent(cover)
        try:
            self._make(folder, name, cover)
        finally:
            os.close(folder)

    def _make(self, folder: int, name: str, cover: Cover) -> None:
        for _ in range(1000):
            try:
                fd = _open(folder, name)
            except FileNotFoundError:
                _create(folder, name, cover.content)
                continue
            except OSError as e:
                if e.errno in (errno.ELOOP, errno.ENXIO, errno.EACCES):
                    return  # the user's own link, socket or closed file: there, so nothing has to be made
                raise
            if not _is_placeholder(fd, cover.content):
                os.close(fd)
                return
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                time.sleep(0.001)  # its last user is just removing it
                continue
            if _is_at(folder, name, fd):
                self._locks.append(fd)
                return
            os.close(fd)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), f"{cover.root}/{cover.path}")

    def remove(self) -> None:
        """Remove the placeholders that no other session uses."""
        for fd in self._locks:
            os.close(fd)
        self._locks = []
        remove(self._wanted)


def remove(wanted: Sequence[Cover]) -> None:
    """Remove what is a placeholder and used by nobody; also what a killed session has left."""
    for cover in reversed(wanted):
        try:
            folder, name = _parent(cover)
        except OSError:
            continue
        try:
            fd = _open(folder, name)
            try:
                if _is_placeholder(fd, cover.content):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is_at(folder, name, fd):
                        _unlink(folder, name, cover.content)
            finally:
                os.close(fd)
        except OSError:
            pass  # gone, in use, or not ours to remove
        finally:
            os.close(folder)


def _parent(cover: Cover) -> tuple[int, str]:
    """The folder that a placeholder lies in, reached without links, and its name there."""
    above, _, name = cover.path.rpartition("/")
    return open_path(f"{cover.root}/{above}"), name


def _open(folder: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)


def _create(folder: int, name: str, content: str | None) -> None:
    """Make it, under another name first: nobody ever sees half a placeholder. Somebody else may be faster.

    Raises:
        OSError: it cannot be made, or this file system keeps no mode or time by which it would be known.
    """
    temporary = f".{name}.{os.getpid()}.tmp"
    _make_whole(folder, temporary, content)
    try:
        if not looks_like_one(os.stat(temporary, dir_fd=folder, follow_symlinks=False)):
            text = "this file system keeps no placeholders (protect = false goes without)"
            raise OSError(errno.EOPNOTSUPP, text, name)
        syscalls.rename_new(folder, temporary, name)
    except BaseException as e:
        _unlink(folder, temporary, content)
        if not isinstance(e, FileExistsError):
            raise


def _make_whole(folder: int, name: str, content: str | None) -> None:
    if content is None:
        os.mkdir(name, _FOLDER_MODE, dir_fd=folder)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, _FILE_MODE, dir_fd=folder), "w", encoding="utf-8") as f:
            f.write(content)
    try:
        os.chmod(name, _FOLDER_MODE if content is None else _FILE_MODE, dir_fd=folder)
        os.utime(name, (_TIME, _TIME), dir_fd=folder)
    except BaseException:
        _unlink(folder, name, content)
        raise


def looks_like_one(info: os.stat_result) -> bool:
    """Whether it has the marks of a placeholder: what is there is nobody's, and counts as missing."""
    if info.st_uid != os.geteuid() or int(info.st_mtime) != _TIME:
        return False
    mode = stat.S_IMODE(info.st_mode)
    return mode == (_FOLDER_MODE if stat.S_ISDIR(info.st_mode) else _FILE_MODE)


def _is_placeholder(fd: int, content: str | None) -> bool:
    info = os.fstat(fd)
    if not looks_like_one(info):
        return False
    if content is None:
        return stat.S_ISDIR(info.st_mode)
    wanted = content.encode()
    return stat.S_ISREG(info.st_mode) and os.pread(fd, len(wanted) + 1, 0) == wanted


def _is_at(folder: int, name: str, fd: int) -> bool:
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _unlink(folder: int, name: str, content: str | None) -> None:
    if content is None:
        os.rmdir(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
