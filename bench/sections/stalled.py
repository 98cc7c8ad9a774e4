"""A subscriber that stops reading."""

from __future__ import annotations

import time
from time import perf_counter

from bench import process
from bench.client import Client, subscriber
from bench.daemon import Daemon, Spec
from bench.delivery import delivery, script
from bench.harness import Harness
from bench.process import MB
from bench.result import Result
from bench.sink import EXIT, MARK, joined
from bench.stats import percentile

SIZE = 100 * MB


def measure(harness: Harness, spec: Spec) -> Result:
    """The only subscriber does not read while a child prints 100 MB: memory growth (MB), worst RPC (ms).

    growth_mb: peak resident size of daemon and helpers (each one's peak, added up) less their size with the
    session started and silent. rpc_p50_ms, rpc_max_ms: isProcessRunning on another connection meanwhile, every
    few ms, until memory has not changed for 1.5 s. Then the subscriber reads on: drain_mb_per_s from there to
    the last byte. child_held_back: the child had not printed everything when the subscriber read on.
    """
    path, sink, result = harness.lines(SIZE), harness.sink, Result()
    size = path.stat().st_size / MB
    with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket) as events:
        daemon.spawn(client, "s0", "/bin/sh", "-c", f"read x; {script(path)}")
        time.sleep(0.5)
        before = daemon.rss_mb()
        daemon.reset_peak()
        client.call("writeStdin", {"id": "s0", "data": "\n"})
        times = _meanwhile(daemon, client)
        result.figures.update(
            growth_mb=daemon.peak_mb() - before,
            rpc_p50_ms=percentile(times, 50) * 1e3,
            rpc_max_ms=max(times) * 1e3,
            child_held_back=_printing(daemon),
        )
        began = perf_counter()
        got = sink.collect(events, MARK, 1, began + 60, idle=0.6)
        client.send("writeStdin", {"id": "s0", "data": "\n"})
        rest = sink.collect(events, EXIT, 1, perf_counter() + 10, start=got.end, idle=0.1)
    result.figures["drain_mb_per_s"] = size / (got.last - began)
    result.require(not got.closed, "the stalled subscriber was disconnected")
    delivery(sink, [joined(got, rest)], {"s0": path}).judge(result)
    return result


def _meanwhile(daemon: Daemon, client: Client) -> list[float]:
    """Round trips until memory has come to rest, 30 s at most."""
    times, began = [], perf_counter()
    size, changed, looked = daemon.rss_mb(), began, began
    while (now := perf_counter()) - changed < 1.5 and now - began < 30:
        client.call("isProcessRunning", {"id": "s0"}, 20)
        times.append(perf_counter() - now)
        time.sleep(0.002)
        if perf_counter() - looked > 0.1:
            looked, fresh = perf_counter(), daemon.rss_mb()
            if abs(fresh - size) > 1:
                size, changed = fresh, looked
    return times


def _printing(daemon: Daemon) -> bool:
    """Whether the session's cat still runs."""
    return any(process.program(pid) == "cat" for pid in daemon.children())
