"""What is replayed to a terminal, against an independent terminal (pyte) and an independent parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.cli.screen import Modes, replay

PLAIN = b"\x1b[?6l\x1b(B\x1b)B\x0f\x1b[m"
COLUMNS, LINES = 24, 8
CLEARED = b"\x1b[m\x1b[H\x1b[2J"


def modes_of(*chunks: bytes) -> Modes:
    modes = Modes()
    for chunk in chunks:
        modes.feed(chunk)
    return modes


def escapes(words: str) -> list[bytes]:
    """Sequences, one a word; ``~`` stands for the end of a string."""
    return [b"\x1b" + word.encode().replace(b"~", b"\x1b\\") for word in words.split()]


# --- the modes ---


@pytest.mark.parametrize(
    ("output", "restored"),
    [
        (b"text\r\n\x1b[1;31m\x1b[5;5H\x1b[m\x1b[2J", b""),
        (b"\x1b[?1;25;2004h\x1b[?25l", b"\x1b[?1h\x1b[?2004h\x1b[?25l"),
        (b"\x1b[?25l\x1b[?7l\x1b[?25h", b"\x1b[?7l"),
        (b"\x1b[?1003h\x1b[?1000h\x1b[?1006h\x1b[?1003h", b"\x1b[?1000h\x1b[?1006h\x1b[?1003h"),
        (b"\x1b[?12h\x1b[?1004h\x1b[?1016h", b"\x1b[?12h\x1b[?1004h\x1b[?1016h"),
        (b"\x1b[?2026h", b""), (b"\x1b[?9999h\x1b[99h", b""),
        (b"\x1b[?1049h", b"\x1b[?1049h"), (b"\x1b[?47h", b"\x1b[?1049h"), (b"\x1b[?1047h\x1b[?1047l", b""),
        (b"\x1b=", b"\x1b="), (b"\x1b=\x1b>", b""), (b"\x1b[?66h", b"\x1b="),
        (b"\x1b[4h\x1b[20h\x1b[4l", b"\x1b[20h"),
        (b"\x1b[3;9r", b"\x1b[3;9r"), (b"\x1b[;9r", b"\x1b[1;9r"), (b"\x1b[3r", b"\x1b[3r"),
        (b"\x1b[3;9r\x1b[r", b""), (b"\x1b[3;9r\x1b[9;3r", b"\x1b[3;9r"), (b"\x1b[2;5r\x1b[?6h", b"\x1b[2;5r\x1b[?6h"),
        (b"\x1b[>1u\x1b[>5u", b"\x1b[>1u\x1b[>5u"), (b"\x1b[>1u\x1b[>5u\x1b[<u", b"\x1b[>1u"),
        (b"\x1b[>1u\x1b[<9u", b""), (b"\x1b[>1u\x1b[=4;2u\x1b[=1;3u", b"\x1b[>4u"), (b"\x1b[=5u", b"\x1b[=5;1u"),
        (b"\x1b[>u", b"\x1b[>0u"),
        (b"\x1b[>1u\x1b[?1049h\x1b[>2u", b"\x1b[>1u\x1b[?1049h\x1b[>2u"),
        (b"\x1b[>1u\x1b[?1049h\x1b[>2u\x1b[?1049l", b"\x1b[>1u"),
        (b"\x1b[>4;2m", b"\x1b[>4;2m"), (b"\x1b[>4;2m\x1b[>4m", b""), (b"\x1b[>4;1m\x1b[>4n", b""),
        (b"\x1b[>1;2m", b""), (b"\x1b(0", b"\x1b(0"), (b"\x1b(0\x1b(B", b""), (b"\x1b)0\x0e", b"\x1b)0\x0e"),
        (b"\x0e\x0f", b""),
        (b"\x1b]0;one\x07\x1b]2;two \xe2\x9c\xb3\x1b\\", b"\x1b]2;two \xe2\x9c\xb3\x1b\\"),
        (b"\x1b]1;icon\x07\x1b]8;;x\x07\x1b]2;broken\x18off", b""), (b"\x1b]2;broken\x1b[moff\x07", b""),
        (b"\x1b]2;a\x0e\x07\x1bP\x0e\x1b\\", b"\x1b]2;a\x0e\x1b\\"),
        (b"\x1b[4 q", b"\x1b[4 q"), (b"\x1b[4 q\x1b[0 q", b""),
        (b"\x1b[1;4:3;38;5;12;48:2::1:2:3;58;2;9;8;7m", b"\x1b[1;4:3;38;5;12;48:2::1:2:3;58;2;9;8;7m"),
        (b"\x1b[1;2;31;42m\x1b[22;97m", b"\x1b[97;42m"), (b"\x1b[1m\x1b[0;3m\x1b[23;7m", b"\x1b[7m"),
        (b"\x1b[4m\x1b[21m\x1b[5;6;8;9;53m\x1b[28;29;55m", b"\x1b[21;6m"), (b"\x1b[31;38mx", b"\x1b[31m"),
        # What is saved with the cursor.
        (b"\x1b7\x1b[31m\x1b(0\x1b[?6h\x1b8", b""), (b"\x1b[31m\x1b8", b""), (b"\x1b[?1048h\x1b[7m\x1b[?1048l", b""),
        (b"\x1b[31m\x1b[s\x1b[m\x1b[u\x1b[1m", b"\x1b[31m\x1b7" + PLAIN + b"\x1b[31;1m"),
        (b"\x1b[7m\x1b[?1049h\x1b[m\x1b(0\x1b7\x1b(B\x1b[2m\x1b[?1049l\x1b[27m", b"\x1b[7m\x1b7" + PLAIN),
        (b"\x1b[7m\x1b[?1049h\x1b[27m", b"\x1b[7m\x1b[?1049h" + PLAIN),
        (b"\x1b[?1049h\x1b(0\x1b7\x1b[2m", b"\x1b[?1049h\x1b(0\x1b7" + PLAIN + b"\x1b(0\x1b[2m"),
        (b"\x1b[?1049h\x1b[?1h\x1b=\x1b[3;4r\x1b[>1u\x1b(0\x0e\x1b]2;t\x07\x1b[2 q\x1b[7m\x1b[4h\x1bc", b""),
        (b"\x1b[?1049h\x1b[?25l\x1b[3;4r\x1b[>4;1m\x1b]2;t\x07\x1b[7m\x1b[!p", b"\x1b[?1049h\x1b]2;t\x1b\\"),
        (b"\xc2\x9b?25l\xc2\x9d2;t\xc2\x9c", b"\x1b[?25l\x1b]2;t\x1b\\"),
        (b"\x1b[?25\x18l\x1b[?\x1b[?7l", b"\x1b[?7l"), (b"\x1b[?1?25l\x1b[25?l\x1b[ ?25l\x1b[?25 l\x1b[<>u", b""),
        (b"\x1b[?%sh" % (b"9" * 3000), b""), (b"\x1b[%sm" % (b"9" * 5000), b""), (b"\x1b[%s1h" % (b";" * 9000), b""),
    ],
)  # fmt: skip
def test_modes_that_last(output: bytes, restored: bytes) -> None:
    assert modes_of(output).restore() == restored
    assert modes_of(*(bytes([byte]) for byte in output)).restore() == restored


def test_a_title_that_is_too_long_is_none() -> None:
    fits, long = b"\x1b]2;%s\x07" % (b"t" * 4000), b"\x1b]2;%s\x07" % (b"t" * 100_000)
    assert modes_of(fits, long) == modes_of(fits + long) == modes_of(fits)
    in_parts = modes_of(*(long[at : at + 1000] for at in range(0, len(long), 1000)))
    assert in_parts == modes_of()
    in_parts.feed(b"\x1b[?25l")
    assert in_parts.restore() == b"\x1b[?25l"


def switches(*modes: int) -> list[bytes]:
    return [b"\x1b[?%d%c" % (mode, final) for mode in modes for final in b"hl"]


LASTING = st.sampled_from(
    [
        *switches(1, 6, 7, 12, 25, 47, 66, 1000, 1003, 1004, 1006, 1047, 1048, 1049, 2004, 2026, 2048),
        *escapes("[>0u [>1u [>5u [<u [<2u [=3u [=4;2u [>4;2m [>4m [4h [4l = > (0 (B )0 7 8 [s [u [2;5r [r c [!p"),
        *escapes("[31m [1;48;5;3m [m [0m [39;22m [38;2;1;2;3m [7m ]0;title\x07 ]2;✳~"),
        b"\x1b[3 q", b"\x0e", b"\x0f",
    ]
)  # fmt: skip
BROKEN = st.sampled_from(
    [b"\x1b", b"\x1b[", b"\x1b[?", b"\x1b]", b"\x1b]2;x", b"\x1bP", b"\x1b\\", b"\x18", b"\x07", b"1", b";", b"h", b"m"]
) | st.binary(max_size=3)
TEXT = st.sampled_from([b"word ", b"\r\n", "né→✳😀".encode(), b"\xc2\x9b", b"\x1b[5;5H"])


@given(st.lists(LASTING | BROKEN | TEXT, max_size=30), st.data())
def test_modes_do_not_depend_on_where_output_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    output = b"".join(pieces)
    cuts = data.draw(st.sets(st.integers(0, len(output))))
    chunks = [output[start:end] for start, end in pairwise([0, *sorted(cuts), len(output)])]
    assert modes_of(*chunks) == modes_of(output)


@given(st.lists(LASTING | TEXT, max_size=20))
def test_modes_can_be_restored_and_undone(pieces: list[bytes]) -> None:
    modes = modes_of(*pieces)
    again = modes_of(modes.restore())
    assert again.restore() == modes.restore()
    again.feed(modes.undo())
    title = re.search(rb"\x1b\]2;.*?\x1b\\", modes.restore())
    assert again.restore() == (title[0] if title else b"")


def test_what_is_undone() -> None:
    assert modes_of().undo() == (
        b"\x1b[?2026l\x1b(B\x0f\x1b[m\x1b7\x1b[r\x1b8\x1b[?1l\x1b[?5l\x1b[?7h\x1b[?9l\x1b[?25h\x1b[?1000l\x1b[?1002l"
        b"\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2004l\x1b[?2031l\x1b[?2048l\x1b[4l"
        b"\x1b[20l\x1b>"
    )
    for output, undone in [
        (b"\x1b[?12h", b"\x1b[?12l"), (b"\x1b[3 q", b"\x1b[0 q"), (b"\x1b[>4;2m", b"\x1b[>4m"), (b"\x1b)0", b"\x1b)B"),
        (b"\x1b[>1u\x1b[>3u", b"\x1b[<2u"), (b"\x1b[=3u", b"\x1b[=0;1u"),
        (b"\x1b[?6h", b"\x1b[?6l\x1b[r\x1b[999H\x1b7"),
        (b"\x1b[>1u\x1b[?1049h\x1b[>3u\x1b[>3u", b"\x1b[<2u\x1b[?1049l\x1b[<1u\x1b(B"),
        (b"\x1b]52;c;cut o", b"\x18\x1b\\\x1b[?2026l"),
    ]:  # fmt: skip
        assert undone not in modes_of().undo()
        assert undone in modes_of(output).undo()


# --- the replay, on a terminal ---


class Terminal(pyte.Screen):
    """Erases in the colour at hand and the whole of a line, as terminals do and pyte does not."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        super().__init__(COLUMNS, LINES)

    def reset(self) -> None:
        super().reset()
        self.erase_in_display(2)

    def erase_in_display(self, how: int = 0, *_: Any, **__: Any) -> None:
        for y in {0: range(self.cursor.y + 1, LINES), 1: range(self.cursor.y)}.get(how, range(LINES)):
            self.buffer[y].clear()
            self.buffer[y].update(dict.fromkeys(range(COLUMNS), self.cursor.attrs))
        if how < 2:
            self.erase_in_line(how)

    def write_process_input(self, data: str) -> None:
        self.answers.append(data)


