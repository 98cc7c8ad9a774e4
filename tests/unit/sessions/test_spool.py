"""The spool's reader: runs of one stream from any offset, while it grows. More in tests/unit/holder/test_spool.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cowork.holder.spool import RECORD, SEGMENT, STDERR, STDOUT, index_name, log_name
from cowork.sessions.spool import SpoolReader


def write(folder: Path, start: int, runs: list[tuple[int, bytes]], *, append: bool = False) -> None:
    """A segment as the holder writes it."""
    mode = "ab" if append else "wb"
    with open(folder / log_name(start), mode) as log, open(folder / index_name(start), mode) as index:
        for stream, data in runs:
            index.write(RECORD.pack(start + log.tell(), stream))
            log.write(data)


def test_an_empty_or_missing_spool(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        reader = SpoolReader(folder)
        assert (reader.base(), reader.end()) == (0, 0)
        with pytest.raises(FileNotFoundError):
            reader.run_at(0, 1)


def test_runs_from_every_offset(tmp_path: Path) -> None:
    write(tmp_path, 0, [(STDOUT, b"aaa"), (STDERR, b"bb"), (STDOUT, b"c")])
    reader = SpoolReader(tmp_path)
    assert [reader.run_at(at, 6) for at in range(6)] == [
        (STDOUT, 3), (STDOUT, 3), (STDOUT, 3), (STDERR, 5), (STDERR, 5), (STDOUT, 6),
    ]  # fmt: skip
    assert reader.run_at(3, 4) == (STDERR, 4)  # nothing after the head is looked at
    buffer = bytearray(10)
    assert reader.read_into(memoryview(buffer)[:2], 3) == 2
    assert buffer[:2] == b"bb"
    reader.close()
    assert reader.run_at(0, 6) == (STDOUT, 3)
    reader.close()


def test_a_younger_run_is_found_when_it_is_announced(tmp_path: Path) -> None:
    write(tmp_path, 0, [(STDOUT, b"aaa")])
    reader = SpoolReader(tmp_path)
    assert reader.run_at(0, 3) == (STDOUT, 3)
    write(tmp_path, 0, [(STDERR, b"bb")], append=True)
    assert reader.run_at(0, 5) == (STDOUT, 3)
    assert reader.run_at(4, 5) == (STDERR, 5)
    reader.close()


def test_half_an_index_record_is_left_for_later(tmp_path: Path) -> None:
    write(tmp_path, 0, [(STDOUT, b"aaa"), (STDERR, b"bb")])
    whole = (tmp_path / index_name(0)).read_bytes()
    (tmp_path / index_name(0)).write_bytes(whole[:-7])
    reader = SpoolReader(tmp_path)
    assert reader.run_at(0, 3) == (STDOUT, 3)
    (tmp_path / index_name(0)).write_bytes(whole)
    assert reader.run_at(3, 5) == (STDERR, 5)
    reader.close()


def test_more_runs_than_one_read_of_the_index_takes(tmp_path: Path) -> None:
    """70,000 runs of one byte; the first look is at the last of them."""
    count = 70_000
    (tmp_path / log_name(0)).write_bytes(b"x" * count)
    (tmp_path / index_name(0)).write_bytes(b"".join(RECORD.pack(at, 1 + at % 2) for at in range(count)))
    reader = SpoolReader(tmp_path)
    assert reader.run_at(count - 1, count) == (STDERR, count)
    assert reader.run_at(count - 2, count) == (STDOUT, count - 1)
    reader.close()


def test_segments_and_recycling(tmp_path: Path) -> None:
    write(tmp_path, SEGMENT, [(STDERR, b"x" * SEGMENT)])
    write(tmp_path, 2 * SEGMENT, [(STDOUT, b"tail")])
    (tmp_path / "notes.log").write_text("not ours")
    reader = SpoolReader(tmp_path)
    assert (reader.base(), reader.end()) == (SEGMENT, 2 * SEGMENT + 4)
    assert reader.run_at(SEGMENT + 5, 2 * SEGMENT + 4) == (STDERR, 2 * SEGMENT)
    assert reader.run_at(2 * SEGMENT, 2 * SEGMENT + 4) == (STDOUT, 2 * SEGMENT + 4)
    with pytest.raises(FileNotFoundError):
        reader.run_at(0, SEGMENT)
    # A segment that is open can be read to its end though it has been recycled.
    assert reader.run_at(SEGMENT, 2 * SEGMENT) == (STDERR, 2 * SEGMENT)
    os.unlink(tmp_path / log_name(SEGMENT))
    assert reader.read_into(memoryview(bytearray(10)), SEGMENT) == 10
    reader.close()


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    write(tmp_path, 0, [(STDOUT, b"a")])
    before = os.listdir("/proc/self/fd")
    reader = SpoolReader(tmp_path)
    reader.run_at(0, 1)
    os.unlink(tmp_path / index_name(0))
    reader.close()
    with pytest.raises(FileNotFoundError):
        reader.run_at(0, 1)
    reader.close()
    assert os.listdir("/proc/self/fd") == before


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"secret")
    (tmp_path / log_name(0)).symlink_to("elsewhere")
    (tmp_path / index_name(0)).write_bytes(RECORD.pack(0, STDOUT))
    reader = SpoolReader(tmp_path)
    with pytest.raises(OSError, match="symbolic links"):
        reader.run_at(0, 1)
    reader.close()
