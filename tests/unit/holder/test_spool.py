"""The spool's writer against a model: the same bytes of the same streams, whatever was recycled."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.holder.spool import CHUNK, RECORD, SEGMENT, STDERR, STDOUT, SpoolWriter, index_name, log_name
from tests.support.holding import runs_of


class Feed:
    """A spool and the pipes it is filled from."""

    def __init__(self, folder: Path, *, history: int = 1 << 40, limit: int = 1 << 40, hold: bool = True) -> None:
        self.folder = folder
        self.writer = SpoolWriter(str(folder), history=history, limit=limit, hold=hold)
        self.ends = {}
        for stream in (STDOUT, STDERR):
            read, write = os.pipe2(os.O_NONBLOCK)
            self.ends[stream] = (read, write)

    def put(self, stream: int, data: bytes) -> None:
        """Write to a stream and have it spooled."""
        read, write = self.ends[stream]
        while data:
            data = data[os.write(write, data) :]
            while True:
                try:
                    self.writer.pull(read, stream)
                except BlockingIOError:
                    break

    def close(self) -> None:
        for ends in self.ends.values():
            for fd in ends:
                if fd >= 0:
                    os.close(fd)
        self.writer.close()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    made = Feed(tmp_path / "spool")
    yield made
    made.close()


def test_files_are_private_named_by_offset_and_begin_with_a_record(feed: Feed) -> None:
    feed.put(STDERR, b"err")
    feed.put(STDOUT, b"out")
    feed.put(STDOUT, b"more")
    names = sorted(os.listdir(feed.folder))
    assert names == ["00000000000000000000.idx", "00000000000000000000.log"]
    assert all(os.stat(feed.folder / name).st_mode & 0o777 == 0o600 for name in names)
    assert (feed.folder / names[1]).read_bytes() == b"erroutmore"
    assert list(RECORD.iter_unpack((feed.folder / names[0]).read_bytes())) == [(0, STDERR), (3, STDOUT)]


def test_a_segment_is_exactly_full_and_the_next_begins_with_a_record(feed: Feed) -> None:
    data = bytes(range(251)) * (SEGMENT // 250)
    feed.put(STDOUT, data)
    assert feed.writer.head == len(data)
    assert os.stat(feed.folder / log_name(0)).st_size == SEGMENT
    assert RECORD.unpack((feed.folder / index_name(SEGMENT)).read_bytes()) == (SEGMENT, STDOUT)
    assert runs_of(feed.folder) == [(STDOUT, data)]


def test_the_end_of_a_stream_is_zero(feed: Feed) -> None:
    read, write = feed.ends[STDOUT]
    with pytest.raises(BlockingIOError):
        feed.writer.pull(read, STDOUT)
    os.close(write)
    feed.ends[STDOUT] = (read, -1)
    assert feed.writer.pull(read, STDOUT) == 0


def test_one_pull_moves_no_more_than_a_chunk(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * (CHUNK + 5))
    writer = SpoolWriter(str(tmp_path / "s"), history=0, limit=1, hold=True)
    fd = os.open(source, os.O_RDONLY)
    assert writer.pull(fd, STDOUT) <= CHUNK
    os.close(fd)
    writer.close()


def test_full_counts_from_the_floor_and_only_when_holding(tmp_path: Path) -> None:
    for hold in (True, False):
        feed = Feed(tmp_path / str(hold), limit=100, hold=hold)
        feed.put(STDOUT, b"x" * 150)
        assert [feed.writer.full(floor) for floor in (0, 50, 51, 150)] == [hold, hold, False, False]
        feed.close()


@pytest.mark.parametrize(
    ("hold", "history", "floor", "base"),
    [
        (True, 0, 0, 0),
        (True, 0, SEGMENT - 1, 0),
        (True, 0, SEGMENT, SEGMENT),
        (True, 0, 1 << 40, 2 * SEGMENT),
        (True, SEGMENT, 1 << 40, SEGMENT),
        (True, 1 << 40, 1 << 40, 0),
        (False, 0, 0, 2 * SEGMENT),
        (False, SEGMENT, 0, SEGMENT),
    ],
)
def test_recycling_keeps_the_history_and_what_somebody_needs(
    tmp_path: Path, hold: bool, history: int, floor: int, base: int
) -> None:
    feed = Feed(tmp_path / "s", history=history, hold=hold)
    data = bytes(SEGMENT * 2) + b"tail"
    feed.put(STDOUT, data)
    feed.writer.recycle(floor)
    assert feed.writer.base == base
    assert sorted(os.listdir(feed.folder)) == [
        name for at in range(base, 3 * SEGMENT, SEGMENT) for name in (index_name(at), log_name(at))
    ]
    assert runs_of(feed.folder, base) == [(STDOUT, data[base:])]
    feed.close()


def test_bytes_are_not_lost_when_the_index_finds_the_disk_full(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    feed.put(STDOUT, b"one")
    read, write = feed.ends[STDERR]
    os.write(write, b"two")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="full"):
                feed.writer.pull(read, STDERR)
        assert feed.writer.unfinished
        assert feed.writer.head == 3
    assert feed.writer.pull(feed.ends[STDOUT][0], STDOUT) == 3  # whoever comes next
    assert not feed.writer.unfinished
    feed.put(STDOUT, b"three")
    assert runs_of(feed.folder) == [(STDOUT, b"one"), (STDERR, b"two"), (STDOUT, b"three")]


def test_half_an_index_record_is_written_over(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    os.write(feed.ends[STDERR][1], b"x")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:9], at))
        with pytest.raises(OSError, match="No space"):
            feed.writer.pull(feed.ends[STDERR][0], STDERR)
    feed.put(STDERR, b"y")
    assert runs_of(feed.folder) == [(STDERR, b"xy")]
    assert (feed.folder / index_name(0)).stat().st_size == RECORD.size


def test_what_was_read_from_a_terminal_waits_for_room(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    real, room = os.write, [3, 0]

    def scarce(fd: int, data: bytes) -> int:
        if not room:
            return real(fd, data)
        if (some := room.pop(0)) == 0:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, data[:some])

    os.write(slave, b"abcdef")
    monkeypatch.setattr(os, "write", scarce)
    assert feed.writer.pull(master, STDOUT) == 3
    assert feed.writer.unfinished
    with pytest.raises(OSError, match="full"):
        feed.writer.pull(master, STDOUT)
    assert feed.writer.pull(master, STDOUT) == 3
    assert not feed.writer.unfinished
    monkeypatch.undo()
    assert runs_of(feed.folder) == [(STDOUT, b"abcdef")]
    os.close(master)
    os.close(slave)


# -- against a model

SMALL = 64
WRITES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(min_size=1, max_size=150)),
        st.integers(0, 700),  # recycle up to there
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(WRITES, st.integers(0, 300), st.booleans())
def test_whatever_is_kept_reads_as_it_was_written(
    actions: list[tuple[int, bytes] | int], history: int, hold: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        for module in ("cowork.holder.spool", "cowork.sessions.spool"):
            patch.setattr(f"{module}.SEGMENT", SMALL)
        feed = Feed(Path(folder) / "s", history=history, hold=hold)
        model: list[tuple[int, int]] = []  # (stream, byte)
        for action in actions:
            if isinstance(action, int):
                feed.writer.recycle(action)
                if hold:
                    assert feed.writer.base <= max(0, action)
            else:
                feed.put(*action)
                model += [(action[0], byte) for byte in action[1]]
        head = len(model)
        assert feed.writer.head == head
        base = feed.writer.base
        assert base <= max(0, head - history)
        for start in {base, head, *range(base, head, 37)}:
            flat = [(stream, byte) for stream, data in runs_of(feed.folder, start, head) for byte in data]
            assert flat == model[start:]
        feed.close()
