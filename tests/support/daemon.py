"""The daemon as a real process, with folders of its own, and everything it caused ended afterwards."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.support.client import TIMEOUT, Client

TAG = "COWORK_TEST_TAG"
_TROUBLE = re.compile(r"Traceback|Exception ignored|Warning:|uncaught|Internal error|\w+Error: ")


class Place:
    """A short folder directly under /tmp with a home and the XDG folders; a tag marks all processes of it."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="cw", dir="/tmp"))
        self.tag = uuid.uuid4().hex
        self.home, self.run, self.state, self.data = (self.root / n for n in ("h", "r", "s", "d"))
        for folder in (self.home, self.run, self.state, self.data):
            folder.mkdir(mode=0o700)

    def environment(self) -> dict[str, str]:
        """For the daemon: nothing of the one who runs the tests but PATH."""
        return {
            "PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home), "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.run), "XDG_STATE_HOME": str(self.state), "XDG_DATA_HOME": str(self.data),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
            "PYTHONASYNCIODEBUG": "1", TAG: self.tag,
        }  # fmt: skip

    def processes(self) -> list[int]:
        """Pids of everything that was started with our tag in its environment and still runs."""
        mark = f"{TAG}={self.tag}".encode()
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                if mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.append(int(name))
            except OSError:
                pass
        return found

    def end_processes(self) -> None:
        """SIGKILL to all of them, until there are none."""
        end = time.monotonic() + TIMEOUT
        while left := self.processes():
            assert time.monotonic() < end, f"cannot be killed: {left}"
            watched = []
            for pid in left:
                try:
                    watched.append(os.pidfd_open(pid))
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for fd in watched:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                poll.poll(5000)
                os.close(fd)

    def remove(self) -> None:
        """End and delete everything."""
        self.end_processes()
        shutil.rmtree(self.root)


class RunningDaemon:
    """A daemon on a place's folders. ``socket`` speaks the helper's dialect, ``service_socket`` that of clients 2.x."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.socket = place.run / "a.sock"
        self.service_socket = place.run / "cowork-vm-service.sock"
        self.errors = place.root / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = place.environment()
        self.expected_trouble: list[str] = []
        self.backend = "host"

    # -- life

    def launch(
        self, *options: str, sockets: Iterable[Path] | None = None, ready_fd: int | None = None,
        before: Callable[[], None] | None = None, wrapper: Iterable[str] = (),
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start it without waiting."""
        argv = [*wrapper, sys.executable, "-W", "error", "-m", "cowork", "serve", "--backend", self.backend, *options]
        for path in (self.socket, self.service_socket) if sockets is None else sockets:
            argv += ["--socket", str(path)]
        if ready_fd is not None:
            argv += ["--ready-fd", str(ready_fd)]
        with open(self.errors, "ab") as log:
            return subprocess.Popen(
                argv, env=self.environment, cwd=self.place.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[] if ready_fd is None else [ready_fd], start_new_session=True, preexec_fn=before,
            )  # fmt: skip

    def start(self, *options: str, sockets: Iterable[Path] | None = None, wrapper: Iterable[str] = ()) -> None:
        """Start it and wait until clients can connect."""
        assert self.process is None
        ready, theirs = os.pipe()
        try:
            try:
                self.process = self.launch(*options, sockets=sockets, ready_fd=theirs, wrapper=wrapper)
            finally:
                os.close(theirs)
            poll = select.poll()
            poll.register(ready, select.POLLIN)
            assert poll.poll(TIMEOUT * 1000), "the daemon does not come up"
            assert os.read(ready, 1) == b"\n", f"the daemon has ended: {self.stderr()}"
        finally:
            os.close(ready)

    def refused(
        self, *options: str, sockets: Iterable[Path] | None = None, wrapper: Iterable[str] = ()
    ) -> tuple[int, str]:
        """Start one that must not come up: its exit status and what it says."""
        before = len(self.stderr())
        status = self.launch(*options, sockets=sockets, wrapper=wrapper).wait(TIMEOUT)
        return status, self.stderr()[before:]

    @property
    def pid(self) -> int:
        """The daemon's pid."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL to the daemon alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(TIMEOUT)
        self.process = None

    def restart(self, *options: str) -> None:
        """``kill``, then start on the same folders."""
        self.kill()
        self.start(*options)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(TIMEOUT)
        self.process = None
        return status

    def check(self) -> None:
        """Nothing may have gone wrong unseen."""
        found = [line for line in self.stderr().splitlines() if _TROUBLE.search(line)]
        unexpected = [line for line in found if not any(text in line for text in self.expected_trouble)]
        assert not unexpected, self.stderr()
        for line in self.lifecycle():
            assert "uncaught" not in line, line

    # -- what it says

    def client(self, *, receive_buffer: int | None = None, timeout: float = TIMEOUT) -> Client:
        """A new connection on ``socket``."""
        return Client(self.socket, receive_buffer=receive_buffer, timeout=timeout)

    def stderr(self) -> str:
        """All that the daemons of this place have said so far."""
        return self.errors.read_text() if self.errors.exists() else ""

    @property
    def state(self) -> Path:
        """Our folder below XDG_STATE_HOME."""
        return self.place.state / "cowork"

    @property
    def trees(self) -> Path:
        """Where the guests' trees are."""
        return self.place.data / "cowork" / "trees"

    def lifecycle(self) -> list[str]:
        """The lines of the lifecycle log without their times."""
        path = self.state / "lifecycle.log"
        return [line.partition("Z ")[2] for line in path.read_text().splitlines()] if path.exists() else []

    def sessions(self) -> list[Path]:
        """The sessions' folders."""
        folder = self.state / "sessions"
        return [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")] if folder.exists() else []

    # -- what it uses

    def fds(self) -> int:
        """Open descriptors of the daemon."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self, key: str = "VmRSS") -> int:
        """A memory figure of /proc/PID/status in bytes."""
        found = re.search(rf"^{key}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.M)
        assert found
        return int(found[1]) * 1024

    def zombies(self) -> list[int]:
        """Children of the daemon that have ended and were not waited for."""
        out = []
        for name in os.listdir("/proc"):
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split() if name.isdigit() else []
            except OSError:
                continue
            if fields and fields[0] == "Z" and int(fields[1]) == self.pid:
                out.append(int(name))
        return out


def wait_for(condition: Callable[[], object], what: str = "", timeout: float = TIMEOUT) -> None:
    """For state that sends no event: look again until it is so."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"never: {what or condition}"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
