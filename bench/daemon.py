"""A daemon under measurement: private directories, its processes, their memory and CPU."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from bench import process
from bench.client import Client
from bench.wire import Message

CHILD_PROGRAMS = frozenset({"cat", "sh", "dash", "bash", "sleep", "true", "echo", "head", "coreutils", "busybox"})
"""What the benchmark lets sessions run: these processes are never counted as the daemon's own."""

OURS = "cowork"
SANDBOXED = "cowork-bwrap"
_ROOT = Path(__file__).resolve().parent.parent
_MEMORY_LIMIT = 12_000 * process.MB


@dataclass
class Spec:
    """What to start. `{python}`, `{sock}` and `{dir}` are substituted in the command and the environment."""

    name: str
    command: str
    socket: str = "{dir}/run/cowork-vm-service.sock"
    env: dict[str, str] = field(default_factory=dict)


def ours() -> Spec:
    """This repository's daemon; its sources are used as they are when there are any."""
    source = _ROOT / "src"
    env = {"PYTHONPATH": str(source)} if (source / "cowork").is_dir() else {}
    command = "{python} -m cowork serve --socket {sock} --backend host"
    return Spec(OURS, command, "{dir}/run/bench.sock", env)


def sandboxed(spec: Spec) -> Spec:
    """The same daemon with sessions in the sandbox; ValueError for a command that does not name the host backend."""
    host, bwrap = "--backend host", "--backend bwrap"
    if host not in spec.command:
        raise ValueError(f"no {host} in the command of {spec.name}, so what it is in the sandbox cannot be told")
    return replace(spec, name=SANDBOXED, command=spec.command.replace(host, bwrap))


