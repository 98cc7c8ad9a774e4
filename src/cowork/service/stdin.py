"""What clients write to a session, as the session must read it: guest paths as host paths, skills by their own name.

Nothing is held back that may be sent: only the end of an unfinished line in which a path may be cut in two, until the
rest comes or a moment has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cowork.translate.skills import strip_skill_prefix

if TYPE_CHECKING:
    from cowork.translate.matcher import GuestToHost

LONGEST = 1 << 20
"""Bytes of an unfinished line that are held; a longer one is passed on as it is."""


class StdinFilter:
    """State between two writes to one session. ``to_host``: None where guest paths are real. ``skills``: the session
    is a ``claude`` that reads stream-json."""

    def __init__(self, to_host: GuestToHost | None, *, skills: bool) -> None:
        self._to_host = to_host
        self._prefix = b"" if to_host is None else to_host.session.guest_prefix
        self._skills = skills
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        """Take a write; what is to be written now (``data`` itself where nothing changes)."""
        if not self.held and not self._concerns(data):
            return data
        data = self.held + data
        end = data.rfind(b"\n") + 1
        tail = data[end:]
        if tail and len(tail) < LONGEST and self._may_be_cut(tail):
            self.held = tail
            return self._map(data[:end])
        self.held = b""
        return self._map(data)

    def flush(self) -> bytes:
        """What is held, since nothing more has come."""
        data, self.held = self.held, b""
        return self._map(data)

    def _concerns(self, data: bytes) -> bool:
        if self._prefix and (self._prefix in data or self._may_be_cut(data[-len(self._prefix) :])):
            return True
        return self._has_skill(data)

    def _may_be_cut(self, tail: bytes) -> bool:
        """Whether a guest path stands, or begins, in an unfinished line."""
        if tail.endswith(b"\n") or not self._prefix:
            return False
        if self._prefix in tail:
            return True
        return any(tail.endswith(self._prefix[:size]) for size in range(1, len(self._prefix)))

    def _has_skill(self, data: bytes) -> bool:
        return self._skills and b'"/' in data and b'"user"' in data

    def _map(self, data: bytes) -> bytes:
        if self._has_skill(data):
            data = b"\n".join(map(strip_skill_prefix, data.split(b"\n")))
        return data if self._to_host is None else self._to_host(data, json=data.lstrip()[:1] == b"{")
