"""How results look: to a program that reads them, and to a person at a terminal."""

from __future__ import annotations

import io
import re
import time

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cowork.cli import output, ps
from cowork.errors import NotFound
from tests.support.desk import Terminal

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


def plain(shown: str) -> str:
    """What is shown, without colours."""
    return ESCAPE.sub("", shown)


# -- one object, notes, errors


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.json_line({"v": 1, "text": "a\nb"})
    assert capsys.readouterr().out == '{"v":1,"text":"a\\nb"}\n'


def test_what_is_no_text_does_not_keep_json_from_being_written(capsys: pytest.CaptureFixture[str]) -> None:
    output.json_line({"v": 1, "cwd": "/t\udce4st"})
    assert capsys.readouterr().out == '{"v":1,"cwd":"/t\\ufffdst"}\n'


def test_notes_are_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("by the way")
    assert capsys.readouterr() == ("", "cowork: by the way\n")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NotFound("no session x", hint="cowork ps"), "no session x (cowork ps)"),
        (NotFound("no session x"), "no session x"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError("odd"), "odd"),
    ],
)
def test_an_error_has_its_reason_on_one_line(error: NotFound | OSError, says: str) -> None:
    assert output.reason(error) == says


@given(st.binary())
def test_stdin_is_taken_byte_for_byte(data: bytes) -> None:
    import os

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        assert os.fsencode(output.stdin()) == data


# -- tables


def test_columns_are_as_wide_as_they_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("ID", "NAME"), [("a", "first"), ("longer", "2")])
    assert capsys.readouterr().out == "ID      NAME\na       first\nlonger  2\n"


tables = st.integers(1, 5).flatmap(
    lambda count: st.lists(st.lists(words | st.just(""), min_size=count, max_size=count), min_size=1, max_size=6)
)


@given(tables)
def test_every_column_of_a_plain_table_begins_where_its_header_does(table: list[list[str]]) -> None:
    headers = [f"H{number}" for number in range(len(table[0]))]
    lines = output.plain_table(headers, table).splitlines()
    starts = [lines[0].index(header) for header in headers]
    assert len(lines) == 1 + len(table)
    for row, line in zip(table, lines[1:], strict=True):
        found = [line[at:end] for at, end in zip(starts, [*starts[1:], None], strict=True)]
        assert [cell.rstrip() for cell in found] == row
        assert all(cell.endswith("  ") for cell in found[:-1] if len(line) > starts[-1])


def test_a_terminal_gets_a_table_with_every_cell(terminal: Terminal) -> None:
    with terminal.instead_of(1):
        output.table(("ID", "NAME", "STATE"), [("a", "[bold]not markup", "blocked")])
    shown = terminal.whole()
    assert "[bold]not markup" in plain(shown)
    assert "\x1b[1;33mblocked" in shown, "the state has its colour"
    assert {"ID", "NAME", "STATE"} <= set(plain(shown).split())


