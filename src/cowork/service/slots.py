"""The subscribers' slots: who has taken what, on pages that outlive the daemon.

Slot numbers are the same on every page (holder/page.py): the service's own, ``subscribers``, and one per session.
On the service's page a slot's words are: state, number of the last log entry taken, profile, and when it was left
(seconds since the epoch; 0 while somebody is connected).
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING

from cowork.holder.page import ANYBODY, EXIT_TAKEN, FREE, HOLDING, SLOTS, Page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG = 1
PROFILE = 2
KEPT = 60.0
"""Seconds for which the place of a subscriber that went away is kept for it. Clients come back after 1 to 5 s."""


def profile_of(name: str, root: str) -> int:
    """A 63-bit number for a client's profile (``userDataName`` and ``userDataRoot``)."""
    return (zlib.crc32(name.encode()) << 31) | (zlib.crc32(root.encode()) >> 1)


class Slots:
    """The table of slots. Slot 0 stands for anybody and is never given out."""

    def __init__(self, path: Path) -> None:
        self._page = Page(path, create=True)
        self._connected: set[int] = set()
        now = int(time.time())
        for slot in self.used():
            # The daemon that served them has ended: all are waited for from now on.
            self._page.set_spare(slot, now)

    def used(self) -> Iterator[int]:
        """Slots of subscribers that are connected or whose place is kept."""
        return (slot for slot in range(1, SLOTS) if self._page.state(slot) & HOLDING)

    def log_position(self, slot: int) -> int:
        """Number of the last log entry that the slot has taken."""
        return self._page.position(slot, LOG)

    def set_log_position(self, slot: int, seq: int) -> None:
        """An entry was taken; it is taken by anybody, too."""
        self._page.set_position(slot, LOG, seq)
        if seq > self._page.position(ANYBODY, LOG):
            self._page.set_position(ANYBODY, LOG, seq)

    def oldest_log_position(self) -> int:
        """Number of the last log entry that nobody needs any more."""
        return min([self.log_position(ANYBODY), *(self.log_position(slot) for slot in self.used())])

    def find_left(self, profile: int) -> int | None:
        """The place of a subscriber of that profile that went away last, if it is still kept."""
        left = [s for s in self.used() if s not in self._connected and self._page.position(s, PROFILE) == profile]
        return max(left, key=self._page.spare, default=None)

    def take(self, slot: int) -> None:
        """Somebody is connected in a place that was kept."""
        self._connected.add(slot)
        self._page.set_spare(slot, 0)

    def take_free(self, profile: int) -> int | None:
        """A new place, beginning where anybody has got to; None when all are in use."""
        for slot in range(1, SLOTS):
            if self._page.state(slot) == FREE:
                self._page.set_position(slot, LOG, self.log_position(ANYBODY))
                self._page.set_position(slot, PROFILE, profile)
                self._page.set_state(slot, HOLDING)
                self.take(slot)
                return slot
        return None

    def leave(self, slot: int) -> None:
        """The subscriber went away; its place is kept for a while."""
        self._connected.discard(slot)
        self._page.set_spare(slot, int(time.time()))

    def expired(self) -> list[int]:
        """Places whose time is over; what nobody has taken is still kept, by slot 0."""
        now = time.time()
        return [s for s in self.used() if s not in self._connected and not 0 <= now - self._page.spare(s) < KEPT]

    def free(self, slot: int) -> None:
        """Give the place up."""
        self._page.set_state(slot, FREE)

    def close(self) -> None:
        """Unmap the page."""
        self._page.close()


def open_on(page: Page, slot: int, *, new_session: bool) -> None:
    """Give a slot its place on a session's page: at the beginning of a new session, else where anybody has got to."""
    if page.state(slot) & HOLDING:
        return
    for stream in (1, 2):
        page.set_position(slot, stream, 0 if new_session else page.position(ANYBODY, stream))
    exit_taken = 0 if new_session else page.state(ANYBODY) & EXIT_TAKEN
    page.set_state(slot, HOLDING | exit_taken)


def advance(page: Page, slot: int, stdout: int, stderr: int) -> None:
    """Output up to these offsets was taken by ``slot``, and so by anybody."""
    page.set_position(slot, 1, stdout)
    page.set_position(slot, 2, stderr)
    if stdout > page.position(ANYBODY, 1):
        page.set_position(ANYBODY, 1, stdout)
    if stderr > page.position(ANYBODY, 2):
        page.set_position(ANYBODY, 2, stderr)


def mark_exit(page: Page, slot: int) -> None:
    """The session's end was taken by ``slot``, and so by anybody."""
    page.set_state(slot, HOLDING | EXIT_TAKEN)
    page.set_state(ANYBODY, page.state(ANYBODY) | EXIT_TAKEN)


def all_told(page: Page, slots: Iterator[int]) -> bool:
    """Whether somebody was told of the session's end, and everybody in ``slots``."""
    if not page.state(ANYBODY) & EXIT_TAKEN:
        return False
    return all(not page.state(s) & HOLDING or page.state(s) & EXIT_TAKEN for s in slots)
