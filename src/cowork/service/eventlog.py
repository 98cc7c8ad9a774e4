"""The small log of events that are no output: kept on the disk until a subscriber has taken them.

File ``events.log``: one JSON line per entry, ``{"seq", "after", "only", "event"}``. Output and exits are not in it,
they come from the sessions' own directories.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from cowork.holder import files
from cowork.wire.codec import decode_event, encode_event

if TYPE_CHECKING:
    from pathlib import Path

    from cowork.wire.events import Event

REWRITE_AT = 256 * 1024
"""Bytes of the file from which on entries that everybody has taken are cut away."""
KEEP = 10_000
"""Entries kept at most. Only statuses of a machine are among them, of which the later ones make up for the earlier."""
_HEADER = 4


class Entry(msgspec.Struct, frozen=True):
    """One event.

    ``after``: ids of sessions whose end a subscriber must have been told before it. ``only``: slots of the
    subscribers that are meant; empty for all.
    """

    seq: int
    event: msgspec.Raw
    after: list[str] = []
    only: list[int] = []

    @property
    def body(self) -> bytes:
        """The event's JSON."""
        return bytes(self.event)


class EventLog:
    """Appends survive ``kill -9``: an entry is in the file before anybody is told of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: deque[Entry] = deque(_load(path))
        self._next = self._entries[-1].seq + 1 if self._entries else 1
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        size = os.fstat(self._fd).st_size
        # A line that was cut short must not take the next one with it.
        self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"

    def start_at(self, seq: int) -> None:
        """Numbers go on behind ``seq``, which somebody has been told although the file has lost it."""
        self._next = max(self._next, seq + 1)

    @property
    def last(self) -> int:
        """Number of the newest entry, 0 without any."""
        return self._next - 1

    def append(self, event: Event, after: list[str] | None = None, only: list[int] | None = None) -> Entry:
        """Write an event down; a full disk costs its durability, not the event."""
        body = encode_event(event)[_HEADER:]
        entry = Entry(self._next, msgspec.Raw(body), after or [], only or [])
        self._next += 1
        self._entries.append(entry)
        if len(self._entries) > KEEP:
            self._entries.popleft()
        line = (b"\n" if self._torn else b"") + msgspec.json.encode(entry) + b"\n"
        try:
            self._torn = os.write(self._fd, line) < len(line)
        except OSError:
            pass
        return entry

    def following(self, seq: int) -> Entry | None:
        """The first entry after number ``seq``."""
        if not self._entries or self._entries[-1].seq <= seq:
            return None
        for entry in self._entries:
            if entry.seq > seq:
                return entry
        return None

    def forget(self, seq: int) -> None:
        """Everybody has taken the entries up to ``seq``."""
        while self._entries and self._entries[0].seq <= seq:
            self._entries.popleft()
        if os.fstat(self._fd).st_size > REWRITE_AT:
            self._rewrite()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _rewrite(self) -> None:
        try:
            files.write_whole(str(self._path), b"".join(msgspec.json.encode(e) + b"\n" for e in self._entries))
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return
        os.close(self._fd)
        self._fd = fd
        self._torn = False


def _load(path: Path) -> list[Entry]:
    """Entries of the file; a line that was cut short by a crash, or that nobody can read, is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for line in lines:
        try:
            entry = msgspec.json.decode(line, type=Entry)
            decode_event(entry.body)
        except Exception:
            continue
        entries.append(msgspec.structs.replace(entry, event=entry.event.copy()))
    return entries
