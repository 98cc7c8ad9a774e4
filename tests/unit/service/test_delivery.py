"""Delivery with spools by hand and sinks that take when told: order, fairness, positions that tell the truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.errors import RpcError
from cowork.holder.page import ANYBODY, EXIT_TAKEN, SLOTS
from cowork.holder.spool import SEGMENT
from cowork.service import delivery as module
from cowork.service.delivery import Delivery
from cowork.service.eventlog import EventLog
from cowork.service.process import Process
from cowork.service.slots import Slots
from cowork.service.translation import Translation
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.wire.events import NetworkStatus, VmStopped
from tests.support.delivery import FakeProcess, FakeSink
from tests.support.service import turns, until


class Bench:
    """A delivery with everything around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.finished: list[str] = []
        self.made: list[FakeProcess] = []
        self.open()

    def open(self) -> None:
        self.slots = Slots(self.folder / "subscribers")
        self.log = EventLog(self.folder / "events.log")
        self.delivery = Delivery(self.slots, self.log, self._finished)

    def _finished(self, process: Process) -> None:
        self.finished.append(process.session_id)

    def process(
        self, key: str = "p", session: str = "s", *, new: bool = True, translation: Translation | None = None
    ) -> FakeProcess:
        made = FakeProcess(self.folder, key, session)
        made.translation = translation
        made.delivery = self.delivery
        self.made.append(made)
        self.delivery.add(made.real, new=new)
        return made

    def sink(self, profile: int = 1, *, fast: bool = True) -> FakeSink:
        sink = FakeSink(fast=fast)
        sink.subscriber = self.delivery.subscribe(sink, profile)
        return sink

    def leave(self, sink: FakeSink) -> None:
        assert sink.subscriber is not None
        self.delivery.unsubscribe(sink.subscriber)

    def restart(self) -> None:
        """As after kill -9: nothing is closed in an orderly way but the pages' mappings."""
        self.delivery.close()
        self.close()
        self.open()
        for process in self.made:
            process.delivery = self.delivery
            self.delivery.add(process.real, new=False)

    def close(self) -> None:
        self.slots.close()
        self.log.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.delivery.close()
    made.close()
    for process in made.made:
        process.close()


@pytest.mark.asyncio
async def test_output_in_order_and_the_exit_last(bench: Bench) -> None:
    sink = bench.sink()
    process = bench.process()
    process.out(b"one\n")
    process.err(b"two\n")
    process.out(b"three\nfour")
    process.end(5)
    await until(lambda: "exit" in sink.types())
    assert [(f["type"], f.get("data", f.get("exitCode"))) for f in sink.frames] == [
        ("stdout", "one\n"), ("stderr", "two\n"), ("stdout", "three\n"), ("stdout", "four"), ("exit", 5),
    ]  # fmt: skip
    assert bench.finished == ["s"]


@pytest.mark.asyncio
async def test_a_position_moves_only_when_the_kernel_has_taken_the_frame(bench: Bench) -> None:
    sink = bench.sink(fast=False)
    slot = sink.subscriber.slot  # type: ignore[union-attr]
    process = bench.process()
    process.out(b"one\n")
    await until(lambda: sink.frames)
    process.out(b"two\n")
    await turns()
    assert len(sink.frames) == 1, "the next is not written before"
    assert process.positions(slot) == process.positions(ANYBODY) == (0, 0)
    sink.drain()
    assert process.positions(slot)[0] == process.positions(ANYBODY)[0] == 4
    await until(lambda: len(sink.frames) == 2)
    assert process.positions(slot)[0] == 4


@pytest.mark.asyncio
async def test_what_was_under_way_when_the_subscriber_went_comes_again_whole(bench: Bench) -> None:
    first = bench.sink(fast=False)
    process = bench.process()
    process.out(b"one\n")
    await until(lambda: first.frames)
    process.out(b"two\n")
    bench.leave(first)
    second = bench.sink()
    process.end()
    await until(lambda: "exit" in second.types())
    assert second.text() == "one\ntwo\n"
    assert first.text() == "one\n"


