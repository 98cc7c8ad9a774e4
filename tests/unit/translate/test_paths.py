"""Which host path a sub-path means, and what lies in what."""

from __future__ import annotations

import pytest

from cowork.translate.paths import has_control, is_below, resolve_subpath


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


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [("/a/b", "/a", True), ("/a", "/a", True), ("/ab", "/a", False), ("/a", "/a/b", False), ("/x", "/", True)],
)
def test_boundaries(path: str, folder: str, expected: bool) -> None:
    assert is_below(path, folder) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("a b é", False), ("", False), ("a\nb", True), ("\0", True), ("\x7f", True)]
)
def test_control_characters(text: str, expected: bool) -> None:
    assert has_control(text) is expected
