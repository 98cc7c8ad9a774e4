"""Files that are whole or absent, and the session's log."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cowork.holder import files


def test_a_file_is_written_whole_and_private(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    files.write_whole(str(tmp_path / "f"), data)
    assert (tmp_path / "f").read_bytes() == data
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["f"]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    files.write_whole(str(tmp_path / "f"), b"0123456789")
    assert (tmp_path / "f").read_bytes() == b"0123456789"


@pytest.mark.parametrize("name", ["write", "fsync", "rename"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "f").write_bytes(b"old")
    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_whole(str(tmp_path / "f"), b"new")
    monkeypatch.undo()
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, rename = os.fsync, os.rename

    def noted_sync(fd: int) -> None:
        calls.append("fsync")
        sync(fd)

    def noted_rename(old: str, new: str) -> None:
        calls.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "rename", noted_rename)
    files.write_whole(str(tmp_path / "f"), b"x")
    files.write_whole(str(tmp_path / "g"), b"x", sync=False)
    assert calls == ["fsync", "rename", "rename"]


def test_a_symbolic_link_at_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / f"f.{os.getpid()}.tmp").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        files.write_whole(str(tmp_path / "f"), b"x")
    assert not (tmp_path / "target").exists()


def test_json_is_one_line(tmp_path: Path) -> None:
    files.write_json(str(tmp_path / "f"), {"a": [1, "é\n"]})
    data = (tmp_path / "f").read_bytes()
    assert data.count(b"\n") == 1
    assert json.loads(data) == {"a": [1, "é\n"]}


def test_sync_wants_the_file_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    files.sync(str(tmp_path / "f"))
    with pytest.raises(FileNotFoundError):
        files.sync(str(tmp_path / "g"))


def test_the_log_is_dated_appended_to_and_never_in_the_way(tmp_path: Path) -> None:
    log = files.LifecycleLog(str(tmp_path / "log"))
    log("started")
    log("bad \udcff name")
    lines = (tmp_path / "log").read_text().splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z .+", line) for line in lines)
    assert [line.partition(" ")[2] for line in lines] == ["started", r"bad \udcff name"]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    files.LifecycleLog(str(tmp_path / "none" / "log"))("nowhere to write to")


def test_a_full_disk_does_not_stop_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "write", fail)
    files.LifecycleLog(str(tmp_path / "log"))("lost")
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_log_that_grows_too_long_is_set_aside(tmp_path: Path) -> None:
    path, aside = tmp_path / "log", tmp_path / "log.1"
    log = files.LifecycleLog(str(path), limit=100)
    written = 0
    while not aside.exists():
        log(f"line {written}")
        written += 1
        assert written < 10
    assert not path.exists()
    assert 100 < aside.stat().st_size < 150
    log("next")
    assert path.read_text().endswith(" next\n")
    assert aside.read_text().endswith(f" line {written - 1}\n")
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1"]


def test_what_was_set_aside_before_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "log.1").write_text("old")
    files.LifecycleLog(str(tmp_path / "log"), limit=0)("x")
    assert (tmp_path / "log.1").read_text().endswith("Z x\n")
    assert os.listdir(tmp_path) == ["log.1"]


def test_a_log_without_limit_grows(tmp_path: Path) -> None:
    log = files.LifecycleLog(str(tmp_path / "log"))
    for _ in range(100):
        log("x" * 1000)
    assert os.listdir(tmp_path) == ["log"]
    assert (tmp_path / "log").stat().st_size > 100_000


def test_a_log_that_cannot_be_set_aside_goes_on(tmp_path: Path) -> None:
    (tmp_path / "log.1" / "in the way").mkdir(parents=True)
    log = files.LifecycleLog(str(tmp_path / "log"), limit=0)
    log("one")
    log("two")
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_all_descriptors_but_some_are_closed() -> None:
    script = (
        "import os\n"
        "from cowork.holder.files import close_all_but\n"
        "kept, other = os.pipe()\n"
        "close_all_but({0, 1, 2, kept})\n"
        "left = [n for n in range(100) if os.path.exists(f'/proc/self/fd/{n}')]\n"
        "print(left == [0, 1, 2, kept])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