@pytest.mark.asyncio
async def test_an_exit_that_was_not_taken_is_told_again(bench: Bench) -> None:
    first = bench.sink(fast=False)
    process = bench.process()
    process.end(3)
    await until(lambda: first.frames)
    assert bench.finished == []
    bench.leave(first)
    second = bench.sink()
    await until(lambda: second.frames)
    assert second.types() == ["exit"]
    assert bench.finished == ["s"]
    assert process.page is not None
    assert process.page.state(ANYBODY) & EXIT_TAKEN


@pytest.mark.asyncio
async def test_a_stalled_subscriber_holds_up_nobody(bench: Bench) -> None:
    stalled, good = bench.sink(1, fast=False), bench.sink(2)
    process = bench.process()
    process.out(b"x" * 99 + b"\n")
    process.out(b"line\n" * 400_000)
    process.end()
    await until(lambda: "exit" in good.types())
    assert len(good.text()) == process.head
    assert len(stalled.frames) == 1
    assert bench.finished == [], "the stalled one has not been told"
    while "exit" not in stalled.types():
        stalled.drain()
        await until(lambda: stalled.waiting)
    assert bench.finished == []
    stalled.drain()
    assert stalled.text() == good.text()
    assert bench.finished == ["s"]


@pytest.mark.asyncio
async def test_processes_take_turns(bench: Bench) -> None:
    """One that prints without end does not silence another."""
    loud, soft = bench.process("loud", "s1"), bench.process("soft", "s2")
    loud.out(b"l" * 250_000 + b"\n")
    for _ in range(20):
        loud.out(b"l" * 250_000 + b"\n")
    soft.out(b"psst\n")
    sink = bench.sink()
    await until(lambda: sink.text("soft"))
    assert [f["id"] for f in sink.frames].index("soft") <= 1


@pytest.mark.asyncio
async def test_a_long_burst_lets_the_loop_turn(bench: Bench) -> None:
    process = bench.process()
    process.out(b"x\n" * 4_000_000)
    sink = bench.sink()
    most = 0
    while len(sink.text()) < process.head:
        before = len(sink.frames)
        await asyncio.sleep(0)
        most = max(most, len(sink.frames) - before)
    assert 0 < most <= module.BURST


@pytest.mark.asyncio
async def test_the_beginning_of_a_line_is_held_until_there_is_silence(bench: Bench) -> None:
    sink = bench.sink()
    process = bench.process()
    process.out(b"done\nwai")
    await until(lambda: sink.frames)
    assert sink.text() == "done\n"
    process.out(b"ting\n")
    await until(lambda: len(sink.frames) == 2)
    assert sink.frames[1]["data"] == "waiting\n"
    process.out(b"prompt> ")
    await turns()
    assert len(sink.frames) == 2
    await until(lambda: len(sink.frames) == 3)
    assert sink.frames[2]["data"] == "prompt> "


@pytest.mark.asyncio
async def test_half_a_character_is_held_even_in_silence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.0)
    sink = bench.sink()
    process = bench.process()
    process.out("aé".encode()[:2])
    await until(lambda: sink.frames)
    await turns()
    assert sink.text() == "a"
    process.out("é".encode()[1:])
    await until(lambda: len(sink.frames) == 2)
    assert sink.text() == "aé"


@pytest.mark.asyncio
async def test_events_of_the_log_in_order_beside_output(bench: Bench) -> None:
    bench.delivery.publish(NetworkStatus("CONNECTED"))
    sink = bench.sink()
    bench.delivery.publish(NetworkStatus("NOT_CONNECTED"))
    await until(lambda: len(sink.frames) == 2)
    assert [f["status"] for f in sink.frames] == ["CONNECTED", "NOT_CONNECTED"]
    later = bench.sink(2)
    await turns()
    assert later.frames == [], "somebody has taken them"


@pytest.mark.asyncio
async def test_an_event_waits_for_the_exits_it_stands_behind(bench: Bench) -> None:
    sink = bench.sink(fast=False)
    process = bench.process()
    process.out(b"bye\n")
    bench.delivery.publish(VmStopped("x"), after=["s"])
    await until(lambda: sink.frames)
    sink.drain()
    await turns()
    assert sink.types() == ["stdout"]
    process.end()
    await until(lambda: len(sink.frames) == 2)
    sink.drain()
    await until(lambda: len(sink.frames) == 3)
    assert sink.types() == ["stdout", "exit", "vmStopped"]


