"""The state of a conversation, kept beside its spool between two looks."""

from __future__ import annotations

import json
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.holder.spool import SEGMENT, STDERR, STDOUT, SpoolWriter
from cowork.sessions.directory import SessionDirectory
from cowork.supervisor.conversation import Conversation
from cowork.supervisor.progress import VERSION, Progress
from tests.support import stream as s
from tests.support.holding import short_folder
from tests.support.ordinary import ordinary_user
from tests.support.supervised import Home

ID = "abcdefghijkl"


class Session:
    """A session's directory, and a spool that a test writes itself."""

    def __init__(self, folder: Path, history: int = 1 << 30) -> None:
        self.directory = SessionDirectory(folder, ID)
        self.directory.path.mkdir()
        self.kept = self.directory.path / "progress.json"
        self.writer = SpoolWriter(str(self.directory.spool), history=history, limit=1 << 30, hold=False)

    def prints(self, *lines: bytes, end: bytes = b"\n", stream: int = STDOUT) -> None:
        rest = memoryview(b"".join(line + end for line in lines))
        while rest:
            r, w = os.pipe()
            os.set_blocking(w, False)
            rest = rest[os.write(w, rest) :]
            os.close(w)
            while self.writer.pull(r, stream):
                pass
            os.close(r)
        self.writer.recycle(0)

    def read(self, head: int | None = None) -> Conversation:
        with Progress(self.directory) as progress:
            return progress.read(head)

    def position(self) -> int:
        found: int = json.loads(self.kept.read_bytes())["position"]
        return found

    def scrawl(self) -> None:
        """Make what is in the spool so far unreadable."""
        for log in self.directory.spool.glob("*.log"):
            log.write_bytes(b"x" * log.stat().st_size)


@contextmanager
def written(folder: Path, history: int = 1 << 30) -> Iterator[Session]:
    made = Session(folder, history)
    try:
        yield made
    finally:
        made.writer.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with written(tmp_path) as made:
        yield made


def test_nothing_printed_yet(session: Session) -> None:
    assert session.read() == Conversation()
    assert not session.kept.exists()


def test_every_line_is_read_once_by_whoever_comes_first(session: Session) -> None:
    session.prints(s.init(), s.result(turns=2))
    assert (session.read().results, session.read().turns) == (1, 2)
    session.scrawl()
    assert session.read().results == 1, "nothing of it is read again"
    session.prints(s.asks("r-1", command="touch a"))
    found = session.read()
    assert (found.results, found.phase) == (1, "blocked")
    session.scrawl()
    assert session.read() == found
    assert session.read().prompts["r-1"].given == {"command": "touch a"}


def test_who_stays_reads_on(session: Session) -> None:
    with Progress(session.directory) as progress:
        for number in range(1, 4):
            session.prints(s.result())
            session.prints(b"noise", stream=STDERR)
            assert progress.read().results == number
            assert progress.conversation is progress.read()
        assert not session.kept.exists(), "it is kept at the end, or when that is asked for"
        progress.save()
        assert session.position() == session.writer.head - len(b"noise\n")
    assert session.read().results == 3


def test_a_line_whose_end_has_not_come_is_left_to_who_comes_next(session: Session) -> None:
    session.prints(s.result())
    session.prints(s.result()[:50], end=b"")
    assert session.read().results == 1
    assert session.position() == len(s.result()) + 1
    session.prints(s.result()[50:])
    assert session.read().results == 2
    assert session.read(0).results == 2, "one that knows less than is kept already"