def show(output: bytes) -> Terminal:
    terminal = Terminal()
    pyte.ByteStream(terminal).feed(output)
    return terminal


def state(terminal: Terminal) -> dict[str, Any]:
    """All that can be seen and all that lasts, but for synchronised updates."""
    return {
        "cells": [[terminal.buffer[y][x] for x in range(COLUMNS)] for y in range(LINES)],
        "cursor": (terminal.cursor.x, terminal.cursor.y, terminal.cursor.attrs, terminal.cursor.hidden),
        "mode": terminal.mode - {2026 << 5},
        "margins": terminal.margins,
        "title": terminal.title,
    }


SMALL = st.integers(1, 12)
WRITTEN = (
    st.text("abc xyz", min_size=1, max_size=30).map(str.encode)
    | st.sampled_from(["日本語", "é", "e\u0301", "│─┼", "😀"]).map(str.encode)
    | st.sampled_from([b"\r", b"\n", b"\r\n", b"\t", b"\b", b"\x1bD", b"\x1bM", b"\x1bE"])
)
MOVED = (
    st.builds(lambda n, final: b"\x1b[%d%c" % (n, final), SMALL, st.sampled_from(list(b"ABCDEFGd@PLMX")))
    | st.builds(lambda y, x: b"\x1b[%d;%dH" % (y, x), SMALL, SMALL)
    | st.sampled_from([b"\x1b[J", b"\x1b[1J", b"\x1b[K", b"\x1b[1K", b"\x1b[2K", b"\x1b[H", b"\x1b[2J"])
)
COLOURED = st.sampled_from(
    escapes("[m [0m [1;31m [38;5;200m [48;2;1;2;3m [7m [22;27m [39m [49m [0;3;4;9m [44m [23;24;29m")
)
SET = st.sampled_from(
    [
        *switches(1, 7, 25, 1004, 1006, 2004, 2026),
        *escapes("[4h [4l [20h [20l [?25;7;2026h = > [>1u ]0;title\x07 [2;5r [3;8r [?6l"),
        # pyte needs a region for origin mode, and a region is set back only without it.
        b"\x1b[2;6r\x1b[?6h", b"\x1b[?6l\x1b[r", b"\x1b[2 q",
    ]
)  # fmt: skip
ASKED = st.sampled_from(
    [
        *escapes("[c [0c [>c [>q [5n [6n [?u [?25$p [14t Z ]11;?\x07 ]10;?~ ]52;c;aGk=~ ]9;done\x07"),
        b"\xc2\x9bc", b"\x07",
    ]
)  # fmt: skip
ANY = WRITTEN | MOVED | COLOURED | SET | ASKED
SAVED = st.builds(lambda inner: b"\x1b7%b\x1b8" % b"".join(inner), st.lists(WRITTEN | MOVED | COLOURED, max_size=5))
CLEARS = st.sampled_from(
    [b"\x1b[H\x1b[2J", b"\x1b[2J\x1b[H", b"\x1b[1;1H\x1b[2J\x1b[3J", b"\x1b[2J\x1b[3J\x1b[H", b"\x1b[3J\x1b[;f\x1b[2J"]
)


