"""A conversation put together from pieces, wherever they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.cli.reading import Reading
from cowork.holder.spool import STDERR, STDOUT
from tests.support import stream as s

LINES = (s.init(), s.said("hel\nlo"), s.uses("Bash", command="touch ä"), s.gave(), b"no JSON", b"", s.result("hel\nlo"))
SAID = b"".join(line + b"\n" for line in LINES)


def read(*pieces: tuple[int, bytes]) -> str:
    reading = Reading(color=False)
    return "".join(reading.feed(stream, data) for stream, data in pieces) + reading.rest()


def test_stdout_is_shown_by_lines_and_stderr_at_once() -> None:
    reading = Reading(color=False)
    assert reading.feed(STDOUT, s.said("hello")[:20]) == ""
    assert reading.feed(STDERR, b"warn") == "warn"
    assert reading.feed(STDOUT, s.said("hello")[20:]) == "", "the line has no end yet"
    assert "hello" in reading.feed(STDOUT, b"\n")


@st.composite
def chunks(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """What both streams print, in any pieces: stdout the same lines in each case."""
    cuts = sorted(draw(st.lists(st.integers(0, len(SAID)), max_size=8)))
    pieces = [(STDOUT, SAID[a:b]) for a, b in zip([0, *cuts], [*cuts, len(SAID)], strict=True)]
    words = draw(st.text("wä\n", max_size=20)).encode()
    for at in sorted(draw(st.lists(st.integers(0, len(words)), max_size=4))):
        pieces.append((STDERR, words[:at]))
        words = words[at:]
    return [*pieces, (STDERR, words)]


@given(chunks())
def test_in_any_pieces_it_reads_as_at_once(pieces: list[tuple[int, bytes]]) -> None:
    whole = [(stream, b"".join(data for one, data in pieces if one == stream)) for stream in (STDOUT, STDERR)]
    assert read(*pieces) == read(*whole)


def test_a_line_whose_beginning_is_gone_is_not_shown() -> None:
    begun = Reading(color=False, midline=True)
    assert begun.feed(STDOUT, b'ent":"half"}\nwhole\n') == "whole\n"
    one = Reading(color=False)
    one.feed(STDOUT, b'{"type":"ass')
    one.gap()
    assert one.feed(STDOUT, b'half"}') == ""
    assert one.feed(STDOUT, b"}\nwhole\n") == "whole\n"


def test_a_line_that_will_have_no_end_is_shown_once() -> None:
    reading = Reading(color=False)
    assert reading.feed(STDOUT, b"whole\nSegmentation fau") == "whole\n"
    assert reading.rest() == "Segmentation fau\n"
    assert reading.rest() == ""
    cut = Reading(color=False, midline=True)
    assert cut.feed(STDOUT, b"half") == cut.rest() == ""


def test_it_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def longest() -> int:
        shown = read((STDOUT, s.uses("Bash", command="x" * 500) + b"\n"))
        return max(map(len, shown.splitlines()))

    monkeypatch.setenv("COLUMNS", "60")
    assert longest() == 60
    monkeypatch.setenv("COLUMNS", "140")
    assert longest() == 140


def test_colours_are_there_when_asked_for() -> None:
    shown = Reading(color=True).feed(STDOUT, s.uses("Bash", command="x") + b"\n")
    assert "\x1b[" in shown
