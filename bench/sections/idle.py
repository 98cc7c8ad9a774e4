"""What a daemon and its sessions use when nothing happens."""

from __future__ import annotations

import time
from time import perf_counter

from bench import process
from bench.client import subscriber
from bench.daemon import Daemon, Spec
from bench.harness import Harness
from bench.result import Result

SESSIONS = 10


def measure(harness: Harness, spec: Spec) -> Result:
    """Memory (MB) and CPU of the daemon idle after startVM; PSS of the holder of an idle session.

    pss_mb and rss_mb: daemon and helpers, 1.5 s after startVM with one subscriber; daemon_pss_mb the daemon
    alone. idle_cpu_ms_per_s: CPU ms of all of them per second, over 3 s. holder_pss_mb: PSS of the helper
    processes that ten `sleep` sessions brought, divided by ten; session_cost_mb: what one session adds to the
    PSS of daemon and helpers together. PSS counts a page shared with another Python process in part.
    """
    with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket):
        time.sleep(1.5)
        before = daemon.pids()
        total = sum(map(process.pss_mb, before))
        result = Result(
            {
                "pss_mb": total,
                "daemon_pss_mb": process.pss_mb(daemon.pid),
                "rss_mb": daemon.rss_mb(),
                "helpers": len(before) - 1,
                "threads": len(process.threads(daemon.pid)),
                "fds": process.open_files(daemon.pid),
                "idle_cpu_ms_per_s": _cpu_ms_per_s(daemon),
            }
        )
        for number in range(SESSIONS):
            daemon.spawn(client, f"idle{number}", "/bin/sleep", "600")
        time.sleep(1.0)
        after = daemon.pids()
        holders = [p for p in after if p not in before]
        result.figures["holder_pss_mb"] = sum(map(process.pss_mb, holders)) / SESSIONS
        result.figures["session_cost_mb"] = (sum(map(process.pss_mb, after)) - total) / SESSIONS
        result.figures["sessions_cpu_ms_per_s"] = _cpu_ms_per_s(daemon)
        return result


def _cpu_ms_per_s(daemon: Daemon) -> float:
    used, began = daemon.cpu(), perf_counter()
    time.sleep(3)
    return (daemon.cpu() - used) * 1e3 / (perf_counter() - began)
