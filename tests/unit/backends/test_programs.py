"""Which file a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowork.backends.programs import FALLBACKS, find_program, is_program
from cowork.errors import RpcError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home beside nothing: what is installed on this host plays no part."""
    monkeypatch.setattr("cowork.backends.programs.FALLBACKS", ("~/.local/bin", "~/.claude/local"))
    return tmp_path / "home"


def program(path: Path, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


def find(command: str, home: Path, *folders: Path, sdk: str | None = None) -> str:
    return find_program(command, path=":".join(map(str, folders)), home=str(home), sdk=sdk)


def test_the_first_program_on_the_path(home: Path, tmp_path: Path) -> None:
    first, second = program(tmp_path / "a" / "tool"), program(tmp_path / "b" / "tool")
    assert find("tool", home, tmp_path / "a", tmp_path / "b") == first
    assert find("tool", home, tmp_path / "b", tmp_path / "a") == second


def test_what_is_no_program_does_not_stop_the_search(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / "tool").mkdir(parents=True)
    program(tmp_path / "b" / "tool", 0o644)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "tool").symlink_to("nowhere")
    good = program(tmp_path / "d" / "tool")
    assert find("tool", home, *(tmp_path / n for n in "abcd")) == good


def test_links_are_followed(home: Path, tmp_path: Path) -> None:
    program(tmp_path / "real" / "x")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").symlink_to("../real/x")
    assert find("tool", home, tmp_path / "bin") == str(tmp_path / "bin" / "tool")


def test_relative_elements_of_the_path_are_ignored(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "tool")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RpcError, match="no such program"):
        find_program("tool", path=":.:sub::", home=str(home))


def test_the_places_of_a_users_own_programs(home: Path) -> None:
    found = program(home / ".local" / "bin" / "tool")
    assert find("tool", home) == found


def test_an_absolute_command_is_taken_as_it_is(home: Path, tmp_path: Path) -> None:
    assert find(program(tmp_path / "x y;z"), home) == str(tmp_path / "x y;z")


@pytest.mark.parametrize(
    ("name", "words"), [("missing", "No such file"), ("folder", "not a regular file"), ("text", "not executable")]
)
def test_an_absolute_command_that_cannot_be_run(home: Path, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    program(tmp_path / "text", 0o644)
    program(tmp_path / "bin" / name)
    with pytest.raises(RpcError, match=words):
        find(str(tmp_path / name), home, tmp_path / "bin")


def test_claude_alone_is_looked_for_by_name(home: Path, tmp_path: Path) -> None:
    claude = program(tmp_path / "bin" / "claude")
    assert find("/usr/local/bin/nowhere/claude", home, tmp_path / "bin") == claude


def test_the_sdk_stands_for_claude_and_nothing_else(home: Path, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "claude")
    bash = program(tmp_path / "bin" / "bash")
    for command in ("claude", "/usr/local/bin/claude", str(tmp_path / "bin" / "claude")):
        assert find(command, home, tmp_path / "bin", sdk="/sdk/claude") == "/sdk/claude"
    assert find("bash", home, tmp_path / "bin", sdk="/sdk/claude") == bash


@pytest.mark.parametrize("command", ["", "./tool", "sub/tool", "../tool", "$(touch x)", "a;b", "tool\0"])
def test_what_is_no_command(home: Path, tmp_path: Path, command: str) -> None:
    program(tmp_path / "tool")
    with pytest.raises(RpcError):
        find(command, home, tmp_path)


def test_a_refusal_says_where_it_looked(home: Path, tmp_path: Path) -> None:
    with pytest.raises(RpcError, match=r"^tool: no such program$") as raised:
        find("tool", home, tmp_path / "a", tmp_path / "a")
    assert raised.value.hint is not None
    assert raised.value.hint.count(str(tmp_path / "a")) == 1
    assert str(home / ".local/bin") in raised.value.hint


def test_is_program(tmp_path: Path) -> None:
    assert is_program(program(tmp_path / "x"))
    assert not is_program(str(tmp_path))
    assert not is_program("")
    assert not is_program("\0")
    assert all(f.startswith(("~/", "/")) for f in FALLBACKS)
