"""Reading a spool, from any offset, while it grows: runs of bytes of one stream in the order of arrival.

The format is in holder/spool.py. Any number of readers; none of them disturbs the holder.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from cowork.holder.spool import RECORD, SEGMENT, STDOUT, index_name, log_name

if TYPE_CHECKING:
    from pathlib import Path


class SpoolReader:
    """Random access to a spool's bytes.

    The caller tells where the spool ends (``head``, from the holder's NOTE or from ``end()``); nothing after
    that is looked at, since the index of bytes that were not announced may not be written yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segment = -1
        self._log = -1
        self._index = -1
        self._runs: list[tuple[int, int]] = []
        self._runs_read = 0

    def base(self) -> int:
        """Offset of the oldest byte that is still kept; 0 for an empty spool."""
        return min(self._segments(), default=0)

    def end(self) -> int:
        """Offset after the last byte on the disk: the head of a spool whose holder is gone."""
        last = max(self._segments(), default=None)
        if last is None:
            return 0
        return last + os.stat(self._folder / log_name(last)).st_size

    def run_at(self, offset: int, head: int) -> tuple[int, int]:
        """The run that holds byte ``offset`` (< ``head``): its stream and its end, within one segment.

        Raises:
            FileNotFoundError: the byte has been recycled.
        """
        start = offset - offset % SEGMENT
        if start != self._segment:
            self._open(start)
        end = min(head, start + SEGMENT)
        at = bisect_right(self._runs, offset, key=_start) - 1
        if at + 1 == len(self._runs):
            # The last run that is known: a younger one may have been written before this byte was announced.
            self._refresh_runs()
            at = bisect_right(self._runs, offset, key=_start) - 1
        stream = self._runs[at][1] if at >= 0 else STDOUT
        if at + 1 < len(self._runs):
            end = min(end, self._runs[at + 1][0])
        return stream, end

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill ``buffer`` from ``offset`` on, within the segment of the last ``run_at``; returns bytes read."""
        return os.preadv(self._log, [buffer], offset - self._segment)

    def send(self, target: int, offset: int, count: int) -> int:
        """Have the kernel copy bytes to a descriptor, within the segment of the last ``run_at``; returns how many."""
        return os.sendfile(target, self._log, offset - self._segment, count)

    def close(self) -> None:
        """Close the files; the reader can be used again."""
        for fd in (self._log, self._index):
            if fd >= 0:
                os.close(fd)
        self._log = self._index = self._segment = -1

    def _open(self, start: int) -> None:
        self.close()
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        self._log = os.open(self._folder / log_name(start), flags)
        self._index = os.open(self._folder / index_name(start), flags)
        self._segment = start
        self._runs = []
        self._runs_read = 0

    def _refresh_runs(self) -> None:
        while whole := len(data := os.pread(self._index, 1 << 20, self._runs_read)) // RECORD.size * RECORD.size:
            self._runs += RECORD.iter_unpack(data[:whole])
            self._runs_read += whole

    def _segments(self) -> list[int]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return [int(name[:-4]) for name in names if name.endswith(".log") and name[:-4].isdigit()]


def trim(folder: Path, keep: int) -> None:
    """Remove segments of an ended session's spool, the oldest first, as long as ``keep`` bytes or more are left.

    While it runs its holder does this.
    """
    reader = SpoolReader(folder)
    starts = sorted(reader._segments())
    last = reader.end() - keep
    for start, following in pairwise(starts):
        if following > last:
            break
        for name in (log_name(start), index_name(start)):
            (folder / name).unlink(missing_ok=True)


def _start(run: tuple[int, int]) -> int:
    return run[0]
