"""Placeholders in the user's folders: there while somebody needs them, gone afterwards, and nothing else touched."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cowork.holder import covers, syscalls
from cowork.holder.covers import Covers
from cowork.holder.spec import Cover
from tests.support.holding import PATIENCE, short_folder
from tests.support.ordinary import ordinary_user

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")

CONTENT = "{}\n"


@pytest.fixture
def mine() -> Iterator[Path]:
    """A folder of an ordinary user's: root may write where others may not."""
    with ordinary_user(), short_folder() as folder:
        yield folder


def wanted(folder: Path) -> list[Cover]:
    return [Cover(str(folder), "file", CONTENT), Cover(str(folder), "empty"), Cover(str(folder), "hooks", None)]


def made(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_made_and_removed(mine: Path) -> None:
    placeholders = Covers(wanted(mine))
    assert made(mine) == [], "nothing is made before it is wanted"
    placeholders.make()
    assert made(mine) == ["empty", "file", "hooks"]
    assert (mine / "file").read_text() == CONTENT
    assert (mine / "empty").read_text() == ""
    assert (mine / "hooks").is_dir()
    assert [(mine / name).stat().st_mode & 0o777 for name in ("file", "empty", "hooks")] == [0o444, 0o444, 0o500]
    assert all((mine / name).stat().st_nlink == 1 for name in ("file", "empty"))
    placeholders.remove()
    assert made(mine) == []
    placeholders.remove()


def test_content_that_is_not_ascii(mine: Path) -> None:
    placeholders = Covers([Cover(str(mine), "é", "ü" * 10)])
    placeholders.make()
    assert (mine / "é").read_text() == "ü" * 10
    placeholders.remove()
    assert made(mine) == []


def test_deep_down(mine: Path) -> None:
    (mine / ".git" / "x").mkdir(parents=True)
    placeholders = Covers([Cover(str(mine), ".git/x/hooks", None), Cover(str(mine), ".git/config")])
    placeholders.make()
    assert made(mine) == [".git", ".git/config", ".git/x", ".git/x/hooks"]
    placeholders.remove()
    assert made(mine) == [".git", ".git/x"], "only what was made goes"


USERS = ["file", "folder", "full folder", "link", "dead link", "socket", "fifo", "closed file", "closed folder"]


def put(place: Path, what: str) -> None:
    """Something of the user's."""
    if what == "file":
        place.write_text("mine")
    elif what == "folder":
        place.mkdir()
    elif what == "full folder":
        place.mkdir()
        (place / "f").write_text("mine")
    elif what == "link":
        place.symlink_to(place.parent.parent)
    elif what == "dead link":
        place.symlink_to("nowhere")
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(place))
    elif what == "fifo":
        os.mkfifo(place)
    elif what == "closed file":
        place.write_text("mine")
        place.chmod(0)
    else:
        place.mkdir(0o000)


def state(place: Path) -> tuple[int, ...]:
    found = place.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.parametrize("content", [CONTENT, "", None])
@pytest.mark.parametrize("what", USERS)
def test_what_is_the_users_is_not_touched(mine: Path, what: str, content: str | None) -> None:
    place = mine / "place"
    put(place, what)
    before = state(place)
    placeholders = Covers([Cover(str(mine), "place", content)])
    placeholders.make()
    assert state(place) == before
    placeholders.remove()
    assert state(place) == before
    covers.remove([Cover(str(mine), "place", content)])
    assert state(place) == before
    if what == "closed folder":
        place.chmod(0o700)


NEARLY = {
    "other time": (CONTENT, 0o444, 2), "other mode": (CONTENT, 0o644, 1), "longer": (CONTENT + "x", 0o444, 1),
    "shorter": ("", 0o444, 1),
}  # fmt: skip


@pytest.mark.parametrize("what", NEARLY)
def test_a_file_that_is_nearly_one_is_the_users(mine: Path, what: str) -> None:
    text, mode, when = NEARLY[what]
    (mine / "file").write_text(text)
    (mine / "file").chmod(mode)
    os.utime(mine / "file", (when, when))
    placeholders = Covers([Cover(str(mine), "file", CONTENT)])
    placeholders.make()
    placeholders.remove()
    assert (mine / "file").read_text() == text


