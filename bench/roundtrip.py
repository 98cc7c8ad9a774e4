"""Request and reply, timed by a client that does as little as possible per request."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from time import perf_counter

from bench import process
from bench.client import Client
from bench.wire import HEADER, requests


def sequential(sock: socket.socket, frames: list[bytes]) -> list[float]:
    """Seconds from sending each request to having its whole reply, one request at a time."""
    times, send, receive, size = [], sock.sendall, sock.recv, HEADER.unpack_from
    for request in frames:
        began = perf_counter()
        send(request)
        reply = receive(4096)
        while len(reply) < 4 or len(reply) < 4 + size(reply)[0]:
            more = receive(4096)
            if not more:
                raise ConnectionResetError("closed by the daemon")
            reply += more
        times.append(perf_counter() - began)
    return times


def pipelined(sock: socket.socket, frames: list[bytes], window: int) -> tuple[float, bytes]:
    """Keep `window` requests in flight; seconds from the first send to the last reply, and the raw replies.

    The frames may differ in size. Replies are counted by a search for their id key, at the speed of C.
    """
    offsets = [0]
    for request in frames:
        offsets.append(offsets[-1] + len(request))
    blob, total, needle = memoryview(b"".join(frames)), len(frames), b'"id":'
    buffer = bytearray(total * 256 + (1 << 20))
    view, at, got, sent = memoryview(buffer), 0, 0, min(window, total)
    began = perf_counter()
    sock.sendall(blob[: offsets[sent]])
    while got < total:
        size = sock.recv_into(view[at : at + (1 << 18)])
        if not size:
            raise ConnectionResetError("closed by the daemon")
        got += buffer.count(needle, max(0, at - len(needle) + 1), at + size)
        at += size
        upto = min(total, got + window)
        if upto > sent:
            sock.sendall(blob[offsets[sent] : offsets[upto]])
            sent = upto
    seconds = perf_counter() - began
    while at < HEADER.size or not _whole(buffer, at):  # the rest of the last reply
        at += sock.recv_into(view[at : at + 4096])
    return seconds, bytes(view[:at])


def _whole(buffer: bytearray, end: int) -> bool:
    at = 0
    while at + HEADER.size <= end:
        at += HEADER.size + HEADER.unpack_from(buffer, at)[0]
    return at == end


def crowd(path: str, count: int, seconds: float) -> tuple[float, list[float]]:
    """`count` connections, each with one request in flight; seconds it ran, seconds of each round trip."""
    request, size = requests(1)[0], HEADER.unpack_from
    poll, clients, times = select.epoll(), [Client(path) for _ in range(count)], []
    sockets = {c.sock.fileno(): c.sock for c in clients}
    sent, partial = dict.fromkeys(sockets, 0.0), dict.fromkeys(sockets, b"")
    try:
        for number, sock in sockets.items():
            poll.register(number, select.EPOLLIN)
            sent[number] = perf_counter()
            sock.sendall(request)
        began = now = perf_counter()
        while now < began + seconds:
            for number, _ in poll.poll(10):
                sock = sockets[number]
                data = sock.recv(4096)
                if not data:
                    raise ConnectionResetError("closed by the daemon")
                reply = partial[number] + data
                if len(reply) < 4 or len(reply) < 4 + size(reply)[0]:
                    partial[number] = reply
                    continue
                partial[number] = b""
                now = perf_counter()
                times.append(now - sent[number])
                sent[number] = now
                sock.sendall(request)
        return now - began, times
    finally:
        poll.close()
        for client in clients:
            client.sock.close()


@contextlib.contextmanager
def one_cpu(pids: list[int]) -> Iterator[None]:
    """This process and all threads of `pids` on one CPU: round trips without wake-ups across CPUs."""
    before = os.sched_getaffinity(0)
    tasks = [0, *(t for p in pids for t in process.threads(p))]

    def pin(cpus: set[int]) -> None:
        for task in tasks:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(task, cpus)

    pin({max(before)})
    try:
        yield
    finally:
        pin(before)
