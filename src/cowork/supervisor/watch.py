"""Waiting for news of sessions: that one has printed something, has ended, or is new."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Self

from cowork.errors import CoworkError
from cowork.holder import messages as m
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.directory import SessionDirectory, list_sessions

if TYPE_CHECKING:
    from collections.abc import Collection

    from cowork.paths import Paths

LOOK_AGAIN = 1.0
"""Seconds from one look for new sessions (and for those whose holder has moved) to the next."""
ANSWERING = 1.0
"""Seconds that a holder may take to answer; one that takes longer is asked again at the next look."""


class Watch:
    """Connections to the holders of sessions: of some, or of all that there are; a context manager."""

    def __init__(self, where: Paths, ids: Collection[str] | None = None) -> None:
        self._where = where
        self._ids = ids
        self._holders: dict[int, tuple[str, BlockingClient]] = {}
        self._poll = select.poll()
        self._known: set[str] = set()
        self._unreached: set[str] = set()
        """Sessions that had not ended at the last look, and to which there is no connection."""
        self._over: set[str] = set()
        """Sessions whose holders have told of the end."""
        self._broken: set[str] = set()
        """Sessions whose holders have gone without that since the last look."""
        self._looked = 0.0
        self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go; the sessions go on."""
        for fd in list(self._holders):
            self._drop(fd)

    def wait(self, patience: float | None = None) -> set[str]:
        """Ids of the sessions with news, as soon as there are any; empty after ``patience`` seconds."""
        deadline = None if patience is None else time.monotonic() + patience
        while True:
            news = self._listen(self._time_to(deadline))
            if time.monotonic() - self._looked >= LOOK_AGAIN:
                news |= self._look()
            if news or (deadline is not None and time.monotonic() >= deadline):
                return news

    def _time_to(self, deadline: float | None) -> float:
        now = time.monotonic()
        look = self._looked + LOOK_AGAIN
        return max(0.0, (look if deadline is None else min(look, deadline)) - now)

    def _listen(self, seconds: float) -> set[str]:
        ready = [(self._holders[fd][0], fd) for fd, _ in self._poll.poll(seconds * 1000)]
        return {session for session, fd in ready if self._receive(session, fd)}

    def _receive(self, session: str, fd: int) -> bool:
        """Take what a holder says; whether it is news."""
        news = False
        try:
            while (message := self._holders[fd][1].receive(0)) is not None:
                news |= message[0] in (m.NOTE, m.EXIT)
                if message[0] == m.EXIT:
                    self._over.add(session)
        except TimeoutError:
            return news  # all has been read
        except (OSError, ValueError):
            pass
        self._drop(fd)
        if session not in self._over:
            self._broken.add(session)
        return True

    def _look(self) -> set[str]:
        """Connect to the holders that have no connection; sessions that have come or gone are news, too."""
        self._looked = time.monotonic()
        root = self._where.sessions
        every = list_sessions(root) if self._ids is None else [SessionDirectory(root, one) for one in self._ids]
        connected = {session for session, _ in self._holders.values()}
        found: set[str] = set()
        news: set[str] = set()
        unreached: set[str] = set()
        for directory in every:
            found.add(directory.id)
            if directory.id in connected:
                continue
            if not (directory.path / "exit.json").exists():
                (news if self._connect(directory.id) else unreached).add(directory.id)
            elif directory.id in self._unreached:
                news.add(directory.id)  # it has ended since, and there was nobody to say so
        # A process that is killed closes its connections before it counts as dead: who looked at once saw it alive.
        news |= self._broken | (found ^ self._known)
        self._broken.clear()
        self._unreached = unreached
        self._known = found
        return news

    def _connect(self, session: str) -> bool:
        try:
            holder = BlockingClient.connect(socket_path(self._where.runtime, session), timeout=ANSWERING)
        except OSError:
            return False
        try:
            holder.watch()
        except (CoworkError, OSError):
            holder.close()
            return False
        except KeyboardInterrupt:  # how most watching ends
            holder.close()
            raise
        self._holders[holder.fileno()] = session, holder
        self._poll.register(holder.fileno(), select.POLLIN)
        return True

    def _drop(self, fd: int) -> None:
        _, holder = self._holders.pop(fd)
        self._poll.unregister(fd)
        holder.close()
