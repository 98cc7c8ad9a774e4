"""Which folders mounts are, and the links to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.backends.mounts import INTERNAL, check_name, link_mounts, resolve_mounts
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.wire.requests import Mount


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    (made / "proj").mkdir(parents=True)
    return made


def hosts(home: Path, **paths: str) -> dict[str, str]:
    """Host path by name."""
    return {m.name: m.host for m in resolve_mounts({n: Mount(p) for n, p in paths.items()}, home=str(home)).mapped}


@pytest.mark.parametrize("path", ["proj", "./proj", "{abs}", "{rel}", "/{abs}", "{abs}/", "link", "//{rel}//"])
def test_the_forms_of_a_path(home: Path, path: str) -> None:
    (home / "link").symlink_to("proj")
    asked = path.format(abs=home / "proj", rel=str(home / "proj")[1:])
    assert hosts(home, m=asked) == {"m": str(home / "proj")}


def test_another_spelling_of_home(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("home")
    for base in (str(tmp_path / "link"), str(tmp_path / "link")[1:]):
        assert hosts(home, m=f"{base}/proj", outputs=f"{base}/new/out") == {
            "m": str(home / "proj"), "outputs": str(home / "new" / "out"),
        }  # fmt: skip
    assert sorted(path.name for path in home.iterdir()) == ["new", "proj"]


@pytest.mark.parametrize(
    "path",
    ["gone", "../../etc", "proj/../proj", "fifo", "loop", "a\0b", "\0", "x" * 300, "/dev/null", "\udcff"],
)
def test_what_is_no_folder(home: Path, path: str) -> None:
    os.mkfifo(home / "fifo")
    (home / "loop").symlink_to("loop")
    before = sorted(home.rglob("*"))
    told = resolve_mounts({"m": Mount(path), "proj": Mount("proj")}, home=str(home))
    assert told.failed == ["m"]
    assert [m.name for m in told.mapped] == ["proj"]
    assert sorted(home.rglob("*")) == before


def test_a_file_is_left_out(home: Path) -> None:
    (home / "f").write_text("x")
    assert resolve_mounts({"m": Mount("f")}, home=str(home)) == ((), [])


def test_a_file_is_mounted_where_files_can_be(home: Path) -> None:
    (home / "f").write_text("x")
    (home / "link").symlink_to("f")
    os.mkfifo(home / "fifo")
    asked = {"m": Mount("f", "ro"), "l": Mount("link"), "p": Mount("proj"), "fifo": Mount("fifo"), "no": Mount("gone")}
    found = resolve_mounts(asked, home=str(home), files=True)
    file = str(home / "f")
    assert found.mapped == (
        MappedMount("l", file, "rw"), MappedMount("m", file, "ro"), MappedMount("p", str(home / "proj"), "rw"),
    )  # fmt: skip
    assert found.failed == ["fifo", "no"]


@pytest.mark.parametrize("name", sorted(INTERNAL))
def test_the_clients_own_are_made_in_home_alone(home: Path, tmp_path: Path, name: str) -> None:
    assert hosts(home, **{name: "a/b"}) == {name: str(home / "a" / "b")}
    assert (home / "a" / "b").stat().st_mode & 0o777 == 0o700
    (home / "out").symlink_to(tmp_path / "elsewhere")
    (home / "f").write_text("")
    for path in (str(tmp_path / "elsewhere"), "out/x", "f/x", "../x"):
        assert resolve_mounts({name: Mount(path)}, home=str(home)).failed == [name]
    assert not (tmp_path / "elsewhere").exists()


def test_parents_come_first(home: Path) -> None:
    names = ["b/c/d", "b/c", "a/x", "b", "a"]
    mapped = resolve_mounts({name: Mount("proj") for name in names}, home=str(home)).mapped
    assert [m.name for m in mapped] == ["a", "b", "a/x", "b/c", "b/c/d"]


def test_modes(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    modes = {"ro": "ro", "rw": "rw", "rwd": "rwd", "": "rw", "RO": "ro", "x": "ro"}
    for given_mode, mode in modes.items():
        (mapped,) = resolve_mounts({"m": Mount("proj", given_mode)}, home=str(home)).mapped
        assert mapped.mode == mode
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/a", "a/", "a//b", "a/../b", "a/./b", "a\0", "a\n", "\x7f", "é" * 128]
)
def test_names_that_are_none(home: Path, name: str) -> None:
    assert check_name(name)
    assert resolve_mounts({name: Mount("proj")}, home=str(home)) == ((), [name])


@pytest.mark.parametrize("name", ["a", ".a", "a/b", "...", "a b", "é", "x" * 255, "a\\b", '"'])
def test_names_that_are_fine(name: str) -> None:
    assert check_name(name) == ""


@given(st.text(max_size=20) | st.lists(st.sampled_from(["..", ".", "", "a", "\0", "b c"])).map("/".join))
def test_a_name_that_is_accepted_is_one_of_a_session_and_stays_below(name: str) -> None:
    if check_name(name) == "":
        session = SessionMap("otter", "/tree", [MappedMount(name, "/host")])
        assert session.to_host(f"/sessions/otter/mnt/{name}") == "/host"
        assert os.path.normpath(f"/m/{name}").startswith("/m/")


class Tree:
    """A session's tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def link(self, **hosts: object) -> None:
        link_mounts(self.path, tuple(MappedMount(name, str(host)) for name, host in hosts.items()))

    def links(self) -> dict[str, str]:
        root = self.path / "mnt"
        return {str(p.relative_to(root)): os.readlink(p) for p in root.rglob("*") if p.is_symlink()}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


