"""What other clients feel of a stream."""

from __future__ import annotations

import os
import pickle
import time
from time import perf_counter

from bench import process
from bench.client import Client, subscriber
from bench.daemon import Spec
from bench.delivery import delivery, script
from bench.harness import Harness
from bench.process import MB
from bench.result import Result
from bench.roundtrip import sequential
from bench.sink import EXIT, MARK, Received, joined
from bench.stats import latencies
from bench.wire import requests

SIZE = 100 * MB


def measure(harness: Harness, spec: Spec) -> Result:
    """isRunning of another client, every ms, while a child prints 100 MB to a reader process: us.

    quiet_*: the same client before, without pauses. Only round trips begun before the stream's last byte count.
    """
    path = harness.lines(SIZE)
    with harness.daemon(spec) as daemon, daemon.boot() as client, Client(daemon.socket) as other:
        sequential(client.sock, requests(300))
        quiet = sequential(client.sock, requests(1000))
        reader = _Reader(harness, daemon.socket)
        try:
            other.call("spawn", daemon.spawn_params("s0", "/bin/sh", "-c", script(path)), 20)
            times = []
            while not reader.ready():
                began = perf_counter()
                client.call("isRunning", timeout=20)
                times.append((began, perf_counter() - began))
                time.sleep(0.001)
            other.call("writeStdin", {"id": "s0", "data": "\n"})
            got, rest = reader.received()
        finally:
            reader.stop()
    busy = [took for began, took in times if began < got.last]
    result = Result({**latencies(busy), **latencies(quiet, "quiet_"), "round_trips": len(busy)})
    delivery(harness.sink, [joined(got, rest)], {"s0": path}).judge(result)
    return result


class _Reader:
    """A forked process with its own subscription that fills the shared buffer and tells what it got."""

    def __init__(self, harness: Harness, path: str) -> None:
        events = subscriber(path)
        self._pipe, writing = os.pipe()
        os.set_blocking(self._pipe, False)
        self._read = b""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                got = harness.sink.collect(events, MARK, 1, perf_counter() + 60)
                os.write(writing, b"r")
                rest = harness.sink.collect(events, EXIT, 1, perf_counter() + 10, start=got.end, idle=0.1)
                os.write(writing, pickle.dumps((got, rest)))
            finally:
                os._exit(0)
        os.close(writing)
        events.sock.close()

    def ready(self) -> bool:
        """Whether the stream has ended."""
        try:
            self._read += os.read(self._pipe, 1)
        except BlockingIOError:
            return False
        return True

    def received(self) -> tuple[Received, Received]:
        """The stream, and what came behind it until the exit event."""
        os.set_blocking(self._pipe, True)
        with os.fdopen(os.dup(self._pipe), "rb") as f:
            got, rest = pickle.load(f)
        return got, rest

    def stop(self) -> None:
        """End the process."""
        process.kill(self.pid)
        os.waitpid(self.pid, 0)
        os.close(self._pipe)
