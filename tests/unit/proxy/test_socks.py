"""SOCKS5, from whole requests to single bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy import socks
from cowork.proxy.socks import Handshake, SocksError, Target

GREETING = b"\x05\x01\x00"


def named(name: bytes, port: int = 443) -> bytes:
    return b"\x05\x01\x00\x03" + bytes((len(name),)) + name + port.to_bytes(2)


def talk(pieces: list[bytes]) -> tuple[bytes, object]:
    """What is answered, and the target with the rest, or the error's text."""
    handshake, out = Handshake(), b""
    for number, piece in enumerate(pieces):
        try:
            out += handshake.feed(piece)
        except SocksError as e:
            return out + e.reply, e.text
        if handshake.target is not None:
            return out, (handshake.target, handshake.rest + b"".join(pieces[number + 1 :]))
    return out, None


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        (named(b"Example.com."), Target("example.com", 443)),
        (b"\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50", Target("1.2.3.4", 80)),
        (b"\x05\x01\x00\x04" + b"\0" * 15 + b"\x01\x00\x50", Target("::1", 80)),
        (named(b"1.2.3.4"), Target("1.2.3.4", 443)),
    ],
)
def test_requests(request_: bytes, target: Target) -> None:
    assert talk([GREETING + request_ + b"early"]) == (b"\x05\x00", (target, b"early"))


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"\x04\x01", b""), (b"\x05\x01\x02", b"\x05\xff"), (b"\x05\x00", b"\x05\xff"),
        (GREETING + b"\x05\x02\x00\x03\x01a\x00\x50", b"\x05\x00" + socks.reply(7)),
        (GREETING + b"\x05\x03\x00\x03\x01a\x00\x50", b"\x05\x00" + socks.reply(7)),
        (GREETING + b"\x05\x01\x00\x02\x01", b"\x05\x00" + socks.reply(8)),
        (GREETING + b"\x04", b"\x05\x00" + socks.reply(1)),
        (GREETING + b"\x05\x01\x01\x03\x01a\x00\x50", b"\x05\x00" + socks.reply(1)),
        (GREETING + named(b"allowed.com\0.evil.com"), b"\x05\x00" + socks.reply(2)),
        (GREETING + named(b""), b"\x05\x00" + socks.reply(2)),
        (GREETING + named(b"a@b"), b"\x05\x00" + socks.reply(2)),
        (GREETING + named(b"0x7f.1"), b"\x05\x00" + socks.reply(2)),
        (GREETING + named(b"b\xfccher.de"), b"\x05\x00" + socks.reply(2)),
        (GREETING + named(b"a.com", 0), b"\x05\x00" + socks.reply(2)),
        (GREETING + named(b"[::1]"), b"\x05\x00" + socks.reply(2)),
        (GREETING + named(b"evil.com\0"), b"\x05\x00" + socks.reply(2)),
    ],
)  # fmt: skip
def test_what_is_not_served(data: bytes, answer: bytes) -> None:
    out, text = talk([data])
    assert out == answer
    assert isinstance(text, str)
    assert text
    assert talk([data[i : i + 1] for i in range(len(data))]) == (out, text)


@given(
    st.one_of(
        st.binary(max_size=40), st.binary(max_size=40).map(lambda b: GREETING + b),
        st.binary(max_size=30).map(lambda b: GREETING + named(b)),
        st.binary(max_size=30).map(lambda b: GREETING + b"\x05\x01\x00" + b),
    ),
    st.integers(1, 9),
)  # fmt: skip
def test_any_split_gives_the_same_result(data: bytes, size: int) -> None:
    assert talk([data[i : i + size] for i in range(0, len(data), size)]) == talk([data])
