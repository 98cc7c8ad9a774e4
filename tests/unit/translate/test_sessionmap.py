"""Guest paths and host paths of one session."""

from __future__ import annotations

import dataclasses
import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.translate.sessionmap import MappedMount, SessionMap

TREE = "/home/ana/trees/t1"
OTTER = SessionMap(
    "otter",
    TREE,
    [
        MappedMount("proj", "/home/ana/code/proj"),
        MappedMount("proj/.cache", "/home/ana/cache"),
        MappedMount("p", "/srv/p", "ro"),
        MappedMount("pp", "/srv/pp/"),
        MappedMount(".skills", "/home/ana/.config/App/skills"),
        MappedMount("uploads", "/srv/up"),
    ],
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/sessions/otter", TREE), ("/sessions/otter/", TREE), ("/sessions/otter/tmp/x", f"{TREE}/tmp/x"),
        ("/sessions/otter/mnt", f"{TREE}/mnt"), ("/sessions/otter/mnt/other/f", f"{TREE}/mnt/other/f"),
        ("/sessions/otter/mnt/proj", "/home/ana/code/proj"), ("/sessions/otter/mnt/proj/", "/home/ana/code/proj"),
        ("/sessions/otter/mnt/proj/src/a.py", "/home/ana/code/proj/src/a.py"),
        ("/sessions/otter/mnt/proj2/a", f"{TREE}/mnt/proj2/a"),
        ("//sessions/otter/mnt/proj/a", "/home/ana/code/proj/a"),
        ("/sessions//otter/./mnt/proj//a", "/home/ana/code/proj/a"),
        ("/sessions/otter/mnt/proj/.cache/x", "/home/ana/cache/x"), ("/sessions/otter/mnt/pp/f", "/srv/pp/f"),
        ("/sessions/otter/mnt/skills/pdf", "/home/ana/.config/App/skills/pdf"),
        ("/sessions/otter/mnt/.uploads/a", "/srv/up/a"), ("/sessions/otter/mnt/.proj/.cache/a", "/home/ana/cache/a"),
        ("/sessions/otter/mnt/proj/cache/a", "/home/ana/code/proj/cache/a"),
        ("/sessions/otter/mnt/proj/./x/../y", "/home/ana/code/proj/y"),
        ("/sessions/otter/mnt/proj/../../etc/passwd", None), ("/sessions/otter/mnt/proj/..", None),
        ("/sessions/otter/mnt/proj/.cache/../y", "/home/ana/code/proj/y"), ("/sessions/otter/a/../b", f"{TREE}/b"),
        ("/sessions/otter/../otter/a", f"{TREE}/a"), ("/sessions/otter/../fox/a", None), ("/sessions/fox/a", None),
        ("/sessions/otter2/a", None), ("/sessions", None), ("/home/ana/x", None), ("sessions/otter/a", None),
        ("", None), ("/", None), ("/x/sessions/otter/a", None),
    ],
)  # fmt: skip
def test_to_host(path: str, expected: str | None) -> None:
    assert OTTER.to_host(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (TREE, "/sessions/otter"), (f"{TREE}/tmp//x/", "/sessions/otter/tmp/x"), (f"{TREE}x", None),
        ("/home/ana/code/proj", "/sessions/otter/mnt/proj"), ("/home/ana/code/proj/a", "/sessions/otter/mnt/proj/a"),
        ("/home/ana/code/proj2", None), ("/srv/p/f", "/sessions/otter/mnt/p/f"),
        ("/srv/pp/f", "/sessions/otter/mnt/pp/f"),
        ("/srv/p/../pp/f", "/sessions/otter/mnt/pp/f"), ("/srv", None), ("/", None), ("", None), ("srv/p", None),
    ],
)  # fmt: skip
def test_to_guest(path: str, expected: str | None) -> None:
    assert OTTER.to_guest(path) == expected


def test_the_deepest_folder_gives_the_guest_path() -> None:
    session = SessionMap("s", "/t", [MappedMount("home", "/h"), MappedMount("in", "/h/a/b"), MappedMount("two", "/h")])
    assert session.to_guest("/h/a/b/c") == "/sessions/s/mnt/in/c"
    assert session.to_guest("/h/a/x") == "/sessions/s/mnt/home/a/x"


