"""From bytes to pieces of text, against the plain decoding of each stream as a whole."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.holder.spool import STDERR, STDOUT
from cowork.sessions.cutter import PIECE, Cutter, Piece
from cowork.sessions.spool import SpoolReader
from cowork.wire.text import decode_output


@dataclass
class Memory:
    """A spool in memory, with the reader's two calls."""

    data: bytearray = field(default_factory=bytearray)
    streams: bytearray = field(default_factory=bytearray)

    def put(self, stream: int, data: bytes) -> None:
        self.data += data
        self.streams += bytes([stream]) * len(data)

    def of(self, stream: int) -> bytes:
        return bytes(b for b, s in zip(self.data, self.streams, strict=True) if s == stream)

    def run_at(self, offset: int, head: int) -> tuple[int, int]:
        stream = self.streams[offset]
        end = offset
        while end < head and self.streams[end] == stream:
            end += 1
        return stream, end

    def read_into(self, buffer: memoryview, offset: int) -> int:
        part = self.data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)


def cutter_on(memory: Memory, stdout: int = 0, stderr: int = 0) -> Cutter:
    return Cutter(cast("SpoolReader", memory), stdout, stderr)


def drain(cutter: Cutter, head: int, *, flush: bool = False, ended: bool = False) -> list[Piece]:
    out = []
    while (piece := cutter.next(head, flush=flush, ended=ended)) is not None:
        out.append(piece)
    return out


def text_of(pieces: list[Piece], stream: int) -> str:
    return "".join(piece.text for piece in pieces if piece.stream == stream)


JSON = b'{"type":"assistant","text":"hi"}\n'


def test_whole_lines_go_out_together_and_the_rest_waits() -> None:
    memory = Memory()
    memory.put(STDOUT, b"one\ntwo\r\nthr")
    cutter = cutter_on(memory)
    assert drain(cutter, 12) == [Piece(STDOUT, "one\ntwo\r\n", 9, 9)]
    assert cutter.holding
    memory.put(STDOUT, b"ee\n")
    assert drain(cutter, 15) == [Piece(STDOUT, "three\n", 15, 15)]
    assert not cutter.holding


def test_a_line_interrupted_by_the_other_stream_stays_whole() -> None:
    memory = Memory()
    memory.put(STDOUT, b"one ")
    memory.put(STDERR, b"error\n")
    memory.put(STDOUT, b"line\n")
    cutter = cutter_on(memory)
    assert drain(cutter, 15) == [Piece(STDERR, "error\n", 0, 10), Piece(STDOUT, "one line\n", 15, 15)]


def test_flush_takes_all_but_half_a_character_and_the_end_takes_that_too() -> None:
    memory = Memory()
    memory.put(STDOUT, b"caf\xc3")
    memory.put(STDERR, b"\xf0\x9f\x98")
    cutter = cutter_on(memory)
    assert drain(cutter, 7) == []
    assert drain(cutter, 7, flush=True) == [Piece(STDOUT, "caf", 3, 4)]
    assert drain(cutter, 7, ended=True) == [Piece(STDOUT, "\ufffd", 7, 4), Piece(STDERR, "\ufffd" * 3, 7, 7)]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (JSON, [(STDOUT, JSON)]),
        (b"warning\n" + JSON + b"more\n", [(STDERR, b"warning\n"), (STDOUT, JSON), (STDERR, b"more\n")]),
        (JSON + JSON + b"x\n", [(STDOUT, JSON + JSON), (STDERR, b"x\n")]),
        (b'{"no":"type"}\n', [(STDERR, b'{"no":"type"}\n')]),
        (b'{"type":7}\n', [(STDERR, b'{"type":7}\n')]),
        (b' {"type":"a"}\n', [(STDERR, b' {"type":"a"}\n')]),
        (b'{"type":"a"\n', [(STDERR, b'{"type":"a"\n')]),
        (b'x{"type":"a"}\n', [(STDERR, b'x{"type":"a"}\n')]),
    ],
)
def test_stream_json_on_stderr_is_shown_as_stdout(printed: bytes, shown: list[tuple[int, bytes]]) -> None:
    for size in (1, 3, len(printed)):
        memory = Memory()
        cutter = cutter_on(memory)
        pieces = []
        for at in range(0, len(printed), size):
            memory.put(STDERR, printed[at : at + size])
            pieces += drain(cutter, len(memory.data))
        joined: list[tuple[int, str]] = []
        for piece in pieces:
            if joined and joined[-1][0] == piece.stream:
                joined[-1] = (piece.stream, joined[-1][1] + piece.text)
            else:
                joined.append((piece.stream, piece.text))
        assert joined == [(stream, data.decode()) for stream, data in shown]