def program(*more: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.one_of(ANY, *more), max_size=40).map(b"".join)


@given(program(SAVED, CLEARS, st.just(b"\x1bc")))
def test_a_complete_replay_shows_the_same_and_is_not_answered(output: bytes) -> None:
    shown = show(replay(output, None, complete=True))
    assert state(shown) == state(show(output))
    assert shown.answers == []


@given(program(SAVED, CLEARS, st.just(b"\x1bc")), st.data())
def test_live_output_goes_on_where_the_replay_ends(output: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(output)))
    shown = show(replay(output[:cut], None, complete=True) + output[cut:])
    assert state(shown) == state(show(output))


@given(program(), CLEARS | st.just(b"\x1bc"), program(SAVED, CLEARS), st.data())
def test_a_tail_shows_the_same_if_a_clear_is_in_it(
    before: bytes, clear: bytes, behind: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(before)))
    output = before + clear + behind
    modes = modes_of(output[:cut])
    shown = show(replay(output[cut:], modes, complete=False))
    assert state(shown) == state(show(output))
    assert shown.answers == []
    assert modes == modes_of(output[:cut])


@given(st.lists(WRITTEN | MOVED | COLOURED | ASKED, max_size=20).map(b"".join), program(SAVED, CLEARS), st.data())
def test_a_tail_of_which_nothing_is_known(before: bytes, behind: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(before)))
    output = before + b"\x1b[m\x1b[H\x1b[2J" + behind
    assert state(show(replay(output[cut:], None, complete=False))) == state(show(output))


