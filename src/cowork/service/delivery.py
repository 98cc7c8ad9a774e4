"""Delivery: every subscriber gets every event, in order, once, at its own pace.

Nothing is queued here. Output waits in the spools, everything else in the event log, and each subscriber pulls
from there whenever its socket has taken the event before. So memory does not grow with a slow reader, and what
nobody has taken is still there for the next subscriber, or for the next daemon.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

from msgspec import UNSET

from cowork.errors import RpcError
from cowork.holder.page import EXIT_TAKEN
from cowork.holder.spool import SEGMENT, STDOUT
from cowork.service import slots as slot_table
from cowork.sessions.cutter import Cutter
from cowork.sessions.spool import SpoolReader
from cowork.wire import frames
from cowork.wire.codec import encode_event_into
from cowork.wire.events import Exit, Stderr, Stdout

if TYPE_CHECKING:
    from collections.abc import Callable

    from cowork.holder.page import Page
    from cowork.service.eventlog import Entry, EventLog
    from cowork.service.process import Process
    from cowork.service.slots import Slots
    from cowork.wire.events import Event

SILENCE = 0.05
"""Seconds after which the beginning of a line is passed on without its end."""
PATIENCE = 0.5
"""Seconds for which a line may grow before its beginning is passed on although there is no silence (a row of dots)."""
BURST = 64 * 1024
"""Bytes written in one go before others get their turn of the loop: one large event, or many small ones."""

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """A subscriber's connection."""

    @property
    def writable(self) -> bool:
        """Whether the socket has taken everything so far."""

    def write_event(self, frame: bytearray | bytes) -> bool:
        """Write a frame; True if the kernel has taken all of it. Otherwise ``drained`` will be called."""


class Source:
    """What one subscriber has yet to be told of one process."""

    def __init__(self, process: Process, page: Page, slot: int) -> None:
        self.process = process
        self.page = page
        self.exit_told = bool(page.state(slot) & EXIT_TAKEN)
        self._slot = slot
        self._reader = SpoolReader(process.directory.spool)
        out, err = page.position(slot, 1), page.position(slot, 2)
        self._cutter = Cutter(self._reader, out, err, transform=process.translation)
        self._exit_under_way = False
        self._told_segment = self._cutter.scanned // SEGMENT
        self.silence: asyncio.TimerHandle | None = None
        self.patience_ends = 0.0
        """Loop time from which on more of the same line does not put the end of the silence off any more."""
        self.flush = False
        self.waits = False
        """For the end of an earlier process of the same id, which has not been told yet."""

    @property
    def holding(self) -> bool:
        """Whether the beginning of a line is held back for its end."""
        return self._cutter.holding

    def next(self) -> tuple[Event | None, Callable[[], None]] | None:
        """The next event and what to do once it has been taken; None when there is nothing to tell now.

        The event is None for output that was answered here: it counts as taken with what was told before it.
        """
        process = self.process
        if self.exit_told or self._exit_under_way:
            return None
        try:
            piece = self._cutter.next(process.head, flush=self.flush, ended=process.exit is not None)
        except FileNotFoundError:
            # Somebody has removed files of a spool that was still needed. The rest is told, if there is any.
            base = self._reader.base()
            there = base if base > self._cutter.scanned else process.head
            _log.error("session %s: output before offset %d is gone", process.session_id, there)
            self._cutter.skip_to(there)
            if there < process.head:
                return self.next()
            piece = None
        if piece is not None:
            stdout, stderr = piece.stdout, piece.stderr
            kind = Stdout if piece.stream == STDOUT else Stderr
            text = piece.text
            if process.translation is not None and kind is Stdout:
                text = process.translation.intercept(text, stdout, process.write_now)
                if not text:
                    return None, lambda: self._taken(stdout, stderr)
            return kind(process.key, text), lambda: self._taken(stdout, stderr)
        self.flush = False
        if process.exit is None:
            return None
        self._exit_under_way = True
        return exit_event(process), self._exit_taken

    def _taken(self, stdout: int, stderr: int) -> None:
        slot_table.advance(self.page, self._slot, stdout, stderr)
        segment = min(stdout, stderr) // SEGMENT
        if segment != self._told_segment:
            self._told_segment = segment
            self.process.taken()

    def _exit_taken(self) -> None:
        slot_table.mark_exit(self.page, self._slot)
        self.exit_told = True
        self.close()

    def close(self) -> None:
        """Close the files and the timer."""
        self._reader.close()
        if self.silence is not None:
            self.silence.cancel()
            self.silence = None