@pytest.mark.asyncio
async def test_an_event_for_some_is_not_told_to_the_others(bench: Bench) -> None:
    one, two = bench.sink(1), bench.sink(2)
    assert two.subscriber is not None
    bench.delivery.publish(NetworkStatus("CONNECTED"), only=[two.subscriber.slot])
    bench.delivery.publish(NetworkStatus("NOT_CONNECTED"))
    await until(lambda: len(two.frames) == 2 and one.frames)
    assert [f["status"] for f in one.frames] == ["NOT_CONNECTED"]


@pytest.mark.asyncio
async def test_who_missed_an_event(bench: Bench) -> None:
    seq = bench.delivery.publish(NetworkStatus("CONNECTED"))
    assert bench.delivery.missed(seq) == [], "it waits for the next subscriber"
    one = bench.sink(1)
    await until(lambda: one.frames)
    assert bench.delivery.missed(seq) == []
    two = bench.sink(2)
    assert two.subscriber is not None
    assert bench.delivery.missed(seq) == [two.subscriber.slot]
    bench.leave(one)
    bench.leave(two)
    assert bench.delivery.missed(seq) is None


@pytest.mark.asyncio
async def test_the_log_forgets_what_all_have_taken(bench: Bench) -> None:
    one, two = bench.sink(1), bench.sink(2, fast=False)
    for _ in range(3):
        bench.delivery.publish(NetworkStatus("CONNECTED"))
    await until(lambda: len(one.frames) == 3 and two.frames)
    assert bench.log.following(0) is not None
    two.drain()
    await until(lambda: two.waiting)
    two.drain()
    await until(lambda: two.waiting)
    two.drain()
    assert bench.log.following(0) is None


@pytest.mark.asyncio
async def test_a_restart_repeats_nothing_that_was_taken(bench: Bench) -> None:
    sink = bench.sink()
    process = bench.process()
    bench.delivery.publish(NetworkStatus("CONNECTED"))
    process.out(b"one\n")
    await until(lambda: len(sink.frames) == 2)
    bench.restart()
    bench.delivery.publish(NetworkStatus("NOT_CONNECTED"))
    process.out(b"two\n")
    process.end()
    again = bench.sink()
    await until(lambda: "exit" in again.types())
    assert again.text() == "two\n"
    assert [f["status"] for f in again.frames if f["type"] == "networkStatus"] == ["NOT_CONNECTED"]


@pytest.mark.asyncio
async def test_each_profile_goes_on_where_it_was(bench: Bench) -> None:
    fast, slow = bench.sink(1), bench.sink(2, fast=False)
    process = bench.process()
    process.out(b"one\n")
    await until(lambda: fast.frames and slow.frames)
    process.out(b"two\n")
    await until(lambda: fast.text() == "one\ntwo\n")
    bench.leave(fast)
    bench.leave(slow)
    process.end()
    two, one = bench.sink(2), bench.sink(1)
    await until(lambda: "exit" in one.types() and "exit" in two.types())
    assert two.text() == "one\ntwo\n"
    assert one.text() == ""


@pytest.mark.asyncio
async def test_a_newcomer_begins_where_somebody_has_got_to(bench: Bench) -> None:
    first = bench.sink(1)
    process = bench.process()
    process.out(b"old\n")
    await until(lambda: first.frames)
    second = bench.sink(2)
    process.out(b"new\n")
    process.end()
    await until(lambda: "exit" in second.types())
    assert second.text() == "new\n"


@pytest.mark.asyncio
async def test_a_place_whose_time_is_over_holds_nothing_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, good = bench.sink(1, fast=False), bench.sink(2)
    process = bench.process()
    process.out(b"x\n")
    process.end()
    await until(lambda: "exit" in good.types())
    bench.leave(gone)
    bench.delivery.sweep()
    assert bench.finished == [], "it may come back"
    monkeypatch.setattr("cowork.service.slots.KEPT", 0.0)
    bench.delivery.sweep()
    assert bench.finished == ["s"]


