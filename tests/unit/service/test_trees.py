"""The sessions' trees: names, sizes, removal; nothing of the user's is ever touched."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.errors import InvalidParams
from cowork.service.trees import NAME_MAX, Trees, check_name


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path / "trees", lambda name: name == "live")


@pytest.mark.parametrize("name", ["a", "brave-otter", "Ä ö", "x" * NAME_MAX, "a..b", "a.", "$(x)", "-rf", "~", "%s"])
def test_plain_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/", "a\0b", "a\nb", "\x7f", ".hidden", "x" * (NAME_MAX + 1), "é" * 101, "a\\b"],
)
def test_names_that_are_refused_by_field(name: str) -> None:
    with pytest.raises(InvalidParams, match=r"^Invalid params: names ") as raised:
        check_name(name, "names")
    assert raised.value.field == "names"


@given(st.text(st.characters(codec="utf-8"), max_size=250))
@settings(derandomize=True, deadline=None, max_examples=300, database=None)
def test_a_name_that_is_taken_is_one_element_of_a_path(name: str) -> None:
    try:
        check_name(name)
    except InvalidParams:
        return
    assert os.path.normpath(os.path.join("/root", name)) == f"/root/{name}"
    assert os.path.dirname(f"/root/{name}") == "/root"


def test_a_tree_is_made_private_and_found_again(trees: Trees) -> None:
    made = trees.make("a")
    assert made == trees.root / "a" == trees.path("a")
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "f").write_text("x")
    assert trees.make("a") == made
    assert (made / "f").exists()


def test_the_space_of_a_folder_that_is_not_there_yet(trees: Trees, tmp_path: Path) -> None:
    info = os.statvfs(tmp_path)
    assert trees.space()[0] == info.f_frsize * info.f_blocks
    assert trees.sizes() == {}
    assert trees.delete(["x"]) == (["x"], {})
    assert trees.prune(below=0, older_than=0) == ([], [], 0, {})


def test_sizes_do_not_follow_links(trees: Trees, tmp_path: Path) -> None:
    tree = trees.make("a")
    (tree / "sub").mkdir()
    (tree / "sub" / "f").write_bytes(b"x" * 10)
    big = tmp_path / "big"
    big.mkdir()
    (big / "f").write_bytes(b"x" * 10_000)
    (tree / "folder").symlink_to(big)
    (tree / "file").symlink_to(big / "f")
    (trees.root / "link").symlink_to(big)
    (trees.root / "plain").write_bytes(b"x" * 99)
    (trees.root / "a.pre-stop-x").mkdir()
    (trees.root / "a.pre-stop-x" / "f").write_bytes(b"x" * 5)
    (trees.root / ".pre-stop-y").mkdir()
    assert trees.sizes() == {".pre-stop-y": 0, "a": 15}


def test_removal_never_goes_through_a_link(trees: Trees, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "f").write_text("x")
    tree = trees.make("a")
    (tree / "link").symlink_to(precious)
    (trees.root / "b").symlink_to(precious)
    deleted, errors = trees.delete(["a", "b"])
    assert "a" in deleted
    assert errors == {}
    assert (precious / "f").exists()
    assert not tree.exists()


def test_a_live_session_and_a_bad_name_are_kept(trees: Trees) -> None:
    trees.make("live")
    trees.make("ab")
    trees.make("a")
    deleted, errors = trees.delete(["live", "../x", "a"])
    assert deleted == ["a"]
    assert errors["live"] == "session has a running process"
    assert errors["../x"].startswith("invalid session name")
    assert sorted(p.name for p in trees.root.iterdir()) == ["ab", "live"]


def test_what_cannot_be_removed_is_named(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.make("a")
    trees.make("b.pre-stop-20200101-000000")

    def fails(path: object) -> None:
        raise OSError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", fails)
    deleted, errors = trees.delete(["a"])
    assert deleted == []
    assert "Permission denied" in errors["a"]
    pruned, skipped, freed, failed = trees.prune(below=0, older_than=0)
    assert (pruned, skipped, freed) == ([], [], 0)
    assert list(failed) == ["b.pre-stop-20200101-000000"]


def backup(trees: Trees, name: str, stamp: str, size: int = 10) -> Path:
    folder = trees.make(f"{name}.pre-stop-{stamp}")
    (folder / "f").write_bytes(b"x" * size)
    return folder


def test_only_backups_old_enough_are_pruned(trees: Trees) -> None:
    now = time.strftime("%Y%m%d-%H%M%S")
    old = backup(trees, "a", "20200101-000000")
    fresh = backup(trees, "a", now, 7)
    odd = backup(trees, "b", "99999999-999999")
    live = backup(trees, "live", "20200101-000000")
    trees.make("a")
    assert trees.prune(below=0, older_than=3600) == (["a"], ["b", "live"], 10, {})
    assert not old.exists()
    assert fresh.exists()
    assert odd.exists()
    assert trees.prune(below=0, older_than=0) == (["a", "b"], ["live"], 17, {})
    assert live.exists()
    assert (trees.root / "a").exists()


def test_nothing_is_pruned_while_there_is_room(trees: Trees) -> None:
    kept = backup(trees, "a", "20200101-000000")
    assert trees.prune(below=1, older_than=0) == ([], [], 0, {})
    assert kept.exists()
    assert trees.prune(below=1 << 80, older_than=0)[0] == ["a"]
