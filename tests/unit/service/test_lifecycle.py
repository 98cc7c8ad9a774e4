"""The daemon's diary and its turning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cowork.service import lifecycle


def test_lines_are_dated_and_added(tmp_path: Path) -> None:
    path = tmp_path / "lifecycle.log"
    lifecycle.open_log(path)("startup pid=1")
    lifecycle.open_log(path)("exit code=0")
    lines = path.read_text().splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["startup pid=1", "exit code=0"]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
    assert path.stat().st_mode & 0o077 == 0


def test_an_overlong_one_is_set_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "LIMIT", 100)
    path = tmp_path / "lifecycle.log"
    older = tmp_path / "lifecycle.log.1"
    older.write_text("oldest")
    path.write_text("x" * 100)
    lifecycle.open_log(path)("a")
    assert older.read_text() == "oldest", "not longer than the limit"
    lifecycle.open_log(path)("b")
    assert older.read_text().startswith("x" * 100)
    assert path.read_text().endswith(" b\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lifecycle.log", "lifecycle.log.1"]


def test_a_folder_that_takes_nothing_is_no_reason_to_end(tmp_path: Path) -> None:
    lifecycle.open_log(tmp_path / "missing" / "lifecycle.log")("nobody hears this")
    assert list(tmp_path.iterdir()) == []
