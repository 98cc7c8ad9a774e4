"""``cowork-helper``: the drop-in for the helper that Claude Desktop 3.x starts itself.

It binds the path that the app hands it, has a daemon serve that socket, and waits. The app kills and restarts its
helper as it likes: the sessions are the daemon's, and the daemon's are held by holders. When the daemon dies, the
socket stays open here, so connections wait in its queue until the next daemon has it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from cowork import __version__, flags, paths
from cowork.errors import ConfigError, CoworkError, NotRunning
from cowork.linux import unixsocket
from cowork.service import asking, background

USAGE = """\
Usage: cowork-helper -socket PATH [-debug] [-version]

  Bind PATH for Claude Desktop and have a cowork daemon serve it; started by the app.
"""
RAPID = 10.0
"""Seconds: a daemon that dies sooner counts as a failure."""
MAX_FAILURES = 5
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that ask the helper to end."""


def main() -> int:
    """Entry of the command; the exit status."""
    try:
        given = flags.parse(sys.argv[1:], values=("socket",), switches=("debug", "version", "help", "h"))
        if "help" in given or "h" in given:
            sys.stdout.write(USAGE)
            return 0
        if "version" in given:
            sys.stdout.write(f"cowork-helper {__version__}\n")
            return 0
        if "socket" not in given:
            raise ConfigError("-socket PATH is needed", hint=USAGE.splitlines()[0])
        return run(Path(given["socket"][-1]), debug="debug" in given)
    except CoworkError as e:
        _say(e.message if e.hint is None else f"{e.message} ({e.hint})")
        return e.exit_status


def run(path: Path, *, debug: bool = False) -> int:
    """Bind ``path`` and keep it served until SIGTERM or SIGINT.

    Raises:
        CoworkError: the path cannot be bound, or no daemon stays up.
    """
    where = paths.resolve()
    listener = unixsocket.bind(path)
    inode = unixsocket.inode_of(path)
    for number in ENDING:
        signal.signal(number, _end)
    failures = 0
    try:
        while True:
            begun = time.monotonic()
            try:
                _lend_once(where, listener, path, debug=debug)
                failures = 0 if time.monotonic() - begun > RAPID else failures + 1
            except NotRunning as e:
                failures += 1
                _say(e.message)
            if failures >= MAX_FAILURES:
                raise NotRunning(f"no daemon stays up: {failures} tries failed in a row")
            if failures > 1:
                time.sleep(min(2 ** (failures - 2) * 0.25, 4.0))
            _say("the daemon has gone away; starting another")
    except _Ended:
        return 0
    finally:
        unixsocket.unlink_own(path, inode)
        listener.close()


class _Ended(BaseException):
    """A signal asked us to end."""


def _end(number: int, frame: object) -> None:
    # A second one, in the middle of the tidying up, would leave the socket behind and look like a failure.
    for later in ENDING:
        signal.signal(later, signal.SIG_IGN)
    raise _Ended


def _lend_once(where: paths.Paths, listener: socket.socket, path: Path, *, debug: bool) -> None:
    """Have a daemon serve the socket; returns when that daemon has gone away."""
    try:
        control = asking.connect(where.control_socket)
    except NotRunning:
        pid = _start_daemon(where, debug=debug)
        _say(f"started daemon {pid}")
        control = asking.connect(where.control_socket)
    with control:
        asking.lend(control, listener, path)
        _say(f"serving {path}")
        control.settimeout(None)
        try:
            while control.recv(4096):
                pass
        except OSError:
            pass


def _start_daemon(where: paths.Paths, *, debug: bool) -> int | None:
    try:
        return background.start(where, ["--no-default-socket", *(["--debug"] if debug else [])])
    except NotRunning:
        # Another helper may have been faster.
        pid = background.running_pid(where)
        if pid is None:
            raise
        return pid


def _say(text: str) -> None:
    """A line for the app's log. The app may have closed it."""
    try:
        os.write(2, f"cowork-helper: {text}\n".encode())
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
