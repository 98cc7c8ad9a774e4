"""Guest paths and sub-paths."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.translate.paths import guest_to_tree, resolve_subpath

TREE = "/home/ana/trees/otter"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/sessions/otter", TREE), ("/sessions/otter/", TREE), ("/sessions/otter/a/b", f"{TREE}/a/b"),
        ("/sessions/otter//a/./b/", f"{TREE}/a/b"), ("/sessions/otter/a/../b", f"{TREE}/b"),
        ("/sessions/otter/..", None), ("/sessions/otter/../other/x", None), ("/sessions/otters/x", None),
        ("/sessions/other/x", None), ("/sessions", None), ("sessions/otter/x", None), ("", None), ("/", None),
        ("/x/sessions/otter/y", None), (f"{TREE}/a", None), ("/sessions/x/../otter/a", f"{TREE}/a"),
    ],
)  # fmt: skip
def test_guest_paths(path: str, expected: str | None) -> None:
    assert guest_to_tree(path, "otter", TREE) == expected


@given(st.lists(st.sampled_from(["..", ".", "", "a", "sessions", "otter", "other", "/"]), max_size=8).map("/".join))
@settings(derandomize=True, deadline=None, max_examples=500, database=None)
def test_a_guest_path_never_leaves_its_tree(rest: str) -> None:
    for path in (f"/{rest}", f"/sessions/otter/{rest}", rest):
        host = guest_to_tree(path, "otter", TREE)
        if host is not None:
            clean = posixpath.normpath(host)
            assert clean == TREE or clean.startswith(TREE + "/")


@pytest.mark.parametrize(
    ("path", "existing", "expected"),
    [
        ("", (), "/home/ana"), ("home/ana", (), "/home/ana"), ("home/ana/x", (), "/home/ana/x"),
        ("/home/ana/x", (), "/home/ana/x"), (".config/x", (), "/home/ana/.config/x"), ("./x", (), "/home/ana/x"),
        ("srv/data", ("/srv/data",), "/srv/data"), ("srv/data", (), "/home/ana/srv/data"),
        ("/srv/data", (), "/srv/data"), ("home/anastasia/x", (), "/home/ana/home/anastasia/x"),
        ("x/../y", (), "/home/ana/y"), ("/a/../b", (), "/b"), ("//x", (), "/x"),
    ],
)  # fmt: skip
def test_subpaths(path: str, existing: tuple[str, ...], expected: str) -> None:
    assert resolve_subpath(path, "/home/ana", existing.__contains__) == expected


def test_the_disk_is_asked_about_nothing_but_the_form_below_the_root() -> None:
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        return False

    resolve_subpath("srv/x", "/home/ana", exists)
    resolve_subpath("home/ana/x", "/home/ana", exists)
    assert asked == ["/srv/x"]
