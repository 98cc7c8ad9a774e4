"""What is protected in a folder of the user's, by what is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cowork.backends.bwrap import guard as module
from cowork.backends.bwrap.guard import HOME, SETTINGS, TARGETS, Guard, guards, repositories
from tests.support.boxes import user_folder
from tests.support.ordinary import ordinary_user

ELSEWHERE = "/home/somebody"
ABSENT = [
    Guard("folder", ".git"), Guard("folder", ".claude"), Guard("file", ".mcp.json", b'{"mcpServers":{}}\n'),
    Guard("file", "HEAD"),
]  # fmt: skip
"""For a folder in which nothing of all this is."""


def found(folder: Path, home: str = ELSEWHERE) -> list[Guard]:
    return guards(str(folder), home=home)


def about(folder: Path, *names: str) -> list[Guard]:
    """The guards of these and of what is below them."""
    return [
        guard for guard in found(folder) if guard.path in names or guard.path.startswith(tuple(f"{n}/" for n in names))
    ]


def make(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert found(tmp_path) == ABSENT


def test_nothing_is_changed_by_looking(tmp_path: Path) -> None:
    make(tmp_path, ".git/config", "a")
    before = sorted((str(p), p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    found(tmp_path)
    assert sorted((str(p), p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


WORKTREE = [Guard("file", ".git/config.worktree"), Guard("file", ".git/commondir", b".\n")]
"""What no ordinary repository has, and what would bring settings into it."""


def test_a_repository(tmp_path: Path) -> None:
    make(tmp_path, ".git/config", ".git/hooks/pre-commit.sample", ".git/HEAD")
    assert about(tmp_path, ".git") == [
        Guard("pin", ".git"), Guard("seal", ".git/hooks"), Guard("seal", ".git/config"), *WORKTREE,
    ]  # fmt: skip
    assert not about(tmp_path, "HEAD")


def test_a_repository_without_hooks_and_settings(tmp_path: Path) -> None:
    make(tmp_path, ".git/HEAD")
    assert about(tmp_path, ".git") == [
        Guard("pin", ".git"), Guard("folder", ".git/hooks"), Guard("file", ".git/config", b""), *WORKTREE,
    ]  # fmt: skip


def test_a_folder_that_is_no_repository_cannot_become_one_by_itself(tmp_path: Path) -> None:
    """Git takes a folder with HEAD, objects and refs for a bare one."""
    assert about(tmp_path, "HEAD") == [Guard("file", "HEAD")]
    make(tmp_path, "HEAD")
    assert about(tmp_path, "HEAD") == [Guard("seal", "HEAD")]


def test_repositories_further_down(tmp_path: Path) -> None:
    make(tmp_path, "a/.git/config", "b/c/.git/hooks/x", "b/c/.claude/settings.json", "d/.git", "e/f")
    assert repositories(str(tmp_path)) == (["a", "d", "b/c"], True)
    assert Guard("seal", "a/.git/config") in found(tmp_path)
    assert Guard("folder", "a/.git/hooks") in found(tmp_path)
    assert about(tmp_path, "d/.git") == [Guard("seal", "d/.git")]
    assert about(tmp_path, "b/c/.claude")[:2] == [
        Guard("pin", "b/c/.claude"), Guard("seal", "b/c/.claude/settings.json"),
    ]  # fmt: skip
    assert not about(tmp_path, "e")


@pytest.mark.parametrize("name", ["node_modules", ".venv", "target", ".git"])
def test_where_repositories_are_not_looked_for(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"{name}/sub/.git/config")
    assert repositories(str(tmp_path)) == ([], True)


def test_repositories_are_not_looked_for_behind_links(tmp_path: Path) -> None:
    make(tmp_path, "outside/sub/.git/config")
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "link").symlink_to("../outside")
    assert repositories(str(tmp_path / "proj")) == ([], True)


def test_how_far_down_repositories_are_looked_for(tmp_path: Path) -> None:
    make(tmp_path, "1/2/3/.git/config", "1/2/x/4/.git/config")
    assert repositories(str(tmp_path)) == (["1/2/3"], True)


@pytest.mark.parametrize("limit", ["FOLDERS", "REPOSITORIES"])
def test_what_is_too_much_to_look_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(module, limit, 3)
    for number in range(5):
        make(tmp_path, f"{number}/.git/config")
    (last,) = (guard for guard in found(tmp_path) if guard.kind == "open")
    assert b"too many" in last.content
    assert Guard("seal", "0/.git/config") in found(tmp_path)


def test_modules_of_a_repository_that_has_some(tmp_path: Path) -> None:
    make(tmp_path, ".git/config", ".git/hooks/x", ".git/modules/sub/hooks/pre-commit")
    assert about(tmp_path, ".git")[-1] == Guard("seal", ".git/modules")


def test_a_worktree(tmp_path: Path) -> None:
    """Its .git is a file that says where the rest is."""
    make(tmp_path, ".git")
    assert about(tmp_path, ".git") == [Guard("seal", ".git")]


@pytest.mark.parametrize("name", [".git", ".claude", ".mcp.json"])
def test_what_is_a_link_is_said_to_be_open(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).symlink_to("elsewhere")
    assert about(tmp_path, name) == [Guard("open", name, b"it is a symbolic link")]


@pytest.mark.parametrize("name", [".git/hooks", ".git/config", ".claude/settings.json"])
def test_a_link_further_down(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).symlink_to("/elsewhere")
    assert Guard("open", name, b"it is a symbolic link") in found(tmp_path)
    assert Guard("pin", name.partition("/")[0]) in found(tmp_path)


BOTH = ["settings.json", "settings.local.json"]


@pytest.mark.parametrize("settings", [[], BOTH[:1], BOTH[1:], BOTH])
def test_settings_that_are_there_in_part(tmp_path: Path, settings: list[str]) -> None:
    make(tmp_path, ".claude/CLAUDE.md", *(f".claude/{name}" for name in settings))
    expected = [Guard("pin", ".claude")]
    for name in BOTH:
        path = f".claude/{name}"
        expected.append(Guard("seal", path) if name in settings else Guard("file", path, SETTINGS))
    assert about(tmp_path, ".claude") == expected


def test_servers(tmp_path: Path) -> None:
    make(tmp_path, ".mcp.json")
    assert about(tmp_path, ".mcp.json") == [Guard("seal", ".mcp.json")]


def test_a_folder_where_a_file_is_meant(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").mkdir()
    assert about(tmp_path, ".mcp.json") == [Guard("seal", ".mcp.json")]


@pytest.mark.parametrize(
    "name", [".bashrc", ".envrc", ".cowork.toml", ".gitconfig", ".ssh/config", ".config/autostart"]
)
def test_start_files_count_where_they_are_and_nowhere_else(tmp_path: Path, name: str) -> None:
    assert not about(tmp_path, name)
    make(tmp_path, name)
    assert about(tmp_path, name) == [Guard("seal", name)]
    if "/" in name:
        assert Guard("pin", name.partition("/")[0]) in found(tmp_path)


def test_in_the_home_folder_start_files_count_though_they_are_not_there(tmp_path: Path) -> None:
    make(tmp_path, ".bashrc", ".config/fish/config.fish")
    home = found(tmp_path, str(tmp_path))
    assert Guard("seal", ".bashrc") in home
    assert Guard("seal", ".config/fish/config.fish") in home
    files = {guard.path for guard in home if guard.kind == "file"}
    assert files >= {name for name, content in HOME.items() if content == b"" and "/" not in name} - {".bashrc"}
    assert Guard("folder", ".ssh") in home
    assert Guard("folder", ".config/autostart") in home
    below = {guard.path for guard in found(tmp_path, f"{tmp_path}/sub")}
    assert not below & (set(HOME) - {".bashrc", ".config/fish/config.fish"})


def test_nothing_comes_twice_and_what_is_in_something_comes_after_it(tmp_path: Path) -> None:
    make(tmp_path, *(name for name, content in (*TARGETS.items(), *HOME.items()) if content is not None))
    make(tmp_path, "sub/.git/config", "sub/.claude/settings.json")
    for home in (ELSEWHERE, str(tmp_path)):
        paths = [guard.path for guard in found(tmp_path, home)]
        assert len(paths) == len(set(paths))
        for path in paths:
            parent = os.path.dirname(path)
            assert parent not in paths or paths.index(parent) < paths.index(path)


def test_another_sessions_placeholder_is_nothing(tmp_path: Path) -> None:
    """It goes with that session: what counts is that the user has nothing there."""
    (tmp_path / ".mcp.json").write_text('{"mcpServers":{}}\n')
    (tmp_path / ".mcp.json").chmod(0o444)
    (tmp_path / ".git").mkdir(0o500)
    for name in (".mcp.json", ".git"):
        os.utime(tmp_path / name, (1, 1))
    assert found(tmp_path) == ABSENT
    (tmp_path / ".git").chmod(0o700)


def test_a_folder_that_is_gone() -> None:
    assert guards("/no/such/folder", home=ELSEWHERE) == []


def test_what_nobody_can_make_needs_no_guard() -> None:
    """The folder is another user's."""
    with ordinary_user():
        assert os.stat("/usr").st_uid != os.geteuid()
        assert guards("/usr", home=ELSEWHERE) == []


@pytest.mark.parametrize(("closed", "name"), [("", ".mcp.json"), (".git", ".git/hooks")])
def test_a_folder_that_its_owner_has_closed_is_not_left_open(closed: str, name: str) -> None:
    with user_folder() as folder:
        (folder / ".git").mkdir()
        (folder / closed).chmod(0o555)
        try:
            assert about(folder, name)
        finally:
            (folder / closed).chmod(0o755)
