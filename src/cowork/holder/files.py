"""Files that are either whole or absent, descriptors that are not wanted, and the session's own log."""

from __future__ import annotations

import os
import time
from collections.abc import Collection


def write_all(fd: int, data: bytes) -> None:
    """Write ``data`` to a file that may take it in pieces.

    Raises:
        OSError: not all of it was taken.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_whole(path: str, data: bytes, *, sync: bool = True) -> None:
    """Write ``data`` under a temporary name, sync it, and rename it to ``path`` (mode 0600).

    Raises:
        OSError: the temporary file is removed again; ``path`` is as before.
    """
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_json(path: str, value: object, *, sync: bool = True) -> None:
    """``write_whole`` of one line of JSON."""
    import json  # the daemon uses the other functions only, and its start is waited for

    write_whole(path, json.dumps(value).encode() + b"\n", sync=sync)


def sync(path: str) -> None:
    """Have what was written to ``path`` reach the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def close_all_but(keep: Collection[int]) -> None:
    """Close every descriptor of this process that is not one of ``keep``."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in keep:
            try:
                os.close(number)
            except OSError:
                pass  # the descriptor of the listing itself


class LifecycleLog:
    """Appends dated lines; a disk that takes none is no reason to end.

    ``limit``: bytes from which on the file is set aside as ``<path>.1``, over an older one.
    """

    def __init__(self, path: str, limit: int | None = None) -> None:
        self._path = path
        self._limit = limit

    def __call__(self, text: str) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        line = f"{stamp}.{int(now * 1000) % 1000:03d}Z {text}\n"
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.write(fd, line.encode("utf-8", "backslashreplace"))
            if self._limit is not None and os.fstat(fd).st_size > self._limit:
                os.replace(self._path, f"{self._path}.1")
        except OSError:
            pass
        finally:
            os.close(fd)
