"""Bytes to text: one U+FFFD for each bad byte, characters never cut, JSON repaired without a change else."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.wire.text import complete_prefix, decode_output, repair_json

FAST = settings(derandomize=True, deadline=None, max_examples=400, database=None)

BAD = "\ufffd"

# Bytes that meet at the edges of what UTF-8 allows (RFC 3629).
TRICKY = st.lists(
    st.sampled_from(
        [b"a", b"\0", b"\r", "é".encode(), "€".encode(), "😀".encode(), b"\xed\x9f\xbf", b"\xf4\x8f\xbf\xbf"]
        + [bytes([byte]) for byte in (0x80, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF)]
        + [bytes([byte]) for byte in (0x8F, 0x90, 0x9F, 0xA0)]
    ),
    max_size=12,
).map(b"".join)


def slow_decode(data: bytes) -> str:
    """The rule, written down byte by byte."""
    text, position = "", 0
    while position < len(data):
        for size in (1, 2, 3, 4):
            try:
                character = data[position : position + size].decode()
            except UnicodeDecodeError:
                continue
            text, position = text + character, position + size
            break
        else:
            text, position = text + BAD, position + 1
    return text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain\r\n\0", "plain\r\n\0"),
        ("é€😀".encode(), "é€😀"),
        (b"\xff", BAD),
        (b"a\xffb\xfe\xfdc", f"a{BAD}b{BAD}{BAD}c"),
        (b"\xe2\x82A", f"{BAD}{BAD}A"),  # a character cut short: two bad bytes, not one
        (b"\xf0\x9f\x98", BAD * 3),
        (b"\xc0\xaf", BAD * 2),  # overlong
        (b"\xed\xa0\x80", BAD * 3),  # a surrogate
        (b"\xf4\x90\x80\x80", BAD * 4),  # above U+10FFFF
        (b"\xef\xbb\xbfx", "\ufeffx"),  # a byte order mark is data
    ],
)
def test_decode_output(data: bytes, text: str) -> None:
    assert decode_output(data) == text
    assert decode_output(bytearray(data)) == text
    assert decode_output(memoryview(data)) == text


@FAST
@given(st.one_of(st.binary(max_size=40), TRICKY))
def test_decode_output_follows_the_rule_for_all_bytes(data: bytes) -> None:
    text = decode_output(data)
    assert text == slow_decode(data)
    text.encode()  # there is no half of a surrogate pair in it


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"", 0),
        (b"abc", 3),
        ("é".encode(), 2),
        ("é".encode()[:1], 0),
        (b"ab\xe2", 2),
        (b"ab\xe2\x82", 2),
        (b"ab\xe2\x82\xac", 5),
        (b"ab\xf0\x9f\x98", 2),
        (b"ab\xf0\x9f\x98\x80", 6),
        (b"\xff", 1),  # nothing can complete these
        (b"\xc0", 1),
        (b"\xf5", 1),
        (b"\xe0\x80", 2),
        (b"\xed\xa0", 2),
        (b"\xf4\x90", 2),
        (b"\xf0\x8f\xbf", 3),
        (b"\x80\x80\x80", 3),
        (b"\xe2\x82\xac\x82", 4),
        (b"\xe0\xa0", 0),  # these may still become something
        (b"\xed\x9f", 0),
        (b"\xf0\x90\x80", 0),
        (b"\xf4\x8f", 0),
    ],
)
def test_complete_prefix(data: bytes, length: int) -> None:
    assert complete_prefix(data, len(data)) == length
    assert complete_prefix(memoryview(data + b"\x80more"), len(data)) == length
    assert complete_prefix(bytearray(data), len(data)) == length


@FAST
@given(st.one_of(st.binary(max_size=20), TRICKY), st.integers(0))
def test_cutting_at_a_complete_prefix_changes_nothing(data: bytes, place: int) -> None:
    end = place % (len(data) + 1)
    length = complete_prefix(data, end)
    assert end - 3 <= length <= end
    assert decode_output(data[:length]) + decode_output(data[length:]) == decode_output(data)


@FAST
@given(st.text(max_size=20), st.integers(0))
def test_no_more_is_held_back_than_needed(text: str, place: int) -> None:
    data = text.encode()
    end = place % (len(data) + 1)
    assert data[: complete_prefix(data, end)].decode() == data[:end].decode(errors="ignore")


@pytest.mark.parametrize(
    ("payload", "repaired"),
    [
        (b'{"a":"b"}', b'{"a":"b"}'),
        (b'"\\ud83d\\ude00"', b'"\\ud83d\\ude00"'),
        (b'"\\uD83D\\uDE00"', b'"\\uD83D\\uDE00"'),
        (b'"\\ud800"', b'"\\ufffd"'),
        (b'"\\uDBFFx"', b'"\\ufffdx"'),
        (b'"\\udc00"', b'"\\ufffd"'),
        (b'"\\ude00\\ud83d"', b'"\\ufffd\\ufffd"'),
        (b'"\\udc00\\udc01"', b'"\\ufffd\\ufffd"'),
        (b'"\\ud800\\ud83d\\ude00"', b'"\\ufffd\\ud83d\\ude00"'),
        (b'"\\ud83d\\ude00\\ude00"', b'"\\ud83d\\ude00\\ufffd"'),
        (b'"\\\\ud800"', b'"\\\\ud800"'),  # a backslash and plain text
        (b'"\\\\\\ud800"', b'"\\\\\\ufffd"'),
        (b'"\\\\ud83d\\ude00"', b'"\\\\ud83d\\ufffd"'),
        (b'"\\n\\ud800\\n"', b'"\\n\\ufffd\\n"'),
        (b'"\\ud80"', b'"\\ud80"'),  # not JSON before, not JSON after
        (b'"\\u1234\xff"', '"\\u1234\ufffd"'.encode()),
        (b"12345678901234567890.10e400", b"12345678901234567890.10e400"),
    ],
)
def test_repair_json(payload: bytes, repaired: bytes) -> None:
    assert repair_json(payload) == repaired
    assert repair_json(memoryview(payload)) == repaired


PIECES = ["\\", "\\\\", "u", "d", "\\ud800", "\\uDBFF", "\\udc00", "\\uDFFF", "ud83d", "\\u0041", "x", '\\"', "é"]


@FAST
@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
def test_a_repaired_string_is_what_the_standard_library_reads_with_halves_replaced(text: str) -> None:
    payload = f'"{text}"'.encode()
    repaired = repair_json(payload)
    assert repair_json(repaired) == repaired
    try:
        value: str = json.loads(payload)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            json.loads(repaired)
        return
    assert json.loads(repaired) == "".join(BAD if "\ud800" <= char <= "\udfff" else char for char in value)


def test_repair_takes_linear_time_for_runs_of_backslashes() -> None:
    # Quadratic time would be hours for this, and the test's time limit would end it.
    payload = b'"' + b"\\" * 4_000_001
    assert repair_json(payload) == payload


def test_large_binary_output_is_decoded_whole() -> None:
    data = random.Random(1).randbytes(1 << 18)
    text = decode_output(data)
    assert text.encode().replace(BAD.encode(), b"") == data.decode(errors="ignore").encode()
