"""The service as a whole: what the methods work on. No sockets of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING

from cowork.backends.loginshell import ask, merge
from cowork.linux import tasks
from cowork.service.delivery import Delivery
from cowork.service.eventlog import EventLog
from cowork.service.machine import Machine
from cowork.service.methods import METHODS
from cowork.service.processes import Processes
from cowork.service.slots import Slots
from cowork.service.trees import Trees
from cowork.sessions.starter import Zygote
from cowork.wire.events import VmStopped

if TYPE_CHECKING:
    from cowork.backends.base import Backend
    from cowork.paths import Paths
    from cowork.service.connection import Connection

STOP_TIME = 12.0
"""Seconds that stopVM waits for its processes; the ladder of each is over by then, clients give up after 30 s."""
SWEEP = 30.0
"""Seconds between two looks at places that subscribers have left."""

_log = logging.getLogger(__name__)


class Service:
    """State and collaborators of the service; one per daemon."""

    def __init__(self, paths: Paths, backend: Backend, zygote: Zygote, *, debug: bool = False) -> None:
        self.paths = paths
        self.backend = backend
        self.uid = os.getuid()
        self.real_home = os.path.realpath(paths.home)
        self.ours = tuple(map(os.path.realpath, (paths.state, paths.runtime, paths.trees)))
        self.methods = METHODS
        self.connections: set[Connection] = set()
        self.sdk: str | None = None
        self.token = ""
        self.inherited = dict(os.environ)
        self.login: asyncio.Future[None] | None = None
        self.waiting_for_login: set[str] = set()
        umask = os.umask(0o077)
        self.processes = Processes(paths, zygote, umask)
        self.slots = Slots(paths.state / "subscribers")
        self.log = EventLog(paths.state / "events.log")
        self.delivery = self.processes.delivery = Delivery(self.slots, self.log, self.processes.finished)
        self.machine = Machine(paths.runtime / "machine.json", self.delivery)
        self.trees = Trees(paths.trees, self.processes.is_live)
        self.debug_requests = debug
        self._zygote = zygote
        self._warned: set[str] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def resume(self) -> int:
        """Take over what an earlier daemon left; returns the number of processes that still run."""
        live = await self.processes.adopt()
        self.machine.resume()
        self.login = tasks.start(self._ask_login_shell(), "login shell")
        self._sweep()
        return live

    @property
    def debug(self) -> bool:
        """Whether debug lines are logged; one switch for all connections."""
        return self.debug_requests

    @debug.setter
    def debug(self, enabled: bool) -> None:
        self.debug_requests = enabled
        logging.getLogger("cowork").setLevel(logging.DEBUG if enabled else logging.INFO)

    async def _ask_login_shell(self) -> None:
        """Complete the environment of sessions; the first spawn waits for this, nothing else does."""
        own = dict(self.inherited)
        self.inherited = merge(own, await tasks.in_thread(lambda: ask(own)))

    def warn_once(self, text: str) -> None:
        """One log line per text, however often it happens."""
        if text not in self._warned and len(self._warned) < 1000:
            self._warned.add(text)
            _log.warning("%s", text)

    async def stop_machine(self, name: str) -> None:
        """End all processes of the service together, and tell of it behind their exits."""
        self.machine.stop()
        ending = list(self.processes.live())
        if ending:
            _log.info("stopVM ends %d processes", len(ending))
        for process in ending:
            process.signal(signal.SIGTERM, lambda _: None)
        if ending:
            await asyncio.wait([p.stopped for p in ending], timeout=STOP_TIME)
        self.delivery.publish(VmStopped(name), after=[p.session_id for p in ending])

    def close(self) -> None:
        """Let go of everything; the sessions live on."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.machine.close()
        for connection in list(self.connections):
            connection.close()
        self.delivery.close()
        self.processes.close()
        self.slots.close()
        self.log.close()
        self._zygote.close()

    def _sweep(self) -> None:
        self.delivery.sweep()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP, self._sweep)
