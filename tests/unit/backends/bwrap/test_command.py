"""The program of a session, and what it needs, by the way it was installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.backends.bwrap import command
from cowork.backends.bwrap.command import inner_path, show
from cowork.backends.bwrap.recipe import Recipe
from tests.support.holding import short_folder


class Home:
    """A home folder with programs in it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "home" / "ana"
        self.path.mkdir(parents=True)

    def program(self, name: str, first_line: str = "\x7fELF") -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{first_line}\n")
        file.chmod(0o755)
        return file

    def link(self, name: str, target: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)
        return file

    def shown(
        self,
        program: Path | str,
        *,
        path: str = "/usr/bin:/bin",
        seen: tuple[str, ...] = (),
        ours: tuple[str, ...] = (),
    ) -> list[tuple[str, str, str]]:
        """The options, with paths below the home folder as ``~``."""
        recipe = Recipe("/bwrap", frozenset())
        show(recipe, str(program), home=str(self.path), path=path, seen=seen, ours=ours)
        words = [word.replace(str(self.path), "~") for word in recipe.options]
        return [(words[at], words[at + 1], words[at + 2]) for at in range(0, len(words), 3)]


@pytest.fixture
def home() -> Iterator[Home]:
    with short_folder() as folder:
        yield Home(Path(os.path.realpath(folder)))


def bound(*places: str) -> list[tuple[str, str, str]]:
    return [("--ro-bind", place, place) for place in places]


@pytest.mark.parametrize("program", ["/usr/bin/env", "/bin/sh", "/usr/bin/python3"])
def test_what_every_sandbox_sees_is_not_shown_again(home: Home, program: str) -> None:
    assert home.shown(program) == []


def test_a_program_with_its_versions_beside_it(home: Home) -> None:
    """As the CLI installs itself: ~/.local/bin/claude is a link to a file in a folder of versions."""
    home.program(".local/share/claude/versions/2.1.0")
    home.program(".local/share/claude/versions/2.0.9")
    link = home.link(".local/bin/claude", "../share/claude/versions/2.1.0")
    assert home.shown(link) == [
        *bound("~/.local/share/claude/versions/2.1.0"),
        ("--symlink", "~/.local/share/claude/versions/2.1.0", "~/.local/bin/claude"),
    ]  # fmt: skip


def test_a_program_by_itself(home: Home) -> None:
    assert home.shown(home.program("bin/tool")) == bound("~/bin/tool")


@pytest.mark.parametrize("first_line", ["\x7fELF", "#!/bin/sh"])
def test_a_program_directly_in_the_home_folder(home: Home, first_line: str) -> None:
    """Never the home folder itself, though a script may lie beside what it needs."""
    assert home.shown(home.program("tool", first_line)) == bound("~/tool")


def test_a_script_directly_above_the_home_folder(home: Home) -> None:
    script = home.program("../tool", "#!/bin/sh").resolve()
    assert [step[1] for step in home.shown(script)] == [str(script)]


def test_a_script_and_what_lies_beside_it(home: Home) -> None:
    assert home.shown(home.program("app/cli", "#!/bin/sh")) == bound("~/app")


def test_a_link_to_a_script(home: Home) -> None:
    home.program("app/cli", "#!/bin/sh")
    assert home.shown(home.link("bin/cli", "../app/cli")) == [*bound("~/app"), ("--symlink", "~/app/cli", "~/bin/cli")]


def test_a_link_beside_its_script_is_there_already(home: Home) -> None:
    home.program("app/cli-1.2", "#!/bin/sh")
    assert home.shown(home.link("app/cli", "cli-1.2")) == bound("~/app")


def test_an_npm_package(home: Home) -> None:
    """With all that lie beside it, which are what it needs, and the node that runs it."""
    home.program("npm/lib/node_modules/@anthropic-ai/claude-code/cli.js", "#!/usr/bin/env node")
    home.program("node/v20/bin/node")
    link = home.link("npm/bin/claude", "../lib/node_modules/@anthropic-ai/claude-code/cli.js")
    assert home.shown(link, path=f"/nowhere:{home.path}/node/v20/bin") == [
        *bound("~/npm/lib/node_modules"),
        ("--symlink", "~/npm/lib/node_modules/@anthropic-ai/claude-code/cli.js", "~/npm/bin/claude"),
        *bound("~/node/v20/bin/node"),
    ]