def test_no_color_takes_the_colours_away(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal.instead_of(1):
        output.table(("ID", "STATE"), [("a", "failed")])
        output.hint("cowork ps")
    assert not re.search(r"\x1b\[[0-9;]*3\d", terminal.whole())


ROW = (
    "abcdefghijkl", "fix-the-failing-test", "blocked", "host", "none", "12m", "3s", "13", "$0.42", f"Bash: {'x' * 40}",
)  # fmt: skip


def drawn(row: tuple[str, ...], width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(output.rich_table(ps.HEADERS, [row], width))
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line[1:].rstrip() for line in file.getvalue().splitlines() if line.strip(" ─")]


@pytest.mark.parametrize(
    ("width", "missing"),
    [
        (200, ()),
        (100, ("BACKEND", "TURNS")),
        (80, ("BACKEND", "TURNS", "LAST", "COST", "AGE")),
        (60, ("BACKEND", "TURNS", "LAST", "COST", "AGE")),
    ],
)
def test_a_narrow_terminal_shows_fewer_columns_and_folds_none_of_the_others(
    width: int, missing: tuple[str, ...]
) -> None:  # fmt: skip
    lines = drawn(ROW, width)
    assert lines[0].split() == [header for header in ps.HEADERS if header not in missing]
    assert lines[1].startswith("abcdefghijkl ")
    assert len(lines) <= 6, "what it is about does not stand in a column of a few letters"


@given(st.integers(60, 200), st.lists(words | words.map(lambda word: word * 6), min_size=1, max_size=12).map(" ".join))
def test_no_width_cuts_off_an_id_a_state_or_what_it_is_about(width: int, what: str) -> None:
    lines = drawn((*ROW[:-1], what), width)
    assert lines[1].startswith("abcdefghijkl ")
    assert " blocked " in lines[1]
    at = lines[0].index("WHAT")
    assert "".join("".join(line[at:] for line in lines[1:]).split()) == "".join(what.split())


# -- for a person at a terminal


@pytest.mark.parametrize(
    ("environ", "has"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals_that_want_them(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], has: bool
) -> None:  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert not output.color(), "nobody looks"
    with terminal.instead_of(1):
        assert output.color() is has
        output.hint("cowork ps", "cowork logs x")
    assert plain(terminal.whole()) == "  cowork ps   cowork logs x\n"
    assert ("\x1b" in terminal.whole()) is has


def test_a_pipe_gets_no_hints(capsys: pytest.CaptureFixture[str]) -> None:
    output.hint("cowork ps")
    assert capsys.readouterr().out == ""


def test_what_takes_less_than_a_second_is_not_talked_about(terminal: Terminal) -> None:
    begun = time.monotonic()
    with terminal.instead_of(2), output.progress("looking"):
        pass
    assert time.monotonic() - begun < 1.0, "nor is it waited for"
    assert terminal.whole() == ""


def test_what_takes_longer_is_said_as_long_as_it_takes(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_SOON", 0.0)

    def look() -> None:
        with output.progress("looking"):
            first = terminal.until("looking")
            terminal.until("looking", since=first)
            raise NotFound("x")

    with terminal.instead_of(2), pytest.raises(NotFound):
        look()
    shown = terminal.whole()
    assert "\x1b[?25h" in shown, "the cursor is shown again"
    assert shown.endswith("\x1b[2K"), "the line is cleared"


def test_a_file_is_not_told_what_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.setattr(output, "_SOON", 0.0)
    monkeypatch.setattr(output, "_tell", lambda *arguments: pytest.fail("told"))
    with output.progress("looking"):
        pass
    assert capfd.readouterr() == ("", "")


# -- times and sizes


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86400 * 9, "9d"), (-100, "0s")],
)
def test_age_is_told_in_one_unit(seconds: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    assert output.age(now - seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (10_189, "10 KiB"), (20 << 20, "20 MiB"),
        ((1 << 20) - 1, "1.0 MiB"), (1 << 40, "1.0 TiB"), (5000 << 40, "5000 TiB"),
    ],
)  # fmt: skip
def test_sizes_are_in_powers_of_1024(count: int, text: str) -> None:
    assert output.size(count) == text


@given(st.integers(0, 1 << 50))
def test_a_size_is_short_and_tells_how_much_it_is(count: int) -> None:
    number, unit = output.size(count).split()
    factor = 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(unit)
    assert float(number) < 1024 or unit == "TiB" or count < 1024
    assert len(number) <= 4
    assert abs(float(number) * factor - count) <= 0.06 * count


UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@given(st.integers(0, 100_000) | st.floats(0, 100_000), st.sampled_from(sorted(UNITS)))
def test_a_duration_is_a_number_and_a_unit(number: float, unit: str) -> None:
    assert output.duration(f"{number}{unit}") == number * UNITS[unit]


@pytest.mark.parametrize("text", ["", "s", "-1", "-1h", "nan", "inf", "1e99", "soon", "1w", "1 h 5 m", "1H", "0x10"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration; such as 90, 90s, 15m"):
        output.Duration().convert(text, None, None)


@given(st.text(max_size=6))
def test_no_text_is_a_duration_that_cannot_be_waited_for(text: str) -> None:
    try:
        assert 0 <= output.duration(text) < 1e10
    except ValueError:
        pass


def test_an_option_takes_a_duration_and_its_default_is_one_already() -> None:
    kind = output.Duration()
    assert (kind.convert("2h", None, None), kind.convert(0.5, None, None)) == (7200.0, 0.5)
