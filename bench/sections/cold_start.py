"""How long it takes until a daemon answers."""

from __future__ import annotations

import statistics

from bench.daemon import Spec
from bench.harness import Harness
from bench.result import Result


def measure(harness: Harness, spec: Spec) -> Result:
    """From before the fork and exec of the daemon to its first isRunning reply, ms; median and worst of 11.

    One start before them is not counted: it fills the caches of files and byte code. Every start has new,
    empty directories.
    """
    times = []
    for number in range(harness.n(11, 3) + 1):
        with harness.directory(spec) as daemon:
            began = daemon.start()
            took = (daemon.wait_ready() - began) * 1e3
            if number:
                times.append(took)
    return Result({"cold_start_ms": statistics.median(times), "cold_start_max_ms": max(times)})
