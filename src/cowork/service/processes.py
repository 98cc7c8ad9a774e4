"""The table of processes: by the client's id, live or ended, also those that an earlier daemon started."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from cowork.errors import CoworkError, NotFound, RpcError
from cowork.holder.page import Page
from cowork.holder.spec import StartSpec
from cowork.linux import tasks
from cowork.service.process import Process
from cowork.service.translation import Translation
from cowork.sessions import record
from cowork.sessions.blocking import socket_path
from cowork.sessions.directory import SessionDirectory, list_sessions
from cowork.sessions.leftovers import bury, call_holder, holder_lives
from cowork.sessions.record import MountRecord, SessionRecord
from cowork.sessions.spool import trim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cowork.backends.base import Backend, Prepared
    from cowork.paths import Paths
    from cowork.service.delivery import Delivery
    from cowork.sessions.starter import Zygote
    from cowork.translate.sessionmap import SessionMap

CALLS = 6
"""Tries to reach a holder that lives; together about 3 s."""
ENDED_KEPT = 100
"""Ended sessions whose directories (logs, exit codes) are kept."""

_log = logging.getLogger(__name__)


class Processes:
    """Starts, finds and adopts processes; implements ``ProcessOwner``."""

    def __init__(self, paths: Paths, zygote: Zygote, umask: int) -> None:
        self._paths = paths
        self._zygote = zygote
        self._umask = umask
        self._by_key: dict[str, Process] = {}
        self._ended: OrderedDict[str, SessionDirectory] = OrderedDict()
        self._exit_codes: OrderedDict[str, int] = OrderedDict()
        self._maps: OrderedDict[str, SessionMap] = OrderedDict()
        self.delivery: Delivery

    # -- finding

    def live(self) -> Iterator[Process]:
        """Those that run."""
        return (p for p in list(self._by_key.values()) if p.running)

    def get(self, key: str) -> Process:
        """The process with the client's id.

        Raises:
            NotFound: there is none, or it has ended so long ago that it is forgotten.
        """
        process = self._by_key.get(key)
        if process is None:
            raise NotFound(f"process {key[:200]} not found")
        return process

    def state(self, key: str) -> tuple[bool, int | None]:
        """Whether it runs, and its exit code if it has one. Unknown ids do not run."""
        process = self._by_key.get(key)
        if process is None or process.exit is None:
            return process is not None, self._exit_codes.get(key) if process is None else None
        return False, process.exit.exit_code

    def map_of(self, name: str) -> SessionMap | None:
        """How guest paths of the session of that name are translated, by its youngest process; None if it had none."""
        return self._maps.get(name)

    def is_live(self, name: str) -> bool:
        """Whether a process of the session of that name runs or is being started."""
        return any(p.record.name == name for p in self.live())

    # -- starting

    def free_key(self) -> str:
        """An id for a client that gave none."""
        number = 1
        while f"proc-{number}" in self._by_key or f"proc-{number}" in self._exit_codes:
            number += 1
        return f"proc-{number}"

    def check_free(self, key: str) -> None:
        """Refuse the id of a live process.

        Raises:
            RpcError: it is taken.
        """
        process = self._by_key.get(key)
        if process is not None and process.running:
            raise RpcError(f"process {key[:200]} is already running")

    def create(self, key: str, name: str, prepared: Prepared, backend: Backend) -> Process:
        """Make the session of a prepared command line. It is in the table at once, so that requests sent right behind
        its spawn find it; ``start`` must follow.

        Raises:
            RpcError: the id is taken.
            OSError: its directory cannot be made.
        """
        self.check_free(key)
        directory = SessionDirectory(self._paths.sessions, record.new_id())
        asked = SessionRecord(
            id=directory.id, kind=record.DESKTOP, name=name, process=key, argv=record.without_secrets(prepared.argv),
            executable=prepared.executable, cwd=prepared.cwd, backend=backend.name,
            isolation=backend.isolation, created=time.time(), translated=prepared.translated,
            mounts=[MountRecord(*mount) for mount in prepared.session.mounts],
            network=prepared.network, weaker=prepared.weaker,
            remote=prepared.env.get("CLAUDE_CODE_BRIEF") == "1",
        )  # fmt: skip
        process = Process(key, directory, asked, self, self._translation(asked))
        process.page = directory.create(asked)
        process.expect_start()
        self._by_key[key] = process
        self._exit_codes.pop(key, None)
        return process

    def _translation(self, asked: SessionRecord) -> Translation:
        translation = Translation.of(asked, os.path.realpath(self._paths.trees / asked.name))
        self.remember(translation.session)
        return translation

    def remember(self, session: SessionMap) -> None:
        """Keep a session's map for ``map_of``, also when its process has ended."""
        self._maps[session.name] = session
        self._maps.move_to_end(session.name)
        while len(self._maps) > 10 * ENDED_KEPT:
            self._maps.popitem(last=False)

    async def start(self, process: Process, prepared: Prepared) -> None:
        """Start a process just created.

        Raises:
            RpcError: it could not be started; nothing of it is left.
        """
        try:
            await self._zygote.ready()
            await process.start(self._zygote.channel(), self._spec(process.directory, prepared, process.record))
        except (CoworkError, OSError):
            self._drop(process)
            process.directory.remove()
            raise

    def _spec(self, directory: SessionDirectory, prepared: Prepared, asked: SessionRecord) -> StartSpec:
        return StartSpec(
            folder=str(directory.path), socket=socket_path(self._paths.runtime, directory.id), argv=prepared.argv,
            executable=prepared.executable, env=prepared.env, cwd=prepared.cwd, history=asked.history,
            umask=self._umask, sandbox=prepared.sandbox, memory=prepared.memory, tasks=prepared.tasks,
        )  # fmt: skip

    # -- adopting

    async def adopt(self) -> int:
        """Take over what earlier daemons started; returns how many of them still run."""
        found: list[tuple[float, SessionDirectory, SessionRecord]] = []
        for directory in list_sessions(self._paths.sessions):
            try:
                asked = directory.record()
            except (CoworkError, OSError) as e:
                _log.error("session %s is left alone: %s", directory.id, e)
                continue
            if asked.kind == record.DESKTOP:
                found.append((asked.created, directory, asked))
        for _, directory, asked in sorted(found, key=lambda f: f[0]):
            try:
                await self._adopt(directory, asked)
            except (CoworkError, OSError, ValueError) as e:
                _log.error("session %s is left alone: %s", directory.id, e)
        return sum(1 for _ in self.live())

    async def _adopt(self, directory: SessionDirectory, asked: SessionRecord) -> None:
        process = Process(asked.process, directory, asked, self, self._translation(asked))
        process.page = Page(directory.readers)
        ended = directory.exit()
        if ended is None and not await self._connect(process):
            # Between the look at exit.json and the connect it may have ended.
            ended = directory.exit() or bury(directory)
        if ended is not None:
            process.adopt_ended(ended)
        current = self._by_key.get(asked.process)
        if current is None or not current.running:
            self._by_key[asked.process] = process
        self.delivery.add(process, new=False)
        if ended is not None:
            self.delivery.exit_told(process)

    async def _connect(self, process: Process) -> bool:
        """Reach a session's holder; False if it is dead. One that lives is called until it answers."""
        path = socket_path(self._paths.runtime, process.session_id)
        for attempt in range(CALLS):
            try:
                await process.adopt(path)
            except OSError as e:
                if not holder_lives(process.directory):
                    return False
                _log.warning("holder of session %s does not answer (%s); calling it", process.session_id, e)
                call_holder(process.directory)
                await asyncio.sleep(0.05 * 2**attempt)
            else:
                return True
        _log.error("session %s runs, but its holder cannot be reached", process.session_id)
        return True

    # -- ProcessOwner

    def process_changed(self, process: Process) -> None:
        """See ``ProcessOwner``."""
        self.delivery.changed(process)

    def process_lost(self, process: Process) -> None:
        """See ``ProcessOwner``: reach the holder again, or end what it has left and tell the end as far as known."""
        tasks.start(self._recover(process), "lost holder")

    async def _recover(self, process: Process) -> None:
        if process.page is None or await self._connect(process):
            return
        ended = process.directory.exit() or bury(process.directory)
        try:
            os.unlink(socket_path(self._paths.runtime, process.session_id))
        except OSError:
            pass
        process.adopt_ended(ended)
        self.delivery.changed(process)

    # -- ending

    def finished(self, process: Process) -> None:
        """Everybody has been told of its end: keep its directory for a while, and its exit code."""
        assert process.exit is not None
        self._exit_codes[process.key] = process.exit.exit_code
        while len(self._exit_codes) > 10 * ENDED_KEPT:
            self._exit_codes.popitem(last=False)
        self._drop(process)
        trim(process.directory.spool, process.record.history)
        self._ended[process.session_id] = process.directory
        while len(self._ended) > ENDED_KEPT:
            _, directory = self._ended.popitem(last=False)
            try:
                directory.remove()
            except OSError as e:
                _log.warning("cannot remove session %s: %s", directory.id, e)

    def _drop(self, process: Process) -> None:
        if self._by_key.get(process.key) is process:
            del self._by_key[process.key]
        process.close()

    def close(self) -> None:
        """The daemon ends; the sessions do not."""
        for process in list(self._by_key.values()):
            process.close()
