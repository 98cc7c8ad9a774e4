"""One process of the service: a session that a client asked for, as the daemon sees it through its holder."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from cowork.errors import RpcError
from cowork.holder.page import Page
from cowork.sessions.link import HolderLink
from cowork.sessions.spool import SpoolReader
from cowork.sessions.steps import for_signal, speaks_stream_json

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cowork.holder.spec import StartSpec
    from cowork.service.translation import Translation
    from cowork.sessions.directory import SessionDirectory
    from cowork.sessions.record import ExitRecord, SessionRecord
    from cowork.sessions.status import HolderStatus, StartFailure

_log = logging.getLogger(__name__)


class ProcessOwner(Protocol):
    """Who is told of a process's news."""

    def process_changed(self, process: Process) -> None:
        """It printed something, or it has ended."""

    def process_lost(self, process: Process) -> None:
        """Its holder went away without an exit."""


class Process:
    """State of one process; implements ``LinkOwner``.

    ``key`` is the client's id for it, ``translation`` what turns its paths into the guest's and back, if anything does.
    """

    def __init__(
        self, key: str, directory: SessionDirectory, record: SessionRecord, owner: ProcessOwner,
        translation: Translation | None = None,
    ) -> None:  # fmt: skip
        self.key = key
        self.directory = directory
        self.record = record
        self.page: Page | None = None
        self.head = 0
        self.exit: ExitRecord | None = None
        self.stopped = asyncio.get_running_loop().create_future()
        self._owner = owner
        self.translation = translation
        self._link: HolderLink | None = None
        self._started: asyncio.Future[None] | None = None
        self._closed = False
        self._waiting: list[Callable[[], None]] | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self.exit is None

    @property
    def session_id(self) -> str:
        """Our own id of it, which is its directory's name."""
        return self.directory.id

    # -- life

    def expect_start(self) -> None:
        """``start`` will follow: what is written or signalled from now on waits, and comes behind the start."""
        self._waiting = []

    async def start(self, channel: socket.socket, spec: StartSpec) -> None:
        """Have the holder behind ``channel`` start the program.

        Raises:
            RpcError: it could not be started.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._link = await HolderLink.attach(channel, self)
        self._link.begin(spec.encode())
        self._go_on()
        await self._started

    def _go_on(self) -> None:
        """Send what has waited, to whatever there is now."""
        waiting, self._waiting = self._waiting or [], None
        for send in waiting:
            send()

    async def adopt(self, socket_path: str) -> None:
        """Connect to the holder of a session that an earlier daemon started.

        Raises:
            OSError: nobody listens there.
        """
        self._link = await HolderLink.connect(socket_path, self)

    def adopt_ended(self, ended: ExitRecord) -> None:
        """Take over a session whose end is on the disk."""
        self.head = ended.head if ended.head is not None else SpoolReader(self.directory.spool).end()
        self.exit = ended
        self._stop()

    def close(self) -> None:
        """Let go of the holder and the page; the session lives on."""
        self._closed = True
        self._go_on()
        if self.translation is not None:
            self.translation.close()
        if self._link is not None:
            self._link.close()
            self._link = None
        if self.page is not None:
            self.page.close()
            self.page = None

    # -- requests

    def write(self, data: bytes, done: Callable[[str | None], None]) -> None:
        """Offer bytes for stdin; see ``HolderLink.write``."""
        if self._waiting is not None:
            self._waiting.append(lambda: self.write(data, done))
        elif self.exit is not None or self._link is None:
            done("ended")
        elif self.translation is None:
            self._link.write(data, done)
        else:
            self.translation.write(data, done, self._link.write)

    def write_now(self, data: bytes, done: Callable[[str | None], None]) -> None:
        """Write as it is, behind what has been written."""
        if self.exit is not None or self._link is None:
            done("ended")
        else:
            self._link.write(data, done)

    def signal(self, number: int, done: Callable[[bool], None]) -> None:
        """Send a signal, with the ladder that belongs to it. An ended process is left in peace."""
        if self._waiting is not None:
            self._waiting.append(lambda: self.signal(number, done))
        elif self.exit is not None or self._link is None:
            done(False)
        else:
            self._link.signal(for_signal(number, interrupt_first=speaks_stream_json(self.record.argv)), done)

    def mount(self, asked: dict[str, object], done: Callable[[str], None]) -> None:
        """See ``HolderLink.mount``."""
        if self._waiting is not None:
            self._waiting.append(lambda: self.mount(asked, done))
        elif self.exit is not None or self._link is None:
            done("the session has ended")
        else:
            self._link.mount(asked, done)

    def taken(self) -> None:
        """Positions on the page have moved far enough to tell the holder."""
        if self._link is not None:
            self._link.taken()

    # -- LinkOwner

    def holder_status(self, status: HolderStatus) -> None:
        """See ``LinkOwner``."""
        self.head = max(self.head, status.head)
        if self._started is not None and not self._started.done():
            self._started.set_result(None)
        if status.exit is None:
            self._owner.process_changed(self)

    def holder_failed(self, failure: StartFailure) -> None:
        """See ``LinkOwner``."""
        if self._started is not None and not self._started.done():
            self._started.set_exception(RpcError(failure.text))
            self._stop()

    def holder_note(self, head: int) -> None:
        """See ``LinkOwner``."""
        self.head = head
        self._owner.process_changed(self)

    def holder_exit(self, record: ExitRecord) -> None:
        """See ``LinkOwner``."""
        if record.head is not None:
            self.head = record.head
        self.exit = record
        self._stop()
        self._owner.process_changed(self)

    def holder_gone(self) -> None:
        """See ``LinkOwner``."""
        self._link = None
        if self._started is not None and not self._started.done():
            self._started.set_exception(RpcError("the session's holder died while it was started"))
            self._stop()
        elif self.exit is None and not self._closed:
            _log.error("holder of session %s is gone", self.session_id)
            self._owner.process_lost(self)

    def _stop(self) -> None:
        if not self.stopped.done():
            self.stopped.set_result(None)
