"""``readFile``: the bytes of one regular file that a session may see."""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from typing import TYPE_CHECKING

from cowork.errors import NotFound, PolicyError, RpcError
from cowork.translate.paths import is_below
from cowork.wire.frames import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LIMIT = (MAX_FRAME - 8192) // 4 * 3
"""Largest file in bytes whose base64 fits into a frame with its envelope (ids are at most 4 KiB)."""


def read_contained(path: Path, roots: Sequence[Path]) -> str:
    """Base64 of a regular file below one of ``roots``, by its real path.

    Raises:
        NotFound: there is no such file.
        PolicyError: it lies outside (a link that leads out counts as outside).
        RpcError: no regular file, or larger than ``LIMIT``.
    """
    real = os.path.realpath(path)
    if not any(is_below(real, os.path.realpath(root)) for root in roots):
        raise PolicyError(f"{path} is outside the session's folders")
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to must not wait. O_NOFOLLOW: the real path has no links.
        fd = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except OSError as e:
        raise RpcError(f"{path}: {e.strerror}") from e
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise RpcError(f"{path} is {_kind(info.st_mode)}, not a regular file")
        if info.st_size > LIMIT:
            raise RpcError(f"{path} has {info.st_size} bytes; at most {LIMIT} fit into one reply")
        with open(fd, "rb", closefd=False) as f:
            data = f.read(LIMIT + 1)
    finally:
        os.close(fd)
    if len(data) > LIMIT:
        raise RpcError(f"{path} has grown over {LIMIT} bytes, which is what fits into one reply")
    return b64encode(data).decode()


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a device or socket"