@pytest.mark.asyncio
async def test_two_runs_of_one_id_are_told_one_after_the_other(bench: Bench) -> None:
    for session in ("s1", "s2", "s3"):
        process = bench.process("p", session)
        process.out(f"{session}\n".encode() * 100_000)
        process.end(int(session[1]))
    sink = bench.sink()
    await until(lambda: sink.types().count("exit") == 3)
    assert sink.text() == "s1\n" * 100_000 + "s2\n" * 100_000 + "s3\n" * 100_000
    assert [f["exitCode"] for f in sink.frames if f["type"] == "exit"] == [1, 2, 3]
    assert bench.finished == ["s1", "s2", "s3"]


@pytest.mark.asyncio
async def test_output_that_somebody_has_removed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What is left is told, then the exit; the gap is logged."""
    process = bench.process()
    process.out(b"x" * (SEGMENT - 1) + b"\n")
    process.out(b"rest\n")
    process.end()
    (process.spool / f"{0:020d}.log").unlink()
    sink = bench.sink()
    await until(lambda: "exit" in sink.types())
    assert sink.text() == "rest\n"
    assert "is gone" in caplog.text


@pytest.mark.asyncio
async def test_the_holder_is_told_of_whole_segments_alone(bench: Bench) -> None:
    sink = bench.sink()
    process = bench.process()
    for _ in range(3):
        process.out(b"line\n")
        await until(lambda: len(sink.text()) == process.head)
    assert process.told == 0
    process.out(b"x\n" * (SEGMENT // 2))
    await until(lambda: len(sink.text()) == process.head)
    assert process.told == 1


@pytest.mark.asyncio
async def test_there_are_as_many_subscribers_as_places(bench: Bench) -> None:
    for n in range(SLOTS - 1):
        bench.sink(n)
    with pytest.raises(RpcError, match="too many"):
        bench.sink(1000)
    assert bench.delivery.count == SLOTS - 1


@pytest.mark.asyncio
async def test_leaving_twice_is_leaving_once(bench: Bench) -> None:
    sink = bench.sink()
    bench.leave(sink)
    bench.leave(sink)
    process = bench.process()
    process.out(b"x\n")
    await turns()
    assert sink.frames == []
    assert bench.delivery.count == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("out"), st.binary(min_size=1, max_size=30)),
        st.tuples(st.just("lines"), st.integers(1, 60_000)),
        st.tuples(st.just("drain"), st.integers(0, 1)),
        st.tuples(st.just("leave"), st.integers(0, 1)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=25,
)


@given(STEPS)
@settings(derandomize=True, deadline=None, max_examples=60, database=None)
def test_whatever_happens_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]
) -> None:
    """Two profiles, one fast and one that takes frames when told; either leaves, the daemon dies, at any point."""

    async def scenario() -> None:
        bench = Bench(tmp_path_factory.mktemp("bench"))
        process = bench.process()
        printed = b""
        sinks = [bench.sink(0), bench.sink(1, fast=False)]
        received = [b"", b""]
        number = 0

        def come_back(which: int) -> None:
            sink = sinks[which]
            # What the kernel has not taken is not the client's yet.
            frames = sink.frames[:-1] if sink.waiting else sink.frames
            received[which] += "".join(f.get("data", "") for f in frames).encode("utf-8", "surrogateescape")
            sinks[which] = bench.sink(which, fast=not which)

        for step, value in steps:
            if step == "out":
                data = bytes(b % 128 for b in value)  # type: ignore[attr-defined]
                process.out(data)
                printed += data
            elif step == "lines":
                assert isinstance(value, int)
                data = b"".join(b"%d\n" % (number + n) for n in range(value))
                number += value
                process.out(data)
                printed += data
            elif step == "drain":
                if sinks[1].waiting:
                    sinks[1].drain()
            elif step == "leave":
                assert isinstance(value, int)
                bench.leave(sinks[value])
                come_back(value)
            else:
                bench.restart()
                come_back(0)
                come_back(1)
            await turns(3)
        process.end()
        async with asyncio.timeout(30):
            while not all("exit" in sink.types() for sink in sinks):
                if sinks[1].waiting:
                    sinks[1].drain()
                await asyncio.sleep(0)
        sinks[1].drain()
        for which, sink in enumerate(sinks):
            got = received[which] + sink.text().encode()
            assert got == printed
        bench.delivery.close()
        bench.close()
        process.close()

    asyncio.run(scenario())


def present_files(path: Path) -> bytes:
    """A request that the service answers."""
    call = {"name": "present_files", "arguments": {"files": [{"file_path": str(path)}]}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    request = {"subtype": "mcp_message", "server_name": "cowork", "message": message}
    return json.dumps({"type": "control_request", "request_id": "r", "request": request}).encode() + b"\n"


@pytest.mark.asyncio
async def test_host_paths_are_shown_as_the_guests(bench: Bench) -> None:
    sink = bench.sink()
    session = SessionMap("otter", "/tree", [MappedMount("proj", "/home/proj")])
    process = bench.process(translation=Translation(session, stream_json=False, remote=False))
    process.out(b"/home/proj/f /home/proj2\n")
    process.err(b"/tree/x\n")
    process.end()
    await until(lambda: "exit" in sink.types())
    assert sink.text() == "/sessions/otter/mnt/proj/f /home/proj2\n"
    assert sink.text(kind="stderr") == "/sessions/otter/x\n"
    assert process.positions(ANYBODY) == (len(b"/home/proj/f /home/proj2\n") + 8,) * 2


@pytest.mark.asyncio
async def test_a_request_answered_here_is_not_taken_before_the_output_in_front_of_it(
    bench: Bench, tmp_path: Path
) -> None:
    """Else a daemon that is killed now would never tell the output that was still under way."""
    sink = bench.sink(fast=False)
    slot = sink.subscriber.slot  # type: ignore[union-attr]
    process = bench.process(translation=Translation(SessionMap("otter", "/tree"), stream_json=True, remote=False))
    process.out(b"first\n")
    await until(lambda: sink.frames)
    process.out(present_files(tmp_path / "gone") * 2)
    await until(lambda: len(process.written) == 2)
    assert process.positions(slot) == process.positions(ANYBODY) == (0, 0)
    sink.drain()
    assert process.positions(slot)[0] == process.positions(ANYBODY)[0] == process.head


@pytest.mark.asyncio
async def test_an_event_for_others_counts_as_taken_with_what_stands_before_it(bench: Bench) -> None:
    one = bench.sink(1, fast=False)
    two = bench.sink(2)
    assert one.subscriber is not None
    assert two.subscriber is not None
    first = bench.delivery.publish(NetworkStatus("CONNECTED"))
    await until(lambda: one.frames)
    last = bench.delivery.publish(NetworkStatus("NOT_CONNECTED"), only=[two.subscriber.slot])
    await until(lambda: len(two.frames) == 2)
    await turns()
    assert bench.slots.log_position(one.subscriber.slot) == first - 1
    one.drain()
    assert bench.slots.log_position(one.subscriber.slot) == last
    assert bench.log.following(0) is None, "nobody needs any of it"


@pytest.mark.asyncio
async def test_a_request_that_is_answered_here_is_no_event_and_counts_as_taken(bench: Bench, tmp_path: Path) -> None:
    """With two subscribers it is answered once; what stands around it is told."""
    first, second = bench.sink(1), bench.sink(2, fast=False)
    process = bench.process(translation=Translation(SessionMap("otter", "/tree"), stream_json=True, remote=False))
    line = present_files(tmp_path / "gone")
    process.out(line)
    await until(lambda: process.positions(ANYBODY)[0] == len(line))
    assert len(process.written) == 1
    assert first.frames == second.frames == []
    process.out(b"before\n" + line + b"after\n")
    process.end()
    await until(lambda: "exit" in first.types())
    assert first.text() == "before\nafter\n"
    await until(lambda: second.frames)
    second.drain()
    await until(lambda: len(second.frames) == 2)
    assert second.text() == first.text()
    assert len(process.written) == 2
    second.drain()
