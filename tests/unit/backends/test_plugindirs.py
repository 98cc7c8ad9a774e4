"""``--plugin-dir`` names the plugin's own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowork.backends.plugindirs import climb
from cowork.translate.sessionmap import MappedMount, SessionMap


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    (folder / "one" / ".claude-plugin").mkdir(parents=True)
    (folder / "one" / ".claude-plugin" / "plugin.json").write_text("{}")
    (folder / "one" / "a" / "b" / "c").mkdir(parents=True)
    (folder / "two" / "x").mkdir(parents=True)
    (folder / "two" / "manifest.json").write_text("{}")
    (folder / "none" / "x").mkdir(parents=True)
    (tmp_path / "manifest.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("one", "one"), ("one/a", "one"), ("one/a/b", "one"), ("one/a/b/c", "one/a/b/c"), ("two/x", "two"),
        ("none/x", "none/x"), ("", ""),
    ],
)  # fmt: skip
def test_at_most_three_levels_and_not_above_the_mount(mount: Path, named: str, found: str) -> None:
    session = SessionMap("otter", "/tree", [MappedMount(".remote-plugins", str(mount))])
    path, root = str(mount / named), str(mount / found)
    assert climb(["-p", "--plugin-dir", path, "x"], session) == ["-p", "--plugin-dir", root, "x"]
    assert climb([f"--plugin-dir={path}"], session) == [f"--plugin-dir={root}"]


def test_other_folders_and_flags_are_left_alone(mount: Path) -> None:
    session = SessionMap("otter", "/tree", [MappedMount(".remote-plugins", str(mount / "none"))])
    args = ["--plugin-dir", str(mount / "one" / "a"), "--add-dir", str(mount / "two" / "x"), "--plugin-dir"]
    assert climb(args, session) == args
