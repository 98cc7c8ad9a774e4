"""A session's cgroup: made and removed where possible, its figures read where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowork.holder import cgroup


def test_make_and_remove(tmp_path: Path) -> None:
    made = cgroup.make(str(tmp_path), "cowork-x")
    assert made == str(tmp_path / "cowork-x")
    assert cgroup.make(str(tmp_path), "cowork-x") is None
    cgroup.remove(made)
    assert not (tmp_path / "cowork-x").exists()
    cgroup.remove(made)


def test_a_cgroup_in_use_stays(tmp_path: Path) -> None:
    (tmp_path / "c" / "busy").mkdir(parents=True)
    cgroup.remove(str(tmp_path / "c"))
    assert (tmp_path / "c" / "busy").exists()


def test_a_parent_that_is_not_there_is_no_cgroup(tmp_path: Path) -> None:
    assert cgroup.make(str(tmp_path / "none"), "x") is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("low 0\nhigh 3\nmax 1\noom 4\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill 0\n", 0),
        ("low 0\n", None),
        ("oom_kill many\n", None),
        ("", None),
        (None, None),
    ],
)
def test_oom_kills(tmp_path: Path, content: str | None, expected: int | None) -> None:
    if content is not None:
        (tmp_path / "memory.events").write_text(content)
    assert cgroup.oom_kills(str(tmp_path)) == expected


def test_without_a_writable_cgroup_nothing_is_delegated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cgroup, "_own", lambda: None)
    assert cgroup.delegated() is None
    monkeypatch.setattr(cgroup, "_own", lambda: str(tmp_path / "none"))
    assert cgroup.delegated() is None


def test_a_delegated_cgroup_is_emptied_for_the_sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On plain files: who is moved where, and which controllers are switched on."""
    monkeypatch.setattr(cgroup, "_own", lambda: str(tmp_path))
    assert cgroup.delegated() == str(tmp_path)
    assert (tmp_path / "holders" / "cgroup.procs").read_text() == "0"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+pids"  # the last one written
