"""Where a request's body ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy.body import Body, BodyError


def passed(length: int | None, pieces: list[bytes]) -> tuple[bytes, bool] | None:
    """What goes through, and whether that was all; None if it is malformed."""
    body, out = Body(length), b""
    try:
        for piece in pieces:
            out += piece[: body.feed(memoryview(piece))]
    except BodyError:
        return None
    return out, body.ended


@pytest.mark.parametrize(
    ("length", "data", "expected"),
    [
        (0, b"GET /", (b"", True)), (3, b"abcGET", (b"abc", True)), (3, b"ab", (b"ab", False)),
        (None, b"3\r\nabc\r\n0\r\n\r\nGET", (b"3\r\nabc\r\n0\r\n\r\n", True)),
        (None, b"0\r\nA: b\r\n\r\nx", (b"0\r\nA: b\r\n\r\n", True)),
        (None, b"A;x=y\r\n0123456789\r\n", (b"A;x=y\r\n0123456789\r\n", False)), (None, b"", (b"", False)),
        (None, b"x\r\n", None), (None, b"3\nabc", None), (None, b"3\r\nabcd\r\n", None), (None, b"-1\r\n", None),
        (None, b"\r\n", None),
        (None, b"1" * 16 + b"\r\n", None), (None, b"1" * 9000, None), (None, b"0x3\r\nabc\r\n", None),
        (None, b"3\r\r\n", None),
    ],
)  # fmt: skip
def test_bodies(length: int | None, data: bytes, expected: tuple[bytes, bool] | None) -> None:
    assert passed(length, [data]) == expected
    assert passed(length, [data[i : i + 1] for i in range(len(data))]) == expected


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.binary(max_size=20), st.integers(1, 9))
def test_a_chunked_body_and_nothing_after_it(chunks: list[bytes], after: bytes, size: int) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    data = body + after
    assert passed(None, [data[i : i + size] for i in range(0, len(data), size)]) == (body, True)


@given(st.one_of(st.binary(max_size=60), st.from_regex(rb"[0-3;\r\nab]{0,30}", fullmatch=True)), st.integers(1, 7))
def test_any_split_gives_the_same_result(data: bytes, size: int) -> None:
    assert passed(None, [data[i : i + size] for i in range(0, len(data), size)]) == passed(None, [data])
