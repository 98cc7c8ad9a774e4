"""Sessions that older releases wrote still load: tests/data/sessions/<version>/<id>, written once by real code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cowork.holder.page import EXIT_TAKEN, HOLDING, Page
from cowork.holder.spool import STDERR, STDOUT
from cowork.sessions.cutter import Cutter, Piece
from cowork.sessions.directory import SessionDirectory, list_sessions
from cowork.sessions.record import ChildRecord, ExitRecord
from cowork.sessions.spool import SpoolReader
from tests.support.holding import runs_of

DATA = Path(__file__).resolve().parent.parent / "data" / "sessions"
ID = "samplesessio"
RUNS = [
    (STDOUT, b"first line\nhalf of the sec"),
    (STDERR, b"a warning\n"),
    (STDOUT, b"ond line\n"),
    (STDERR, b'{"type":"system","subtype":"init"}\n'),
    (STDOUT, b"caf\xc3\xa9 \xff \r\n\0tail"),
    (STDERR, b"last words"),
]


@pytest.fixture
def old(tmp_path: Path) -> SessionDirectory:
    """A copy of the first release's, to be used in place of the sample."""
    shutil.copytree(DATA / "v1", tmp_path / "sessions")
    return SessionDirectory(tmp_path / "sessions", ID)


def test_it_is_found(old: SessionDirectory) -> None:
    assert [directory.id for directory in list_sessions(old.path.parent)] == [ID]


def test_its_records(old: SessionDirectory) -> None:
    asked = old.record()
    assert (asked.version, asked.id, asked.kind, asked.name) == (1, ID, "cowork", "brave-otter")
    assert (asked.process, asked.executable, asked.cwd) == ("proc-1", "/bin/sh", "/")
    assert (asked.argv[:2], len(asked.argv)) == (["sh", "-c"], 3)
    assert (asked.backend, asked.isolation, asked.terminal, asked.created) == ("host", "none", False, 1767225600.25)
    assert asked.history == 16 * 1024 * 1024
    assert old.exit() == ExitRecord(ended=1795172804.7118764, exit_code=7, head=105)
    assert old.child() == ChildRecord(pid=22981, start=427207, holder=22979, holder_start=427206)


def test_its_output(old: SessionDirectory) -> None:
    assert runs_of(old.spool) == RUNS
    assert runs_of(old.spool, 30) == [(STDERR, b"rning\n"), *RUNS[2:]]


def test_its_output_as_it_is_shown(old: SessionDirectory) -> None:
    reader = SpoolReader(old.spool)
    assert (reader.base(), reader.end()) == (0, 105)
    cutter = Cutter(reader)
    shown: list[Piece] = []
    while (piece := cutter.next(105, ended=True)) is not None:
        shown.append(piece)
    reader.close()
    assert [(piece.stream, piece.text) for piece in shown] == [
        (STDOUT, "first line\n"),
        (STDERR, "a warning\n"),
        (STDOUT, "half of the second line\n"),
        (STDOUT, '{"type":"system","subtype":"init"}\n'),
        (STDOUT, "café \ufffd \r\n"),
        (STDOUT, "\0tail"),
        (STDERR, "last words"),
    ]
    assert [(piece.stdout, piece.stderr) for piece in shown][-1] == (105, 105)


def test_its_positions(old: SessionDirectory) -> None:
    page = Page(old.readers)
    assert (page.state(1), page.position(1, STDOUT), page.position(1, STDERR)) == (HOLDING, 11, 0)
    assert page.spare(1) == 1767225601
    assert (page.position(0, STDOUT), page.state(0) & EXIT_TAKEN) == (11, 0)
    assert page.floor() == 0
    cutter = Cutter(SpoolReader(old.spool), page.position(1, STDOUT), page.position(1, STDERR))
    first = cutter.next(105)
    assert first is not None
    assert first.text == "a warning\n"
    page.close()


def test_it_can_be_removed(old: SessionDirectory) -> None:
    assert old.size() > 4096
    old.remove()
    assert list(old.path.parent.iterdir()) == []
