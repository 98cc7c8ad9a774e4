"""The commands as a person types them, as real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.client import TIMEOUT, Client
from tests.support.daemon import Place, RunningDaemon, wait_for


def cowork(place: Place, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "cowork", *arguments], env={**place.environment(), **environ},
        capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def test_without_a_daemon(place: Place) -> None:
    status = cowork(place, "status")
    assert (status.returncode, status.stdout.partition(":")[0]) == (3, "stopped")
    assert json.loads(cowork(place, "status", "--json").stdout)["state"] == "stopped"
    assert cowork(place, "stop").returncode == 3
    listing = cowork(place, "ps", "--json")
    assert (listing.returncode, json.loads(listing.stdout)) == (0, {"v": 1, "sessions": []})
    demo = cowork(place, "demo")
    assert demo.returncode == 3
    assert "cowork demo --start" in demo.stderr


def test_a_daemon_and_its_sessions_are_shown(daemon: RunningDaemon, client: Client) -> None:
    client.ask("startVM", {"bundlePath": "/x"})
    client.spawn("p", "/bin/sleep", "60")
    found = json.loads(cowork(daemon.place, "status", "--json").stdout)
    assert found["state"] == "running"
    assert found["daemon"]["pid"] == daemon.pid
    assert (found["daemon"]["running"], found["daemon"]["machine"], found["daemon"]["isolation"]) == (1, True, "none")
    assert {li["dialect"] for li in found["daemon"]["listeners"]} == {"helper", "service"}
    text = cowork(daemon.place, "status").stdout
    assert "isolation: none" in text
    (session,) = json.loads(cowork(daemon.place, "ps", "--json").stdout)["sessions"]
    assert (session["state"], session["argv"], session["process"]) == ("working", ["/bin/sleep", "60"], "p")
    assert os.path.exists(f"/proc/{session['pid']}")
    row = cowork(daemon.place, "ps").stdout.splitlines()[1].split()
    assert row[0] == session["id"]
    assert row[3:5] == ["host", "none"]
    assert cowork(daemon.place, "ps", "-q").stdout.split() == [session["id"]]


def test_sessions_are_listed_without_a_daemon_and_as_ended(daemon: RunningDaemon, client: Client) -> None:
    client.subscribe()
    client.spawn("p", "/bin/sh", "-c", "exit 3")
    client.until_exit("p")
    client.spawn("q", "/bin/sleep", "60")
    assert daemon.stop() == 0
    running = json.loads(cowork(daemon.place, "ps", "--json").stdout)["sessions"]
    assert [s["process"] for s in running] == ["q"]
    everything = json.loads(cowork(daemon.place, "ps", "-a", "--json").stdout)["sessions"]
    assert {s["process"]: s["state"] for s in everything} == {"p": "failed", "q": "working"}
    assert next(s for s in everything if s["process"] == "p")["exitCode"] == 3


def test_stop_ends_the_daemon_and_no_session(daemon: RunningDaemon, client: Client) -> None:
    client.spawn("p", "/bin/sleep", "60")
    done = cowork(daemon.place, "stop")
    assert done.returncode == 0
    assert "1 session goes on" in done.stdout
    assert daemon.process is not None
    assert daemon.process.wait(TIMEOUT) == 0
    daemon.process = None
    assert not daemon.socket.exists()


def test_a_killed_daemon_is_stale_once(daemon: RunningDaemon) -> None:
    daemon.kill()
    stale = cowork(daemon.place, "status", "--json")
    assert (stale.returncode, json.loads(stale.stdout)["state"]) == (3, "stale")
    assert json.loads(cowork(daemon.place, "status", "--json").stdout)["state"] == "stopped"


def fake_claude(folder: Path) -> Path:
    """A ``claude`` that only knows its version."""
    program = folder / "claude"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "9.9.9 (test)"\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("with_claude", [True, False])
def test_the_demonstration_runs_a_real_session(place: Place, with_claude: bool) -> None:
    path = "/usr/bin:/bin"
    if with_claude:
        path = f"{fake_claude(place.home).parent}:{path}"
    first = cowork(place, "demo", "--start", PATH=path)
    assert first.returncode == 0, first.stderr
    assert "started daemon" in first.stdout
    lines = first.stdout.splitlines()
    assert ("9.9.9" in first.stdout) == with_claude
    assert any(line.startswith("> ") and '"spawn"' in line for line in lines)
    assert any(line.startswith("* ") and "you wrote: a line from the demo" in line for line in lines)
    assert any('"type":"exit"' in line and "SIGTERM" in line for line in lines)
    assert "\x1b" not in first.stdout, "plain when it is piped"
    again = cowork(place, "demo", "--start", PATH=path)
    assert again.returncode == 0, again.stderr
    assert "started daemon" not in again.stdout
    assert not list((place.data / "cowork" / "trees").iterdir()), "the demonstration's trees are gone"
    assert cowork(place, "stop").returncode == 0


def test_the_demonstration_leaves_a_daemon_in_use_alone(daemon: RunningDaemon, client: Client) -> None:
    client.ask("startVM", {"bundlePath": "/x"})
    client.spawn("p", "/bin/sleep", "60")
    done = cowork(daemon.place, "demo")
    assert done.returncode == 0, done.stderr
    assert "a second one of its own" in done.stdout
    assert client.ask("isProcessRunning", {"id": "p"})["running"] is True
    assert client.ask("isRunning")["running"] is True


def test_a_daemon_that_cannot_start_says_why(place: Place) -> None:
    (place.run / "cowork-vm-service.sock").write_text("precious")
    done = cowork(place, "demo", "--start")
    assert done.returncode == 3
    assert "is no socket" in done.stderr
    assert (place.run / "cowork-vm-service.sock").read_text() == "precious"


def test_launchers_of_other_daemons_are_understood(place: Place) -> None:
    path = place.run / "x.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "cowork", f"-socket={path}", "-debug", "-backend", "native"], env=place.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(path.exists)
    with Client(path) as client:
        assert client.ask("isDebugLoggingEnabled") == {"enabled": True}
    process.terminate()
    assert process.wait(TIMEOUT) == 0
