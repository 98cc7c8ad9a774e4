"""The daemon's connection to one holder: asyncio, no task, every answer a plain call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec

from cowork.errors import HolderError
from cowork.holder import messages as m
from cowork.holder.stdin import LIMIT
from cowork.sessions.record import ExitRecord
from cowork.sessions.status import HolderStatus, StartFailure

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cowork.sessions.steps import Steps


class LinkOwner(Protocol):
    """Who is told what comes from the holder."""

    def holder_status(self, status: HolderStatus) -> None:
        """The session runs (or has just ended), and this is how."""

    def holder_failed(self, failure: StartFailure) -> None:
        """The program could not be started; there will be no exit."""

    def holder_note(self, head: int) -> None:
        """The spool reaches to ``head`` now."""

    def holder_exit(self, record: ExitRecord) -> None:
        """The session has ended; the spool is complete."""

    def holder_gone(self) -> None:
        """The connection is closed. Without an exit before it the holder was killed."""


class HolderLink(asyncio.Protocol):
    """One connection. Calls are answered in their order; ``None`` as a refusal means done."""

    def __init__(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._splitter = m.Splitter()
        self._transport: asyncio.Transport | None = None
        self._token = 0
        self._writes: dict[int, tuple[int, Callable[[str | None], None]]] = {}
        self._signals: dict[int, Callable[[bool], None]] = {}
        self._mounts: dict[int, Callable[[str], None]] = {}
        self._unanswered = 0

    @classmethod
    async def attach(cls, sock: socket.socket, owner: LinkOwner) -> HolderLink:
        """Take over a connected socket."""
        _, link = await asyncio.get_running_loop().create_unix_connection(lambda: cls(owner), sock=sock)
        return link

    @classmethod
    async def connect(cls, path: str, owner: LinkOwner) -> HolderLink:
        """Connect to a running holder and watch it.

        Raises:
            OSError: nobody listens there.
        """
        _, link = await asyncio.get_running_loop().create_unix_connection(lambda: cls(owner), path)
        link._send(m.WATCH)
        return link

    @property
    def alive(self) -> bool:
        """Whether the holder can be spoken to."""
        return self._transport is not None and not self._transport.is_closing()

    def begin(self, spec: bytes) -> None:
        """Send the start specification (``StartSpec.encode``)."""
        self._send(m.BEGIN, spec)

    def write(self, data: bytes, done: Callable[[str | None], None]) -> None:
        """Offer bytes for stdin. ``done`` gets None when all were taken, else "full", "closed" or "ended"."""
        if not self.alive:
            done("ended")
            return
        if self._unanswered + len(data) > LIMIT:
            # The holder would refuse it too; not sending it keeps our own memory bounded.
            done("full")
            return
        self._token += 1
        self._unanswered += len(data)
        self._writes[self._token] = (len(data), done)
        self._send(m.WRITE, m.U64.pack(self._token) + data)

    def close_stdin(self, done: Callable[[str | None], None]) -> None:
        """Close stdin behind what has been written."""
        if not self.alive:
            done("ended")
            return
        self._token += 1
        self._writes[self._token] = (0, done)
        self._send(m.CLOSE, m.U64.pack(self._token))

    def signal(self, steps: Steps, done: Callable[[bool], None]) -> None:
        """Ask for a ladder of signals; ``done`` is told whether the first one reached somebody."""
        if not self.alive:
            done(False)
            return
        self._token += 1
        self._signals[self._token] = done
        self._send(m.SIGNAL, msgspec.json.encode({"token": self._token, "steps": steps}))

    def mount(self, asked: dict[str, object], done: Callable[[str], None]) -> None:
        """Show one more folder in the sandbox: ``asked`` is the body of MOUNT without the token; ``done`` gets what
        went wrong, or nothing."""
        if not self.alive:
            done("the session has ended")
            return
        self._token += 1
        self._mounts[self._token] = done
        self._send(m.MOUNT, msgspec.json.encode({"token": self._token, **asked}))

    def taken(self) -> None:
        """Positions have moved on the page."""
        if self.alive:
            self._send(m.TAKEN)

    def close(self) -> None:
        """Let go; the session lives on."""
        if self._transport is not None:
            self._transport.close()

    def _send(self, kind: int, body: bytes = b"") -> None:
        assert self._transport is not None
        self._transport.write(m.pack(kind, body))

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            received = self._splitter.feed(data)
        except ValueError:
            self.close()
            return
        note = None
        for kind, body in received:
            if kind == m.NOTE:
                note = body
                continue
            if note is not None:
                self._owner.holder_note(m.U64.unpack(note)[0])
                note = None
            self._handle(kind, body)
        if note is not None:
            self._owner.holder_note(m.U64.unpack(note)[0])

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: everything that waits for an answer gets one."""
        self._transport = None
        writes, self._writes = self._writes, {}
        for _, done in writes.values():
            done("ended")
        signals, self._signals = self._signals, {}
        for answer in signals.values():
            answer(False)
        mounts, self._mounts = self._mounts, {}
        for tell in mounts.values():
            tell("the session has ended")
        self._owner.holder_gone()

    def _handle(self, kind: int, body: bytes) -> None:
        if kind in (m.ACCEPTED, m.REFUSED):
            size, done = self._writes.pop(m.U64.unpack(body[:8])[0])
            self._unanswered -= size
            done(None if kind == m.ACCEPTED else body[8:].decode())
        elif kind == m.SIGNALLED:
            answer = msgspec.json.decode(body)
            self._signals.pop(answer["token"])(answer["sent"])
        elif kind == m.MOUNTED:
            answer = msgspec.json.decode(body)
            self._mounts.pop(answer["token"])(answer["error"])
        elif kind == m.STATUS:
            status = msgspec.json.decode(body, type=HolderStatus)
            if status.version > m.VERSION:
                raise HolderError(f"the holder speaks version {status.version}, this release {m.VERSION}")
            self._owner.holder_status(status)
        elif kind == m.EXIT:
            self._owner.holder_exit(msgspec.json.decode(body, type=ExitRecord))
        elif kind == m.FAILED:
            self._owner.holder_failed(msgspec.json.decode(body, type=StartFailure))
