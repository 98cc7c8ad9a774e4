"""Starts the raw echo process beside which the daemons are measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from time import perf_counter
from types import TracebackType

from bench import process
from bench.client import Client

NAME = "floor"
_SCRIPT = Path(__file__).with_name("floor_process.py")


class Floor:
    """The echo process, or with `size` one that sends that many bytes to whoever connects."""

    def __init__(self, directory: Path, size: int | None = None) -> None:
        self.socket = str(directory / "floor.sock")
        self._argv = [sys.executable, "-I", "-S", str(_SCRIPT), self.socket]
        self._argv += [] if size is None else [str(size)]

    def __enter__(self) -> Floor:
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def connect(self) -> Client:
        """A connection; waits until the process listens."""
        end = perf_counter() + 10
        while True:
            try:
                return Client(self.socket)
            except OSError:
                if perf_counter() > end:
                    raise
                time.sleep(0.002)

    def pids(self) -> list[int]:
        """The process, as a list like a daemon's."""
        return [self._process.pid]

    def cpu(self) -> float:
        """CPU seconds it has used."""
        return process.cpu_seconds(self._process.pid)
