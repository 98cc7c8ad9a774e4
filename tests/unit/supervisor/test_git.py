"""Running git: what it is told, what it says, how it refuses. With worktrees: test_worktree.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cowork.supervisor import git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with one commit, of somebody without settings."""
    for name, value in {
        "HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@a",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@a",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    folder = tmp_path / "r"
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    subprocess.run(["git", "-C", folder, "commit", "-qm", "x", "--allow-empty"], check=True)
    return folder


def test_a_commit_is_there_or_not(repository: Path) -> None:
    here = str(repository)
    found = git.commit(here, "main")
    assert found is not None
    assert len(found) == 40
    assert git.commit(here, "other") is None
    assert git.commit_at(f"{here}/.git", "HEAD") == found
    assert git.line(here, "rev-parse", "--abbrev-ref", "HEAD") == "main"


def test_a_refusal_is_one_printable_line_with_its_status(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(git.Refused, match="not a git repository") as caught:
        git.run(str(tmp_path), "status")
    assert caught.value.status == 128
    assert "\n" not in str(caught.value)


def test_no_git_is_a_refusal_without_a_status(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(git.Refused, match="not installed") as caught:
        git.run(str(repository), "status")
    assert caught.value.status is None


def test_names_that_are_no_text_come_through(repository: Path) -> None:
    name = os.fsencode(repository) + b"/\xff\n"
    Path(os.fsdecode(name)).write_text("")
    assert git.records(git.run(str(repository), "status", "--porcelain", "-z")) == ["?? \udcff\n"]


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"])
def test_the_callers_repository_is_left_out(repository: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "/nonexistent")
    assert git.line(str(repository), "rev-parse", "--show-toplevel") == str(repository)
