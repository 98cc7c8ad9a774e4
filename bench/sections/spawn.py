"""Starting sessions."""

from __future__ import annotations

from time import perf_counter

from bench.client import Client, exit_of, reply_to, subscriber
from bench.daemon import Daemon, Spec
from bench.harness import Harness
from bench.result import Result
from bench.stats import percentile


def measure(harness: Harness, spec: Spec) -> Result:
    """From sending spawn of /bin/true to its exit event, ms, one at a time and 100 at once.

    exit_p50_ms and exit_p99_ms: 150 spawns one after the other; reply_p50_ms: to the reply of the spawn.
    burst_ms: from sending 100 spawns to the last of their exit events. after_exit, swapped, lost: how many of
    100 spawns of a child that prints two lines in two writes showed output behind the exit event, the lines
    in the wrong order, or not both lines.
    """
    with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket) as events:
        exits, replies = [], []
        for number in range(harness.n(150, 5)):
            params = daemon.spawn_params(f"t{number}", "/bin/true")
            began = perf_counter()
            request = client.send("spawn", params)
            events.until(exit_of(f"t{number}"))
            exits.append((perf_counter() - began) * 1e3)
            client.until(reply_to(request))
        for number in range(harness.n(50, 3)):
            began = perf_counter()
            daemon.spawn(client, f"r{number}", "/bin/true")
            replies.append((perf_counter() - began) * 1e3)
            events.until(exit_of(f"r{number}"))
        result = Result(
            {
                "exit_p50_ms": percentile(exits, 50),
                "exit_p99_ms": percentile(exits, 99),
                "reply_p50_ms": percentile(replies, 50),
            }
        )
        _burst(harness, daemon, client, events, result)
        _order(harness, daemon, client, events, result)
        return result


def _burst(harness: Harness, daemon: Daemon, client: Client, events: Client, result: Result) -> None:
    waiting = {f"b{number}" for number in range(harness.n(100, 10))}
    began = perf_counter()
    for session in sorted(waiting):
        client.send("spawn", daemon.spawn_params(session, "/bin/true"))
    try:
        while waiting:
            waiting.discard(events.until(lambda m: m.get("type") == "exit", 15).get("id", ""))
        result.figures["burst_ms"] = (perf_counter() - began) * 1e3
    except TimeoutError:
        result.figures["burst_ms"] = None
    result.require(not waiting, f"{len(waiting)} of the spawns at once never ended")


def _order(harness: Harness, daemon: Daemon, client: Client, events: Client, result: Result) -> None:
    after = swapped = lost = 0
    tries = harness.n(100, 10)
    for number in range(tries):
        session = f"o{number}"
        daemon.spawn(client, session, "/bin/sh", "-c", "echo one; echo two")
        text, ended = "", False
        try:
            while not ended or len(text) < 8:
                event = events.receive(0.3 if ended else 5)
                if event.get("id") == session and event.get("type") == "exit":
                    ended = True
                elif event.get("id") == session and event.get("type") == "stdout":
                    after += ended
                    text += event["data"]
        except TimeoutError:
            pass
        swapped += text == "two\none\n"
        lost += sorted(text.split()) != ["one", "two"]
    result.figures.update(after_exit=after, swapped=swapped, lost=lost)
    for count, what in ((after, "output after exit"), (swapped, "two lines swapped"), (lost, "output lost")):
        result.require(not count, f"{what} in {count} of {tries} short sessions")
