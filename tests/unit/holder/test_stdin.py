"""The stdin queue against a model: what was accepted is what is read, in order, once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.holder.stdin import LIMIT, StdinQueue


def read_all(fd: int) -> bytes:
    out = b""
    while True:
        try:
            data = os.read(fd, 1 << 20)
        except BlockingIOError:
            return out
        if not data:
            return out
        out += data


@pytest.fixture
def pipe() -> Iterator[tuple[int, StdinQueue]]:
    read, write = os.pipe2(os.O_NONBLOCK)
    queue = StdinQueue(write, limit=1000)
    yield read, queue
    queue.close()
    os.close(read)


def test_the_limit_is_16_mib() -> None:
    assert LIMIT == 16 * 1024 * 1024


def test_whole_or_nothing_at_the_limit(pipe: tuple[int, StdinQueue]) -> None:
    _, queue = pipe
    assert queue.offer(b"x" * 999)
    assert not queue.offer(b"yy")
    assert queue.queued == 999
    assert queue.offer(b"z")
    assert not queue.offer(b"z")
    assert queue.offer(b"")
    assert queue.queued == 1000


def test_what_is_over_the_limit_never_fits(pipe: tuple[int, StdinQueue]) -> None:
    assert not pipe[1].offer(b"x" * 1001)
    assert pipe[1].queued == 0


def test_finish_closes_behind_what_waits(pipe: tuple[int, StdinQueue]) -> None:
    read, queue = pipe
    while True:  # a full pipe, so that something has to wait
        try:
            os.write(queue.fd, b"f" * 4096)
        except BlockingIOError:
            break
    assert queue.offer(b"last")
    queue.finish()
    assert (queue.open, queue.fd >= 0, queue.queued) == (False, True, 4)
    assert set(read_all(read)) == {ord("f")}
    queue.flush()
    assert (queue.fd, queue.queued) == (-1, 0)
    assert os.read(read, 100) == b"last"
    assert os.read(read, 100) == b""


def test_a_reader_that_went_away_closes_the_queue() -> None:
    read, write = os.pipe2(os.O_NONBLOCK)
    queue = StdinQueue(write)
    os.close(read)
    assert queue.offer(b"nobody")
    queue.flush()
    assert (queue.open, queue.fd, queue.queued) == (False, -1, 0)
    queue.close()  # once more is no error


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40_000), st.integers(1, 100_000)), max_size=30))
def test_bytes_accepted_are_the_bytes_read(actions: list[bytes | int]) -> None:
    """Writes are bytes, reads are how much is taken out of the pipe."""
    read, write = os.pipe2(os.O_NONBLOCK)
    queue = StdinQueue(write, limit=100_000)
    accepted, got = b"", b""
    for action in actions:
        if isinstance(action, int):
            try:
                got += os.read(read, action)
            except BlockingIOError:
                pass
            queue.flush()
        else:
            before = queue.queued
            taken = queue.offer(action)
            assert taken == (before + len(action) <= 100_000)
            assert queue.queued == before + (len(action) if taken else 0)
            accepted += action if taken else b""
            queue.flush()
    queue.finish()
    while queue.fd >= 0:
        got += read_all(read)
        queue.flush()
    assert got + read_all(read) == accepted
    os.close(read)
