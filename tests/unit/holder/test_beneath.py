"""Paths without links: what is opened is what was named, or nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.holder import beneath, syscalls
from tests.support.holding import short_folder

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A real path with a folder, a file and links in it."""
    made = Path(os.path.realpath(tmp_path))
    (made / "a" / "b").mkdir(parents=True)
    (made / "a" / "b" / "file").write_text("x")
    (made / "link").symlink_to("a")
    (made / "a" / "filelink").symlink_to("b/file")
    (made / "a" / "dead").symlink_to("nowhere")
    return made


def same(fd: int, path: Path) -> bool:
    """Whether it is of that file; closes it."""
    found, there = os.fstat(fd), path.lstat()
    os.close(fd)
    return (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino)


@pytest.mark.parametrize("path", ["", "a", "a/b", "a/b/file", "a//b/", "./a/./b/."])
def test_what_is_there_is_opened(base: Path, path: str) -> None:
    assert same(beneath.open_path(f"{base}/{path}"), base / path)


def test_it_is_no_descriptor_to_read_from_and_none_that_a_child_inherits(base: Path) -> None:
    fd = beneath.open_path(f"{base}/a/b/file")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(fd, 1)
    assert not os.get_inheritable(fd)
    assert stat.S_ISREG(os.fstat(fd).st_mode)
    os.close(fd)


@pytest.mark.parametrize("path", ["/", "", ".", "//./"])
def test_the_root_itself(path: str) -> None:
    assert same(beneath.open_path(path), Path("/"))


@pytest.mark.parametrize("path", ["link", "link/b", "link/b/file", "a/filelink", "a/dead", "link/", "a/filelink/x"])
def test_a_link_is_not_followed_wherever_it_stands(base: Path, path: str) -> None:
    with pytest.raises(OSError, match="symbolic links") as caught:
        beneath.open_path(f"{base}/{path}")
    assert (caught.value.errno, caught.value.filename) == (errno.ELOOP, f"{base}/{path}")


@pytest.mark.parametrize("path", ["..", "a/..", "../a", "a/../a/b", "a/b/../../.."])
def test_nothing_leads_upwards(base: Path, path: str) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        beneath.open_path(f"{base}/{path}")
    assert caught.value.filename == f"{base}/{path}"


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("gone", errno.ENOENT),
        ("a/gone/b", errno.ENOENT),
        ("a/b/file/x", errno.ENOTDIR),
        ("x" * 300, errno.ENAMETOOLONG),
    ],
)
def test_what_is_not_there_is_named_as_it_was_asked_for(base: Path, path: str, number: int) -> None:
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
        beneath.open_path(f"{base}/{path}")
    assert (caught.value.errno, caught.value.filename) == (number, f"{base}/{path}")


def test_another_root(base: Path) -> None:
    root = os.open(base, os.O_PATH)
    assert same(beneath.open_path("/a/b", root), base / "a" / "b")
    assert same(beneath.open_path("/", root), base)
    for path in ("/link/b", "/../x"):
        with pytest.raises(OSError, match=r"symbolic|Invalid"):
            beneath.open_path(path, root)
    with pytest.raises(FileNotFoundError):
        beneath.open_path("/etc", root)
    assert same(root, base)


def test_a_root_that_is_no_folder(base: Path) -> None:
    root = os.open(base / "a" / "b" / "file", os.O_PATH)
    with pytest.raises(NotADirectoryError):
        beneath.open_path("/x", root)
    os.close(root)


@pytest.fixture
def inside(base: Path) -> Iterator[int]:
    """A root with links that mean something else inside it than outside."""
    (base / "bin").symlink_to("usr/bin")
    (base / "usr" / "bin").mkdir(parents=True)
    (base / "usr" / "bin" / "tool").write_text("x")
    (base / "usr" / "bin" / "absolute").symlink_to("/usr/bin/tool")
    (base / "usr" / "bin" / "outside").symlink_to(f"{base}/usr/bin/tool")
    (base / "usr" / "bin" / "upwards").symlink_to("../../../../../../usr/bin/tool")
    (base / "usr" / "bin" / "loop").symlink_to("loop")
    fd = os.open(base, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/usr/bin/tool", True), ("/bin/tool", True), ("bin/tool", True), ("/usr/bin/absolute", True),
        ("/bin/upwards", True), ("/../../usr/bin/tool", True), ("/", True), ("/usr/bin", True),
        ("/usr/bin/outside", False), ("/usr/bin/loop", False), ("/usr/bin/gone", False), ("/etc/passwd", False),
        ("/usr/bin/tool/x", False), ("/bin/sh", False),
    ],
)  # fmt: skip
def test_what_a_process_inside_would_find(inside: int, path: str, there: bool) -> None:
    """``/usr/bin/outside`` names a path of the host: inside it leads nowhere."""
    assert beneath.exists_in(inside, path) is there


def test_a_name_that_is_not_utf8_is_found(inside: int, base: Path) -> None:
    os.close(os.open(os.fsencode(base) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    assert beneath.exists_in(inside, "/\udcff")
    assert same(beneath.open_path("/\udcff", inside), base / "\udcff")


class Kernel:
    """One that refuses openat2 with ``number``."""

    def __init__(self, number: int) -> None:
        self._number = number

    def syscall(self, *_: object) -> int:
        ctypes.set_errno(self._number)
        return -1


@pytest.mark.parametrize(
    ("number", "there"),
    [(errno.ENOSYS, True), (errno.EPERM, True), (errno.ENOENT, False), (errno.ELOOP, False), (errno.EACCES, False)],
)
def test_a_kernel_that_cannot_tell_says_yes(monkeypatch: pytest.MonkeyPatch, number: int, there: bool) -> None:
    monkeypatch.setattr(syscalls, "_libc", Kernel(number))
    assert beneath.exists_in(0, "/x") is there


def test_the_same_file(base: Path) -> None:
    os.link(base / "a" / "b" / "file", base / "hard")
    (base / "copy").write_text("x")
    fds = [beneath.open_path(f"{base}/{path}") for path in ("a/b/file", "hard", "copy", "a")]
    assert beneath.same_file(fds[0], fds[0])
    assert beneath.same_file(fds[0], fds[1]), "another name of it"
    assert not beneath.same_file(fds[0], fds[2]), "the same content only"
    assert not beneath.same_file(fds[0], fds[3])
    for fd in fds:
        os.close(fd)


ELEMENTS = st.sampled_from(["a", "b", "link", "up", "..", ".", "", "file"])


@given(st.lists(ELEMENTS, max_size=6))
def test_what_is_opened_is_never_anything_else_than_the_path_says(elements: list[str]) -> None:
    with short_folder() as folder:
        (folder / "a" / "b" / "a").mkdir(parents=True)
        (folder / "a" / "file").write_text("x")
        (folder / "link").symlink_to("a")
        (folder / "a" / "up").symlink_to("..")
        path = "/".join([str(folder), *elements])
        try:
            fd = beneath.open_path(path)
        except OSError:
            return
        plain = os.path.normpath(path)
        assert os.path.realpath(path) == plain
        assert same(fd, Path(plain))
