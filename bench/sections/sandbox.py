"""What the bubblewrap sandbox costs: the same daemon with ``--backend bwrap``, in turn with the one of the host."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from bench.client import Client, exit_of, subscriber
from bench.daemon import Daemon, Spec, sandboxed
from bench.delivery import Delivery, delivery, script
from bench.harness import Harness
from bench.process import MB
from bench.result import Figure, Result
from bench.sections import stream
from bench.sink import EXIT, MARK, joined
from bench.stats import percentile
from bench.wire import Message

NAMES = ("host", "bwrap")
HOME = "/sessions/bench"
"""A session's home folder by its name in the guest, which both backends know."""
SHOWN = "lines"
BLOCK = 10
PAIRS = 5


def measure_spawn(harness: Harness, spec: Spec) -> Result:
    """From sending spawn of /bin/true to its exit event, ms: 150 on the host, 150 in the sandbox; p50 and p99.

    Two daemons run at once and spawn one after the other, ten on the one, then ten on the other. over_host_ms:
    what the sandbox adds, the difference of the two p50. The first ten of each are not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in NAMES}
    block = harness.n(BLOCK, 2)
    with _both(harness, spec) as sides:
        for number in range(harness.n(15) + 1):
            for name in _order(number):
                took = [sides[name].true() for _ in range(block)]
                times[name] += took if number else []
    p50 = {name: percentile(times[name], 50) for name in NAMES}
    figures: dict[str, Figure] = {}
    for name in NAMES:
        figures |= {f"{name}_exit_p50_ms": p50[name], f"{name}_exit_p99_ms": percentile(times[name], 99)}
    return Result({**figures, "over_host_ms": p50["bwrap"] - p50["host"]})


def measure_stream(harness: Harness, spec: Spec) -> Result:
    """One child cats 200 MB of numbered 120-byte lines, on the host and in the sandbox: MB/s to the last byte.

    From the line on stdin for which the child waits: the start is `sandbox-spawn`'s. The file is in a folder that the
    session was given. Two daemons run at once and stream one after the other, five times in changing order. Medians;
    mb_per_s_x_host: that of the five quotients sandbox / host. cpu, peak and intact as in `stream`.
    """
    path, result = _on_disk(harness), Result()
    streams: dict[str, list[_Stream]] = {name: [] for name in NAMES}
    with _both(harness, spec) as sides:
        for number in range(harness.n(PAIRS)):
            for name in _order(number):
                streams[name].append(sides[name].stream(harness, path))
    for name in NAMES:
        result.figures |= {
            f"{name}_mb_per_s": statistics.median(s.mb_per_s for s in streams[name]),
            f"{name}_cpu_ms_per_mb": statistics.median(s.cpu_ms_per_mb for s in streams[name]),
            f"{name}_peak_rss_mb": statistics.median(s.peak_rss_mb for s in streams[name]),
        }
    pairs = zip(streams["bwrap"], streams["host"], strict=True)
    result.figures["mb_per_s_x_host"] = statistics.median(inside.mb_per_s / host.mb_per_s for inside, host in pairs)
    judged = {name: Result() for name in NAMES}
    for name, found in judged.items():
        for each in streams[name]:
            each.delivery.judge(found)
        result.figures[f"{name}_intact"] = not found.faults
        result.faults += [f"{name}: {fault}" for fault in found.faults]
    return result


class _Stream(NamedTuple):
    """One run of the child."""

    mb_per_s: float
    cpu_ms_per_mb: float
    peak_rss_mb: float
    delivery: Delivery


class _Side:
    """One of the two daemons, and its clients."""

    def __init__(self, daemon: Daemon, client: Client, events: Client) -> None:
        self._daemon, self._client, self._events = daemon, client, events
        self._count = 0

    def true(self) -> float:
        """Start /bin/true; ms until its exit event."""
        began = perf_counter()
        session = self._spawn({"cwd": HOME}, "/bin/true")
        event = self._events.until(exit_of(session))
        took = (perf_counter() - began) * 1e3
        if event.get("exitCode") != 0:
            raise RuntimeError(f"{self._daemon.spec.name}: /bin/true ended with {event}")
        return took

    def stream(self, harness: Harness, path: Path) -> _Stream:
        """Have a child print the file."""
        daemon, client, sink, size = self._daemon, self._client, harness.sink, path.stat().st_size / MB
        session = self._spawn(self._show(path), "/bin/sh", "-c", f"echo; read x; {script(Path(SHOWN))}")
        go = {"id": session, "data": "\n"}
        self._events.until(lambda m: m.get("type") == "stdout")
        daemon.reset_peak()
        cpu, began = daemon.cpu(), perf_counter()
        client.call("writeStdin", go)
        got = sink.collect(self._events, MARK, 1, began + 60)
        cpu, peak = daemon.cpu() - cpu, daemon.peak_mb()
        client.call("writeStdin", go)
        rest = sink.collect(self._events, EXIT, 1, perf_counter() + 10, start=got.end, idle=0.1)
        found = delivery(sink, [joined(got, rest)], {session: path})
        return _Stream(size / (got.last - began), cpu * 1e3 / size, peak, found)

    def _spawn(self, place: Message, *command: str) -> str:
        self._count += 1
        session = f"t{self._count}"
        reply = self._client.call("spawn", {**self._daemon.spawn_params(session, *command), **place}, 20)
        if not reply.get("success"):
            raise RuntimeError(f"{self._daemon.spec.name}: spawn was refused: {reply.get('error')}")
        return session

    def _show(self, path: Path) -> Message:
        """Where a session works that is given a folder with the file, of which there is no second copy in memory."""
        folder = self._daemon.directory / "home" / "data"
        folder.mkdir(exist_ok=True)
        if not (folder / SHOWN).exists():
            os.link(path, folder / SHOWN)
        mount = {"path": str(folder).lstrip("/"), "mode": "ro"}
        return {"cwd": f"{HOME}/mnt/data", "additionalMounts": {"data": mount}}


@contextmanager
def _both(harness: Harness, spec: Spec) -> Iterator[dict[str, _Side]]:
    """The daemon of the host and the one of the sandbox, each with a client and a subscriber."""
    with ExitStack() as stack:
        sides = {}
        for name, each in zip(NAMES, (spec, sandboxed(spec)), strict=True):
            daemon = stack.enter_context(harness.daemon(each))
            client = stack.enter_context(daemon.boot())
            sides[name] = _Side(daemon, client, stack.enter_context(subscriber(daemon.socket)))
        yield sides


def _order(number: int) -> tuple[str, ...]:
    """The first one changes: what follows on something is slowed down by its tidying up."""
    return NAMES if number % 2 == 0 else NAMES[::-1]


def _on_disk(harness: Harness) -> Path:
    """The numbered lines where a session may see them, which /dev/shm is not; written and synced once."""
    source = harness.lines(stream.SIZE)
    path = harness.work / source.name
    if not path.exists():
        shutil.copyfile(source, path)
        with open(path, "rb") as f:
            os.fsync(f.fileno())
    return path
