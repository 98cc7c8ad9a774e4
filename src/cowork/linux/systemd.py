"""systemd, where there is one: notification of readiness, and a scope outside the daemon's cgroup.

Sources: sd_notify(3); systemd-run(1). Everything here does nothing on a host without systemd.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from cowork.linux.unixsocket import answers


def notify(state: str) -> None:
    """Tell the service manager (``READY=1``, ``STOPPING=1``, ``STATUS=...``), if one wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            pass  # a manager that does not listen is not our problem


def scope_command() -> list[str]:
    """What to put before a command so that it runs in a scope of its own, or nothing where no user manager answers.

    A service's processes share its cgroup, and systemd ends all of them with it; a scope stays.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # The manager's private socket, which exists exactly while it runs; no bus is needed for it.
    if not runtime.startswith("/") or not answers(Path(runtime) / "systemd" / "private"):
        return []
    return ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--"]