# --- the replay, byte by byte ---


def replayed(output: bytes, modes: Modes | None = None, *, complete: bool = True) -> bytes:
    return replay(output, modes, complete=complete).removeprefix(CLEARED)


@pytest.mark.parametrize(
    "sequence",
    [
        # Questions.
        *escapes("[c [0c [>c [>0c [=c [?1;2c Z [5n [6n [?6n [?15n [?996n [?25$p [4$p [x [1x [>q [>0q [?u [?4m"),
        *escapes("[?1;1;0S [11t [13t [14t [14;2t [15t [16t [18t [19t [20t [21t [1;1;1;1;2;2*y [1$w [1$u [&u ['| [#R"),
        *escapes("[?9999;c [y ]4;1;?~ ]4;1;#fff;2;?~ ]5;0;?~ ]10;?~ ]11;?\x07 ]12;?~ ]17;?~ ]50;?~"),
        *escapes("]52;c;?~ ]22;?x~ ]21;foreground=?~ P$qm~ P+q544e~ _Gi=1,a=q;AAAA~ ]60~ ]1337;ReportCellSize\x07"),
        b"\x05", b"\xc2\x9a", b"\xc2\x9bc", b"\xc2\x9d11;?\xc2\x9c", b"\xc2\x90$qm\xc2\x9c",
        b"\x1b[\0c", b"\x1b[6\x7fn", b"\x1b\0[c", b"\x1b[\x05c", b"\x1b[%bc" % (b"0" * 9000),
        # Side effects, and modes that are set at the end if at all.
        *escapes("[1t [2t [3;1;1t [5t [7t [8;40;80t [10t [24t [50t [80$| [24*| [i [5i [?5i ]52;c;aGk=~ ]9;hi~"),
        *escapes("]9;4;1;50~ ]777;notify;a;b~ ]99;i=1;hi~ ]1337;File=inline=1:AAAA\x07 ^x~ Xx~ %@ %G"),
        *escapes("[?2026h [?2026l [?02026h"),
        b"\x07", b"\x1b[?2048h\x1b[?2048l", b"\x1b[?1004;2026h\x1b[?1004l",
        # Sequences that are broken off, lest they swallow what is behind a question.
        *(b"\x1b%b\x1b[c" % broken for broken in (b"", b"[1;", b"(", b"]2;title", b"P$q", b"Ptmux;\x1b")),
    ],
)  # fmt: skip
def test_what_is_left_out(sequence: bytes) -> None:
    assert replayed(b"a" + sequence + b"b") == b"ab"