@given(st.lists(st.integers(0, 1 << 30), max_size=6))
def test_wherever_the_looks_fall_the_state_is_the_same(cuts: list[int]) -> None:
    lines = [s.init(), s.typed("é"), s.lifecycle("u-1", "queued"), s.asks("r-1", command="é"), s.asks("r-2", use="2"),
             s.ready("r-1"), s.tasks("make"), s.said("é"), s.result("é", turns=3)]  # fmt: skip
    whole = Conversation()
    for line in lines:
        whole.feed(line)
    with short_folder() as folder, written(folder) as session:
        session.prints(*lines)
        for head in sorted(cut % session.writer.head for cut in cuts):
            session.read(head)
        assert session.read() == whole


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"version":1,"position":0}', b"[" * 100_000,
        b'{"version":1,"position":"1","conversation":{}}', b'{"version":1,"position":9,"conversation":{"results":"x"}}',
        b'{"version":%d,"position":9,"conversation":{"results":7}}' % (VERSION + 1),
        b'{"version":1,"position":0,"conversation":{"said":"\xff"}}', b"\0" * 300,
    ],
)  # fmt: skip
def test_what_is_damaged_or_of_another_release_is_thrown_away(session: Session, content: bytes) -> None:
    session.prints(s.init(), s.result())
    session.kept.write_bytes(content)
    assert session.read().results == 1
    session.scrawl()
    assert session.read().results == 1, "and replaced by what is right"


def test_it_is_ours_alone_and_is_left_alone_when_nothing_is_new(session: Session) -> None:
    session.prints(s.asks(command="secret"))
    session.read()
    before = session.kept.stat()
    assert before.st_mode & 0o777 == 0o600
    session.read()
    after = session.kept.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


# -- a disk that takes nothing


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_nothing_but_time(session: Session) -> None:
    session.prints(s.result())
    session.read()
    kept = session.kept.read_bytes()
    session.prints(s.result())
    with full_disk():
        assert session.read().results == 2
    assert session.kept.read_bytes() == kept
    assert sorted(os.listdir(session.directory.path)) == ["progress.json", "spool"], "nothing half written is left"
    assert session.read().results == 2
    assert session.kept.read_bytes() != kept


def test_a_folder_that_cannot_be_written_costs_nothing_but_time() -> None:
    with ordinary_user(), short_folder() as folder, written(folder) as session:
        session.prints(s.result())
        session.directory.path.chmod(0o500)
        try:
            assert (session.read().results, session.read().results) == (1, 1)
            assert not session.kept.exists()
        finally:
            session.directory.path.chmod(0o700)


# -- a spool that is recycled


LONG = s.said("x" * 60_000)


def test_what_is_no_longer_kept_is_passed_over(tmp_path: Path) -> None:
    with written(tmp_path, history=SEGMENT) as session:
        session.prints(s.result(turns=5))
        session.read()
        session.prints(*[LONG] * (3 * SEGMENT // len(LONG)), s.init(), s.result(turns=7), s.state("idle"))
        assert len(list(session.directory.spool.glob("*.log"))) < 4
        found = session.read()
        assert (found.phase, found.results, found.turns) == ("idle", 2, 12), "and what was known before still is"
        assert session.position() == session.writer.head


def test_who_comes_first_when_much_is_gone_begins_with_the_first_whole_line(tmp_path: Path) -> None:
    with written(tmp_path, history=SEGMENT) as session:
        session.prints(*[LONG] * (3 * SEGMENT // len(LONG)))
        assert session.read().said.startswith("xxx")
        session.prints(s.init(), s.result(), s.state("idle"))
        assert session.read().phase == "idle"


def test_what_goes_while_it_is_read_is_passed_over(tmp_path: Path) -> None:
    with written(tmp_path, history=SEGMENT) as session, Progress(session.directory) as progress:
        session.prints(*[LONG] * 10)
        progress.read()
        for _ in range(3):
            session.prints(*[LONG] * (SEGMENT // len(LONG) + 1))
        session.prints(s.result())
        assert progress.read().results == 1


# -- several at once


def test_those_who_look_at_the_same_time_see_the_same(home: Home) -> None:
    held = home.scripted()
    over = threading.Event()
    wrong: list[int] = []

    def look() -> None:
        last = 0
        while not over.is_set():
            now = home.seen(held).results
            if now < last:
                wrong.append(now)
            last = now

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for each in lookers:
        each.start()
    for _ in range(100):
        home.prints(held, s.result())
    over.set()
    for each in lookers:
        each.join()
    assert (home.seen(held).results, wrong) == (100, [])
