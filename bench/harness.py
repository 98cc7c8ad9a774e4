"""What every section works with: scale, scratch directories, data files, the receive buffer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

from bench.daemon import Daemon, Spec
from bench.floor import Floor
from bench.lines import lines_file
from bench.process import MB
from bench.sink import Sink

_BUFFER = 400 * MB  # wire bytes of the largest stream, with one event for each line
_numbers = count()


@dataclass
class Harness:
    """One run of the benchmark; `work` is for the daemons (short path), `data` for files children print."""

    work: Path
    data: Path
    scale: float = 1.0

    def n(self, number: int, least: int = 1) -> int:
        """A count or a volume in bytes, scaled."""
        return max(least, int(number * self.scale))

    def lines(self, size: int, child: int = 0) -> Path:
        """A file of about `size` bytes (scaled) of numbered lines."""
        return lines_file(self.data, self.n(size, 120), child)

    def file(self, name: str, content: bytes) -> Path:
        """A file with that content."""
        path = self.data / name
        path.write_bytes(content)
        return path

    @cached_property
    def sink(self) -> Sink:
        """The receive buffer."""
        return Sink(max(64 * MB, self.n(_BUFFER)))

    @contextmanager
    def directory(self, spec: Spec) -> Iterator[Daemon]:
        """A daemon not yet started; ended with all it started, and its directory removed, afterwards."""
        daemon = Daemon(spec, self.work / f"{spec.name[:8]}{next(_numbers)}")
        try:
            yield daemon
        finally:
            daemon.remove()

    @contextmanager
    def daemon(self, spec: Spec) -> Iterator[Daemon]:
        """A daemon that answers."""
        with self.directory(spec) as daemon:
            daemon.start()
            daemon.wait_ready()
            daemon.limit_memory()
            yield daemon

    def floor(self, size: int | None = None) -> Floor:
        """The raw echo process, or one that sends `size` bytes."""
        return Floor(self.work, size)
