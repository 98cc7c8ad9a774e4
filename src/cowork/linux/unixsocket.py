"""Listening on a Unix socket path without stealing, without a moment of wide rights, and without leaving it behind.

Sources: unix(7); faults.md G12, G50, N12, N32.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from cowork.errors import ConfigError, PolicyError
from cowork.paths import MAX_SOCKET_PATH

BACKLOG = 512


def bind(path: Path) -> socket.socket:
    """Bind and listen, 0600 from the first instant; a socket that nobody serves any more is replaced.

    Raises:
        ConfigError: the path is too long or its folder does not exist.
        PolicyError: something that is no socket is there, somebody else's folder, or a daemon answers on it.
        OSError: it cannot be made.
    """
    check_path(path)
    check_parent(path)
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Bound under a name of its own, then linked in: the path never shows a socket that does not listen yet,
        # and the link fails if another daemon was faster.
        temporary = path.with_name(f".{os.urandom(4).hex()}")
        old = os.umask(0o177)
        try:
            sock.bind(str(temporary))
        finally:
            os.umask(old)
        try:
            sock.listen(BACKLOG)
            os.link(temporary, path)
        except FileExistsError:
            raise PolicyError(f"{path}: another daemon has just taken it") from None
        finally:
            os.unlink(temporary)
    except BaseException:
        sock.close()
        raise
    return sock


def check_path(path: Path) -> None:
    """Refuse what is no usable path of a socket.

    Raises:
        ConfigError: not absolute, with a NUL, or longer than ``MAX_SOCKET_PATH`` bytes.
    """
    text = os.fspath(path)
    if "\0" in text:
        raise ConfigError("the socket's path contains NUL")
    if not path.is_absolute():
        raise ConfigError(f"{text}: the socket's path must be absolute")
    # A few bytes less than the kernel takes, for the temporary name beside it.
    if max(len(os.fsencode(text)), len(os.fsencode(path.parent)) + 12) > MAX_SOCKET_PATH:
        raise ConfigError(
            f"{text}: {len(os.fsencode(text))} bytes are too long for a socket's path, the limit is {MAX_SOCKET_PATH}",
            hint="use a shorter folder, for example under /run/user or /tmp",
        )


def check_parent(path: Path) -> None:
    """The folder must be ours (or root's), and nobody else may replace things in it.

    Raises:
        ConfigError: it does not exist or is no folder.
        PolicyError: somebody else controls it.
    """
    try:
        info = path.parent.stat()
    except FileNotFoundError:
        raise ConfigError(f"{path.parent}: no such directory", hint=f"mkdir -m 700 {path.parent}") from None
    if not stat.S_ISDIR(info.st_mode):
        raise ConfigError(f"{path.parent} is not a directory")
    if info.st_uid not in (os.getuid(), 0):
        raise PolicyError(f"{path.parent} belongs to uid {info.st_uid}")
    if info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX:
        raise PolicyError(f"{path.parent} can be written by others", hint=f"chmod go-w {path.parent}")


def answers(path: Path) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError as e:
            # A full backlog is a living daemon, too.
            return e.errno in (errno.EAGAIN, errno.ETIMEDOUT)
        return True


def _remove_stale(path: Path) -> None:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(info.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "no socket"
        raise PolicyError(f"{path} exists and is {kind}", hint="it is left untouched; move it away or use another path")
    if info.st_uid != os.getuid():
        raise PolicyError(f"{path} belongs to uid {info.st_uid}")
    if answers(path):
        raise PolicyError(f"{path}: another daemon answers there", hint="stop it, or use another --socket")
    path.unlink(missing_ok=True)


def inode_of(path: Path) -> tuple[int, int] | None:
    """Device and inode of what is at ``path``."""
    try:
        info = path.lstat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def unlink_own(path: Path, inode: tuple[int, int] | None) -> None:
    """Remove the socket if it is still the one that was bound; a successor's is left alone."""
    if inode is not None and inode_of(path) == inode:
        path.unlink(missing_ok=True)