def test_the_whole_disk_as_a_mount() -> None:
    session = SessionMap("s", "/t", [MappedMount("all", "/")])
    assert session.to_host("/sessions/s/mnt/all") == "/"
    assert session.to_host("/sessions/s/mnt/all/etc/x") == "/etc/x"
    assert session.to_guest("/") == "/sessions/s/mnt/all"
    assert session.to_guest("/etc/x") == "/sessions/s/mnt/all/etc/x"
    assert session.to_guest("/t/x") == "/sessions/s/x"


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        ([".a", "a"], "a", "/1"), ([".a", "a"], ".a", "/0"), ([".a"], "a", "/0"), (["a"], ".a", "/0"),
        ([".a/b"], "a/b", "/0"), ([".a", "a/b"], "a/c", "/t/mnt/a/c"), (["a", "..a"], ".a", "/1"),
    ],
)  # fmt: skip
def test_a_name_of_its_own_wins_over_another_spelling(names: list[str], asked: str, expected: str) -> None:
    session = SessionMap("s", "/t", [MappedMount(name, f"/{i}") for i, name in enumerate(names)])
    assert session.to_host(f"/sessions/s/mnt/{asked}") == expected


def test_mount_of() -> None:
    assert OTTER.mount_of("/srv/p/x/y") == MappedMount("p", "/srv/p", "ro")
    assert OTTER.mount_of("/home/ana/cache") == MappedMount("proj/.cache", "/home/ana/cache")
    assert OTTER.mount_of(TREE) is None
    assert OTTER.mount_of("/srv") is None
    assert OTTER.mount_of("srv/p") is None


def test_what_it_says_about_itself() -> None:
    assert (OTTER.name, OTTER.tree, OTTER.root) == ("otter", TREE, "/sessions/otter")
    assert SessionMap("s\udcff", "/t").guest_prefix == b"/sessions/s\xff"
    assert OTTER.mounts[3] == MappedMount("pp", "/srv/pp")
    with pytest.raises(dataclasses.FrozenInstanceError):
        OTTER.tree = "/x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "tree", "mount", "host"),
    [
        ("", "/t", "a", "/a"), ("..", "/t", "a", "/a"), ("a/b", "/t", "a", "/a"), ("s", "t", "a", "/a"),
        ("s", "/t", "", "/a"), ("s", "/t", "a/../b", "/a"), ("s", "/t", ".", "/a"), ("s", "/t", "a//b", "/a"),
        ("s", "/t", "a", "a"), ("s", "/t", "a", ""),
    ],
)  # fmt: skip
def test_what_is_no_map(name: str, tree: str, mount: str, host: str) -> None:
    with pytest.raises(ValueError, match="no "):
        SessionMap(name, tree, [MappedMount(mount, host)])


ELEMENTS = st.sampled_from(["..", ".", "", "a", "mnt", "proj", "p", "pp", ".cache", "skills", "otter", "sessions"])


@given(st.lists(ELEMENTS, max_size=8).map("/".join))
@settings(derandomize=True, deadline=None, max_examples=1000, database=None)
def test_a_path_that_maps_stays_in_the_base_and_is_normalised(rest: str) -> None:
    bases = [TREE, *(m.host for m in OTTER.mounts)]
    for path in (f"/{rest}", f"/sessions/otter/{rest}", f"/sessions/otter/mnt/proj/{rest}", rest):
        host = OTTER.to_host(path)
        if host is not None:
            assert host == posixpath.normpath(host)
            assert any(host == base or host.startswith(base + "/") for base in bases)


@given(st.lists(st.sampled_from([".", "", "a", "mnt", "proj", "p", "pp", ".cache", ".skills", "ü"]), max_size=8))
@settings(derandomize=True, deadline=None, max_examples=1000, database=None)
def test_there_and_back_is_the_normalised_path(elements: list[str]) -> None:
    path = posixpath.join("/sessions/otter", *(e for e in elements if e)) + "/"
    if any(e == ".skills" for e in elements) or "/mnt/.cache" not in path:
        host = OTTER.to_host(path)
        assert host is not None
        assert OTTER.to_guest(host) == posixpath.normpath(path)