@pytest.mark.parametrize(
    ("output", "sent"),
    [
        (b"a\x1b[31mb\x1b[2;3Hc\x1b[?25l\x1b[>1u\x1b[<u\x1b[=1;1u\x1b[>4;1m\x1b[>4n\x1b[!p\x1b[3 q", None),
        (b"".join(escapes("(0 )B = > 7 8 M #8 [4h [5b [1'} [1;1;2;2$z [22;0t [23;0t ]8;;http://x?y~link ]8;;~")), None),
        (b"".join(escapes("]2;what?~ ]4;1;#fff~ ]104~ ]110~"))+ b"\x0e\x0f", None),
        (b"\x1b]2;title\x07\x1b]10;red\x07", b"\x1b]2;title\x1b\\\x1b]10;red\x1b\\"),
        (b"\x1bP0;1q#0~-\x1b\\", None), (b"\x18\x1a\x08\x0b\x0c", None),
        (b"\x1b[?25;2026;7l\x1b[?2026;1004h", b"\x1b[?25;7l\x1b[?1004h"),
        (b"\x1b[?1004h\x1b[?2048h.\x1b[?1004l", b".\x1b[?2048h"),
        (b"\x1b[3\nC\x1b[6\r\nn\x1b[1\n\x18x\x1b\n\x1b[C", b"\n\x1b[3C\r\n\n\x18x\n\x1b[C"),
        (b"\xc2\x9b31m\xc2\xa0\xc2\x85", b"\x1b[31m\xc2\xa0\xc2\x85"),
        (b"\x1b[12\xc3\xa9", b"\xc3\xa9"), (b"\x1b]2;t\x1a\x1b]2;u\x1b[m", b"\x1a\x1b[m"),
        # What the end cuts off.
        (b"a\x07\x1b", b"a\x1b"), (b"a\x1b[6", b"a\x1b[6"), (b"\x1b]52;c;a\x07\x1b]52;c;a", b"\x1b]52;c;a"),
        (b"\x1bP$q\x1b", b"\x1bP$q\x1b"), (b"\x1b(", b"\x1b("), (b"\xe2\x9c", b"\xe2\x9c"), (b"\xc2", b"\xc2"),
        (b"\x1b[?1004h\xe2\x9c", b"\x1b[?1004h\xe2\x9c"), (b"\x1b[?1004h\x1b[?2026", b"\x1b[?1004h\x1b[?2026"),
        # Nothing earlier can be seen.
        (b"one\x1b[7m\x1bctwo\x1b[m", b"two\x1b[m"), (b"\x1b[?1049hone\x1bctwo", b"two"),
        (b"one\x1b[41m\x1b[2J\x1b[3J\x1b[Htwo", b"\x1b[41m\x1b[2J\x1b[3J\x1b[Htwo"),
        (b"one\x1b[H\x1b[2J\x1b[3Jtwo\x1b[2J\x1b[H", b"\x1b[H\x1b[2J\x1b[3Jtwo\x1b[2J\x1b[H"),
        # Earlier lines can be scrolled back to, or the main screen comes back.
        (b"one\x1b[H\x1b[2Jtwo", None), (b"one\x1b[3Jtwo\x1b[2J", None), (b"one\x1b[?1049h\x1b[H\x1b[2Jtwo", None),
        (b"one\x1b[?1049h\x1b[H\x1b[2J\x1b[3Jtwo", None),
    ],
)  # fmt: skip
def test_what_is_sent(output: bytes, sent: bytes | None) -> None:
    assert replayed(output) == (output if sent is None else sent)


