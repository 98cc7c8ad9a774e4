"""stdin through a holder: whole or not at all, in order, never twice, and closed when it is."""

from __future__ import annotations

import hashlib
import threading

import pytest

from cowork.holder import messages as m
from cowork.holder.stdin import LIMIT
from cowork.sessions.blocking import BlockingClient
from tests.support.holding import Held, Place, child, numbered

pytestmark = pytest.mark.integration

MB = 1024 * 1024


def test_what_is_written_arrives_in_order_and_once(either: Place) -> None:
    held = either.start(["/bin/cat"], history=64 * MB)
    data = numbered(20 * MB)
    at = 0
    while at < len(data):
        if held.client.write(data[at : at + 700_001]) is None:
            at += 700_001
    held.client.close_stdin()
    assert held.wait().exit_code == 0
    assert held.printed() == data


def test_writes_ahead_of_the_start_are_not_lost(either: Place) -> None:
    held = either.prepare(["/bin/cat"])
    channel = either.channel()
    held.client = BlockingClient(channel, timeout=30)
    early = m.pack(m.WRITE, m.U64.pack(1) + b"one\n") + m.pack(m.WRITE, m.U64.pack(2) + b"two\n")
    channel.sendall(m.pack(m.BEGIN, held.spec.encode()) + early + m.pack(m.CLOSE, m.U64.pack(3)))
    held.status = held.client.started()
    either.adopt(held)
    assert [m.U64.unpack(held.client.expect(m.ACCEPTED)[1])[0] for _ in range(3)] == [1, 2, 3]
    held.wait()
    assert held.printed() == b"one\ntwo\n"


def test_a_write_is_taken_whole_or_refused_whole(either: Place) -> None:
    held = either.start(child("never_reads"))
    held.until(b"ready")
    assert held.client.write(b"x" * (LIMIT + 1)) == "full"
    assert held.client.status().stdin.queued == 0
    assert held.client.write(b"x" * LIMIT) is None
    status = held.client.status().stdin
    in_the_pipe = LIMIT - status.queued
    assert 0 < in_the_pipe < MB
    assert status.limit == LIMIT
    assert held.client.write(b"y" * (in_the_pipe + 1)) == "full"
    assert held.client.status().stdin.queued == status.queued
    assert held.client.write(b"y" * in_the_pipe) is None
    assert held.client.write(b"z") == "full"
    assert held.client.status().stdin.queued == LIMIT


def test_a_refused_write_leaves_no_trace(here: Place) -> None:
    """The child reads after the refusal: it gets what was taken, and not a byte of what was not."""
    held = here.start(["/bin/sh", "-c", "kill -STOP $$; exec sha256sum"])
    first = numbered(LIMIT)
    assert held.client.write(first) is None
    assert held.client.write(b"n" * MB) == "full"
    assert held.client.signal([{"after": 0, "signal": 18, "to": "group"}])
    while held.client.write(b"the end\n") is not None:
        pass
    held.client.close_stdin()
    held.wait()
    assert held.printed().split()[0].decode() == hashlib.sha256(first + b"the end\n").hexdigest()


def test_a_child_that_has_closed_its_stdin(either: Place) -> None:
    held = either.start(child("closes_stdin"))
    held.until(b"closed")
    assert held.client.write(b"x") == "closed"
    assert held.client.write(b"x") == "closed"
    assert not held.client.status().stdin.open
    held.client.close_stdin()
    assert held.client.status().running


def test_a_child_that_closes_its_stdin_with_bytes_on_the_way(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "kill -STOP $$; exec 0<&-; echo closed; exec sleep 3600"])
    assert held.client.write(b"x" * (4 * MB)) is None
    assert held.client.signal([{"after": 0, "signal": 18, "to": "group"}])
    held.until(b"closed\n")
    while held.client.write(b"x") is None:
        pass
    assert held.client.status().stdin.queued == 0


def test_close_comes_behind_what_waits(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "read line; exec wc -c"])
    assert held.client.write(b"x" * (2 * MB) + b"\n" + b"y" * (2 * MB)) is None
    held.client.close_stdin()
    assert held.client.write(b"too late") == "closed"
    held.client.close_stdin()  # once more is no error
    assert held.wait().exit_code == 0
    assert int(held.printed()) == 2 * MB


def test_close_alone_ends_cat(either: Place) -> None:
    held = either.start(["/bin/cat"])
    held.client.close_stdin()
    assert held.wait().exit_code == 0


def test_several_writers_are_not_mixed(here: Place) -> None:
    held = here.start(["/bin/cat"])

    def write(name: bytes, held: Held = held) -> None:
        with held.connect() as client:
            for number in range(100):
                assert client.write(b"%s %d %s\n" % (name, number, name * 3000)) is None

    threads = [threading.Thread(target=write, args=(name,)) for name in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held.client.close_stdin()
    held.wait()
    lines = held.printed().splitlines()
    assert len(lines) == 300
    for name in (b"a", b"b", b"c"):
        own = [line for line in lines if line.startswith(name)]
        assert own == [b"%s %d %s" % (name, number, name * 3000) for number in range(100)]
