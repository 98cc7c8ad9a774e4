"""The commands about sessions from the shell, as processes from their start to their end; no daemon runs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter

from bench import process
from bench.daemon import Daemon, Spec
from bench.harness import Harness
from bench.process import MB
from bench.result import Result

SESSIONS = 50
HOLDERS = 100
LINES = 2000
SIZE = 100 * MB
SCREEN = 64 * 1024
REPEATED = 15
MARK = b"the last line"
_STATE = {"type": "system", "subtype": "session_state_changed", "state": "idle"}
_LINE = {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "x", "content": "y" * 400}]}}


class Person:
    """Somebody who types commands in a daemon's private folders."""

    def __init__(self, daemon: Daemon) -> None:
        self.environment = daemon.environment()
        self._folder = daemon.directory / "home"

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "cowork", *arguments]

    def run(self, *arguments: str) -> str:
        """Run a command; what it prints."""
        return subprocess.run(
            self.command(*arguments), env=self.environment, cwd=self._folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    def ms(self, *arguments: str) -> float:
        """How long a command takes, output piped; ms."""
        began = perf_counter()
        self.run(*arguments)
        return (perf_counter() - began) * 1e3

    def start(self, count: int, *command: str) -> list[str]:
        """So many sessions, two at a time; their ids."""
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(lambda _: self.run("bg", "-q", "--", *command).strip(), range(count)))


def measure_ps(harness: Harness, spec: Spec) -> Result:
    """`cowork ps` with 50 sessions, half of them conversations of 2,000 lines; 100 idle holders' PSS.

    ps_ms: median of 15 calls, output piped; first_ms: the first, which reads all conversations; start_ms: `cowork
    --version`. holders_pss_mb: of the holders of 100 sessions together, MB. The floor is an interpreter that
    imports click and msgspec.
    """
    with harness.directory(spec) as daemon:
        person = Person(daemon)
        sessions, holders, lines = harness.n(SESSIONS, 2), harness.n(HOLDERS, 2), harness.n(LINES, 2)
        person.start(sessions // 2, "sleep", "600")
        person.start(
            sessions - sessions // 2, str(_claude(harness, daemon.directory, lines)), "--output-format=stream-json"
        )
        first = person.ms("ps")
        states = [one["state"] for one in json.loads(person.run("ps", "--json"))["sessions"]]
        result = Result({"first_ms": first, "ps_ms": median(person.ms("ps") for _ in range(REPEATED))})
        result.require(sorted(states) == sorted(["working"] * (sessions // 2) + ["idle"] * (sessions - sessions // 2)),
                       f"states: {states}")  # fmt: skip
        result.figures["start_ms"] = median(person.ms("--version") for _ in range(REPEATED))
        person.start(max(0, holders - sessions), "sleep", "600")
        pids = [pid for pid in daemon.tagged() if _name(pid) == "cowork-holder"]
        # One more than there are sessions waits for the next.
        result.require(len(pids) == max(holders, sessions) + 1, f"{len(pids)} holders")
        result.figures["holders_pss_mb"] = sum(map(process.pss_mb, pids))
        return result


def floor_ps(harness: Harness) -> Result:
    """An interpreter that imports what any command needs."""
    command = [sys.executable, "-c", "import click, msgspec"]

    def once() -> float:
        began = perf_counter()
        subprocess.run(command, check=True)
        return (perf_counter() - began) * 1e3

    took = median(once() for _ in range(REPEATED))
    return Result({"ps_ms": took, "start_ms": took})


def measure_logs(harness: Harness, spec: Spec) -> Result:
    """`cowork logs` of a 100 MB spool into a pipe, from the command's start to the last byte: MB/s.

    The floor is `cat` of the same bytes.
    """
    path = harness.lines(SIZE)
    with harness.directory(spec) as daemon:
        person = Person(daemon)
        session = person.run("bg", "-q", "--", "cat", str(path)).strip()
        person.run("wait", session)
        result = Result()
        rates = []
        for _ in range(5):
            seconds, found = _read(person.command("logs", session), person.environment)
            rates.append(path.stat().st_size / MB / seconds)
            result.require(found == hashlib.sha256(path.read_bytes()).hexdigest(), "not the bytes that were printed")
        result.figures["mb_per_s"] = median(rates)
        return result


def floor_logs(harness: Harness) -> Result:
    """The same bytes by cat."""
    path = harness.lines(SIZE)
    times = [_read(["cat", str(path)], dict(os.environ))[0] for _ in range(5)]
    return Result({"mb_per_s": path.stat().st_size / MB / median(times)})


def measure_attach(harness: Harness, spec: Spec) -> Result:
    """`cowork attach`, from the command's start until the last of 64 KB that the program showed is on our terminal: ms.

    start_ms: `cowork --version` beside it.
    """
    with harness.directory(spec) as daemon:
        person = Person(daemon)
        script = f"head -c {harness.n(SCREEN)} /dev/zero | tr '\\0' x; echo; printf '{MARK.decode()}'; exec sleep 600"
        session = person.run("bg", "-q", "--tty", "--", "sh", "-c", script).strip()
        while MARK.decode() not in person.run("logs", session):
            pass
        return Result({
            "screen_ms": median(_attach(person, session) for _ in range(REPEATED)),
            "start_ms": median(person.ms("--version") for _ in range(REPEATED)),
        })  # fmt: skip


def _attach(person: Person, session: str) -> float:
    # Not pty.fork: this process is large, and its copy would be measured.
    master, slave = os.openpty()
    began = perf_counter()
    running = subprocess.Popen(
        person.command("attach", session), env={**person.environment, "TERM": "xterm"}, stdin=slave, stdout=slave,
        stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    seen = b""
    while MARK not in seen:
        seen = seen[-len(MARK) :] + os.read(master, 65536)
    took = (perf_counter() - began) * 1e3
    os.write(master, b"\x1cd")
    try:
        while os.read(master, 65536):
            pass
    except OSError:
        pass  # its side is closed
    os.close(master)
    running.wait()
    return took


def _claude(harness: Harness, folder: Path, lines: int) -> Path:
    """A program of that name which says a conversation and waits."""
    said = harness.file("conversation", b"".join(json.dumps(m).encode() + b"\n" for m in [*[_LINE] * lines, _STATE]))
    program = folder / "claude"
    program.write_text(f"#!/bin/sh\ncat {said}\nexec sleep 600\n")
    program.chmod(0o755)
    return program


def _read(command: list[str], environ: dict[str, str]) -> tuple[float, str]:
    """Seconds to the last byte of a command's output, and its digest."""
    began = perf_counter()
    parts = []
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, bufsize=0) as running:
        assert running.stdout is not None
        while data := running.stdout.read(1 << 20):
            parts.append(data)
        seconds = perf_counter() - began
    return seconds, hashlib.sha256(b"".join(parts)).hexdigest()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