def test_a_file_of_the_same_size_is_the_users(mine: Path) -> None:
    """As it comes out of the Nix store, where everything is of the second 1 and 0444."""
    (mine / "file").write_text("[]\n")
    (mine / "file").chmod(0o444)
    os.utime(mine / "file", (1, 1))
    placeholders = Covers([Cover(str(mine), "file", CONTENT)])
    placeholders.make()
    placeholders.remove()
    assert (mine / "file").read_text() == "[]\n"


@pytest.mark.parametrize(("mode", "when"), [(0o500, 2), (0o700, 1), (0o755, 1)])
def test_a_folder_that_is_nearly_one_is_the_users(mine: Path, mode: int, when: int) -> None:
    (mine / "hooks").mkdir(mode)
    os.utime(mine / "hooks", (when, when))
    placeholders = Covers([Cover(str(mine), "hooks", None)])
    placeholders.make()
    placeholders.remove()
    assert (mine / "hooks").is_dir()


def test_a_file_in_place_of_a_folder_and_the_other_way_round(mine: Path) -> None:
    """Both would be placeholders for something else."""
    first = Covers([Cover(str(mine), "a", None), Cover(str(mine), "b", CONTENT)])
    other = Covers([Cover(str(mine), "a", CONTENT), Cover(str(mine), "b", None)])
    first.make()
    other.make()
    other.remove()
    assert made(mine) == ["a", "b"]
    first.remove()
    assert made(mine) == []


def change(place: Path, what: str) -> None:
    """What a user does with a placeholder."""
    if what == "written":
        place.chmod(0o644)
        place.write_text("{]\n")
    elif what == "grown":
        place.chmod(0o644)
        with place.open("a") as f:
            f.write("x")
        place.chmod(0o444)
    elif what == "replaced":
        (place.parent / "new").write_text("mine")
        (place.parent / "new").rename(place)
    elif what == "made writable":
        place.chmod(0o644)
    elif what == "removed and made again":
        place.unlink()
        place.write_text(CONTENT)
    else:
        place.unlink()
        place.symlink_to("/etc")


CHANGES = ["written", "grown", "replaced", "made writable", "removed and made again", "made a link"]


@pytest.mark.parametrize("what", CHANGES)
def test_a_placeholder_that_the_user_has_changed_is_the_users(mine: Path, what: str) -> None:
    placeholders = Covers([Cover(str(mine), "file", CONTENT)])
    placeholders.make()
    change(mine / "file", what)
    before = state(mine / "file")
    placeholders.remove()
    assert state(mine / "file") == before
    covers.remove([Cover(str(mine), "file", CONTENT)])
    assert state(mine / "file") == before


def test_a_folder_that_something_was_put_into_stays(mine: Path) -> None:
    placeholders = Covers([Cover(str(mine), "hooks", None)])
    placeholders.make()
    (mine / "hooks").chmod(0o700)
    (mine / "hooks" / "pre-commit").write_text("mine")
    os.utime(mine / "hooks", (1, 1))
    (mine / "hooks").chmod(0o500)
    placeholders.remove()
    assert made(mine) == ["hooks", "hooks/pre-commit"]
    (mine / "hooks").chmod(0o700)


def test_one_that_the_user_has_removed_is_gone(mine: Path) -> None:
    placeholders = Covers(wanted(mine))
    placeholders.make()
    (mine / "file").unlink()
    (mine / "hooks").rmdir()
    placeholders.remove()
    assert made(mine) == []


@pytest.mark.parametrize("first_goes_first", [True, False])
def test_two_sessions_share_one_and_the_last_removes_it(mine: Path, first_goes_first: bool) -> None:
    sessions = [Covers(wanted(mine)), Covers(wanted(mine))]
    sessions[0].make()
    before = [state(mine / name) for name in made(mine)]
    sessions[1].make()
    assert [state(mine / name) for name in made(mine)] == before
    if not first_goes_first:
        sessions.reverse()
    sessions[0].remove()
    assert [state(mine / name) for name in made(mine)] == before
    sessions[1].remove()
    assert made(mine) == []


