"""The bounded queue in front of a child's stdin: whole or not at all, in order, never twice."""

from __future__ import annotations

import os
from collections import deque

LIMIT = 16 * 1024 * 1024
"""Bytes that may wait; a write that would exceed it is refused before a byte of it is taken."""


class StdinQueue:
    """Owns the write end (non-blocking), or nothing once it is closed."""

    def __init__(self, fd: int, limit: int = LIMIT) -> None:
        self.fd = fd
        self.limit = limit
        self.queued = 0
        self._parts: deque[memoryview] = deque()
        self._close_when_empty = False

    @property
    def open(self) -> bool:
        """Whether writes are still accepted."""
        return self.fd >= 0 and not self._close_when_empty

    def offer(self, data: bytes | memoryview) -> bool:
        """Take all of ``data``, or nothing of it when the queue is too full (False).

        An empty queue with a single larger write is not an exception: what is over the limit never fits.
        """
        if self.queued + len(data) > self.limit:
            return False
        if len(data):
            self._parts.append(memoryview(data))
            self.queued += len(data)
        return True

    def flush(self) -> None:
        """Write what the pipe takes now. A reader that went away closes the queue; what waited is dropped with it."""
        while self._parts:
            batch = [self._parts[i] for i in range(min(len(self._parts), 64))]
            try:
                done = os.writev(self.fd, batch)
            except BlockingIOError:
                return
            except OSError:  # EPIPE: nobody will ever read it
                self.close()
                return
            self.queued -= done
            while done:
                first = self._parts[0]
                if done < len(first):
                    self._parts[0] = first[done:]
                    break
                done -= len(first)
                self._parts.popleft()
        if self._close_when_empty:
            self.close()

    def finish(self) -> None:
        """Accept no more; close once everything was written."""
        self._close_when_empty = True
        self.flush()

    def close(self) -> None:
        """Close now and forget what waits."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._parts.clear()
        self.queued = 0
