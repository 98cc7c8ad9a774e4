"""The events that tell a client that it may spawn."""

from __future__ import annotations

import statistics
from time import perf_counter

from bench.client import Client, subscriber
from bench.daemon import Spec
from bench.harness import Harness
from bench.result import Result
from bench.wire import Message

ORDER = (
    "startupStep:CERTIFICATE:started",
    "startupStep:CERTIFICATE:completed",
    "vmStarted",
    "startupStep:VirtualDiskAttachments:started",
    "startupStep:VirtualDiskAttachments:completed",
    "networkStatus",
    "apiReachability",
)


def measure(harness: Harness, spec: Spec) -> Result:
    """From sending startVM to the apiReachability event on another, subscribed connection, ms; median of 5.

    Each start has a fresh daemon; 3 s are waited. in_order: all seven events came, in the order of the protocol.
    """
    replies, reached, orders = [], [], []
    for _ in range(harness.n(5, 2)):
        with harness.daemon(spec) as daemon, subscriber(daemon.socket) as events, Client(daemon.socket) as client:
            began = perf_counter()
            client.send("startVM", {"bundlePath": "/nonexistent/bundle", "memoryGB": 4, "cpuCount": 2})
            client.receive(10)
            replies.append((perf_counter() - began) * 1e3)
            names: list[str] = []
            while (left := began + 3 - perf_counter()) > 0 and "apiReachability" not in names:
                try:
                    names.append(_name(events.receive(left)))
                except TimeoutError:
                    break
            if "apiReachability" in names:
                reached.append((perf_counter() - began) * 1e3)
            orders.append(tuple(names))
    wrong = [o for o in orders if o != ORDER]
    result = Result(
        {
            "reply_ms": statistics.median(replies),
            "api_reachability_ms": statistics.median(reached) if reached else None,
            "in_order": not wrong,
        }
    )
    if wrong:
        result.faults.append(f"startVM events came as: {' '.join(wrong[0]) or 'none'}")
    return result


def _name(event: Message) -> str:
    if event.get("type") == "startupStep":
        return f"startupStep:{event.get('step')}:{event.get('status')}"
    return str(event.get("type"))