@pytest.mark.parametrize(
    "line", ["#!/usr/bin/env node", "#!/usr/bin/env -S node --flag", "#! /usr/bin/env A=b node", "#!/bin/env  node"]
)
def test_an_interpreter_that_is_looked_for(home: Home, line: str) -> None:
    node = home.program("node/bin/node")
    script = home.program("app/cli", line)
    assert home.shown(script, path=str(node.parent)) == bound("~/app", "~/node/bin/node")
    assert home.shown(script, path="/nowhere") == bound("~/app/cli"), "env will say so itself"


def test_an_interpreter_that_is_named(home: Home) -> None:
    node = home.program("node/bin/node")
    assert home.shown(home.program("app/cli", f"#!{node} --flag")) == bound("~/app", "~/node/bin/node")


def test_an_interpreter_behind_a_link(home: Home) -> None:
    home.program("node/v20/bin/node")
    link = home.link("node/current", "v20/bin/node")
    assert home.shown(home.program("app/cli", f"#!{link}")) == [
        *bound("~/app", "~/node/v20/bin/node"), ("--symlink", "~/node/v20/bin/node", "~/node/current"),
    ]  # fmt: skip


def test_an_interpreter_that_is_a_script_itself(home: Home) -> None:
    outer = home.program("wrap/node", "#!/bin/sh")
    assert home.shown(home.program("app/cli", f"#!{outer}")) == bound("~/app", "~/wrap")


def test_scripts_that_interpret_each_other_come_to_an_end(home: Home) -> None:
    one, other = home.path / "a" / "one", home.path / "b" / "other"
    home.program("a/one", f"#!{other}")
    home.program("b/other", f"#!{one}")
    assert home.shown(one) == bound("~/a", "~/b")


@pytest.mark.parametrize("line", ["#!", "#! ", "#!/no/such/interpreter", "#!/usr/bin/env", "no script", ""])
def test_lines_that_name_nobody(home: Home, line: str) -> None:
    assert home.shown(home.program("app/cli", line)) == bound("~/app/cli")


def test_what_is_mounted_by_the_user_is_there_already(home: Home) -> None:
    program = home.program("tools/bin/tool")
    assert home.shown(program, seen=(f"{home.path}/tools",)) == []
    assert home.shown(program, seen=(f"{home.path}/tool",)) == bound("~/tools/bin/tool")


@pytest.mark.parametrize("ours", ["state", "state/cowork"])
def test_a_script_beside_our_own_files_is_shown_alone(home: Home, ours: str) -> None:
    (home.path / "state" / "cowork").mkdir(parents=True)
    assert home.shown(home.program("state/tool", "#!/bin/sh"), ours=(f"{home.path}/{ours}",)) == bound("~/state/tool")


def test_a_program_that_is_not_there(home: Home) -> None:
    """Nobody asks before it was found; bubblewrap says the rest."""
    assert home.shown(home.path / "gone") == bound("~/gone")


def test_a_link_of_the_users_to_a_program_of_the_system(home: Home) -> None:
    """As ~/.nix-profile/bin has them; the program is started by this name."""
    assert home.shown(home.link("bin/tool", "/usr/bin/env")) == [("--symlink", "/usr/bin/env", "~/bin/tool")]


# -- the search path inside


def test_the_path_has_what_is_there_inside(home: Home) -> None:
    bin_, opt = home.path / "bin", home.path / "opt"
    bin_.mkdir()
    opt.mkdir()
    made = inner_path(f"{bin_}:/usr/games:relative::/usr/bin:{opt}", [str(opt)]).split(":")
    assert made[:3] == ["/usr/games", "/usr/bin", str(opt)]
    assert str(bin_) not in made
    assert {"/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"} <= set(made)
    assert len(made) == len(set(made))


@pytest.mark.parametrize("path", ["", "relative", "/no/such/folder"])
def test_a_path_is_never_empty(path: str) -> None:
    assert inner_path(path, []).split(":")[-6:] == [
        "/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin",
    ]  # fmt: skip


def test_the_kernel_looks_at_so_much_of_a_line() -> None:
    assert command._SHEBANG_MAX == 256
