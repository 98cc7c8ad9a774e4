"""The program that a session runs, made visible inside: its file, what it lies beside, and what interprets it.

Never the user's home: a program that lies directly there is shown as one file. A link to the program is made again,
so that it is started by the name under which it was found (the CLI looks at its own).
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from cowork.backends.bwrap.system import is_visible
from cowork.backends.programs import is_program
from cowork.translate.paths import is_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cowork.backends.bwrap.recipe import Recipe

_SHARED = frozenset({"/var/tmp", "/var/run", "/dev/shm"})
"""Folders of everybody, beside those directly below the root: never shown as a script's own."""
_SHEBANG_MAX = 256
"""Bytes of a script's first line that the kernel looks at (execve(2))."""


def show(
    recipe: Recipe, program: str, *, home: str, path: str, seen: Sequence[str] = (), ours: Sequence[str] = ()
) -> list[str]:  # fmt: skip
    """Have ``program``, an absolute path, be there inside. ``path``: the child's PATH, for ``#!/usr/bin/env node``;
    ``seen``: host folders that are mounted at their own place anyway; ``ours``: folders that nobody may see.

    Returns:
        folders that have to be in the PATH inside, for what is found there by name.
    """
    shown: set[str] = set()
    folders: list[str] = []
    _show(recipe, program, [home, *ours], path, [*seen], shown, folders)
    return folders


def _show(
    recipe: Recipe, program: str, private: Sequence[str], path: str, seen: Sequence[str], shown: set[str],
    folders: list[str],
) -> None:  # fmt: skip
    real = os.path.realpath(program)
    if _has(real, seen) or real in shown:
        _link(recipe, program, real, seen, shown)
        return
    shown.add(real)
    interpreter = _interpreter(real, path)
    place = real if interpreter is None else _package_of(real)
    if place.count("/") < 2 or place in _SHARED or any(is_below(folder, place) for folder in private):
        place = real
    if not any(is_below(place, other) for other in shown - {real}):
        recipe.bind(place, place)
        shown.add(place)
    _link(recipe, program, real, seen, shown)
    if interpreter is not None:
        if not _has(interpreter, seen):
            folders.append(os.path.dirname(interpreter))
        _show(recipe, interpreter, private, path, seen, shown, folders)


def _link(recipe: Recipe, program: str, real: str, seen: Sequence[str], shown: set[str]) -> None:
    """Make the link again by which the program was found."""
    where = os.path.abspath(program)
    there = _has(os.path.realpath(os.path.dirname(where)), seen) or where in shown or _inside(program, shown)
    if where != real and not there:
        shown.add(where)
        recipe.add("--symlink", real, where)


def _has(real: str, seen: Sequence[str]) -> bool:
    return is_visible(real) or any(is_below(real, folder) for folder in seen)


def _inside(program: str, shown: set[str]) -> bool:
    where = os.path.abspath(program)
    return any(where.startswith(f"{folder}/") for folder in shown)


def _package_of(script: str) -> str:
    """The folder that a script needs: its npm package's with all others beside it, or its own."""
    before, found, _ = script.rpartition("/node_modules/")
    return f"{before}/node_modules" if found else os.path.dirname(script)


def missing_interpreter(program: str) -> str | None:
    """The interpreter that a script asks for and that cannot be run; None for what is no script or has one."""
    words = _first_line(os.path.realpath(program))
    return words[0] if words and not is_program(words[0]) else None


def _first_line(real: str) -> list[str]:
    """The words of a script's first line behind ``#!``; none for what is no script."""
    try:
        with open(real, "rb") as f:
            line = f.read(_SHEBANG_MAX).split(b"\n", 1)[0]
    except OSError:
        return []
    return os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []


def _interpreter(real: str, path: str) -> str | None:
    """What interprets a script, as an absolute path; None for what is no script or is interpreted by what is there."""
    words = _first_line(real)
    if words and os.path.basename(words[0]) == "env":
        names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        return shutil.which(names[0], path=path) if names else None
    return words[0] if words and is_program(words[0]) else None


def inner_path(path: str, seen: Sequence[str], more: Sequence[str] = ()) -> str:
    """The child's PATH with the folders that are there inside, ``more``, and those that every program counts on."""
    folders = [*more, *(f for f in path.split(":") if f.startswith("/") and _has(os.path.realpath(f), seen))]
    usual = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"]
    if os.path.isdir("/run/current-system/sw/bin"):
        usual.insert(0, "/run/current-system/sw/bin")
    return ":".join(dict.fromkeys([*folders, *usual]))
