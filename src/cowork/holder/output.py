"""Draining the child's output into the spool: when to read, when to wait, when to hold the child back."""

from __future__ import annotations

import errno
import os
import select

from cowork.holder import syscalls
from cowork.holder.spool import CHUNK, DISK_FULL, STDERR, STDOUT, SpoolWriter

QUIET = 0.002
"""Seconds in which small writes of an unprompted child are gathered after one was passed on."""
SMALL = 16 * 1024
RETRY = 0.2
"""Seconds between two tries to write to a full disk."""
_GROW_AT = 64 * 1024
_DRAIN = 64
"""Pulls in one go from a stream whose leader has ended; a pipe holds no more than one or two."""


class Output:
    """The two read ends (or the terminal's master) and the spool behind them.

    A program that prints line after line would cost one wake-up of three processes per line. So after a small
    piece was passed on, the next one waits up to ``QUIET`` seconds, unless the child answers to something written
    to its stdin (``prompted``) or prints a lot.
    """

    def __init__(self, epoll: select.epoll, spool: SpoolWriter, stdout: int, stderr: int) -> None:
        self.spool = spool
        self._epoll = epoll
        self._streams = {fd: s for fd, s in ((stdout, STDOUT), (stderr, STDERR)) if fd >= 0}
        self._open = set(self._streams)
        self._terminal = stderr < 0
        self._resting: dict[int, float] = {}
        self._grown: set[int] = set()
        self._blocked = False
        self._disk_full_until = 0.0
        self.prompted = False
        self._registered: set[int] = set()
        self._listen_all()

    @property
    def ended(self) -> bool:
        """Both streams are at their end."""
        return not self._open

    @property
    def state(self) -> str:
        """ "open", "full" (nobody takes what is spooled), "disk full" or "ended"."""
        if not self._open:
            return "ended"
        if self._disk_full_until:
            return "disk full"
        return "full" if self._blocked else "open"

    @property
    def deadline(self) -> float | None:
        """When a resting stream wants to be read again (monotonic seconds)."""
        due = list(self._resting.values())
        if self._disk_full_until:
            due.append(self._disk_full_until)
        return min(due) if due else None

    def owns(self, fd: int) -> bool:
        """Whether ``fd`` is one of the streams. One that is closed is none: the next client may get its number."""
        return fd in self._open

    def read(self, fd: int, now: float) -> bool:
        """Pull once from a readable stream; True if the spool grew."""
        for other in [f for f in self._resting if f != fd]:
            self._pull(other, now)  # what it has was there first, and what it prints next comes after this
            self._resting.pop(other, None)
            self._listen(other)
        moved = self._pull(fd, now)
        if moved is None or moved == 0:
            return False
        if moved >= _GROW_AT and fd not in self._grown:
            self._grown.add(fd)
            syscalls.grow_pipe(fd, CHUNK)
        if moved < SMALL and not self.prompted:
            self._resting[fd] = now + QUIET
            self._listen(fd)
        self.prompted = False
        return True

    def wake(self, now: float) -> bool:
        """Listen again to the streams that have rested, and try a disk again that was full; True if the spool grew."""
        for fd in [fd for fd, due in self._resting.items() if due <= now]:
            del self._resting[fd]
            self._listen(fd)
        if self._disk_full_until and self._disk_full_until <= now:
            self._disk_full_until = 0.0
            self._listen_all()
            # Not only once there is more to read: what the disk did not take may be all there is.
            return sum(self._pull(fd, now) or 0 for fd in list(self._open)) > 0
        return False

    def prompt(self) -> None:
        """Something was written to the child: its answer is wanted at once."""
        self.prompted = True
        for fd in list(self._resting):
            del self._resting[fd]
            self._listen(fd)

    def hold_back(self, blocked: bool) -> bool:
        """Stop or resume reading because nobody takes what is spooled; True if that is a change."""
        if blocked == self._blocked:
            return False
        self._blocked = blocked
        self._listen_all()
        return True

    def drain(self, now: float) -> bool:
        """Pull all that is readable, whatever the bound; True if nothing is left to read.

        Used when the leader has ended: what is in the pipes is bounded by their size.
        """
        for fd in list(self._open):
            for _ in range(_DRAIN):  # somebody may still be printing as fast as this reads
                if not self._pull(fd, now):
                    break
        return not self._disk_full_until

    def close(self) -> None:
        """Close what is still open."""
        for fd in list(self._open):
            self._end(fd)
        self.spool.close()

    def _pull(self, fd: int, now: float) -> int | None:
        """Bytes moved, 0 at the end (the stream is closed then), None when there is nothing now."""
        try:
            moved = self.spool.pull(fd, self._streams[fd])
        except BlockingIOError:
            return None
        except OSError as e:
            if e.errno in DISK_FULL or (e.errno == errno.EIO and not self._terminal):
                self._disk_full_until = now + RETRY
                self._listen_all()
                return None
            if e.errno != errno.EIO:  # from a terminal: its other side is closed
                raise
            moved = 0
        if moved == 0:
            self._end(fd)
        elif self.spool.unfinished:
            self._disk_full_until = now + RETRY
            self._listen_all()
        return moved

    def _end(self, fd: int) -> None:
        self._open.discard(fd)
        self._resting.pop(fd, None)
        self._listen(fd)
        os.close(fd)

    def _listen(self, fd: int) -> None:
        # Out of the set rather than without events: a hang-up is reported whatever was asked for, and would spin.
        stopped = self._blocked or self._disk_full_until or fd in self._resting or fd not in self._open
        if stopped and fd in self._registered:
            self._registered.discard(fd)
            self._epoll.unregister(fd)
        elif not stopped and fd not in self._registered:
            self._registered.add(fd)
            self._epoll.register(fd, select.EPOLLIN)

    def _listen_all(self) -> None:
        for fd in self._streams:
            self._listen(fd)