def exit_event(process: Process) -> Exit:
    """The event that a process has ended."""
    ended = process.exit
    assert ended is not None
    oom = UNSET if ended.oom_kill_count is None else ended.oom_kill_count
    return Exit(process.key, ended.exit_code, signal=ended.signal or UNSET, oom_kill_count=oom)


class Subscriber:
    """One subscribed connection: pulls, encodes, writes, and stores its position when the kernel has the event."""

    def __init__(self, sink: Sink, slot: int, delivery: Delivery) -> None:
        self.slot = slot
        self.joined_at = delivery.slots.log_position(slot)
        self._sink = sink
        self._delivery = delivery
        self._loop = asyncio.get_running_loop()
        self._sources: dict[str, Source] = {}
        self._ready: deque[Source] = deque()
        self._log_told = self.joined_at
        self._buffers = [bytearray(), bytearray()]
        self._prepared: tuple[bytearray, Callable[[], None]] | None = None
        self._in_flight: list[Callable[[], None]] = []
        """What to do once the socket has taken the event being written; empty when there is none."""
        self._scheduled = False
        self._closed = False

    def add(self, process: Process) -> None:
        """Tell of this process from now on."""
        assert process.page is not None
        source = Source(process, process.page, self.slot)
        if not source.exit_told:
            source.waits = any(other.process.key == process.key for other in self._sources.values())
            self._sources[process.session_id] = source
            self.changed(process)

    def changed(self, process: Process) -> None:
        """There may be something new of it."""
        source = self._sources.get(process.session_id)
        if source is None or source.waits:
            return
        if source.silence is not None and self._loop.time() < source.patience_ends:
            source.silence.cancel()
            source.silence = None
        if source not in self._ready:
            self._ready.append(source)
        self.wake()

    def wake(self) -> None:
        """Pull soon."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def drained(self) -> None:
        """The socket has taken the event that was being written."""
        self._commit()
        # Not at once: asyncio's transports call this from the middle of their own writing, and a write that
        # fails in there would end the connection twice.
        self.wake()

    def close(self) -> None:
        """The connection is gone; the positions stay where they are."""
        self._closed = True
        self._in_flight = []
        self._prepared = None
        for source in self._sources.values():
            source.close()
        self._sources.clear()
        self._ready.clear()

    def _pump(self) -> None:
        self._scheduled = False
        written = 0
        while written < BURST:
            # The next event is made while the socket still has the one before: the client need not wait for it.
            if not self._closed and self._prepared is None:
                self._prepared = self._next()
            if self._closed or self._prepared is None or self._in_flight or not self._sink.writable:
                return
            frame, taken = self._prepared
            self._in_flight, self._prepared = [taken], None
            written += len(frame)
            if self._sink.write_event(frame):
                self._commit()
        self.wake()

    def _commit(self) -> None:
        done, self._in_flight = self._in_flight, []
        for taken in done:
            taken()

    def _pass_over(self, taken: Callable[[], None]) -> None:
        """Nothing to tell here: taken as soon as what stands before it, which may still be under way."""
        if self._in_flight:
            self._in_flight.append(taken)
        else:
            taken()

    def _next(self) -> tuple[bytearray, Callable[[], None]] | None:
        """The next frame, and what to do when it was taken; None when there is none.

        The frame is in one of two buffers: the other may still be on its way.
        """
        self._buffers.reverse()
        buffer = self._buffers[0]
        entry = self._delivery.log.following(self._log_told)
        while entry is not None and entry.only and self.slot not in entry.only:
            self._log_told = entry.seq
            self._pass_over(partial(self._log_taken, entry))
            entry = self._delivery.log.following(entry.seq)
        if entry is not None and not any(s in self._sources for s in entry.after):
            self._log_told = entry.seq
            buffer[:] = frames.pack(entry.body)
            return buffer, partial(self._log_taken, entry)
        while self._ready:
            source = self._ready[0]
            found = source.next()
            if found is None:
                self._ready.popleft()
                if source.holding and source.silence is None:
                    self._wait_for_silence(source)
                continue
            self._ready.rotate(-1)
            event, taken = found
            if event is None:
                self._pass_over(taken)
                continue
            encode_event_into(event, buffer)
            if isinstance(event, Exit):
                return buffer, partial(self._exit_taken, source, taken)
            return buffer, taken
        return None

    def _wait_for_silence(self, source: Source) -> None:
        def speak() -> None:
            source.silence = None
            source.flush = True
            if source not in self._ready:
                self._ready.append(source)
            self.wake()

        now = self._loop.time()
        if source.patience_ends < now:
            source.patience_ends = now + PATIENCE
        source.silence = self._loop.call_at(now + SILENCE, speak)

    def _log_taken(self, entry: Entry) -> None:
        self._delivery.slots.set_log_position(self.slot, entry.seq)
        self._delivery.log_moved()

    def _exit_taken(self, source: Source, taken: Callable[[], None]) -> None:
        taken()
        self._sources.pop(source.process.session_id, None)
        if source in self._ready:
            self._ready.remove(source)
        for other in self._sources.values():
            if other.process.key == source.process.key:
                other.waits = False
                self.changed(other.process)
                break
        self._delivery.exit_told(source.process)


class Delivery:
    """All subscribers, and everything there is to tell them."""

    def __init__(self, slots: Slots, log: EventLog, finished: Callable[[Process], None]) -> None:
        self.slots = slots
        self.log = log
        log.start_at(slots.log_position(0))
        self._finished = finished
        self._subscribers: dict[int, Subscriber] = {}
        self._processes: dict[str, Process] = {}

    @property
    def count(self) -> int:
        """Connected subscribers."""
        return len(self._subscribers)

    def subscribe(self, sink: Sink, profile: int) -> Subscriber:
        """Begin to tell a new connection: from where a subscriber of that profile left off, else what nobody has taken.

        Raises:
            RpcError: there are too many subscribers.
        """
        self.sweep()
        slot = self.slots.find_left(profile)
        if slot is not None:
            self.slots.take(slot)
        else:
            slot = self.slots.take_free(profile)
        if slot is None:
            raise RpcError("too many subscribers")
        subscriber = self._subscribers[slot] = Subscriber(sink, slot, self)
        for process in self._processes.values():
            assert process.page is not None
            slot_table.open_on(process.page, slot, new_session=False)
            subscriber.add(process)
        subscriber.wake()
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """The connection is gone; its place is kept for a while."""
        subscriber.close()
        if self._subscribers.pop(subscriber.slot, None) is not None:
            self.slots.leave(subscriber.slot)

    def add(self, process: Process, *, new: bool) -> None:
        """Deliver a process. ``new``: nobody has been told anything of it."""
        assert process.page is not None
        self._processes[process.session_id] = process
        for slot in self.slots.used():
            slot_table.open_on(process.page, slot, new_session=new)
        for subscriber in self._subscribers.values():
            subscriber.add(process)

    def changed(self, process: Process) -> None:
        """It printed something, or it has ended."""
        for subscriber in self._subscribers.values():
            subscriber.changed(process)

    def publish(self, event: Event, *, after: list[str] | None = None, only: list[int] | None = None) -> int:
        """Tell everybody (or the slots in ``only``), each once it was told of the end of the sessions in ``after``.

        Returns the number of the event in the log.
        """
        entry = self.log.append(event, after, only)
        for subscriber in self._subscribers.values():
            subscriber.wake()
        return entry.seq

    def missed(self, seq: int) -> list[int] | None:
        """Slots of the connected subscribers that came after event ``seq`` had been taken by somebody else.

        None when nobody is connected and somebody has taken it: then the next subscriber is the one who missed it.
        """
        if not self._subscribers:
            return None if self.slots.log_position(0) >= seq else []
        return [slot for slot, subscriber in self._subscribers.items() if subscriber.joined_at >= seq]

    def exit_told(self, process: Process) -> None:
        """Somebody was told of its end; if all were, it is finished."""
        told = process.page is not None and slot_table.all_told(process.page, self.slots.used())
        if told and self._processes.pop(process.session_id, None) is not None:
            self._finished(process)
        for subscriber in self._subscribers.values():
            subscriber.wake()

    def log_moved(self) -> None:
        """A log position has moved."""
        self.log.forget(self.slots.oldest_log_position())

    def sweep(self) -> None:
        """Give up the places whose time is over."""
        for slot in self.slots.expired():
            for process in list(self._processes.values()):
                if process.page is not None:
                    process.page.set_state(slot, 0)
                    process.taken()
            self.slots.free(slot)
        for process in list(self._processes.values()):
            if process.exit is not None:
                self.exit_told(process)

    def close(self) -> None:
        """Let go of everybody; all positions stay."""
        for subscriber in list(self._subscribers.values()):
            self.unsubscribe(subscriber)
