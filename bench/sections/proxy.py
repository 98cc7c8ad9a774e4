"""The proxy through which the sandbox reaches the network, by itself."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

from bench import process
from bench.daemon import Spec
from bench.harness import Harness
from bench.process import MB
from bench.result import Result
from bench.stats import percentile
from bench.tunnel import LOOPBACK, Listening, ask, collect, connect, discard

SIZE = 1_000 * MB
CONNECTIONS = 500
EACH = 1 * MB
"""Bytes that each of the many connections moves."""
STALLED = 1 * MB
"""Bytes that wait for each of the connections that are not read."""
SMALL = 64 * 1024
"""Send buffer of a proxy whose clients stall. Left to itself, the kernel takes up to 4 MB for each, which is more TCP
memory for 500 of them than most machines have, and slows down what else they do."""
_SAMPLE = 0.1
_BENCH = Path(__file__).resolve().parent.parent


def measure(harness: Harness, spec: Spec) -> Result:
    """The proxy in a process of its own, no daemon: one CONNECT tunnel moves 1 GB from a server to a client: MB/s.

    cpu_ms_per_mb: of the proxy. connect_*: from the TCP connection to the proxy's 200, 500 one after the other.
    crowd_*: 500 tunnels, all open before the first byte, that move 1 MB each at once. stalled_*: 500 tunnels with
    1 MB each for clients that read nothing until the proxy rests, then all; stalled_cpu_ms_per_s: of the proxy at rest;
    its sockets to the clients have small buffers then, so that it must keep what it can and the kernel does not. Memory
    is the proxy's: pss the largest of samples. Each tunnel has to get its bytes, unaltered, and to go.
    """
    result, size = Result(), harness.n(SIZE)
    with _source() as source, start(spec, source) as proxy, _all_closed(source, proxy, result):
        cpu = proxy.cpu()
        result.figures["mb_per_s"] = size / MB / _one(source, proxy, size)
        result.figures["cpu_ms_per_mb"] = (proxy.cpu() - cpu) * 1e3 / (size / MB)
        result.figures["idle_rss_mb"] = process.rss_mb(proxy.pid)
        _crowd(harness, source, proxy, result)
    with _source() as source, start(spec, source, SMALL) as proxy, _all_closed(source, proxy, result):
        _stalled(harness, source, proxy, result)
    return result


def floor(harness: Harness) -> Result:
    """The same bytes from the same server to the same client, with nothing between."""
    size = harness.n(SIZE)
    with _source() as source:
        _one(source, None, 1)
        return Result({"mb_per_s": size / MB / _one(source, None, size)})


def _one(source: Listening, proxy: Listening | None, size: int) -> float:
    """Have one connection move that many bytes; seconds from asking for them to the last."""
    with connect(source, proxy) as sock:
        began = perf_counter()
        ask(sock, size)
        return discard(sock, size) - began


@contextmanager
def _all_closed(source: Listening, proxy: Listening, result: Result) -> Iterator[None]:
    """Afterwards the proxy has as many descriptors as before, when it had served one connection."""
    _one(source, proxy, 1)
    time.sleep(_SAMPLE)
    before = process.open_files(proxy.pid)
    yield
    end = perf_counter() + 2
    while (left := process.open_files(proxy.pid) - before) > 0 and perf_counter() < end:
        time.sleep(0.01)
    result.require(left <= 0, f"{left} descriptors of tunnels that have ended are still open")


def _crowd(harness: Harness, source: Listening, proxy: Listening, result: Result) -> None:
    size, memory = harness.n(EACH), _Memory(proxy.pid)
    with _tunnels(harness.n(CONNECTIONS, 5), source, proxy) as (socks, times):
        began = perf_counter()
        for sock in socks:
            ask(sock, size)
        wrong = collect(socks, size, memory.sample)
        seconds = perf_counter() - began
    result.figures |= {"connect_p50_us": percentile(times, 50) * 1e6, "connect_p99_us": percentile(times, 99) * 1e6}
    result.figures["crowd_mb_per_s"] = len(socks) * size / MB / seconds
    _judge(result, "crowd", len(socks), wrong, memory)


def _stalled(harness: Harness, source: Listening, proxy: Listening, result: Result) -> None:
    size, memory = harness.n(STALLED), _Memory(proxy.pid)
    with _tunnels(harness.n(CONNECTIONS, 5), source, proxy) as (socks, _):
        for sock in socks:
            ask(sock, size)
        _rest(proxy)
        cpu, began = proxy.cpu(), perf_counter()
        time.sleep(1)
        result.figures["stalled_cpu_ms_per_s"] = (proxy.cpu() - cpu) * 1e3 / (perf_counter() - began)
        memory.sample()
        wrong = collect(socks, size, memory.sample)
    _judge(result, "stalled", len(socks), wrong, memory)


def _rest(proxy: Listening) -> None:
    """Wait until the proxy has next to nothing to do, 20 s at most."""
    end, quiet = perf_counter() + 20, 0
    while quiet < 5 and perf_counter() < end:
        cpu = proxy.cpu()
        time.sleep(_SAMPLE)
        quiet = quiet + 1 if proxy.cpu() - cpu < 0.002 else 0


def _judge(result: Result, name: str, count: int, wrong: list[str], memory: _Memory) -> None:
    result.figures |= {
        f"{name}_peak_rss_mb": process.peak_mb(memory.pid),
        f"{name}_pss_mb": memory.pss,
        f"{name}_intact": not wrong,
    }
    result.require(not wrong, f"{name}: {len(wrong)} of {count} tunnels, the first: {''.join(wrong[:1])}")


@contextmanager
def _tunnels(count: int, source: Listening, proxy: Listening) -> Iterator[tuple[list[socket.socket], list[float]]]:
    """So many open tunnels, and the seconds that each took to open."""
    socks, times = [], []
    with ExitStack() as stack:
        for _ in range(count):
            began = perf_counter()
            socks.append(stack.enter_context(connect(source, proxy)))
            times.append(perf_counter() - began)
        yield socks, times


class _Memory:
    """What a process uses from now on."""

    def __init__(self, pid: int) -> None:
        self.pid, self.pss, self._looked = pid, 0.0, 0.0
        process.reset_peak(pid)

    def sample(self) -> None:
        """Look at it, now and then."""
        if (now := perf_counter()) - self._looked >= _SAMPLE:
            self._looked, self.pss = now, max(self.pss, process.pss_mb(self.pid))


def _source() -> Listening:
    return Listening([sys.executable, "-I", "-S", str(_BENCH / "source_process.py")])


def start(spec: Spec, source: Listening, send_buffer: int = 0) -> Listening:
    """The proxy that lets connections to `source` through; of the same sources as the daemon."""
    env = {"PATH": os.environ.get("PATH", os.defpath), **spec.env}
    return Listening(
        [sys.executable, "-P", str(_BENCH / "proxy_process.py"), f"{LOOPBACK}:{source.port}", str(send_buffer)], env
    )
