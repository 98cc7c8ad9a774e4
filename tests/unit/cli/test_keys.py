"""The detach keys: how they are written, and how they are found among all that is typed."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.cli.keys import DEFAULT, Detector, Key, parse
from cowork.errors import ConfigError

BACKSLASH = Key(ord("\\"), ctrl=True)
D = Key(ord("d"))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (DEFAULT, (BACKSLASH, D)),
        ("ctrl-p,ctrl-q", (Key(ord("p"), ctrl=True), Key(ord("q"), ctrl=True))),
        ("C-a d", (Key(ord("a"), ctrl=True), D)), ("c-A d", (Key(ord("a"), ctrl=True), D)),
        ("CTRL-A , D", (Key(ord("a"), ctrl=True), Key(ord("D")))),
        ("^] .", (Key(ord("]"), ctrl=True), Key(ord(".")))),
        ("^^ ^ ^_ ^@", (Key(94, ctrl=True), Key(94), Key(95, ctrl=True), Key(64, ctrl=True))),
        ("~ - C c", (Key(126), Key(45), Key(67), Key(99))),
        ("  q\t", (Key(ord("q")),)),
    ],
)  # fmt: skip
def test_how_keys_are_written(text: str, keys: tuple[Key, ...]) -> None:
    assert parse(text) == keys


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has 0 keys"), (" , ", "has 0 keys"), ("a b c d e", "has 5 keys"), ("f12", "'f12' .* is no key"),
        ("ctrl-", "is no key"), ("ctrl-1", "is no key"), ("ctrl-`", "is no key"), ("ctrl-ab", "is no key"),
        ("alt-a", "is no key"), ("ctrl-a é", "'é' .* is no key"), ("ctrl-\N{KELVIN SIGN}", "is no key"),
        ("\0", "is no key"), ("ctrl-[ d", "is Esc"), ("^[", "is Esc"),
    ],
)  # fmt: skip
def test_what_is_no_sequence_of_keys(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        parse(text)
    assert caught.value.hint


def test_keys_are_shown_as_they_are_written() -> None:
    assert " ".join(map(str, parse(DEFAULT))) == DEFAULT


CTRL_BACKSLASH = [
    b"\x1c", b"\x1b[92;5u", b"\x1b[92;5:1u", b"\x1b[92;5:2u", b"\x1b[92:124;5u", b"\x1b[92:124:92;5:1u",
    b"\x1b[92::92;5u", b"\x1b[92;69u", b"\x1b[92;133u", b"\x1b[92;197:1u", b"\x1b[27;5;92~", b"\x1b[27;69;92~",
]  # fmt: skip
PLAIN_D = [
    b"d", b"\x1b[100u", b"\x1b[100;1u", b"\x1b[100;;100u", b"\x1b[100;1:1;100u", b"\x1b[100:68;129u",
    b"\x1b[27;1;100~",
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), list(product(CTRL_BACKSLASH, PLAIN_D)))
def test_every_form_of_every_key_in_any_chunks(first: bytes, second: bytes) -> None:
    typed = first + second
    assert Detector((BACKSLASH, D)).feed(b"x" + typed + b"y") == (b"x", True)
    for cut in range(1, len(typed)):
        detector = Detector((BACKSLASH, D))
        early, detached = detector.feed(typed[:cut])
        # An Esc is passed on at once, and before it what was held.
        assert (early, detached) == (typed[:cut] if typed[:cut].endswith(b"\x1b") else b"", False)
        assert detector.feed(typed[cut:]) == (b"", True)
    detector = Detector((BACKSLASH, D))
    assert [detector.feed(typed[at : at + 1])[1] for at in range(len(typed))] == [False] * (len(typed) - 1) + [True]


@pytest.mark.parametrize(
    ("keys", "typed"),
    [
        ("^^", b"\x1e"), ("^^", b"\x1b[94;5u"), ("^^", b"\x1b[54:94;6u"), ("^^", b"\x1b[54;6u"),
        ("^^", b"\x1b[27;6;94~"), ("^_", b"\x1b[45;6u"), ("^_", b"\x1b[95;6u"), ("^@", b"\0"), ("^@", b"\x1b[50;6u"),
        ("D", b"D"), ("D", b"\x1b[100;2u"), ("D", b"\x1b[100:68;2u"), ("D", b"\x1b[68u"), (":", b"\x1b[46:58;2u"),
        (":", b"\x1b[59;2u"), ("a", b"\x1b[97;65u"), ("a a", b"aa"), ("a a b", b"aaab"), ("a b a c", b"aba\x1b[97ubac"),
        ("a b d", b"abab\x1b[100u"), ("^P ^Q", b"\x10\x1b[113;5u"), ("^A d", b"\x01\x01\x01d"),
    ],
)  # fmt: skip
def test_other_sequences(keys: str, typed: bytes) -> None:
    assert Detector(parse(keys)).feed(typed)[1]
    detector = Detector(parse(keys))
    assert [detector.feed(bytes([byte]))[1] for byte in typed][-1]


@pytest.mark.parametrize(
    "typed",
    [
        b"\x1b[92;1u", b"\x1b[92;6u", b"\x1b[92;7u", b"\x1b[92;13u", b"\x1b[124;5u", b"\x1b[9;5u",
        b"\x1b[27;6;92~", b"\x1b[27;5;92u", b"\x1b[92;5~", b"\x1b[92;5v", b"\x1b[92;5 u", b"\x1b[?92;5u", b"\x1b[1;5A",
        b"\x1b[99999999;5u", b"\x1b[92;5555u", b"\x1b[92;5:9u", b"\x1b[;5u", b"\x1b[u", b"\x1b[9\x1892;5u", b"\x1bO\\",
    ],
)  # fmt: skip
def test_other_keys_are_passed_on_and_end_the_sequence(typed: bytes) -> None:
    assert Detector((BACKSLASH, D)).feed(typed + b"d") == (typed + b"d", False)
    assert Detector((BACKSLASH, D, D)).feed(b"\x1cd" + typed + b"d") == (b"\x1cd" + typed + b"d", False)


def test_a_prefix_is_held_back_until_it_is_known() -> None:
    detector = Detector(parse("^P ^Q x"))
    assert detector.feed(b"ab\x10") == (b"ab", False)
    assert detector.feed(b"\x11") == (b"", False)
    assert detector.feed(b"") == (b"", False)
    assert detector.feed(b"y") == (b"\x10\x11y", False)
    assert detector.feed(b"\x10\x11\x10") == (b"\x10\x11", False)
    assert detector.feed(b"\x11x and more") == (b"", True)


def test_the_first_key_typed_twice_is_passed_on_once() -> None:
    detector = Detector((BACKSLASH, D))
    assert detector.feed(b"\x1c") == (b"", False)
    assert detector.feed(b"\x1c") == (b"\x1c", False)
    assert detector.feed(b"d\x1c\x1c\x1c") == (b"d\x1c", False)
    assert detector.feed(b"d") == (b"", True)


def test_releases_do_not_interrupt_and_are_held_with_their_key() -> None:
    press, release, ctrl_up = b"\x1b[92;5u", b"\x1b[92;1:3u", b"\x1b[57442;1:3u"
    detector = Detector((BACKSLASH, D))
    assert detector.feed(press + ctrl_up + release) == (b"", False)
    assert detector.feed(b"x") == (press + ctrl_up + release + b"x", False)
    assert detector.feed(release) == (release, False)
    assert detector.feed(press + release) == (b"", False)
    # Of two presses and two releases one of each is passed on.
    assert detector.feed(press) == (press + release, False)
    assert detector.feed(release + release) == (release, False)
    assert detector.feed(press + b"\x1b[92;5:2u" + release + b"\x1b[100u") == (b"", True)


@pytest.mark.parametrize("other", [b"\x1b[<35;10;20M", b"\x1b[<0;1;1m", b"\x1b[I", b"\x1b[O", b"\x1b[57442;5u"])
def test_what_is_no_key_does_not_interrupt(other: bytes) -> None:
    assert Detector((BACKSLASH, D)).feed(other + b"\x1c" + other + b"d") == (other, True)
    assert Detector((BACKSLASH, D)).feed(b"\x1c" + other + b"x") == (b"\x1c" + other + b"x", False)


def test_escape_is_never_held_back() -> None:
    detector = Detector((BACKSLASH, D))
    assert detector.feed(b"\x1b") == (b"\x1b", False)
    assert detector.feed(b"\x1c") == (b"", False)
    assert detector.feed(b"\x1b") == (b"\x1c\x1b", False)
    assert detector.feed(b"d") == (b"d", False)
    # What follows an Esc that was passed on is not held back either, and is recognised all the same.
    assert [detector.feed(part)[0] for part in (b"\x1b", b"[", b"9", b"2;5")] == [b"\x1b", b"[", b"9", b"2;5"]
    assert detector.feed(b"ud") == (b"", True)


@pytest.mark.parametrize(
    "cut", [b"\x1b[1", b"\x1b[93", b"\x1b[92;5 ", b"\x1b[92;5u\x1b[99", b"\x1b[?", b"\x1b[92;5u\x1b[1;"]
)
def test_a_sequence_that_is_no_key_of_ours_is_not_held_back(cut: bytes) -> None:
    assert Detector((BACKSLASH, D)).feed(cut) == (cut, False)


def test_nothing_is_found_in_a_paste() -> None:
    pasted = b"\x1b[200~\x1cd \x1b[92;5ud \x1b[201 \x1b[200~\x1b\x1b[201~"
    assert Detector((BACKSLASH, D)).feed(b"\x1c" + pasted + b"d\x1cd") == (b"\x1c" + pasted + b"d", True)
    for size in (1, 2, 3, 5):
        detector = Detector((BACKSLASH, D))
        out = b"".join(detector.feed(pasted[at : at + size])[0] for at in range(0, len(pasted), size))
        assert out == pasted
        assert detector.feed(b"\x1cd") == (b"", True)


NOISE = [
    b"x", b"\r", b"\x7f", "é".encode(), b"\x1b", b"\x1b[A", b"\x1b[1;5C", b"\x1bOP", b"\x1b[200~\x1cd\x1b[201~",
    b"\x1b[92;6u", b"\x1b[98u", b"\x1b[?62;c", b"hello",
]  # fmt: skip
SILENT = [b"\x1b[<35;1;1M", b"\x1b[I", b"\x1b[100;1:3u", b"\x1b[57441;1:3u"]
"""What is no key: it is passed on in its place, and the sequence goes on behind it."""
FORMS = {BACKSLASH: CTRL_BACKSLASH[:3] + CTRL_BACKSLASH[4:], D: PLAIN_D, Key(97): [b"a", b"\x1b[97u"], None: NOISE}
# One form repeats (event type 2), which does not count as another press; that has a test of its own.


@st.composite
def strokes(draw: st.DrawFn, keys: tuple[Key, ...]) -> list[tuple[Key | None, bytes]]:
    """Keys of the sequence and others, each with its bytes and maybe some that are no key behind it."""
    pressed = draw(st.lists(st.sampled_from([*keys, *keys, None]), max_size=12))
    return [
        (key, draw(st.sampled_from(FORMS[key])) + b"".join(draw(st.lists(st.sampled_from(SILENT), max_size=1))))
        for key in pressed
    ]


@pytest.mark.parametrize("keys", [(D,), (BACKSLASH, D), (D, D), (D, D, BACKSLASH), (D, BACKSLASH, D, Key(97))], ids=str)
@given(data=st.data())
def test_all_comes_out_unchanged_but_for_the_sequence(keys: tuple[Key, ...], data: st.DataObject) -> None:
    typed = data.draw(strokes(keys))
    if len(keys) > 1 and keys[0] != keys[1]:
        typed = typed[:1] + [this for before, this in pairwise(typed) if (before[0], this[0]) != (keys[0], keys[0])]
    pressed = [key for key, _ in typed]
    places = [at for at in range(len(pressed)) if tuple(pressed[at : at + len(keys)]) == keys]
    stream = b"".join(form for _, form in typed) + b"z"
    expected = b"".join(form for _, form in typed[: places[0]]) if places else stream

    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    detector, out, detached = Detector(keys), b"", False
    for start, end in pairwise([0, *cuts, len(stream)]):
        passed, detached = detector.feed(stream[start:end])
        out += passed
        if detached:
            break
    assert detached is bool(places)
    # Of keys that are held back what had gone already cannot be taken back: no more than an Esc and what led to it.
    assert out == expected or (detached and out.startswith(expected) and stream.startswith(out) and b"\x1b" in out)


@given(st.lists(st.binary(max_size=4) | st.sampled_from([*NOISE, *SILENT, *PLAIN_D, b"\x1b[", b"\x1c", b"\x1b[201~"])))
def test_no_bytes_are_ever_lost_or_raise(chunks: list[bytes]) -> None:
    detector = Detector((D, D, D, BACKSLASH))
    out = b""
    for at, chunk in enumerate(chunks):
        passed, detached = detector.feed(chunk)
        out += passed
        assert b"".join(chunks[: at + 1]).startswith(out)
        if detached:
            return
    assert out + detector.feed(b"zz\x1b[201~zz")[0] == b"".join(chunks) + b"zz\x1b[201~zz"
