"""The receiving end of a stream: bytes are only stored while the clock runs and decoded afterwards."""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

from bench.client import Client
from bench.lines import END
from bench.wire import Message, messages

T = TypeVar("T")

EXIT = b'"exit"'
"""An exit event in the raw bytes: within data the quotation marks are escaped."""

MARK = END.encode()
_PAGE = os.sysconf("SC_PAGE_SIZE")
_RECEIVE = 4 << 20


@dataclass
class Received:
    """A part of the buffer, and when it came (perf_counter; `first` and `last` receive that brought bytes)."""

    start: int
    end: int
    first: float
    last: float
    seen: int
    closed: bool


@dataclass
class Decoded:
    """The frames of a part of the buffer: pieces of output by session, exits, the other messages.

    `kinds` are the types under which output came, `after_exit` counts output behind its session's exit.
    """

    pieces: dict[str, list[str]] = field(default_factory=dict)
    exits: dict[str, Message] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    others: list[Message] = field(default_factory=list)
    frames: int = 0
    largest: int = 0
    after_exit: int = 0

    def data(self, session: str) -> bytes:
        """All output of a session."""
        return "".join(self.pieces.get(session, [])).encode("utf-8", "surrogatepass")


class Sink:
    """A buffer whose pages exist before the first byte comes; shared with forked processes."""

    def __init__(self, size: int) -> None:
        self.map = mmap.mmap(-1, size)
        self.view = memoryview(self.map)
        for at in range(0, size, _PAGE):
            self.map[at] = 0

    def collect(
        self,
        client: Client,
        needle: bytes,
        count: int,
        deadline: float,
        *,
        start: int = 0,
        idle: float = 0.3,
        silence: float = 8.0,
        enough: int | None = None,
    ) -> Received:
        """Receive until `needle` came `count` times and then nothing for `idle` seconds.

        Ends also at `deadline` (perf_counter), after `silence` seconds without a byte, when the connection is
        closed, when the buffer is full, and once `enough` bytes have come.
        """
        view = self.view
        at = start + len(client.buffer)
        view[start:at] = client.buffer
        client.buffer.clear()
        now = perf_counter()
        got = Received(start, at, now if at > start else 0.0, now, self._count(needle, start, at), False)
        client.set_timeout(min(0.1, idle))
        while at < len(view) and now <= deadline and (enough is None or at - start < enough):
            try:
                size = client.sock.recv_into(view[at : at + _RECEIVE])
            except BlockingIOError:
                now = perf_counter()
                if now - got.last >= (idle if got.seen >= count else silence):
                    break
                continue
            except ConnectionError:
                size = 0
            if not size:
                got.closed = True
                break
            now = got.last = perf_counter()
            got.first = got.first or now
            got.seen += self._count(needle, max(start, at - len(needle) + 1), at + size)
            at += size
        got.end = at
        return got

    def _count(self, needle: bytes, start: int, end: int) -> int:
        """How often `needle` stands between two places of the buffer, without copying them."""
        count, find = 0, self.map.find
        while (start := find(needle, start, end) + 1) > 0:
            count += 1
        return count

    def decode(self, *parts: Received) -> Decoded:
        """Walk the frames of adjoining or separate parts; a frame cut off at the end of one is left out."""
        out = Decoded()
        for part in parts:
            for size, message in messages(self.map[part.start : part.end]):
                out.largest = max(out.largest, size)
                session = str(message.get("id"))
                if message.get("type") in ("stdout", "stderr"):
                    out.frames += 1
                    out.kinds.add(message["type"])
                    out.pieces.setdefault(session, []).append(message["data"])
                    out.after_exit += session in out.exits
                elif message.get("type") == "exit":
                    out.exits[session] = message
                else:
                    out.others.append(message)
        return out


def joined(*parts: Received) -> Received:
    """Parts that were received one behind the other on one connection, as one."""
    return Received(parts[0].start, parts[-1].end, parts[0].first, parts[-1].last, parts[-1].seen, parts[-1].closed)


def in_child(work: Callable[[], T]) -> T:
    """Run `work` in a forked process, so that this one does not grow by what it decodes."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            try:
                answer: tuple[bool, object] = (True, work())
            except Exception as e:
                answer = (False, f"{type(e).__name__}: {e}")
            with os.fdopen(writing, "wb") as f:
                pickle.dump(answer, f)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as f:
            done, value = pickle.load(f)
    finally:
        os.waitpid(pid, 0)
    if not done:
        raise RuntimeError(value)
    return value  # type: ignore[no-any-return]
