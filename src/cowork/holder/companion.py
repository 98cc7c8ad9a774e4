"""The session's proxy: a process of its own beside the sandbox, forked from the holder and ended with it.

It has the sockets that listen inside the sandbox and does the network access for it (cowork.proxy). It is no part
of the session: it is not in its cgroup, and nobody waits for it. If it dies, the holder, who keeps the sockets,
starts it again.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Sequence

from cowork.holder import files, syscalls
from cowork.proxy import server
from cowork.proxy.settings import Listener, Settings

LOG_LIMIT = 1024 * 1024
"""Bytes of network.log after which it is set aside as network.log.1."""
_RESTARTS = 20
"""A proxy that dies more often than this is broken and stays dead."""


class Companion:
    """One proxy. ``listeners``: the sockets with their roles; ``settings``: see ``cowork.proxy.settings``."""

    def __init__(self, settings: Settings, listeners: Sequence[Listener], log_path: str) -> None:
        self.pid = 0
        self._settings = settings
        self._listeners = list(listeners)
        self._log_path = log_path
        self._starts = 0

    def start(self) -> None:
        """Fork it. The sockets listen already, so nobody has to wait until it is up."""
        self._starts += 1
        holder = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become(holder)
            except BaseException as e:
                files.LifecycleLog(self._log_path)(f"trouble: the proxy ends: {type(e).__name__}: {e}")
            finally:
                os._exit(1)
        self.pid = pid

    def ended(self, pid: int, *, again: bool) -> bool:
        """Whether ``pid``, a child just reaped, was it. It is started again if it is wanted ``again``, and has not died
        too often."""
        if pid != self.pid:
            return False
        self.pid = 0
        if again and self._starts < _RESTARTS:
            self.start()
        return True

    def end(self) -> None:
        """Have it end; ``stop`` waits for that."""
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def stop(self) -> None:
        """End it."""
        self.end()
        if self.pid:
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass
            self.pid = 0
        for listener in self._listeners:
            listener.sock.close()

    def _become(self, holder: int) -> None:
        syscalls.die_with(signal.SIGKILL)
        if os.getppid() != holder:
            return  # it died before it could be told to take us along
        signal.set_wakeup_fd(-1)
        for ours in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT):
            signal.signal(ours, signal.SIG_DFL)
        os.setsid()
        syscalls.set_name("cowork-proxy")
        # Above all the channel: whoever has it looks like a living holder.
        files.close_all_but({0, 1, 2, *(listener.sock.fileno() for listener in self._listeners)})
        gc.unfreeze()
        never, _kept_open = socket.socketpair()
        log = files.LifecycleLog(self._log_path, limit=LOG_LIMIT)
        server.serve(self._settings, self._listeners, alive=never.fileno(), log=log)
