"""How results look when nobody watches."""

from __future__ import annotations

import time

import pytest

from cowork.cli import output


def test_columns_are_as_wide_as_they_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("ID", "NAME"), [("a", "first"), ("longer", "2")])
    assert capsys.readouterr().out == "ID      NAME\na       first\nlonger  2\n"


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.json_line({"v": 1, "text": "a\nb"})
    assert capsys.readouterr().out == '{"v":1,"text":"a\\nb"}\n'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86400 * 9, "9d"), (-100, "0s")],
)
def test_age_is_told_in_one_unit(seconds: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    assert output.age(now - seconds) == text


def test_a_terminal_gets_a_table_with_every_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    output.table(("ID", "NAME"), [("a", "[bold]not markup")])
    shown = capsys.readouterr().out
    assert "ID" in shown
    assert "[bold]not markup" in shown