def test_one_session_that_wants_the_same_twice(mine: Path) -> None:
    """Two mounts of one folder."""
    placeholders = Covers([*wanted(mine), *wanted(mine)])
    placeholders.make()
    assert made(mine) == ["empty", "file", "hooks"]
    placeholders.remove()
    assert made(mine) == []


OTHER = """
import sys
from cowork.holder.covers import Covers
from cowork.holder.spec import Cover
made = Covers([Cover(sys.argv[1], "file", "{}\\n"), Cover(sys.argv[1], "hooks", None)])
made.make()
print("made", flush=True)
if sys.stdin.readline():
    made.remove()
"""


def another_session(folder: Path) -> subprocess.Popen[str]:
    """In a process of its own; removes its placeholders when it is told to, or is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    return process


def test_two_processes_share_one(mine: Path) -> None:
    with another_session(mine) as other:
        ours = Covers([Cover(str(mine), "file", CONTENT), Cover(str(mine), "hooks", None)])
        ours.make()
        ours.remove()
        assert made(mine) == ["file", "hooks"], "the other one still needs them"
        other.communicate("remove\n", timeout=PATIENCE)
    assert made(mine) == []


def test_what_a_killed_session_has_left_goes_with_the_next(mine: Path) -> None:
    with another_session(mine) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert made(mine) == ["file", "hooks"]
    ours = Covers([Cover(str(mine), "file", CONTENT), Cover(str(mine), "hooks", None)])
    ours.make()
    ours.remove()
    assert made(mine) == []


def test_what_a_killed_session_has_left_can_be_removed_by_who_knows_of_it(mine: Path) -> None:
    with another_session(mine) as other:
        covers.remove([Cover(str(mine), "file", CONTENT), Cover(str(mine), "hooks", None)])
        assert made(mine) == ["file", "hooks"], "not while it lives"
        other.send_signal(signal.SIGKILL)
        other.wait()
    covers.remove([Cover(str(mine), "gone/x"), Cover(str(mine), "file", CONTENT), Cover(str(mine), "hooks", None)])
    assert made(mine) == []


@pytest.mark.parametrize("missing", ["gone", "gone/deeper"])
@pytest.mark.parametrize("content", [CONTENT, None])
def test_a_parent_that_is_missing_is_not_made(mine: Path, missing: str, content: str | None) -> None:
    placeholders = Covers([Cover(str(mine), "file"), Cover(str(mine), f"{missing}/x", content)])
    with pytest.raises(FileNotFoundError) as caught:
        placeholders.make()
    assert missing in str(caught.value.filename)
    placeholders.remove()
    assert made(mine) == [], "and what was made before is gone"


def test_a_parent_that_is_a_link_is_not_followed(mine: Path) -> None:
    (mine / "elsewhere").mkdir()
    (mine / "link").symlink_to("elsewhere")
    placeholders = Covers([Cover(str(mine), "link/x")])
    with pytest.raises(OSError, match="symbolic links"):
        placeholders.make()
    (mine / "elsewhere" / "x").touch(0o444)
    (mine / "elsewhere" / "x").chmod(0o444)
    os.utime(mine / "elsewhere" / "x", (1, 1))
    placeholders.remove()
    assert made(mine) == ["elsewhere", "elsewhere/x", "link"]


@pytest.mark.parametrize("content", [CONTENT, None])
def test_a_folder_that_cannot_be_written_to(mine: Path, content: str | None) -> None:
    (mine / "closed").mkdir(0o500)
    placeholders = Covers([Cover(str(mine), "file"), Cover(str(mine), "closed/x", content)])
    with pytest.raises(PermissionError):
        placeholders.make()
    placeholders.remove()
    assert made(mine) == ["closed"]


def fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("content", [CONTENT, None])
@pytest.mark.parametrize("step", ["chmod", "utime", "rename_new"])
def test_nothing_half_made_is_left(
    mine: Path, monkeypatch: pytest.MonkeyPatch, step: str, content: str | None
) -> None:  # fmt: skip
    def refuse(*_: object, **__: object) -> None:
        raise fail(errno.ENOSPC)

    placeholders = Covers([Cover(str(mine), "file", content)])
    monkeypatch.setattr(syscalls if step == "rename_new" else os, step, refuse)
    with pytest.raises(OSError, match="No space left"):
        placeholders.make()
    monkeypatch.undo()
    assert made(mine) == [], "not even under another name"
    placeholders.remove()


@pytest.mark.parametrize("content", [CONTENT, None])
def test_the_user_may_be_faster(mine: Path, monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    """An editor has written its file between our look and our step."""
    real = syscalls.rename_new

    def late(folder: int, old: str, new: str) -> None:
        (mine / "file").write_text("mine")
        real(folder, old, new)

    monkeypatch.setattr(syscalls, "rename_new", late)
    placeholders = Covers([Cover(str(mine), "file", content)])
    placeholders.make()
    placeholders.remove()
    assert made(mine) == ["file"]
    assert (mine / "file").read_text() == "mine"


def test_a_file_system_that_keeps_no_modes(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be known again is not made; here none that is made looks like one."""
    monkeypatch.setattr(covers, "looks_like_one", lambda info: False)
    for content in (CONTENT, None):
        placeholders = Covers([Cover(str(mine), "file", content)])
        with pytest.raises(OSError, match="keeps no placeholders"):
            placeholders.make()
        placeholders.remove()
        assert made(mine) == []


