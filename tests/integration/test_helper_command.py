"""``cowork-helper`` as the app uses it: started with a path, killed at any moment, started again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.client import TIMEOUT, Client
from tests.support.daemon import Place, alive, wait_for


class Helper:
    """One run of the helper."""

    def __init__(self, place: Place, path: Path) -> None:
        self.path = path
        self._lines = b""
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "cowork.helper", "-socket", str(path)], env=place.environment(),
            cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def says(self, text: str) -> None:
        """Wait until it has said something."""
        assert self.process.stderr is not None
        while text.encode() not in self._lines:
            ready, _, _ = select.select([self.process.stderr], [], [], TIMEOUT)
            assert ready, f"the helper does not say {text!r}: {self._lines!r}"
            data = os.read(self.process.stderr.fileno(), 4096)
            assert data, f"the helper has ended: {self._lines!r}"
            self._lines += data

    def forget(self) -> None:
        """Wait for new lines only from now on."""
        self._lines = b""

    def end(self, number: int = signal.SIGKILL) -> int:
        """Signal it and wait."""
        self.process.send_signal(number)
        status = self.process.wait(TIMEOUT)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


@pytest.fixture
def path(place: Place) -> Path:
    return place.run / "claude-cowork-vm.sock"


def daemon_pid(place: Place) -> int:
    """Pid in the daemon's lock."""
    import json

    return int(json.loads((place.state / "cowork" / "daemon.lock").read_bytes())["pid"])


def test_the_app_kills_its_helper_and_the_session_lives_on(place: Place, path: Path) -> None:
    first = Helper(place, path)
    first.says("serving")
    with Client(path) as client:
        client.subscribe()
        client.ask("startVM", {"bundlePath": "/x"})
        client.spawn("p", "/bin/cat")
        client.ask("writeStdin", {"id": "p", "data": "one\n"})
        client.until_text("p", "one\n")
    first.end(signal.SIGKILL)
    second = Helper(place, path)
    second.says("serving")
    with Client(path) as client:
        client.subscribe()
        assert client.ask("isProcessRunning", {"id": "p"})["running"] is True
        client.ask("writeStdin", {"id": "p", "data": "two\n"})
        client.until_text("p", "two\n")
    assert second.end(signal.SIGTERM) == 0
    assert not path.exists()
    assert alive(daemon_pid(place)), "the daemon outlives its helpers"


def test_the_daemon_is_killed_and_the_helper_brings_another(place: Place, path: Path) -> None:
    helper = Helper(place, path)
    helper.says("serving")
    with Client(path) as client:
        client.spawn("p", "/bin/cat")
    helper.forget()
    os.kill(daemon_pid(place), signal.SIGKILL)
    # The socket has never been away: a connection waits in its queue until the next daemon takes it.
    with Client(path) as client:
        client.subscribe()
        client.ask("writeStdin", {"id": "p", "data": "still here\n"})
        client.until_text("p", "still here\n")
    helper.says("serving")
    assert helper.end(signal.SIGTERM) == 0


def test_a_running_daemon_is_used(place: Place, path: Path) -> None:
    first, second = Helper(place, path), Helper(place, path.with_name("other.sock"))
    first.says("serving")
    second.says("serving")
    with Client(first.path) as one, Client(second.path) as two:
        one.spawn("p", "/bin/sleep", "60")
        assert two.ask("isProcessRunning", {"id": "p"})["running"] is True
    assert first.end(signal.SIGTERM) == 0
    with Client(second.path) as two:
        assert two.ask("isProcessRunning", {"id": "p"})["running"] is True
    assert second.end(signal.SIGTERM) == 0


def test_the_listener_goes_with_its_helper(place: Place, path: Path) -> None:
    helper = Helper(place, path)
    helper.says("serving")
    helper.end(signal.SIGKILL)
    wait_for(lambda: not path.exists(), "the daemon lets go of the listener")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "-socket PATH is needed"),
        (["-socket"], 2, "needs a value"),
        (["-nonsense"], 2, "unknown option"),
        (["-socket", "relative"], 2, "must be absolute"),
        (["-socket", "/dev/null"], 6, "is no socket"),
        (["-version"], 0, ""),
        (["--help"], 0, ""),
    ],
)
def test_usage(place: Place, arguments: list[str], status: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cowork.helper", *arguments], env=place.environment(), capture_output=True, text=True,
        timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == status
    assert says in done.stderr
    assert bool(done.stdout) == (status == 0)
