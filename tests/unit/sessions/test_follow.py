"""Output from any offset on, while it grows, to its end: every byte once."""

from __future__ import annotations

import os
import signal
import threading

import msgspec
import pytest

from cowork.holder import messages as m
from cowork.holder.spool import SEGMENT, STDERR, STDOUT
from cowork.sessions import follow as module
from cowork.sessions.blocking import BlockingClient
from cowork.sessions.follow import Follower
from cowork.sessions.status import HolderStatus
from tests.support.holding import Held, Place, child, numbered


def follow(held: Held, offset: int = 0) -> Follower:
    return Follower(held.directory, held.place.runtime, offset)


def taken(follower: Follower) -> list[tuple[int, bytes]]:
    """What is there now."""
    return [(run.stream, follower.read(run)) for run in follower.runs()]


def test_what_is_kept_comes_first_and_then_what_follows(here: Place) -> None:
    held = here.start(["/bin/cat"])
    held.client.write(b"one\n")
    held.until(b"one\n")
    with follow(held) as follower:
        assert taken(follower) == [(STDOUT, b"one\n")]
        assert taken(follower) == []
        assert not follower.wait(0.01)
        held.client.write(b"two\n")
        assert follower.wait(30)
        assert taken(follower) == [(STDOUT, b"two\n")]
        assert (follower.offset, follower.ended) == (8, False)
        held.client.close_stdin()
        while not follower.ended:
            follower.wait(30)
        assert follower.exit is not None
        assert follower.exit.exit_code == 0
        assert follower.wait(), "the end is no reason to wait"


def test_a_reader_that_is_not_in_time_for_news_misses_nothing(here: Place) -> None:
    held = here.start(child("floods", 3_000_000))
    found = bytearray()
    with follow(held) as follower:
        while True:
            for run in follower.runs():
                found += follower.read(run)
            if follower.ended and follower.offset == follower.head:
                break
            follower.wait(30)
    assert bytes(found) == numbered(3_000_000)


def test_one_that_has_ended_is_read_without_a_holder(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])
    held.wait()
    with follow(held, 2) as follower:
        assert follower.ended
        assert sorted(taken(follower)) == [(STDOUT, b"t\n"), (STDERR, b"err\n")]
        assert follower.exit is not None
        assert follower.exit.exit_code == 3
    with follow(held, 10**9) as beyond:
        assert taken(beyond) == []


def test_what_was_recycled_is_counted(here: Place) -> None:
    held = here.start(child("floods", 3 * SEGMENT), history=SEGMENT, hold=False)
    held.wait()
    with follow(held) as follower:
        found = b"".join(data for _, data in taken(follower))
        assert follower.lost > 0
        assert found == numbered(3 * SEGMENT)[follower.lost :]


@pytest.mark.parametrize("kind", ["pipe", "file", "appended file"])
def test_runs_are_copied_to_whatever_takes_them(here: Place, kind: str) -> None:
    held = here.start(child("floods", 300_000))
    held.wait()
    found = bytearray()
    path = here.folder / "copy"
    if kind == "pipe":
        source, target = os.pipe()
        os.set_blocking(target, False)

        def read() -> None:
            while data := os.read(source, 65536):
                found.extend(data)

        reader = threading.Thread(target=read)
        reader.start()
    else:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if kind == "appended file" else 0))
    with follow(held) as follower:
        for run in follower.runs():
            follower.copy(run, target)
    os.close(target)
    if kind == "pipe":
        reader.join()
        os.close(source)
    else:
        found += path.read_bytes()
    assert bytes(found) == numbered(300_000)


def test_a_holder_that_is_killed_is_the_end(here: Place) -> None:
    held = here.start(["/bin/cat"])
    with follow(held) as follower:
        held.kill_holder()
        assert follower.wait(30)
        assert follower.ended
        assert follower.exit is None
        follower.poll()


def test_a_holder_that_does_not_answer_is_not_the_end(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERING", 0.1)
    held = here.start(["/bin/cat"])
    held.client.write(b"one\n")
    held.until(b"one\n")
    os.kill(held.holder, signal.SIGSTOP)
    with follow(held) as follower:
        assert taken(follower) == [(STDOUT, b"one\n")], "what is on the disk is there"
        assert not follower.ended
        os.kill(held.holder, signal.SIGCONT)
        held.client.write(b"two\n")
        while follower.head < 8:
            assert follower.wait(30)
        assert taken(follower) == [(STDOUT, b"two\n")]
        held.client.close_stdin()
        while not follower.ended:
            assert follower.wait(30)
        assert follower.exit is not None


def test_what_comes_together_with_the_first_answer_is_known_at_once(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would be woken for it: it is no longer in the socket."""
    held = here.start(["/bin/cat"])

    def late(client: BlockingClient) -> HolderStatus:
        client.send(m.WATCH)
        held.client.write(b"one\n")
        held.until(b"one\n")
        held.client.status()
        return msgspec.json.decode(client.expect(m.STATUS)[1], type=HolderStatus)

    monkeypatch.setattr(BlockingClient, "watch", late)
    with follow(held) as follower:
        assert follower.head == 4
        assert taken(follower) == [(STDOUT, b"one\n")]