def test_some_more_for_a_session_that_runs(mine: Path) -> None:
    placeholders = Covers(wanted(mine)[:1])
    placeholders.make()
    placeholders.add(wanted(mine)[1:])
    assert placeholders.wanted == wanted(mine)
    assert made(mine) == ["empty", "file", "hooks"]
    covers.remove(wanted(mine))
    assert made(mine) == ["empty", "file", "hooks"], "all of them are locked"
    placeholders.remove()
    assert made(mine) == []


@pytest.mark.parametrize("content", [CONTENT, None])
def test_two_make_the_same_at_once(mine: Path, monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    """The other one is quicker by a moment: it is the other one's that both have."""
    real = syscalls.rename_new
    other = Covers([Cover(str(mine), "x", content)])

    def late(folder: int, old: str, new: str) -> None:
        monkeypatch.setattr(syscalls, "rename_new", real)
        # The other session is another process, whose temporary file has another name.
        monkeypatch.setattr(os, "getpid", lambda: 0)
        other.make()
        monkeypatch.setattr(os, "getpid", getpid)
        real(folder, old, new)

    getpid = os.getpid
    ours = Covers([Cover(str(mine), "x", content)])
    monkeypatch.setattr(syscalls, "rename_new", late)
    ours.make()
    assert made(mine) == ["x"]
    other.remove()
    assert made(mine) == ["x"]
    ours.remove()
    assert made(mine) == []


def test_one_that_is_just_being_removed_is_made_anew(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last user holds the exclusive lock and removes it before our next look."""
    first, ours = (Covers([Cover(str(mine), "file", CONTENT)]) for _ in range(2))
    first.make()
    old = (mine / "file").stat().st_ino
    real = fcntl.flock

    def busy(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        (mine / "file").unlink()
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "flock", busy)
    ours.make()
    assert (mine / "file").stat().st_ino != old
    first.remove()
    assert made(mine) == ["file"], "it is not the first one's any more"
    ours.remove()
    assert made(mine) == []


def test_one_that_was_removed_between_opening_and_locking_is_made_anew(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Covers([Cover(str(mine), "file", CONTENT)])
    first.make()
    real = fcntl.flock

    def late(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        first.remove()
        assert made(mine) == []
        real(fd, how)

    ours = Covers([Cover(str(mine), "file", CONTENT)])
    monkeypatch.setattr(fcntl, "flock", late)
    ours.make()
    assert made(mine) == ["file"]
    ours.remove()
    assert made(mine) == []


def test_one_that_stays_locked_is_no_endless_loop(mine: Path) -> None:
    first, ours = (Covers([Cover(str(mine), "file", CONTENT)]) for _ in range(2))
    first.make()
    for fd in first._locks:
        fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="busy") as caught:
        ours.make()
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, f"{mine}/file")
    first.remove()
    assert made(mine) == []


def test_somebody_elses_file_with_the_marks_of_one() -> None:
    """Root's, in a folder of the user's."""
    if os.geteuid() != 0:
        pytest.skip("only root can make one")
    with short_folder() as folder:
        folder.chmod(0o777)
        (folder / "file").write_text(CONTENT)
        (folder / "file").chmod(0o444)
        os.utime(folder / "file", (1, 1))
        with ordinary_user():
            placeholders = Covers([Cover(str(folder), "file", CONTENT)])
            placeholders.make()
            placeholders.remove()
        assert made(folder) == ["file"]


class Sessions(RuleBasedStateMachine):
    """Sessions come and go, are killed, and the user does things in between."""

    def __init__(self) -> None:
        super().__init__()
        self._short = short_folder()
        self.folder = self._short.__enter__()
        self.live: list[Covers] = []
        self.mine: dict[str, bytes | None] = {}
        """What is the user's now: content of a file, None for a folder."""
        self.left_over = False
        """Somebody was killed, and nobody has ended since."""

    def teardown(self) -> None:
        for session in self.live:
            session.remove()
            self.left_over = False
        names = {path.name for path in self.folder.iterdir()}
        assert names == set(self.mine) or self.left_over, "placeholders that nobody needs are gone"
        covers.remove(wanted(self.folder))
        assert {path.name for path in self.folder.iterdir()} == set(self.mine)
        self._short.__exit__(None, None, None)

    @rule()
    def begin(self) -> None:
        session = Covers(wanted(self.folder))
        session.make()
        self.live.append(session)

    @precondition(lambda self: self.live)
    @rule(number=st.integers(0, 9))
    def end(self, number: int) -> None:
        self.live.pop(number % len(self.live)).remove()
        self.left_over = False

    @precondition(lambda self: self.live)
    @rule(number=st.integers(0, 9))
    def kill(self, number: int) -> None:
        session = self.live.pop(number % len(self.live))
        for fd in session._locks:
            os.close(fd)
        session._locks = []
        self.left_over = True

    @rule(name=st.sampled_from(["file", "empty"]), data=st.sampled_from([b"", b"[]\n", b"longer than before"]))
    def write(self, name: str, data: bytes) -> None:
        place = self.folder / name
        if place.exists():
            place.chmod(0o644)
        place.write_bytes(data)
        self.mine[name] = data

    @rule(name=st.sampled_from(["file", "empty", "hooks"]))
    def remove(self, name: str) -> None:
        place = self.folder / name
        self.mine.pop(name, None)
        if place.is_dir():
            place.chmod(0o700)
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    @rule(name=st.sampled_from(["x", "y"]))
    def put_into_the_folder(self, name: str) -> None:
        place = self.folder / "hooks"
        place.mkdir(exist_ok=True)
        place.chmod(0o700)
        (place / name).write_text("mine")
        self.mine["hooks"] = None
        place.chmod(0o755)

    @rule()
    def move_away_and_back(self) -> None:
        if (self.folder / "file").exists():
            (self.folder / "file").rename(self.folder / "moved")
            (self.folder / "moved").rename(self.folder / "file")

    @invariant()
    def nothing_of_the_users_is_lost(self) -> None:
        for name, data in self.mine.items():
            place = self.folder / name
            if data is None:
                assert os.listdir(place)
            else:
                assert place.read_bytes() == data

    @invariant()
    def nothing_else_is_made(self) -> None:
        names = {path.name for path in self.folder.iterdir()}
        assert names <= {"file", "empty", "hooks"}


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
