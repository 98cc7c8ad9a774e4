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


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """What a session's cgroup has in it when both controllers were delegated."""
    for name in ("memory.max", "memory.swap.max", "pids.max"):
        (tmp_path / name).write_text("max")
    return tmp_path


@pytest.mark.parametrize(
    ("memory", "tasks", "expected"),
    [
        (None, None, {"memory.max": "max", "memory.swap.max": "max", "pids.max": "max"}),
        (1 << 30, None, {"memory.max": "1073741824", "memory.swap.max": "0", "pids.max": "max"}),
        (None, 64, {"memory.max": "max", "memory.swap.max": "max", "pids.max": "64"}),
        (1 << 30, 64, {"memory.max": "1073741824", "memory.swap.max": "0", "pids.max": "64"}),
    ],
)
def test_limits(own: Path, memory: int | None, tasks: int | None, expected: dict[str, str]) -> None:
    """A limit of memory that swap got round would be none."""
    assert cgroup.limit(str(own), memory, tasks) == []
    assert {file.name: file.read_text() for file in own.iterdir()} == expected


def without(own: Path, name: str) -> None:
    """The kernel makes such a file, so nobody else can: here a folder is in its place."""
    (own / name).unlink()
    (own / name).mkdir()


@pytest.mark.parametrize("name", ["memory.max", "pids.max"])
def test_a_controller_that_is_not_there_is_told_and_the_other_limit_holds(own: Path, name: str) -> None:
    without(own, name)
    (problem,) = cgroup.limit(str(own), 1 << 30, 64)
    assert problem.startswith(f"{name}=")
    assert "delegated" in problem
    other = {"memory.max": "pids.max", "pids.max": "memory.max"}[name]
    assert (own / other).read_text() == {"pids.max": "64", "memory.max": "1073741824"}[other]


def test_a_kernel_that_does_not_count_swap(own: Path) -> None:
    without(own, "memory.swap.max")
    assert cgroup.limit(str(own), 1 << 30, None) == []


def test_swap_is_closed_whatever_became_of_the_other_limit(own: Path) -> None:
    without(own, "pids.max")
    cgroup.limit(str(own), 1 << 30, 64)
    assert (own / "memory.swap.max").read_text() == "0"


def test_without_a_cgroup_every_limit_is_told() -> None:
    told = cgroup.limit(None, 1 << 30, 64)
    assert [line.partition(":")[0] for line in told] == ["memory.max=1073741824", "pids.max=64"]
    assert cgroup.limit(None, None, None) == []
