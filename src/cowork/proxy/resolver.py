"""Names to addresses on threads of their own (getaddrinfo blocks), with a short memory and a deadline."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from cowork.proxy.loop import IN, Loop, Timer

MAX_THREADS = 16
_KEEP = 30.0
"""Seconds an answer is remembered."""
_KEEP_FAILURE = 3.0
_CACHE = 1024
_PENDING = 1024
"""Names asked for at once; more fail at once."""

Lookup = Callable[[str], list[str]]
"""Blocks; addresses of a name in the order of preference. Raises OSError (gaierror)."""


class Answer(NamedTuple):
    """``missing``: there is no such name. Neither that nor ``error`` nor addresses: it exists, without addresses."""

    addresses: tuple[str, ...] = ()
    missing: bool = False
    error: str = ""


def system_lookup(host: str) -> list[str]:
    """Ask the host's resolver.

    Raises:
        OSError: it does not know.
    """
    # As bytes: a str would be put through the IDNA codec, whose import costs more than the question.
    found = socket.getaddrinfo(host.encode(), None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def ask(lookup: Lookup, host: str) -> Answer:
    """Put the question; whatever goes wrong is an answer."""
    try:
        return Answer(tuple(lookup(host)))
    except socket.gaierror as e:
        if e.errno == socket.EAI_NONAME:
            return Answer(missing=True, error="no such name")
        if e.errno == getattr(socket, "EAI_NODATA", None):
            return Answer()
        return Answer(error=e.strerror or "cannot be resolved")
    except Exception as e:
        return Answer(error=f"cannot be resolved ({type(e).__name__})")


class Resolver:
    """Asks; the answer comes on the loop's thread, at once where it is remembered."""

    def __init__(self, loop: Loop, lookup: Lookup, patience: float) -> None:
        self._loop = loop
        self._lookup = lookup
        self._patience = patience
        self._cache: dict[str, tuple[float, Answer]] = {}
        self._waiting: dict[str, list[Callable[[Answer], None]]] = {}
        self._deadlines: dict[str, Timer] = {}
        self._jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._results: deque[tuple[str, Answer]] = deque()
        self._threads = 0
        self._busy = 0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        loop.watch(self._wake, IN, self._collect)

    def resolve(self, host: str, done: Callable[[Answer], None]) -> None:
        """Call ``done`` once, now or later, at the latest when the patience is over."""
        known = self._cache.get(host)
        if known is not None and time.monotonic() < known[0]:
            done(known[1])
        elif host in self._waiting:
            self._waiting[host].append(done)
        elif self._busy >= _PENDING:
            done(Answer(error="too many names are being resolved"))
        else:
            self._waiting[host] = [done]
            self._deadlines[host] = self._loop.after(self._patience, lambda: self._give_up(host))
            self._busy += 1
            self._jobs.put(host)
            if self._busy > self._threads < MAX_THREADS:
                self._threads += 1
                threading.Thread(target=self._work, name=f"resolver-{self._threads}", daemon=True).start()

    def close(self) -> None:
        """Forget everybody who waits; threads end when their question is answered."""
        self._loop.unwatch(self._wake)
        self._waiting.clear()
        for timer in self._deadlines.values():
            self._loop.cancel(timer)
        for _ in range(self._threads):
            self._jobs.put(None)
        # A thread that is still asking will write to this descriptor: as long as one may, it stays open.
        if not self._busy:
            os.close(self._wake)

    def _work(self) -> None:
        while True:
            host = self._jobs.get()
            if host is None:
                return
            self._results.append((host, ask(self._lookup, host)))
            os.eventfd_write(self._wake, 1)

    def _collect(self, _: int) -> None:
        # A thread is done with the descriptor when it has written, which may be after its result was seen here.
        self._busy -= os.eventfd_read(self._wake)
        while self._results:
            host, answer = self._results.popleft()
            self._remember(host, answer)
            self._tell(host, answer)

    def _remember(self, host: str, answer: Answer) -> None:
        keep = _KEEP if answer.addresses or answer.missing else _KEEP_FAILURE
        self._cache.pop(host, None)
        self._cache[host] = (time.monotonic() + keep, answer)
        if len(self._cache) > _CACHE:
            del self._cache[next(iter(self._cache))]

    def _give_up(self, host: str) -> None:
        self._tell(host, Answer(error="timed out"))

    def _tell(self, host: str, answer: Answer) -> None:
        self._loop.cancel(self._deadlines.pop(host, None))
        for done in self._waiting.pop(host, ()):
            done(answer)