class Daemon:
    """One daemon in `directory`, which is its HOME, runtime, state and temporary directory.

    Processes that carry its BENCH_TAG in their environment or descend from one that does belong to it, even
    when they were handed to pid 1. Those that do not run one of CHILD_PROGRAMS are its *helpers* (holders, the
    process they are forked from): their memory and CPU count as the daemon's.
    """

    def __init__(self, spec: Spec, directory: Path) -> None:
        self.spec, self.directory = spec, directory
        self.tag = uuid.uuid4().hex
        self.socket = spec.socket.replace("{dir}", str(directory))
        for name in ("home", "run", "state", "tmp"):
            (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._tagged: dict[tuple[int, int], bool] = {}
        self._helper_cpu: dict[int, float] = {}

    def environment(self) -> dict[str, str]:
        """What it, and commands about it, run with: private folders, and nothing of the caller's but PATH."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "BENCH_TAG": self.tag,
            "HOME": str(self.directory / "home"),
            "XDG_RUNTIME_DIR": str(self.directory / "run"),
            "XDG_STATE_HOME": str(self.directory / "state"),
            "TMPDIR": str(self.directory / "tmp"),
            **{k: self._fill(v) for k, v in self.spec.env.items()},
        }

    # -- life
    def start(self) -> float:
        """Execute it without waiting; returns the moment before (perf_counter)."""
        argv = [self._fill(a) for a in shlex.split(self.spec.command)]
        with open(self.directory / "daemon.log", "ab") as log:
            began = perf_counter()
            self._process = subprocess.Popen(
                argv,
                env=self.environment(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        return began

    def wait_ready(self, timeout: float = 20.0) -> float:
        """Connect until isRunning is answered; returns the moment of the reply (perf_counter)."""
        end = perf_counter() + timeout
        while perf_counter() < end and self.alive():
            try:
                client = Client(self.socket)
            except OSError:
                time.sleep(0.0003)
                continue
            with client:
                client.call("isRunning")
                return perf_counter()
        raise RuntimeError(f"{self.spec.name} did not come up: {self._log_tail()}")

    def alive(self) -> bool:
        """Whether the daemon itself runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the daemon alone; what it holds lives on."""
        if self._process is not None:
            process.kill(self.pid)
            self._process.wait()

    def stop(self) -> None:
        """End the daemon, its helpers and their children, by pid."""
        self.kill()
        end = perf_counter() + 5
        while (left := self.tagged()) and perf_counter() < end:
            for pid in left:
                process.kill(pid)
            time.sleep(0.01)

    def remove(self) -> None:
        """stop(), then delete the directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def limit_memory(self) -> None:
        """A daemon without bounds must not take the machine down: its allocations fail at 12 GB."""
        resource.prlimit(self.pid, resource.RLIMIT_DATA, (_MEMORY_LIMIT, _MEMORY_LIMIT))

    def _fill(self, text: str) -> str:
        for key, value in (("python", sys.executable), ("sock", self.socket), ("dir", str(self.directory))):
            text = text.replace("{" + key + "}", value)
        return text

    def _log_tail(self) -> str:
        return (self.directory / "daemon.log").read_bytes()[-400:].decode("utf-8", "replace").strip()

    # -- its processes
    def tagged(self) -> list[int]:
        """Pids of the other processes that belong to it."""
        table = process.table()
        table.pop(os.getpid(), None)
        mine = {self.pid} if self.pid else set()  # every process descends from 0
        for pid, (_, started) in table.items():
            key = (pid, started)
            if key not in self._tagged and (entries := process.environment(pid)):
                self._tagged[key] = f"BENCH_TAG={self.tag}".encode() in entries
            if self._tagged.get(key):
                mine.add(pid)
        found = set()
        for pid in table:
            up = pid
            while up in table and up not in mine:
                up = table[up][0]
            if up in mine:
                found.add(pid)
        return sorted(found - {self.pid})

    def helpers(self) -> list[int]:
        """Pids of its holders and the like."""
        return [p for p in self.tagged() if process.program(p) not in CHILD_PROGRAMS]

    def children(self) -> list[int]:
        """Pids of what the sessions run."""
        return [p for p in self.tagged() if process.program(p) in CHILD_PROGRAMS]

    def pids(self) -> list[int]:
        """The daemon and its helpers."""
        return [self.pid, *self.helpers()]

    # -- what they use
    def cpu(self) -> float:
        """CPU seconds of the daemon and its helpers, those included that ended after an earlier call."""
        for pid in self.helpers():
            self._helper_cpu[pid] = max(process.cpu_seconds(pid), self._helper_cpu.get(pid, 0.0))
        return process.cpu_seconds(self.pid) + sum(self._helper_cpu.values())

    def reset_peak(self) -> None:
        """Let peak_mb() start again."""
        for pid in self.pids():
            process.reset_peak(pid)

    def rss_mb(self) -> float:
        """Resident size of the daemon and its helpers, shared pages counted in each."""
        return sum(process.rss_mb(p) for p in self.pids())

    def peak_mb(self) -> float:
        """Peak resident size of each, added up: an upper bound of the peak of the sum."""
        return sum(process.peak_mb(p) for p in self.pids())

    # -- protocol
    def boot(self, settle: float = 0.6) -> Client:
        """A connection after configure, createVM and startVM; `settle` seconds let slow start events pass."""
        client, began = Client(self.socket), perf_counter()
        client.call("configure", {"userDataName": "bench", "memoryMB": 4096, "cpuCount": 2})
        client.call("createVM", {"bundlePath": "/nonexistent/bundle", "diskSizeGB": 1})
        client.call("startVM", {"bundlePath": "/nonexistent/bundle", "memoryGB": 4, "cpuCount": 2}, 30)
        while perf_counter() - began < 10:
            result = client.call("isGuestConnected").get("result") or {}
            if result.get("connected"):
                break
            time.sleep(0.02)
        time.sleep(max(0.0, settle - (perf_counter() - began)))
        return client

    def spawn_params(self, session: str, command: str, *args: str) -> Message:
        """Parameters of a spawn request."""
        return {
            "id": session,
            "name": "bench",
            "command": command,
            "args": list(args),
            "cwd": str(self.directory / "home"),
            "env": {"BENCH_TAG": self.tag},
        }

    def spawn(self, client: Client, session: str, command: str, *args: str) -> None:
        """Spawn and wait for the reply; RuntimeError when it is refused."""
        reply = client.call("spawn", self.spawn_params(session, command, *args), 20)
        if not reply.get("success"):
            raise RuntimeError(f"spawn of {command} was refused: {reply.get('error')}")
