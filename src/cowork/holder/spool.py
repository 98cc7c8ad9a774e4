"""The spool: what a child printed, as plain bytes in files, in the order of arrival.

Folder ``spool/`` of a session: segments ``<offset>.log`` of exactly ``SEGMENT`` bytes but for the last, named by the
offset (20 digits) of their first byte, holding stdout and stderr as they came. Beside each, ``<offset>.idx``: records
of two big-endian u64 (offset, stream) telling from where on the bytes are which stream's; a segment always begins
with one.

Offsets count all bytes since the session's start and are the resume tokens. Bytes go from the pipe to the page
cache inside the kernel (splice), so the holder holds none of them.
"""

from __future__ import annotations

import errno
import os
import struct

SEGMENT = 4 * 1024 * 1024
CHUNK = 1024 * 1024
STDOUT = 1
STDERR = 2
RECORD = struct.Struct("!QQ")


def log_name(offset: int) -> str:
    """File name of the segment that begins at ``offset``."""
    return f"{offset:020d}.log"


def index_name(offset: int) -> str:
    """File name of that segment's index."""
    return f"{offset:020d}.idx"


class SpoolWriter:
    """Appends to the spool and recycles what nobody needs.

    ``history``: bytes kept for ``logs`` though everybody has taken them. ``limit``: bytes that nobody has taken,
    from which on ``full`` is true. With ``hold`` false nobody's position counts and only the history is kept.
    """

    def __init__(self, folder: str, *, history: int, limit: int, hold: bool) -> None:
        self.folder = folder
        self.head = 0
        self._history = history
        self._limit = limit
        self._hold = hold
        self._segments: list[int] = []
        self._log = -1
        self._index = -1
        self._stream = 0
        self._can_splice = True
        self._left: dict[int, bytes] = {}
        self._records = 0
        self._unindexed: tuple[int, int] | None = None
        os.makedirs(folder, mode=0o700, exist_ok=True)

    @property
    def base(self) -> int:
        """Offset of the oldest byte that is kept."""
        return self._segments[0] if self._segments else self.head

    def full(self, floor: int) -> bool:
        """Whether the child has to wait: ``limit`` bytes after ``floor`` are not taken yet."""
        return self._hold and self.head - floor >= self._limit

    def pull(self, fd: int, stream: int) -> int:
        """Move at most ``CHUNK`` readable bytes of ``fd`` into the spool.

        Returns:
            bytes moved; 0 at the end of the stream.

        Raises:
            BlockingIOError: nothing to read now.
            OSError: the file system takes no more (ENOSPC, EDQUOT, EFBIG, EIO); nothing of the child is lost.
        """
        if self._unindexed is not None:
            return self._publish(*self._unindexed)
        if not self._segments or self.head - self._segments[-1] >= SEGMENT:
            self._open_segment()
        room = min(CHUNK, SEGMENT - (self.head - self._segments[-1]))
        moved = self._move(fd, stream, room)
        return self._publish(stream, moved) if moved else 0

    @property
    def unfinished(self) -> bool:
        """Whether bytes that have left their pipe or terminal wait for a full disk."""
        return self._unindexed is not None or any(self._left.values())

    def _publish(self, stream: int, moved: int) -> int:
        """Count what the log has as the spool's, its index record first; done again if the disk is full for that."""
        self._unindexed = (stream, moved)
        if stream != self._stream:
            record = RECORD.pack(self.head, stream)
            if os.pwrite(self._index, record, self._records * RECORD.size) < RECORD.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._records += 1
            self._stream = stream
        self.head += moved
        self._unindexed = None
        return moved

    def recycle(self, floor: int) -> None:
        """Remove the segments that lie before both ``floor`` and the history."""
        keep = self.head - self._history
        if self._hold:
            keep = min(keep, floor)
        while len(self._segments) > 1 and self._segments[1] <= keep:
            offset = self._segments.pop(0)
            for name in (log_name(offset), index_name(offset)):
                try:
                    os.unlink(os.path.join(self.folder, name))
                except FileNotFoundError:
                    pass

    def close(self) -> None:
        """Close the files."""
        for fd in (self._log, self._index):
            if fd >= 0:
                os.close(fd)
        self._log = self._index = -1

    def _open_segment(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(os.path.join(self.folder, log_name(self.head)), flags, 0o600)
        try:
            index = os.open(os.path.join(self.folder, index_name(self.head)), flags, 0o600)
        except OSError:
            os.close(log)
            raise
        self.close()
        self._log, self._index = log, index
        self._segments.append(self.head)
        self._stream = self._records = 0

    def _move(self, fd: int, stream: int, room: int) -> int:
        if self._can_splice:
            try:
                return os.splice(fd, self._log, room, flags=os.SPLICE_F_NONBLOCK)
            except OSError as e:
                # Terminals and some network file systems cannot splice; the answer does not change later.
                if e.errno != errno.EINVAL:
                    raise
                self._can_splice = False
        left = self._left.get(stream) or os.read(fd, min(65536, room))
        if not left:
            return 0
        # Kept until the file has it: bytes that were read out of a terminal exist nowhere else.
        self._left[stream] = left
        done = os.write(self._log, left)
        self._left[stream] = left[done:]
        return done


DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors that go away when somebody makes room."""
