"""The control protocol survives any way of being split."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.holder import messages as m

MESSAGES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=12)


def test_the_layout_on_the_wire() -> None:
    assert m.pack(2, b"abc") == b"\x02\x00\x00\x00\x03abc"
    assert m.pack(7) == b"\x07\x00\x00\x00\x00"


@settings(deadline=None)
@given(MESSAGES, st.data())
def test_messages_survive_any_split(messages: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(m.pack(kind, body) for kind, body in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    splitter = m.Splitter()
    out = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += splitter.feed(stream[start:end])
    assert out == messages


def test_a_message_comes_out_as_soon_as_it_is_complete() -> None:
    splitter = m.Splitter()
    stream = m.pack(m.NOTE, m.U64.pack(7)) + m.pack(m.EXIT, b"{}")
    got = [splitter.feed(stream[at : at + 1]) for at in range(len(stream))]
    assert [at for at, messages in enumerate(got) if messages] == [12, len(stream) - 1]


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert m.Splitter().feed(m.HEADER.pack(m.WRITE, m.MAX_BODY)) == []
    with pytest.raises(ValueError, match="message of 67108865 bytes"):
        m.Splitter().feed(m.HEADER.pack(m.WRITE, m.MAX_BODY + 1))


def test_types_are_distinct_in_both_directions() -> None:
    to_holder = [m.BEGIN, m.WRITE, m.CLOSE, m.SIGNAL, m.RESIZE, m.TAKEN, m.QUERY, m.WATCH]
    from_holder = [m.STATUS, m.NOTE, m.ACCEPTED, m.REFUSED, m.SIGNALLED, m.EXIT, m.FAILED]
    # The numbers are what running holders of other releases speak.
    assert to_holder == [1, 2, 3, 4, 5, 6, 7, 8]
    assert from_holder == [65, 66, 67, 68, 69, 70, 71]