@pytest.mark.parametrize(
    ("tail", "sent"),
    [
        (b"5;1Hx\r\ny", b"y"), (b"le\x07text\nmore", b"more"), (b"1mx\x1b[1mz", b"\x1b[1mz"), (b"itle\x1b\\z", b"z"),
        (b"\x9c\xb3\ry", b"y"), (b"nothing is sure", b""), (b"", b""), (b"x\x1b[", b"\x1b["),
    ],
)  # fmt: skip
def test_a_tail_of_which_nothing_is_known_begins_at_a_sure_place(tail: bytes, sent: bytes) -> None:
    assert replayed(tail, complete=False) == replayed(tail, Modes(), complete=False) == sent


@pytest.mark.parametrize(
    ("before", "tail", "sent"),
    [
        (b"\x1b[?25l\x1b[31m", b"x", b"\x1b[31m\x1b[?25lx"), (b"\x1b[3", b"1mx\x1b[6n", b"\x1b[31mx"),
        (b"\xe2\x9c", b"\xb3y", b"\xe2\x9c\xb3y"), (b"\x1b]2;ti", b"tle\x07y", b"\x1b]2;title\x1b\\y"),
        (b"\x1b]2;" + b"t" * 9000, b"t\x07y", b"y"), (b"\x1bPq" + b"~" * 9000, b"~\x1b\\y", b"y"),
        (b"\x1b[" + b"1" * 9000, b"my", b"y"), (b"\x1b[?1004h\x1b[?2026h", b"y", b"y\x1b[?1004h"),
        # Nothing of the main screen is in the tail, or something is.
        (b"\x1b[?1049h", b"one\x1b[2J\x1b[Htwo", b"\x1b[?1049h\x1b[2J\x1b[Htwo"),
        (b"\x1b[?1049h", b"one\x1b[2J\x1b[Htwo\x1b[?1049l3", b"\x1b[?1049h\x1b[2J\x1b[Htwo\x1b[?1049l3"),
        (b"\x1b[?47h", b"1\x1b[?47l2\x1b[?47h\x1b[2J\x1b[H3", b"\x1b[?1049h1\x1b[?47l2\x1b[?47h\x1b[2J\x1b[H3"),
        (b"\x1b[?1049h", b"1\x1bc2\x1b[?1049h\x1b[2J\x1b[H3", b"2\x1b[?1049h\x1b[2J\x1b[H3"),
    ],
)  # fmt: skip
def test_a_tail_goes_on_with_what_was_before(before: bytes, tail: bytes, sent: bytes) -> None:
    assert replayed(tail, modes_of(before), complete=False) == sent


