"""A session's directory: made and removed as a whole, and nothing outside of it is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cowork.errors import NotFound
from cowork.holder import files
from cowork.sessions.directory import SessionDirectory, list_sessions, tree_size
from cowork.sessions.record import ExitRecord, RecordError, SessionRecord, StopRecord

ID = "abcdefghijkl"
ASKED = SessionRecord(id=ID, kind="shell", name="n")


def created(root: Path, session_id: str = ID) -> SessionDirectory:
    directory = SessionDirectory(root, session_id)
    directory.create(ASKED).close()
    return directory


def test_what_is_created(tmp_path: Path) -> None:
    directory = created(tmp_path)
    assert sorted(os.listdir(directory.path)) == ["readers", "session.json"]
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert directory.record() == ASKED
    assert directory.exit() is None
    assert directory.child() is None
    assert repr(directory) == f"SessionDirectory({tmp_path}/{ID})"


def test_an_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    created(tmp_path)
    with pytest.raises(FileExistsError):
        SessionDirectory(tmp_path, ID).create(ASKED)
    assert SessionDirectory(tmp_path, ID).record() == ASKED


def test_a_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_whole", fail)
    with pytest.raises(OSError, match="No space"):
        SessionDirectory(tmp_path, ID).create(ASKED)
    assert os.listdir(tmp_path) == []


def test_a_session_that_is_not_there(tmp_path: Path) -> None:
    directory = SessionDirectory(tmp_path, ID)
    with pytest.raises(NotFound, match=f"no session {ID}"):
        directory.record()
    assert directory.exit() is None
    directory.remove()


def test_the_end_is_recorded(tmp_path: Path) -> None:
    directory = created(tmp_path)
    ended = ExitRecord(ended=1.0, exit_code=3)
    directory.write_exit(ended)
    assert directory.exit() == ended
    (directory.path / "exit.json").write_text("{")
    with pytest.raises(RecordError):
        directory.exit()


def test_who_asked_for_the_end(tmp_path: Path) -> None:
    directory = created(tmp_path)
    assert directory.stop() is None
    directory.write_stop(StopRecord(asked=5.0, signal="SIGTERM"))
    assert directory.stop() == StopRecord(asked=5.0, signal="SIGTERM")
    (directory.path / "stop.json").write_text("{")
    assert directory.stop() is None


def test_a_damaged_child_record_is_as_good_as_none(tmp_path: Path) -> None:
    directory = created(tmp_path)
    (directory.path / "child.json").write_text("{")
    assert directory.child() is None
    (directory.path / "child.json").write_text('{"pid": 5, "start": 6, "holder": 7}')
    child = directory.child()
    assert child is not None
    assert (child.pid, child.start, child.holder) == (5, 6, 7)


def test_the_log_is_added_to(tmp_path: Path) -> None:
    directory = created(tmp_path)
    directory.log("one")
    directory.log("two")
    assert [line.split(" ")[1] for line in directory.lifecycle_log.read_text().splitlines()] == ["one", "two"]


def outside(tmp_path: Path) -> Path:
    """A folder with a file, which nobody may remove."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("x" * 1000)
    return folder


def test_removal_follows_no_link(tmp_path: Path) -> None:
    precious = outside(tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    directory = created(root)
    directory.spool.symlink_to(precious)
    (directory.path / "file").symlink_to(precious / "precious")
    os.link(precious / "precious", directory.path / "hard")
    directory.remove()
    assert os.listdir(root) == []
    assert (precious / "precious").read_text() == "x" * 1000


def test_a_session_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = outside(tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    (root / ID).symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"):
        SessionDirectory(root, ID).remove()
    assert (precious / "precious").exists()
    assert list(list_sessions(root)) == []
    assert (precious / "precious").exists()


def test_a_removal_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    first = created(tmp_path)
    first.path.rename(tmp_path / f".{ID}.removed")
    second = created(tmp_path)
    second.remove()  # though the place that it is moved to is taken
    assert not second.path.exists()
    assert list(list_sessions(tmp_path)) == []
    assert os.listdir(tmp_path) == []


def test_the_list_is_of_sessions_only_and_in_order(tmp_path: Path) -> None:
    for name in ("bbbbbbbbbbbb", "aaaaaaaaaaaa"):
        created(tmp_path, name)
    (tmp_path / "cccccccccccc").mkdir()  # no session.json yet
    for name in ("Abcdefghijkl", "abcdefghijk", "abcdefghijk1", "1bcdefghijkl", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "session.json").write_text("{}")
    assert [directory.id for directory in list_sessions(tmp_path)] == ["aaaaaaaaaaaa", "bbbbbbbbbbbb"]
    assert list(list_sessions(tmp_path / "none")) == []


def test_the_size_is_that_of_its_own_files(tmp_path: Path) -> None:
    precious = outside(tmp_path)
    directory = created(tmp_path)
    before = directory.size()
    directory.spool.mkdir()
    (directory.spool / "x").write_bytes(b"x" * 500)
    (directory.path / "link").symlink_to(precious / "precious")
    (directory.path / "folder").symlink_to(precious)
    assert directory.size() == before + 500
    assert tree_size(tmp_path / "none") == 0
