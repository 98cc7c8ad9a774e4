"""Round trips of the cheapest request, isRunning, on one connection."""

from __future__ import annotations

from typing import Protocol

from bench.client import Client
from bench.daemon import Spec
from bench.harness import Harness
from bench.result import Result
from bench.roundtrip import one_cpu, pipelined, sequential
from bench.stats import latencies
from bench.wire import FIRST_ID, messages, requests


class Endpoint(Protocol):
    """The processes at the other end."""

    def pids(self) -> list[int]: ...

    def cpu(self) -> float: ...


def measure(harness: Harness, spec: Spec) -> Result:
    """Round trip of isRunning: p50 and p99 in us, free and on one CPU; rate and CPU us with 64 in flight.

    Sequential: 8,000 requests, each from before its send to its whole reply. one_cpu: 4,000 with client,
    daemon and helpers pinned to one CPU, which takes the wake-ups across CPUs out. Pipelined: 60,000 requests
    of which 64 are always on their way; CPU is the daemon's and its helpers'.
    """
    with harness.daemon(spec) as daemon, daemon.boot() as client:
        return _measure(harness, client, daemon)


def floor(harness: Harness) -> Result:
    """The same with the echo process."""
    with harness.floor() as echo, echo.connect() as client:
        return _measure(harness, client, echo)


def _measure(harness: Harness, client: Client, endpoint: Endpoint) -> Result:
    sequential(client.sock, requests(harness.n(1000)))
    used = endpoint.cpu()
    free = sequential(client.sock, requests(harness.n(8000)))
    used = endpoint.cpu() - used
    with one_cpu(endpoint.pids()):
        sequential(client.sock, requests(harness.n(300)))
        pinned = sequential(client.sock, requests(harness.n(4000)))
    frames = requests(harness.n(60_000, 640))
    pipelined(client.sock, frames[:640], 64)
    cpu = endpoint.cpu()
    seconds, raw = pipelined(client.sock, frames, 64)
    cpu = endpoint.cpu() - cpu
    result = Result(
        {
            **latencies(free),
            "cpu_us": used / len(free) * 1e6,
            **latencies(pinned, "one_cpu_"),
            "pipelined_per_s": len(frames) / seconds,
            "pipelined_cpu_us": cpu / len(frames) * 1e6,
        }
    )
    ids = sorted(int(message.get("id") or 0) for _, message in messages(raw))
    result.require(ids == list(range(FIRST_ID, FIRST_ID + len(frames))), "not every request got one reply")
    return result
