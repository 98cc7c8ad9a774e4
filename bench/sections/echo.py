"""A line through a session and back."""

from __future__ import annotations

from time import perf_counter

from bench.client import subscriber
from bench.daemon import Spec
from bench.harness import Harness
from bench.lines import numbered
from bench.result import Result
from bench.stats import latencies
from bench.wire import frame


def measure(harness: Harness, spec: Spec) -> Result:
    """From sending writeStdin of a 120-byte line to the stdout event with it, through /bin/cat, us.

    2,200 lines, one at a time; the first 200 are not counted. The reply of the writeStdin is read after the
    event and not timed.
    """
    with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket) as events:
        daemon.spawn(client, "cat", "/bin/cat")
        count, times, wrong = harness.n(2200, 50), [], 0
        prepared = [
            frame({"method": "writeStdin", "id": 100_000 + i, "params": {"id": "cat", "data": numbered(0, i)}})
            for i in range(count)
        ]
        for number, request in enumerate(prepared):
            began = perf_counter()
            client.sock.sendall(request)
            event = events.receive(10)
            times.append(perf_counter() - began)
            wrong += event.get("data") != numbered(0, number)
            client.receive(10)
        result = Result(latencies(times[count // 11 :]))
        result.require(not wrong, f"{wrong} of {count} echoed lines were not the line that was written")
        return result
