"""Reading one contained regular file."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path

import pytest

from cowork.errors import CoworkError, NotFound, PolicyError, RpcError
from cowork.service import reading
from cowork.service.reading import LIMIT, read_contained
from cowork.wire.codec import encode_result
from cowork.wire.frames import MAX_FRAME
from cowork.wire.replies import FileContent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    (made / "f").write_bytes(b"\0\xff")
    (tmp_path / "outside").write_text("secret")
    return made


def test_a_file_below_a_root_and_one_that_is_linked_inside(root: Path) -> None:
    (root / "link").symlink_to("f")
    for name in ("f", "link", "./f", "../root/f"):
        assert b64decode(read_contained(root / name, [root / "no", root])) == b"\0\xff"


def test_a_root_that_is_a_link_itself(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert read_contained(root / "f", [tmp_path / "alias"])
    assert read_contained(tmp_path / "alias" / "f", [root])


@pytest.mark.parametrize("name", ["../outside", "out", "folder/../../outside", "../root2/f", "chain"])
def test_what_lies_outside(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "f").write_text("x")
    (root / "out").symlink_to("../outside")
    (root / "chain").symlink_to("out")
    with pytest.raises(PolicyError, match="outside"):
        read_contained(root / name, [root])


def test_no_roots_means_nothing(root: Path) -> None:
    with pytest.raises(PolicyError):
        read_contained(root / "f", [])


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [("missing", NotFound, "no such file"), ("folder", RpcError, "a directory"), ("fifo", RpcError, "a FIFO"),
     ("socket", RpcError, "socket"), ("device", RpcError, "device"), ("loop", RpcError, "symbolic links")],
)  # fmt: skip
def test_what_is_no_regular_file(root: Path, kind: str, error: type[CoworkError], words: str) -> None:
    path = root / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, 0o140600)
    elif kind == "device":
        if os.getuid() != 0:
            pytest.skip("needs root")
        os.mknod(path, 0o20600, os.makedev(1, 5))
    elif kind == "loop":
        path.symlink_to("loop")
    with pytest.raises(error, match=words):
        read_contained(path, [root])


def test_no_descriptor_stays_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    (root / "folder").mkdir()
    for name in ("f", "folder", "missing"):
        try:
            read_contained(root / name, [root])
        except CoworkError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_over_the_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LIMIT", 100)
    (root / "f").write_bytes(b"x" * 100)
    assert len(b64decode(read_contained(root / "f", [root]))) == 100
    (root / "f").write_bytes(b"x" * 101)
    with pytest.raises(RpcError, match="101"):
        read_contained(root / "f", [root])


def test_the_limit_fits_a_frame_with_the_longest_id() -> None:
    content = "A" * (LIMIT // 3 * 4)
    assert len(encode_result(b'"' + b"x" * 4094 + b'"', FileContent(content))) <= MAX_FRAME + 4
