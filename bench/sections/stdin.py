"""Writing to sessions."""

from __future__ import annotations

import time
from pathlib import Path
from time import perf_counter

from bench.client import Client, exit_of, subscriber
from bench.daemon import Daemon, Spec
from bench.harness import Harness
from bench.lines import check, stdin_chunks
from bench.process import MB
from bench.result import Result
from bench.roundtrip import pipelined, sequential
from bench.wire import FIRST_ID, frame, messages


def measure(harness: Harness, spec: Spec) -> Result:
    """64 KB writeStdin requests, 67 MB in all, to a child that writes them to tmpfs: MB/s.

    From the first send to the child's exit event, which comes when it has read everything; one at a time, and
    8 in flight. The file must equal what was sent. unread_*: 400 such writes, sent at once, to a child that does
    not read; how many were accepted, refused, or not answered within 12 s. Then the child reads: what was
    accepted must arrive, once, in order, and nothing else.
    """
    result = Result()
    _throughput(harness, spec, 1, "sequential", result)
    _throughput(harness, spec, 8, "in_flight", result)
    _unread(harness, spec, result)
    return result


def _requests(session: str, chunks: list[str]) -> list[bytes]:
    return [
        frame({"method": "writeStdin", "id": FIRST_ID + i, "params": {"id": session, "data": chunk}})
        for i, chunk in enumerate(chunks)
    ]


def _throughput(harness: Harness, spec: Spec, window: int, name: str, result: Result) -> None:
    chunks = list(stdin_chunks(harness.n(1024, 32)))
    size, out = sum(map(len, chunks)), harness.file("stdin.out", b"")
    prepared = _requests("in", chunks)
    with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket) as events:
        daemon.spawn(client, "in", "/bin/sh", "-c", f"exec head -c {size} > {out}")
        cpu, began = daemon.cpu(), perf_counter()
        try:
            if window == 1:
                sequential(client.sock, prepared)
            else:
                _, raw = pipelined(client.sock, prepared, window)
                refused = sum(not message.get("success") for _, message in messages(raw))
                result.require(not refused, f"{refused} writes refused with {window} in flight")
            events.until(exit_of("in"), 20)
        except (TimeoutError, BlockingIOError):
            result.faults.append(f"{name}: the child did not get all that was written")
            return
        result.figures[f"{name}_mb_per_s"] = size / MB / (perf_counter() - began)
        result.figures[f"{name}_cpu_ms_per_mb"] = (daemon.cpu() - cpu) * 1e3 / (size / MB)
    found = check(out.read_bytes(), "".join(chunks).encode())
    result.figures[f"{name}_intact"] = found.intact
    result.require(found.intact, f"{name} writes: {found}")


def _unread(harness: Harness, spec: Spec, result: Result) -> None:
    chunks, out = list(stdin_chunks(400)), harness.file("unread.out", b"")
    go = harness.data / "go"
    go.unlink(missing_ok=True)
    replies: dict[int, bool] = {}
    with harness.daemon(spec) as daemon, daemon.boot() as client:
        wait = f"while [ ! -e {go} ]; do sleep 0.05; done; exec cat > {out}"
        daemon.spawn(client, "deaf", "/bin/sh", "-c", wait)
        before, began = daemon.rss_mb(), perf_counter()
        sent = _send(client, _requests("deaf", chunks))
        _replies(client, replies, sent, 12)
        result.figures.update(unread_s=perf_counter() - began, unread_growth_mb=daemon.rss_mb() - before)
        go.touch()
        _replies(client, replies, sent, 1)
        accepted = "".join(chunk for i, chunk in enumerate(chunks) if replies.get(FIRST_ID + i)).encode()
        _settle(out, len(accepted))
        _end(daemon, client)
    taken = sum(replies.values())
    result.figures.update(
        unread_accepted=taken, unread_refused=len(replies) - taken, unread_unanswered=len(chunks) - len(replies)
    )
    found = check(out.read_bytes(), accepted)
    result.figures["unread_intact"] = found.intact
    result.require(found.intact, f"writes accepted while the child did not read: {found}")


def _send(client: Client, prepared: list[bytes]) -> int:
    for number, request in enumerate(prepared):
        try:
            client.sock.sendall(request)
        except BlockingIOError:  # the daemon has stopped to read this connection
            return number
    return len(prepared)


def _replies(client: Client, replies: dict[int, bool], count: int, seconds: float) -> None:
    end = perf_counter() + seconds
    while len(replies) < count and (left := end - perf_counter()) > 0:
        try:
            message = client.receive(left)
        except TimeoutError:
            return
        replies[message.get("id", 0)] = bool(message.get("success"))


def _settle(out: Path, size: int) -> None:
    """Wait until the file has its size and for a moment does not grow beyond it, 10 s at most."""
    end = perf_counter() + 10
    while out.stat().st_size < size and perf_counter() < end:
        time.sleep(0.02)
    time.sleep(0.3)


def _end(daemon: Daemon, client: Client) -> None:
    client.send("kill", {"id": "deaf", "signal": "SIGKILL"})
    end = perf_counter() + 2
    while daemon.children() and perf_counter() < end:
        time.sleep(0.02)
