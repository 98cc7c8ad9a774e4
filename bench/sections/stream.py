"""Sessions that print as fast as they can, or at a moderate pace."""

from __future__ import annotations

import time
from pathlib import Path
from time import perf_counter

from bench.client import subscriber
from bench.daemon import Spec
from bench.delivery import delivery, script
from bench.harness import Harness
from bench.lines import END, LINE, printf_format
from bench.process import MB
from bench.result import Result
from bench.sink import EXIT, MARK, joined

SIZE = 200 * MB
PACE = """i=0; while [ $i -lt {count} ]; do e=$((i+250)); while [ $i -lt $e ]; do
printf '{format}' $i; i=$((i+1)); done; sleep 0.01; done; echo {end}; read x"""


def measure(harness: Harness, spec: Spec) -> Result:
    """One child cats 200 MB of numbered 120-byte lines: MB/s from sending spawn to the last byte.

    cpu_ms_per_mb: CPU of daemon and helpers (holder included) per MB. peak_rss_mb: their peak resident
    sizes, each process's own, added up; shared pages count in each. client_busy: share of one CPU the client
    used. intact: the bytes equal the file's. One subscriber that reads as fast as it can.
    """
    path = harness.lines(SIZE)
    return _run(harness, spec, {"s0": path}, {"s0": script(path)})


def floor(harness: Harness) -> Result:
    """A process sends 200 MB in 64 KiB pieces to the same receiving code: MB/s, the ceiling of the client."""
    with harness.floor(harness.n(SIZE)) as sender, sender.connect() as client:
        began = perf_counter()
        got = harness.sink.collect(client, MARK, 1, began + 60)
    return Result({"mb_per_s": (got.end - got.start) / MB / (got.last - began)})


def measure_eight(harness: Harness, spec: Spec) -> Result:
    """Eight children at once cat 25 MB each: MB/s of all from sending the first spawn to the last byte.

    The other figures as in `stream`.
    """
    files = {f"s{child}": harness.lines(SIZE // 8, child) for child in range(8)}
    return _run(harness, spec, files, {session: script(path) for session, path in files.items()})


def measure_paced(harness: Harness, spec: Spec) -> Result:
    """A shell prints 60,000 lines, one write each, 250 lines every ~11 ms: CPU ms per MB; MB/s as printed.

    The other figures as in `stream`.
    """
    count = harness.n(60_000, 250) // 250 * 250
    path = harness.data / f"paced-{count}"
    path.write_bytes(harness.lines(SIZE).read_bytes()[: count * LINE])
    text = PACE.format(count=count, format=printf_format(0), end=END)
    return _run(harness, spec, {"s0": path}, {"s0": text})


def _run(harness: Harness, spec: Spec, files: dict[str, Path], scripts: dict[str, str]) -> Result:
    sink, size = harness.sink, sum(path.stat().st_size for path in files.values()) / MB
    with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket) as events:
        spawns = [daemon.spawn_params(session, "/bin/sh", "-c", text) for session, text in scripts.items()]
        daemon.reset_peak()
        cpu, own = daemon.cpu(), time.process_time()
        began = perf_counter()
        for params in spawns:
            client.send("spawn", params)
        got = sink.collect(events, MARK, len(files), began + 120)
        own, cpu, peak = time.process_time() - own, daemon.cpu() - cpu, daemon.peak_mb()
        for session in files:
            client.send("writeStdin", {"id": session, "data": "\n"})
        rest = sink.collect(events, EXIT, len(files), perf_counter() + 10, start=got.end, idle=0.1)
    seconds = got.last - began
    found = delivery(sink, [joined(got, rest)], files)
    result = Result(
        {
            "mb_per_s": size / seconds,
            "cpu_ms_per_mb": cpu * 1e3 / size,
            "peak_rss_mb": peak,
            "frames": found.frames,
            "wire_per_payload": (got.end - got.start) / MB / size,
            "client_busy": own / seconds,
        }
    )
    found.judge(result)
    return result
