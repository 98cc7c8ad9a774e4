"""What conformance tests compare."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cowork.testing.folders import difference, guest, listing


def test_guest_paths() -> None:
    assert guest() == "/sessions/brave-otter"
    assert guest("proj/a", "other") == "/sessions/other/mnt/proj/a"


def test_a_listing_shows_every_change(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").write_text("a")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "link2").symlink_to("other")
    (tmp_path / "tree").mkdir()
    os.utime(tmp_path / "file", (1, 1))
    changes: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: (tmp_path / "tree" / "x").touch(), []),
        (lambda: (tmp_path / "file").chmod(0o600), ["file"]),
        (lambda: os.utime(tmp_path / "file", (2, 2)), ["file"]),
        (lambda: (tmp_path / "link2").replace(tmp_path / "link"), ["link", "link2"]),
        (lambda: (tmp_path / "sub" / "new").touch(), ["sub/new"]),
        (lambda: (tmp_path / "sub" / "new").unlink(), ["sub/new"]),
    ]
    for change, expected in changes:
        before = listing(tmp_path, without=tmp_path / "tree")
        change()
        assert difference(before, listing(tmp_path, without=tmp_path / "tree")) == expected
    before = listing(tmp_path, times=True)
    (tmp_path / "sub" / "new").touch()
    (tmp_path / "sub" / "new").unlink()
    assert "sub" in difference(before, listing(tmp_path, times=True))
