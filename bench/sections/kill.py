"""Ending sessions."""

from __future__ import annotations

import statistics
import time
from time import perf_counter

from bench import process
from bench.client import Client, exit_of, subscriber
from bench.daemon import Daemon, Spec
from bench.harness import Harness
from bench.result import Result


def measure(harness: Harness, spec: Spec) -> Result:
    """From sending kill to the exit event of a `sleep`, ms: SIGTERM (median and worst of 10) and SIGKILL.

    family_exit_ms: the same for SIGTERM to a shell that waits for a child of its own; child_gone: that child
    has ended 0.3 s later. event: what the exit event says after SIGTERM.
    """
    with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket) as events:
        sleep, family = ("/bin/sleep", "600"), ("/bin/sh", "-c", "sleep 601 & wait")
        term = [_one(daemon, client, events, f"t{i}", "SIGTERM", *sleep) for i in range(harness.n(10, 3))]
        hard = [_one(daemon, client, events, f"k{i}", "SIGKILL", *sleep) for i in range(harness.n(5, 2))]
        shell, _ = _one(daemon, client, events, "family", "SIGTERM", *family)
        time.sleep(0.3)
        gone = not any("601" in process.arguments(pid) for pid in daemon.children())
    times = [ms for ms, _ in term]
    result = Result(
        {
            "term_exit_ms": statistics.median(times),
            "term_exit_max_ms": max(times),
            "kill_exit_ms": statistics.median(ms for ms, _ in hard),
            "family_exit_ms": shell,
            "child_gone": gone,
            "event": term[0][1],
        }
    )
    result.require(gone, "a killed session's child lives on")
    return result


def _one(daemon: Daemon, client: Client, events: Client, session: str, signal: str, *command: str) -> tuple[float, str]:
    daemon.spawn(client, session, *command)
    time.sleep(0.1)
    began = perf_counter()
    client.send("kill", {"id": session, "signal": signal})
    event = events.until(exit_of(session), 12)
    took = (perf_counter() - began) * 1e3
    client.drain()
    return took, f"{event.get('exitCode')} {event.get('signal', '')}".strip()
