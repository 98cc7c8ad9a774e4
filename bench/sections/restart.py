"""A daemon that is killed in the middle of a stream and started again."""

from __future__ import annotations

import statistics
from pathlib import Path
from time import perf_counter

from bench.client import Client, subscriber
from bench.daemon import Daemon, Spec
from bench.delivery import script
from bench.harness import Harness
from bench.lines import END, LINE, LineCheck, check, repeated
from bench.process import MB
from bench.result import Result
from bench.sink import EXIT, MARK, Received, Sink, in_child, joined

SIZE = 100 * MB
KILLS = 3


def measure(harness: Harness, spec: Spec) -> Result:
    """SIGKILL to the daemon three times in one 100 MB stream, each time started again at once, ms.

    reply_ms: from before the exec of the new daemon to its first isRunning reply; data_ms: to the first output
    after subscribing again (no other request). repeated_events: most events that one kill made come twice; a
    frame cut off by the kill is not an event. lost_bytes: whole lines that never came, in bytes. survived: the
    session printed to its end, took a line on stdin and gave an exit event.
    """
    path, sink = harness.lines(SIZE), harness.sink
    quarter = path.stat().st_size // (KILLS + 1)
    parts: list[Received] = []
    replies, data = [], []
    with harness.daemon(spec) as daemon:
        with daemon.boot() as client, subscriber(daemon.socket) as events:
            daemon.spawn(client, "s0", "/bin/sh", "-c", script(path))
            parts.append(_until_kill(daemon, sink, events, 0, quarter))
        for number in range(1, KILLS + 1):
            began = daemon.start()
            replies.append((daemon.wait_ready() - began) * 1e3)
            with Client(daemon.socket) as events, Client(daemon.socket) as client:
                events.call("subscribeEvents", {"userDataName": "bench"})
                start = parts[-1].end
                if number < KILLS:
                    parts.append(_until_kill(daemon, sink, events, start, quarter))
                else:
                    parts.append(_to_the_end(sink, events, client, start))
            data.append((parts[-1].first - began) * 1e3 if parts[-1].first else None)
    came = [ms for ms in data if ms is not None]
    result = Result(
        {
            "reply_ms": statistics.median(replies),
            "reply_max_ms": max(replies),
            "data_ms": statistics.median(came) if came else None,
        }
    )
    _judge(sink, parts, path, result)
    return result


def _until_kill(daemon: Daemon, sink: Sink, events: Client, start: int, size: int) -> Received:
    got = sink.collect(events, MARK, 1, perf_counter() + 20, start=start, silence=3, enough=size)
    daemon.kill()
    return joined(got, sink.collect(events, MARK, 1, perf_counter() + 5, start=got.end, silence=1))


def _to_the_end(sink: Sink, events: Client, client: Client, start: int) -> Received:
    got = sink.collect(events, MARK, 1, perf_counter() + 30, start=start, silence=3)
    client.send("writeStdin", {"id": "s0", "data": "\n"})
    return joined(got, sink.collect(events, EXIT, 1, perf_counter() + 5, start=got.end, idle=0.1, silence=2))


def _judge(sink: Sink, parts: list[Received], path: Path, result: Result) -> None:
    def work() -> tuple[LineCheck, int, int, bool]:
        before: list[bytes] = []
        text, most, total, ended = b"", 0, 0, False
        for part in parts:
            found = sink.decode(part)
            events, size = repeated(before, found.data("s0"))
            most, total, ended = max(most, events), total + size, ended or "s0" in found.exits
            text += found.data("s0")[size:]
            before = [t.encode("utf-8", "surrogatepass") for t in found.pieces.get("s0", [])]
        return check(text, path.read_bytes() + f"{END}\n".encode()), most, total, ended

    found, most, total, ended = in_child(work)
    result.figures.update(
        lost_bytes=found.missing * LINE, repeated_events=most, repeated_bytes=total, intact=found.intact, survived=ended
    )
    result.require(found.intact, f"output around the restarts, repeated events left out: {found}")
    result.require(most <= 1, f"{most} events were repeated after one restart")
    result.require(ended, "the session did not survive the daemon")
