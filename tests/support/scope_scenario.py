"""Run beside a systemd user manager (user_manager.sh): who starts a session is a service, is stopped with all its
cgroup, and the session lives on. Prints what it saw as one JSON object."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.client import Client
from tests.support.daemon import alive, wait_for

SOCKET = Path(os.environ["HOME"]) / "x.sock"


def as_service(*options: str, command: list[str]) -> str:
    """Run a command as a transient service, whose cgroup's processes end with it; what it prints with ``--pipe``."""
    names = ("HOME", "PATH", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME", "PYTHONPATH", "COWORK_TEST_TAG")
    settings = [f"--setenv={name}={os.environ[name]}" for name in names]
    return subprocess.run(
        ["systemd-run", "--user", "--quiet", *options, *settings, *command], check=True, stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True,
    ).stdout  # fmt: skip


def start_daemon() -> None:
    """The daemon as a service."""
    command = [sys.executable, "-m", "cowork", "serve", "--backend", "host", "--socket", str(SOCKET)]
    as_service("--unit=cowork-test", command=command)
    wait_for(SOCKET.exists, "the daemon's socket")


def cgroup_of(pid: int) -> str:
    """The v2 path."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


def from_the_shell() -> None:
    """Sessions that a service starts live on when it has ended, with all that its cgroup held."""
    cowork = [sys.executable, "-m", "cowork"]
    first, second = (
        as_service("--pipe", "--wait", "--collect", command=[*cowork, "bg", "-q", "--", "sleep", "1000"]).strip()
        for _ in range(2)
    )
    shown = subprocess.run([*cowork, "ps", "--json"], check=True, capture_output=True, text=True).stdout
    pids = {one["id"]: one["pid"] for one in json.loads(shown)["sessions"]}
    print(json.dumps({"first": cgroup_of(pids[first]), "second": cgroup_of(pids[second])}))
    subprocess.run([*cowork, "kill", "--all"], check=True, stdout=subprocess.DEVNULL)


def of_the_daemon() -> None:
    """The daemon's sessions live on when its service is stopped."""
    start_daemon()
    with Client(SOCKET) as client:
        client.subscribe()
        client.ask("startVM", {"bundlePath": "/x"})
        # A daemon that the session leaves behind, out of its process group.
        client.shell("p", "setsid sleep 1000 >/dev/null 2>&1 & echo $$ $!; exec cat")
        text = client.until_text("p", "\n")
    child, stray = map(int, text.split())
    service = subprocess.run(
        ["systemctl", "--user", "show", "-P", "MainPID", "cowork-test"], check=True, capture_output=True, text=True
    )
    daemon = int(service.stdout)
    seen = {"daemon": cgroup_of(daemon), "child": cgroup_of(child), "stray": cgroup_of(stray)}
    session_cgroup = Path("/sys/fs/cgroup") / seen["child"].lstrip("/")
    subprocess.run(["systemctl", "--user", "stop", "cowork-test"], check=True)
    seen["survived"] = json.dumps([alive(child), alive(stray)])
    start_daemon()
    with Client(SOCKET) as client:
        client.subscribe()
        client.ask("writeStdin", {"id": "p", "data": "after\n"})
        seen["echo"] = client.until_text("p", "after\n")
        client.ask("kill", {"id": "p", "signal": "KILL"})
        client.until_exit("p")
    seen["left"] = json.dumps([alive(child), alive(stray), session_cgroup.exists()])
    subprocess.run(["systemctl", "--user", "stop", "cowork-test"], check=True)
    print(json.dumps(seen))


if __name__ == "__main__":
    signal.alarm(60)
    {"shell": from_the_shell, "daemon": of_the_daemon}[sys.argv[1]]()