def test_the_rest_of_a_line_is_no_line_of_its_own() -> None:
    memory = Memory()
    memory.put(2, b"note: ")
    cutter = cutter_on(memory)
    assert drain(cutter, 6, flush=True) == [Piece(2, "note: ", 6, 6)]
    memory.put(2, JSON + JSON)
    pieces = drain(cutter, len(memory.data))
    assert [(piece.stream, piece.text) for piece in pieces] == [(2, JSON.decode()), (1, JSON.decode())]


def test_json_on_stdout_is_left_alone() -> None:
    memory = Memory()
    memory.put(STDOUT, b"text\n" + JSON)
    assert drain(cutter_on(memory), len(memory.data)) == [Piece(STDOUT, "text\n" + JSON.decode(), 38, 38)]


def test_a_very_long_line_is_cut_between_characters() -> None:
    memory = Memory()
    text = "x" + "é😀" * 150_000
    memory.put(STDOUT, text.encode())
    pieces = drain(cutter_on(memory), len(memory.data))
    assert len(pieces) == 3
    assert all(len(piece.text.encode()) <= PIECE for piece in pieces)
    assert "\ufffd" not in text_of(pieces, STDOUT)
    rest = drain(cutter_on(memory, pieces[-1].stdout, pieces[-1].stderr), len(memory.data), ended=True)
    assert text_of(pieces + rest, STDOUT) == text


def test_recycled_bytes_are_skipped_on_purpose() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cutter = Cutter(SpoolReader(Path(folder)), 10, 10)
        with pytest.raises(FileNotFoundError):
            cutter.next(100)
    memory = Memory()
    memory.put(STDOUT, b"old half ")
    cutter = cutter_on(memory)
    assert drain(cutter, 9) == []
    memory.put(STDOUT, b"lost\n")
    memory.put(STDOUT, b"new\n")
    cutter.skip_to(14)
    assert not cutter.holding
    assert cutter.scanned == 14
    assert drain(cutter, 18) == [Piece(STDOUT, "new\n", 18, 18)]


def test_a_spool_that_is_shorter_than_announced_is_an_error() -> None:
    memory = Memory()
    memory.put(STDOUT, b"ab")
    memory.streams += bytes([STDOUT] * 10)
    cutter = cutter_on(memory)
    with pytest.raises(FileNotFoundError, match="shorter"):
        drain(cutter, 12)


# -- against the plain decoding

CHUNK = st.one_of(
    st.binary(max_size=12),
    st.text(alphabet="aé€😀\n\r\0", max_size=12).map(str.encode),
    st.sampled_from([JSON, b'{"type":"x"}', b'{"a":1}\n', b"\n", b"\xc3", b"\xa9", b"x" * 70, b"\n{"]),
)
ACTIONS = st.lists(
    st.tuples(st.sampled_from([STDOUT, STDERR]), CHUNK, st.sampled_from(["", "", "flush", "again"])), max_size=25
)
VALID = st.lists(
    st.tuples(
        st.sampled_from([STDOUT, STDERR]),
        st.text(alphabet="aé€😀\n\r\0{", max_size=12),
        st.sampled_from(["", "", "flush", "again"]),
    ),
    max_size=25,
)


def run(actions: list[tuple[int, bytes, str]]) -> tuple[Memory, list[tuple[Piece, bool]]]:
    """What a reader is shown that is restarted from its positions, and whether each piece was flushed."""
    memory = Memory()
    cutter = cutter_on(memory)
    at = (0, 0)
    shown: list[tuple[Piece, bool]] = []
    for number, (stream, data, then) in enumerate(actions):
        memory.put(stream, data)
        ended = number == len(actions) - 1
        while (piece := cutter.next(len(memory.data), flush=then == "flush", ended=ended)) is not None:
            assert piece.text
            assert piece.stdout >= at[0]
            assert piece.stderr >= at[1]
            assert piece.stdout + piece.stderr > at[0] + at[1]
            at = (piece.stdout, piece.stderr)
            shown.append((piece, then == "flush" or ended))
            if then == "again":
                cutter = cutter_on(memory, *at)
    return memory, shown


