"""The form of a log line."""

from __future__ import annotations

import io
import logging
import os
import re
import sys

import pytest

from cowork.service import logs
from cowork.service.logs import LineFormatter


def record(
    text: str, level: int = logging.INFO, name: str = "cowork.service.x", exc: object = None
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, __file__, 1, text, None, exc)  # type: ignore[arg-type]
    made.created, made.msecs = 1_770_000_000.25, 250.0
    return made


def test_a_line_has_time_level_and_place() -> None:
    assert LineFormatter(journal=False).format(record("hello")) == "2026-02-02T02:40:00.250Z info service.x hello"
    assert LineFormatter(journal=False).format(record("x", name="asyncio")).endswith("Z info asyncio x")


@pytest.mark.parametrize(("level", "number"), [(10, 7), (20, 6), (30, 4), (40, 3), (50, 2), (25, 6)])
def test_the_journal_has_its_own_time_and_gets_a_level(level: int, number: int) -> None:
    assert LineFormatter(journal=True).format(record("hello", level)) == f"<{number}>service.x hello"


def test_a_text_with_newlines_stays_one_line() -> None:
    assert "\n" not in LineFormatter(journal=False).format(record("a\nb\n"))


def test_a_traceback_follows() -> None:
    try:
        raise ZeroDivisionError("x")
    except ZeroDivisionError:
        lines = LineFormatter(journal=False).format(record("failed", exc=sys.exc_info())).split("\n")
    assert lines[0].endswith("failed")
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "ZeroDivisionError: x"


@pytest.fixture
def loggers() -> object:
    """The loggers as they were, afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("cowork")
    before = (root.handlers[:], root.level, ours.level)
    yield None
    root.handlers[:], level, our_level = before[0], before[1], before[2]
    root.setLevel(level)
    ours.setLevel(our_level)


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize("debug", [False, True])
def test_set_up_writes_to_stderr_at_the_level_asked_for(monkeypatch: pytest.MonkeyPatch, debug: bool) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up(debug=debug)
    logging.getLogger("cowork.a").debug("quiet")
    logging.getLogger("cowork.a").info("loud")
    logging.getLogger("asyncio").info("others' chatter")
    logging.getLogger("asyncio").warning("others' trouble")
    got = [re.sub(r"^\S+Z ", "", line) for line in stream.getvalue().splitlines()]
    assert got == [*(["debug a quiet"] if debug else []), "info a loud", "warning asyncio others' trouble"]


def test_whether_stderr_is_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    info = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{info.st_dev}:{info.st_ino}")
    assert logs.is_journal()
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    assert not logs.is_journal()
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not logs.is_journal()
