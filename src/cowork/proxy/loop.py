"""The one thread's loop: descriptors, timers, and sockets closed at the turn's end."""

from __future__ import annotations

import heapq
import select
import socket
import time
from collections.abc import Callable

IN = select.EPOLLIN
OUT = select.EPOLLOUT
HUP = select.EPOLLHUP
ERR = select.EPOLLERR

Handler = Callable[[int], None]
"""Called with what epoll has seen."""

_RUBBISH = 1000
"""Cancelled timers that may lie about."""


class Timer:
    """A call to come; ``callback`` is None once it was made or cancelled."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Loop:
    """Level-triggered epoll. A handler that raises loses its descriptor, not the loop."""

    def __init__(self, trouble: Callable[[BaseException], None]) -> None:
        self._trouble = trouble
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._masks: dict[int, int] = {}
        self._timers: list[Timer] = []
        self._cancelled = 0
        self._doomed: list[socket.socket] = []
        self._running = True

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Call ``handler`` on these events (0: on HUP and ERR alone, which always come)."""
        known = self._masks.get(fd)
        if known is None:
            self._epoll.register(fd, events)
        elif known != events:
            self._epoll.modify(fd, events)
        self._masks[fd] = events
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """Call nothing for it any more."""
        if self._masks.pop(fd, None) is not None:
            del self._handlers[fd]
            self._epoll.unregister(fd)

    def close(self, sock: socket.socket) -> None:
        """Unwatch and close; the number is not given to another before this turn's events have been served."""
        if sock.fileno() >= 0:
            self.unwatch(sock.fileno())
            self._doomed.append(sock)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call once, then."""
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Forget a timer; one that was called or cancelled, or None, is fine."""
        if timer is None or timer.callback is None:
            return
        timer.callback = None
        self._cancelled += 1
        if self._cancelled > max(_RUBBISH, len(self._timers) // 2):
            self._timers = [t for t in self._timers if t.callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def stop(self) -> None:
        """Return from run() after this turn."""
        self._running = False

    def run(self) -> None:
        """Serve until stopped."""
        while self._running:
            self._turn()

    def shut(self) -> None:
        """Close what is doomed, and the loop; sockets that are still watched are their owners'."""
        self._bury()
        self._epoll.close()

    def _turn(self) -> None:
        for fd, events in self._epoll.poll(self._timeout(), 256):
            handler = self._handlers.get(fd)
            if handler is None:
                continue  # closed by one that was served before it
            try:
                handler(events)
            except Exception as e:
                self.unwatch(fd)
                self._trouble(e)
        self._call_timers()
        self._bury()

    def _timeout(self) -> float | None:
        if self._doomed:
            return 0.0
        return max(0.0, self._timers[0].when - time.monotonic()) if self._timers else None

    def _call_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].when <= now:
            timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled -= 1
                continue
            try:
                callback()
            except Exception as e:
                self._trouble(e)

    def _bury(self) -> None:
        for sock in self._doomed:
            try:
                sock.close()
            except OSError:
                pass  # a reset that arrived meanwhile; it is closed all the same
        self._doomed.clear()
