"""A lock that ends with its holder, however that ends (flock(2)), with a note of who holds it."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class LockFile:
    """An advisory lock on a file that stays; its content is the holder's to write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> bool:
        """Take the lock; False if another process has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def acquire_when_free(self) -> None:
        """Take the lock; blocks as long as another process has it."""
        while not self.acquire():
            self.wait_until_free()

    def note(self, data: bytes) -> None:
        """Replace the content; only while the lock is held."""
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def read(self) -> bytes:
        """What the last holder noted; empty if there never was one."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    def held(self) -> bool:
        """Whether any process has the lock now."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def wait_until_free(self) -> None:
        """Block until nobody holds it."""
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def release(self) -> None:
        """Let go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
