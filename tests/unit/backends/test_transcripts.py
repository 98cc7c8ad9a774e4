"""Transcripts: found, copied where they are missing, never changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cowork.backends.transcripts import heal, slugs_with
from cowork.translate.slug import project_slug

WORK = "/home/ana/proj"
SLUG = project_slug(WORK)


class Config:
    """A configuration folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.projects = root / "projects"

    def put(self, slug: str, text: str = "x", *, at: int = 1000, companion: bool = False) -> Path:
        path = self.projects / slug / "id.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        os.utime(path, (at, at))
        if companion:
            (path.parent / "id" / "sub").mkdir(parents=True)
            (path.parent / "id" / "sub" / "f").write_text(slug)
            (path.parent / "id" / "link").symlink_to("/etc")
        return path

    def heal(self) -> bool:
        return heal(str(self.root), "id", WORK)

    def all(self) -> list[str]:
        return sorted(str(path.relative_to(self.projects)) for path in self.projects.rglob("*") if path.is_file())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path)


def test_where_it_is(config: Config) -> None:
    assert slugs_with(str(config.root), "id") == set()
    config.put("-a")
    config.put("-b")
    (config.projects / "-c" / "id.jsonl").mkdir(parents=True)
    (config.projects / "file").write_text("")
    assert slugs_with(str(config.root), "id") == {"-a", "-b"}
    assert slugs_with(str(config.root), "other") == set()


def test_nothing_to_do(config: Config) -> None:
    """None at all, or there already."""
    assert config.heal() is False
    assert not config.projects.exists()
    config.put(SLUG, "own", at=1)
    config.put("-newer", "newer", at=9)
    assert config.heal() is False
    assert (config.projects / SLUG / "id.jsonl").read_text() == "own"


def test_the_newest_is_copied_with_its_folder(config: Config) -> None:
    config.put("-a", "old", at=5, companion=True)
    newest = config.put("-m", "new", at=9, companion=True)
    config.put("-z", "older", at=1)
    before = newest.stat()
    assert config.heal() is True
    copy = config.projects / SLUG / "id.jsonl"
    assert copy.read_text() == "new"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (config.projects / SLUG).stat().st_mode & 0o777 == 0o700
    assert (config.projects / SLUG / "id" / "sub" / "f").read_text() == "-m"
    assert os.readlink(config.projects / SLUG / "id" / "link") == "/etc"
    after = newest.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_nlink) == (before.st_ino, before.st_mtime_ns, 1)
    assert sorted(path.name for path in (config.projects / SLUG).iterdir()) == ["id", "id.jsonl"], "no temporary files"
    assert config.heal() is False


def test_the_longer_one_of_the_same_time(config: Config) -> None:
    config.put("-a", "longer")
    config.put("-b", "short")
    config.heal()
    assert (config.projects / SLUG / "id.jsonl").read_text() == "longer"


def test_one_that_came_meanwhile_wins(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config.put("-a", "theirs", companion=True)
    link = os.link

    def late(source: Path, target: Path) -> None:
        Path(target).write_text("ours")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    config.heal()
    assert (config.projects / SLUG / "id.jsonl").read_text() == "ours"
    assert sorted(path.name for path in (config.projects / SLUG).iterdir()) == ["id", "id.jsonl"]


def test_a_folder_that_is_there_stays(config: Config) -> None:
    config.put("-a", companion=True)
    (config.projects / SLUG / "id").mkdir(parents=True)
    (config.projects / SLUG / "id" / "own").write_text("own")
    assert config.heal() is True
    assert [path.name for path in (config.projects / SLUG / "id").iterdir()] == ["own"]


@pytest.mark.parametrize("step", ["copy2", "copytree"])
def test_a_full_disk_is_told_and_leaves_nothing(
    config: Config, step: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config.put("-a", companion=True)

    def full(source: Path, target: Path, **options: object) -> None:
        Path(target).write_text("half") if step == "copy2" else Path(target).mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, step, full)
    assert config.heal() is False
    assert "No space left" in caplog.text
    assert not [path for path in (config.projects / SLUG).iterdir() if path.name != "id"]
