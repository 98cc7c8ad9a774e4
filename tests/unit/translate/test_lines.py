"""Whole lines out of pieces."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.translate.lines import LONGEST_LINE, LineTranslator
from cowork.translate.matcher import GuestToHost
from cowork.translate.sessionmap import MappedMount, SessionMap

TO_HOST = partial(GuestToHost(SessionMap("otter", "/t/tree", [MappedMount("p", "/srv/p")])), json=True)


class Recorder:
    """A function that changes nothing and keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def __call__(self, data: bytes) -> bytes:
        self.seen.append(data)
        return data


def same(data: bytes) -> bytes:
    return data


def test_whole_lines_come_back_as_the_same_object() -> None:
    data = b"one\ntwo\n"
    assert LineTranslator(same).feed(data) is data
    assert LineTranslator(TO_HOST).feed(data) is data


def test_an_unfinished_line_is_held() -> None:
    lines = LineTranslator(TO_HOST)
    assert lines.feed(b"a /sessions/otter/m") == b""
    assert lines.feed(b"") == b""
    assert lines.feed(b"nt/p/x\nb\n/sessions/ott") == b"a /srv/p/x\nb\n"
    assert lines.feed(b"er/y\n") == b"/t/tree/y\n"
    assert lines.feed(b"/sessions/otter") == b""
    assert lines.flush() == b"/t/tree"
    assert lines.flush() == b""
    data = b"after\n"
    assert lines.feed(data) is data


def test_the_function_sees_whole_lines_only() -> None:
    recorder = Recorder()
    lines = LineTranslator(recorder)
    for piece in (b"a", b"b\nc\nd", b"\n", b"e"):
        lines.feed(piece)
    lines.flush()
    assert recorder.seen == [b"ab\nc\n", b"d\n", b"e"]


@pytest.mark.parametrize("filler", [b'x"', b"x ", b"x,", b"x\\n", b"x", b"/", b"\\", b"x/"])
def test_a_line_without_end_is_passed_on(filler: bytes) -> None:
    lines = LineTranslator(same)
    data = filler * (4 * LONGEST_LINE // len(filler))
    done, fed = 0, 0
    for start in range(0, len(data), 300_000):
        piece = data[start : start + 300_000]
        fed += len(piece)
        done += len(lines.feed(piece))
        assert fed - done <= LONGEST_LINE
    assert done + len(lines.flush()) == len(data)


def test_a_line_that_came_whole_is_not_cut() -> None:
    recorder = Recorder()
    lines = LineTranslator(recorder, limit=10)
    lines.feed(b"x y" * 100 + b"\n")
    assert recorder.seen == [b"x y" * 100 + b"\n"]


def test_a_cut_leaves_less_than_half() -> None:
    recorder = Recorder()
    lines = LineTranslator(recorder, limit=10)
    lines.feed(b'"aaaaaaaaa bb')
    assert recorder.seen == [b'"aaaaaaaaa ']


def test_an_escape_is_not_cut() -> None:
    recorder = Recorder()
    lines = LineTranslator(recorder, limit=10)
    lines.feed(rb"aaaaaaaa\\\naaa")
    assert recorder.seen == [b"aaaaaaaa"]


TOKENS = st.sampled_from(
    [
        b"/sessions/otter",
        b"/mnt/p",
        b"/x",
        b"xyz",
        b'"',
        b" ",
        b", ",
        b"\\n",
        b"\n",
        b"\n",
        b"=",
        b".",
        b"(/",
        "é".encode(),
    ]
)


@given(
    st.lists(TOKENS, max_size=40).map(b"".join), st.lists(st.integers(0, 300), max_size=12), st.sampled_from([64, 1000])
)
@settings(derandomize=True, deadline=None, max_examples=1000, database=None)
def test_any_split_gives_the_same_bytes(data: bytes, cuts: list[int], limit: int) -> None:
    # A cut needs a character to cut at; lines that hold none for half the limit are another test's.
    data = data.replace(b"xyz", b"xyz ") if limit == 64 else data
    lines = LineTranslator(TO_HOST, limit=limit)
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    out = b"".join(map(lines.feed, pieces)) + lines.flush()
    if limit == 1000 or b"/sessions/otter" * 2 not in data:
        assert out == TO_HOST(data)