def events(output: bytes) -> Iterator[tuple[str, bytes]]:
    """What a terminal does, byte by byte, after https://vt100.net/emu/dec_ansi_parser; strings when they are ended."""
    where, got, string = "text", b"", ("", b"")
    for byte in (output[at : at + 1] for at in range(len(output))):
        if byte == b"\x1b":
            string = (where, got) if where in STRINGS.values() else ("", b"")
            where, got = "escape", b""
        elif byte in (b"\x18", b"\x1a"):
            where = "text"
            yield "control", byte
        elif where in STRINGS.values():
            if (where, byte) == ("osc", b"\x07"):
                yield where, got
                where = "text"
            got += byte
        elif byte in (b"\0", b"\x7f"):
            string = ("", b"")
        elif byte < b" ":
            string = ("", b"")
            yield "control", byte
        elif where == "text" or byte >= b"\x80":
            where = "text"
            yield where, byte
        elif (where, got, byte) == ("escape", b"", b"\\"):
            where = "text"
            if string[0]:
                yield string
        elif (where, got) == ("escape", b"") and byte in b"[]PX^_":
            where = STRINGS.get(byte, "csi")
        else:
            got += byte
            if byte >= (b"@" if where == "csi" else b"0"):
                yield where, got
                where = "text"


STRINGS = {b"]": "osc", b"P": "dcs", b"X": "other", b"^": "other", b"_": "other"}


SENT = [*(b"%c" % final for final in b"APXZhmu"), b"?h", b">m", b">n", b">u", b"$t"]


def is_sent(kind: str, what: bytes) -> bool:
    """Whether an event is among what is sent, of those that the test below can make."""
    match kind:
        case "csi":
            return what.translate(None, b"012;") in SENT
        case "osc":
            number, sign, _ = what.partition(b";")
            title = number in (b"0", b"1", b"2") and bool(sign)
            return title or (number in (b"10", b"11", b"110", b"111") and b"?" not in what)
        case "dcs":
            return what.lstrip(b"012;").startswith(b"q")
        case "control" | "escape":
            return what not in (b"\x05", b"\x07", b"Z", b"c")
        case _:
            return kind == "text"


SIGNS = [
    *escapes("[ [ ]2; ]11; P \\"), b"\x1b", *(b"%c" % sign for sign in b"[PX_q\\(01;?>$cnmuhAtZp"),
    b"\x05", b"\x07", b"\n", b"\x18", b"\0", b"\x7f", b"\xc3\xa9",
]  # fmt: skip


@given(st.lists(st.sampled_from(SIGNS), max_size=30))
def test_all_else_is_done_in_its_order(signs: list[bytes]) -> None:
    output = b"".join(signs).replace(b"\x1bc", b"")
    expected = [(kind, what.translate(None, b"\x05\x07")) for kind, what in events(output) if is_sent(kind, what)]
    assert list(events(replayed(output))) == expected


@given(st.binary(max_size=50) | st.lists(LASTING | BROKEN | ANY, max_size=20).map(b"".join), st.booleans())
def test_nothing_raises(output: bytes, complete: bool) -> None:
    replay(output, None, complete=complete)
    replay(output, modes_of(output), complete=complete)
