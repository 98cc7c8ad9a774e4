"""Lines out of a spool that two streams write to, from anywhere."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cowork.holder.spool import SEGMENT, STDERR, STDOUT, SpoolWriter
from cowork.sessions import lines as module
from cowork.sessions.lines import LineReader
from cowork.sessions.spool import SpoolReader
from tests.support.holding import short_folder


def spool(folder: Path, *pieces: tuple[int, bytes], history: int = 1 << 30) -> SpoolReader:
    """A spool in which these pieces arrived one after the other."""
    writer = SpoolWriter(str(folder / "spool"), history=history, limit=1 << 30, hold=False)
    for stream, data in pieces:
        rest = data
        while rest:
            r, w = os.pipe()
            os.set_blocking(w, False)
            sent = os.write(w, rest)
            os.close(w)
            while writer.pull(r, stream):
                pass
            os.close(r)
            rest = rest[sent:]
        writer.recycle(0)
    writer.close()
    return SpoolReader(folder / "spool")


def read_all(reader: SpoolReader, head: int | None = None, position: int = 0) -> tuple[list[bytes], LineReader]:
    lines = LineReader(reader, position)
    return [line for _, line in lines.lines(reader.end() if head is None else head)], lines


def test_what_stderr_prints_between_is_passed_over(folder: Path) -> None:
    pieces = [(STDOUT, b"one\ntw"), (STDERR, b"noise\n"), (STDOUT, b"o\n"), (STDERR, b"x"), (STDOUT, b"end")]
    reader = spool(folder, *pieces)
    found, lines = read_all(reader)
    assert found == [b"one", b"two"]
    assert lines.rest() == (lines.position, b"end")
    assert lines.position == len(b"one\ntwnoise\no\nx")
    reader.close()


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.text("a\n", max_size=9)), max_size=12), st.data())
def test_every_line_is_seen_once_from_wherever_one_goes_on(
    pieces: list[tuple[int, str]], data: st.DataObject
) -> None:  # fmt: skip
    with short_folder() as folder:
        reader = spool(folder, *((stream, text.encode()) for stream, text in pieces if text))
        expected = "".join(text for stream, text in pieces if stream == STDOUT).encode().split(b"\n")[:-1]
        seen, position = [], 0
        heads = sorted(data.draw(st.lists(st.integers(0, reader.end()), max_size=4)))
        for head in [*heads, reader.end()]:
            lines = LineReader(reader, position)
            for at, line in lines.lines(head):
                assert at >= position
                seen.append(line)
            position = lines.position
        assert seen == expected
        reader.close()


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.text("ab\n", max_size=9)), max_size=12), st.data())
def test_whoever_stops_at_a_line_goes_on_behind_it(pieces: list[tuple[int, str]], data: st.DataObject) -> None:
    with short_folder() as folder:
        reader = spool(folder, *((stream, text.encode()) for stream, text in pieces if text))
        whole, rest = read_all(reader)
        lines, seen = LineReader(reader), []
        for wanted in data.draw(st.lists(st.integers(1, 4), max_size=8)):
            seen += [line for _, line in itertools.islice(lines.lines(reader.end()), wanted)]
        seen += [line for _, line in lines.lines(reader.end())]
        assert seen == whole
        assert (lines.rest(), lines.position) == (rest.rest(), rest.position)
        reader.close()


def test_offsets_are_those_of_the_first_byte(folder: Path) -> None:
    reader = spool(folder, (STDERR, b"e"), (STDOUT, b"ab\n\nc\n"))
    # A line's first byte lies behind what stderr printed, but to begin with the run before it finds the same line.
    assert list(LineReader(reader).lines(reader.end()))[1:] == [(4, b""), (5, b"c")]
    reader.close()


def test_what_was_recycled_is_counted_and_no_half_line_is_shown(folder: Path) -> None:
    line = b"x" * 1023 + b"\n"
    count = 3 * SEGMENT // len(line)
    reader = spool(folder, (STDOUT, b"y" * 100 + b"\n" + line * count), history=SEGMENT)
    found, lines = read_all(reader)
    assert lines.lost == reader.base() > 0
    assert set(found) == {line[:-1]}
    assert len(found) < count
    reader.close()


def test_a_line_without_end_is_not_held_in_memory(folder: Path) -> None:
    before, module.LONGEST = module.LONGEST, 1000
    try:
        reader = spool(folder, (STDOUT, b"a\n" + b"z" * 5000), (STDERR, b"-"), (STDOUT, b"z\nb\n"))
        found, lines = read_all(reader)
        assert found == [b"a", b"b"]
        assert lines.rest() is None
        reader.close()
    finally:
        module.LONGEST = before


def test_no_spool_yet(folder: Path) -> None:
    found, lines = read_all(SpoolReader(folder / "none"), head=0)
    assert found == []
    assert lines.rest() is None