@settings(max_examples=400, deadline=None)
@given(VALID)
def test_valid_text_is_the_same_however_it_was_split_and_flushed(actions: list[tuple[int, str, str]]) -> None:
    """Characters are cut anywhere, and nothing of them is lost or shown as U+FFFD."""
    cut: list[tuple[int, bytes, str]] = []
    for stream, text, then in actions:
        data = text.encode()
        cut += [(stream, data[: len(data) // 2 + 1], then), (stream, data[len(data) // 2 + 1 :], "")]
    memory, shown = run(cut)
    pieces = [piece for piece, _ in shown]
    for stream in (STDOUT, STDERR):
        assert text_of(pieces, stream) == memory.of(stream).decode()


@settings(max_examples=400, deadline=None)
@given(ACTIONS)
def test_any_bytes_are_shown_in_order_and_once(actions: list[tuple[int, bytes, str]]) -> None:
    memory, shown = run(actions)
    pieces = [piece for piece, _ in shown]
    stderr = memory.of(STDERR)
    if b'{"type"' not in stderr:
        for stream in (STDOUT, STDERR):
            assert text_of(pieces, stream) == decode_output(memory.of(stream))
    else:
        # Some of stderr is shown as stdout: all of it is shown all the same.
        together = decode_output(memory.of(STDOUT)) + decode_output(stderr)
        assert sorted("".join(piece.text for piece in pieces)) == sorted(together)
    for piece, flushed in shown:
        assert len(piece.text.encode()) <= 3 * PIECE
        assert piece.text.endswith("\n") or flushed
    if pieces:
        # A stream that prints nothing at the end is not told of: the other's position is that of what was shown.
        last = pieces[-1]
        assert max(last.stdout, last.stderr) == len(memory.data) or memory.data == b""


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.integers(0, 200_000), st.booleans()), max_size=8))
def test_no_piece_is_over_the_limit(parts: list[tuple[int, int, bool]]) -> None:
    memory = Memory()
    for stream, size, line in parts:
        memory.put(stream, b"\xc3\xa9" * (size // 2) + (b"\n" if line else b""))
    pieces = drain(cutter_on(memory), len(memory.data), ended=True)
    for stream in (STDOUT, STDERR):
        assert text_of(pieces, stream) == memory.of(stream).decode()
    assert all(len(piece.text.encode()) <= PIECE for piece in pieces)


class Shout:
    """Replaces /path by /PATH, and keeps what it was given."""

    needles = (b"/path",)

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def __call__(self, data: bytes) -> bytes:
        self.given.append(data)
        return data.replace(b"/path", b"/PATH")


def shouting(memory: Memory) -> tuple[Cutter, Shout]:
    shout = Shout()
    return Cutter(cast("SpoolReader", memory), transform=shout), shout


def test_every_piece_is_transformed_before_it_is_text() -> None:
    memory = Memory()
    memory.put(STDOUT, b"see /path\nhalf /pa")
    memory.put(STDERR, b"/path too\n")
    memory.put(STDOUT, b"th \xff")
    cutter, shout = shouting(memory)
    pieces = drain(cutter, len(memory.data), ended=True)
    assert text_of(pieces, STDOUT) == "see /PATH\nhalf /PATH \ufffd"
    assert text_of(pieces, STDERR) == "/PATH too\n"
    assert (pieces[-1].stdout, pieces[-1].stderr) == (len(memory.data), len(memory.data))
    assert len(shout.given) == 3


def test_what_holds_no_needle_is_not_transformed() -> None:
    memory = Memory()
    memory.put(STDOUT, b"nothing\n" * 1000 + b"rest")
    cutter, shout = shouting(memory)
    assert text_of(drain(cutter, len(memory.data), ended=True), STDOUT) == memory.data.decode()
    assert shout.given == []


@given(st.integers(0, 40), st.sampled_from([b'"', b" ", b","]), st.integers(0, 4) | st.just(3000))
@settings(max_examples=30, deadline=None)
def test_a_very_long_line_is_cut_where_no_path_is(shift: int, mark: bytes, size: int) -> None:
    memory = Memory()
    one = b"/path/" + b"x" * size + mark
    memory.put(STDOUT, b"y" * shift + mark + one * (2 * PIECE // len(one)))
    cutter, _ = shouting(memory)
    assert text_of(drain(cutter, len(memory.data), ended=True), STDOUT) == memory.data.decode().replace(
        "/path", "/PATH"
    )


def test_a_very_long_line_without_such_a_place_is_passed_on_all_the_same() -> None:
    memory = Memory()
    memory.put(STDOUT, b"z" * (2 * PIECE))
    cutter, _ = shouting(memory)
    assert text_of(drain(cutter, len(memory.data)), STDOUT) == "z" * (2 * PIECE)
