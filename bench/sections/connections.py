"""Many clients at once."""

from __future__ import annotations

import time

from bench.daemon import Spec
from bench.harness import Harness
from bench.result import Result
from bench.roundtrip import crowd
from bench.sections.rpc import Endpoint
from bench.stats import latencies

CONNECTIONS = 32


def measure(harness: Harness, spec: Spec) -> Result:
    """32 connections, one isRunning in flight on each, for 3 s: replies per second, round trip in us.

    cpu_us is the CPU of daemon and helpers per request; client_busy the share of one CPU the client used.
    """
    with harness.daemon(spec) as daemon:
        daemon.boot().sock.close()
        return _measure(harness, daemon.socket, daemon)


def floor(harness: Harness) -> Result:
    """The same with the echo process."""
    with harness.floor() as echo:
        echo.connect().sock.close()
        return _measure(harness, echo.socket, echo)


def _measure(harness: Harness, path: str, endpoint: Endpoint) -> Result:
    crowd(path, CONNECTIONS, 0.2)
    cpu, own = endpoint.cpu(), time.process_time()
    seconds, times = crowd(path, CONNECTIONS, max(0.5, 3 * harness.scale))
    own, cpu = time.process_time() - own, endpoint.cpu() - cpu
    return Result(
        {
            "per_s": len(times) / seconds,
            **latencies(times),
            "cpu_us": cpu / len(times) * 1e6,
            "client_busy": own / seconds,
        }
    )