def test_links(tree: Tree, home: Path) -> None:
    tree.link(**{"proj": home / "proj", "a/b": "/b", "a/c": "/c"})
    assert tree.links() == {"proj": str(home / "proj"), "a/b": "/b", "a/c": "/c"}
    assert (tree.path / "mnt").stat().st_mode & 0o777 == 0o700
    before = (tree.path / "mnt" / "proj").lstat()
    tree.link(**{"proj": home / "proj", "a/b": "/other"})
    assert tree.links() == {"proj": str(home / "proj"), "a/b": "/other"}
    assert (tree.path / "mnt" / "proj").lstat().st_ino == before.st_ino
    tree.link()
    assert [path for path in tree.links() if "/" not in path] == []


def test_nothing_below_a_mount(tree: Tree, home: Path) -> None:
    """Not even when the parent is linked already."""
    before = (home / "proj").stat().st_mtime_ns
    for _ in range(2):
        tree.link(**{"proj": home / "proj", "proj/x": "/x", "proj/y/z": "/z"})
        assert tree.links() == {"proj": str(home / "proj")}
    tree.link(**{"proj/x": "/x"})
    assert tree.links() == {"proj/x": "/x"}
    assert (home / "proj").stat().st_mtime_ns == before
    assert os.listdir(home / "proj") == []


def test_what_the_session_made_stays(tree: Tree, home: Path) -> None:
    (tree.path / "mnt").mkdir()
    (tree.path / "mnt" / "file").write_text("own")
    (tree.path / "mnt" / "folder").mkdir()
    tree.link(file=home / "proj", folder=home / "proj", **{"file/x": "/x", "fine": "/fine"})
    assert tree.links() == {"fine": "/fine"}
    assert (tree.path / "mnt" / "file").read_text() == "own"


def test_never_through_a_link(tree: Tree, home: Path) -> None:
    """Of the session's own making, in place of the folder of mounts or below it."""
    mine = home / "proj" / "mine"
    mine.mkdir()
    (mine / "keep").symlink_to("/etc")
    (tree.path / "mnt").symlink_to(mine)
    tree.link(a="/a")
    assert os.listdir(mine) == ["keep"]
    assert tree.links() == {"a": "/a"}
    (tree.path / "mnt" / "b").symlink_to(mine)
    tree.link(**{"b/c": "/c"})
    assert os.listdir(mine) == ["keep"]


def test_no_link_to_itself(tree: Tree) -> None:
    (tree.path / "mnt").mkdir()
    tree.link(m=tree.path / "mnt" / "m")
    assert tree.links() == {}


def test_a_link_that_cannot_be_made_is_no_failure(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tree.path / "mnt").mkdir()
    (tree.path / "mnt" / "file").write_text("")
    tree.link(**{"file/x": "/x", "ok": "/ok"})
    assert tree.links() == {"ok": "/ok"}
    assert "file/x" in caplog.text
