"""The daemon's life: lock, folders, adoption, sockets, signals, end."""

from __future__ import annotations

# isort: off
from cowork.linux import loop as _loop  # noqa: F401 - before asyncio

# isort: on
import asyncio
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cowork import __version__
from cowork.errors import CoworkError, PolicyError
from cowork.linux import limits, systemd, unixsocket
from cowork.linux.lockfile import LockFile
from cowork.service import lifecycle, logs
from cowork.service.control import VERSION, Control, DaemonStatus, ListenerStatus
from cowork.service.listeners import Listeners
from cowork.service.service import Service
from cowork.sessions.starter import Zygote

if TYPE_CHECKING:
    from pathlib import Path

    from cowork.backends.base import Backend
    from cowork.holder.files import LifecycleLog
    from cowork.paths import Paths

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that ask the daemon to end."""
STOP_TIME = 4.0
"""Seconds from the signal to the end, whatever still waits."""

_log = logging.getLogger(__name__)


class LockNote(msgspec.Struct):
    """Content of the lock file: who holds it."""

    pid: int
    started: float
    version: str


class Options(NamedTuple):
    """What ``cowork serve`` was told.

    ``ready_fd``: a byte is written there once clients can connect. ``reasons``: why better backends were not taken.
    """

    backend: Backend
    sockets: list[Path]
    dialect: str | None = None
    debug: bool = False
    ready_fd: int | None = None
    reasons: tuple[str, ...] = ()


def run(paths: Paths, options: Options) -> int:
    """Serve until a signal asks to end; the exit status.

    Raises:
        CoworkError: it cannot start; nothing was changed.
    """
    logs.set_up(debug=options.debug)
    paths.make()
    log = lifecycle.open_log(paths.lifecycle_log)
    lock = LockFile(paths.lock)
    if not lock.acquire():
        raise PolicyError(f"another daemon is running{holder_of(lock)}", hint="cowork stop")
    log(f"startup pid={os.getpid()} version={__version__} backend={options.backend.name}")
    for reason in options.reasons:
        _log.warning("backend not taken: %s", reason)
        log(f"backend not taken: {reason}")
    code = 1
    try:
        lock.note(msgspec.json.encode(LockNote(os.getpid(), time.time(), __version__)))
        with asyncio.Runner(loop_factory=EndingLoop) as runner:
            runner.run(Daemon(paths, options, log).serve())
        code = 0
    except CoworkError as e:
        log(f"error {e.message}")
        raise
    except BaseException as e:
        log(f"uncaught {type(e).__name__}: {e}")
        _log.critical("uncaught exception", exc_info=e)
    finally:
        log(f"exit code={code}")
        lock.release()
    return code


def holder_of(lock: LockFile) -> str:
    """ " (pid N)" of whoever noted itself in the lock, or nothing."""
    try:
        return f" (pid {msgspec.json.decode(lock.read(), type=LockNote).pid})"
    except msgspec.MsgspecError:
        return ""


class EndingLoop(asyncio.SelectorEventLoop):
    """The daemon's loop: once it is closed, signals are too late to matter.

    Closing gives them back their default action, by which the process would die in its last steps and look as if it
    had failed. To block them would not do: a signal goes to any thread that does not.
    """

    def close(self) -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
            # The loop's table of those whose default it gives back; there is no public way to keep one out of it.
            vars(self).get("_signal_handlers", {}).pop(number, None)
        super().close()


class Daemon:
    """One run of the daemon."""

    def __init__(self, paths: Paths, options: Options, log: LifecycleLog) -> None:
        self._paths = paths
        self._options = options
        self._lifecycle = log
        self._started = time.time()
        self._descriptors = limits.raise_descriptors()

    async def serve(self) -> None:
        """From the first socket to the last."""
        self._asked = asyncio.Event()
        self._signals = 0
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self._signalled, number)
        loop.set_exception_handler(self._uncaught)
        zygote = Zygote(systemd.scope_command(), self._descriptors)
        self._service = Service(self._paths, self._options.backend, zygote, debug=self._options.debug)
        self._listeners = Listeners(self._service)
        control: Control | None = None
        control_inode = None
        try:
            live = await self._service.resume()
            if live:
                self._lifecycle(f"adopted {live} running sessions")
            for path in self._options.sockets:
                await self._listeners.open(path, self._options.dialect)
                self._lifecycle(f"listening {path}")
            sock = unixsocket.bind(self._paths.control_socket)
            control_inode = unixsocket.inode_of(self._paths.control_socket)
            control = Control(sock, self._listeners, self.status)
            control.start()
            self._ready()
            await self._asked.wait()
        finally:
            if control is not None:
                control.close()
            unixsocket.unlink_own(self._paths.control_socket, control_inode)
            self._listeners.close_all()
            loop.call_later(STOP_TIME, self._give_up)
            self._service.close()
        systemd.notify("STOPPING=1")

    def status(self) -> DaemonStatus:
        """For ``cowork status``."""
        service = self._service
        return DaemonStatus(
            v=VERSION, pid=os.getpid(), version=__version__, backend=service.backend.name,
            isolation=service.backend.isolation, started=self._started, machine=service.machine.started,
            running=sum(1 for _ in service.processes.live()), subscribers=service.delivery.count,
            connections=len(service.connections),
            listeners=[ListenerStatus(str(li.path), li.dialect, li.lent) for li in self._listeners.all()],
            reasons=list(self._options.reasons),
        )  # fmt: skip

    def _ready(self) -> None:
        if self._options.ready_fd is not None:
            os.write(self._options.ready_fd, b"\n")
            os.close(self._options.ready_fd)
        systemd.notify("READY=1")

    def _signalled(self, number: int) -> None:
        name = signal.Signals(number).name
        self._lifecycle(f"{name} received")
        self._signals += 1
        if self._signals > 1:
            self._give_up()
        _log.info("%s received, ending", name)
        self._asked.set()

    def _give_up(self) -> None:
        """A second signal, or too long a goodbye: sessions are safe in their holders, so just end."""
        self._lifecycle("ending at once")
        sys.stderr.flush()
        os._exit(0)

    def _uncaught(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        self._lifecycle(f"uncaught in the loop: {context.get('message')}: {error!r}")
        _log.error("uncaught: %s", context.get("message"), exc_info=error if isinstance(error, Exception) else None)
