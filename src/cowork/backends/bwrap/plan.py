"""Which folders a session sees, where and how: the mounts it was given, and what is guarded in them.

The user's folders are looked at here and never changed. Where something has to be mounted on what is not there, the
holder has a placeholder for as long as the session runs (holder/covers.py).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from cowork.backends.bwrap.guard import can_be_changed, guards
from cowork.holder.covers import looks_like_one
from cowork.holder.spec import Cover
from cowork.translate.paths import is_below
from cowork.translate.sessionmap import MappedMount
from cowork.translate.workdir import NOT_WORKSPACES

if TYPE_CHECKING:
    from cowork.backends.bwrap.recipe import Recipe

ENTRIES = 200
"""A read-only folder in which something has to be mounted that is not there is put together from its entries; one
with more of them than this is not."""
SYSTEM = ("/proc", "/sys", "/dev", "/run", "/boot", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/sessions")


OWN_MOUNTS = NOT_WORKSPACES | {".claude", ".auto-memory", ".remote-plugins", ".skills"}
"""Mounts of clients' own folders: the program's settings are in there, and it has to write them."""


class Limits(NamedTuple):
    """What may not be mounted: ``home`` itself (unless ``allow_home``), ``ours`` and what contains them."""

    home: str
    ours: Sequence[str]
    allow_home: bool = False


class Planned(NamedTuple):
    """The mounts that hold, the names of those that do not with the reason, and what is weaker than it should be."""

    mounts: list[MappedMount]
    failed: dict[str, str]
    notes: list[str]


def choose(mapped: Sequence[MappedMount], limits: Limits) -> Planned:
    """Which of the mounts may be made. Parents come before what is nested in them."""
    chosen: list[MappedMount] = []
    failed: dict[str, str] = {}
    for mount in mapped:
        parent = parent_of(mount, chosen)
        problem = refusal(mount.host, limits)
        if not problem and parent is not None:
            problem = _nested_problem(mount, parent)
        if problem:
            failed[mount.name] = problem
        else:
            chosen.append(mount)
    return Planned(chosen, failed, [])


def refusal(host: str, limits: Limits) -> str:
    """Why a real path may not be mounted; empty if it may."""
    for place in SYSTEM:
        if is_below(host, place):
            return f"{host} is a part of the system"
    for place in (limits.home, *limits.ours):
        if limits.allow_home and host == limits.home:
            break  # what is ours in it is hidden
        if is_below(place, host):
            what = "the home folder" if place == limits.home else "Cowork's own files"
            return f"{host} is or contains {what}"
    for place in limits.ours:
        if is_below(host, place):
            return f"{host} is one of Cowork's own files"
    mode = os.stat(host).st_mode
    return "" if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else f"{host} is neither a file nor a folder"


def add_mounts(
    recipe: Recipe, planned: Planned, base: str, *, home: str, protect: bool, ours: Sequence[str] = ()
) -> None:  # fmt: skip
    """Add the mounts to ``recipe`` below the guest's path ``base``, guarded, and with what is ``ours`` hidden."""
    composed = {mount: missing for mount in planned.mounts if (missing := _missing_in(mount, planned.mounts))}
    made: dict[str, None] = {}
    closed: list[str] = []
    for mount in planned.mounts:
        place = f"{base}/{mount.name}"
        parent = parent_of(mount, planned.mounts)
        if parent is not None and parent not in composed:
            if _shows_it_already(mount, parent):
                continue
            _make_room(recipe, mount, parent, f"{base}/{parent.name}", made)
        if mount in composed:
            inside = [_inside(other, mount) for other in planned.mounts if other.name.startswith(f"{mount.name}/")]
            closed = _compose(recipe, mount.host, place, [path.split("/") for path in inside]) + closed
            continue
        recipe.bind(mount.host, place, writable=mount.mode != "ro")
        hide(recipe, mount.host, place, ours)
        if protect and _is_guarded(mount, home):
            # Before what is nested in it, which would be hidden otherwise.
            _guard(recipe, mount, place, home, planned)
    for place in closed:
        recipe.add("--remount-ro", place)


def hide(recipe: Recipe, folder: str, place: str, ours: Sequence[str]) -> None:
    """Have those of ``ours`` that lie in ``folder``, which is shown at ``place``, look empty."""
    for hidden in ours:
        if is_below(hidden, folder) and os.path.isdir(hidden):
            where = place + hidden.removeprefix(folder)
            recipe.add("--tmpfs", where, "--remount-ro", where)


class Live(NamedTuple):
    """What a running sandbox is told so that it sees one more folder; fields as in holder/mounting.py."""

    host: str
    above: str
    name: str
    writable: bool
    guards: list[tuple[str, bool]]
    covers: list[Cover]


def live(mount: MappedMount, base: str, *, home: str, protect: bool) -> Live:
    """One more mount for a sandbox that runs, guarded like the others."""
    guarded: list[tuple[str, bool]] = []
    covers: list[Cover] = []
    if protect and _is_guarded(mount, home) and can_be_changed(mount.host):
        for guard in guards(mount.host, home=home):
            if guard.kind in ("file", "folder"):
                covers.append(Cover(mount.host, guard.path, guard.content.decode() if guard.kind == "file" else None))
            if guard.kind != "open":
                guarded.append((guard.path, guard.kind == "pin"))
    return Live(mount.host, base, mount.name, mount.mode != "ro", guarded, covers)


def parent_of(mount: MappedMount, mounts: Sequence[MappedMount]) -> MappedMount | None:
    """The deepest mount that ``mount`` is nested in, by its name."""
    above = [other for other in mounts if mount.name.startswith(f"{other.name}/")]
    return max(above, key=lambda other: len(other.name), default=None)


# -- nested mounts


def _inside(mount: MappedMount, parent: MappedMount) -> str:
    return mount.name.removeprefix(f"{parent.name}/")


def _first_missing(mount: MappedMount, parent: MappedMount) -> str | None:
    """The path, below the parent's folder, of the first element that is not there; None if all are."""
    return _missing_below(parent.host, _inside(mount, parent))


def _missing_below(folder: str, path: str) -> str | None:
    so_far = ""
    for element in path.split("/"):
        so_far = f"{so_far}/{element}".lstrip("/")
        try:
            info = os.lstat(f"{folder}/{so_far}")
        except OSError:
            return so_far
        if looks_like_one(info):
            return so_far  # another session's placeholder
    return None


def _nested_problem(mount: MappedMount, parent: MappedMount) -> str:
    if os.path.isfile(parent.host):
        return f"mount {parent.name}, in which it lies, is a file"
    if _first_missing(mount, parent) is not None:
        if parent.mode == "ro":
            if len(os.listdir(parent.host)) > ENTRIES:
                return f"{parent.host} is read-only, has no {_inside(mount, parent)}, and too many entries"
            return ""
        return "" if os.access(parent.host, os.W_OK) else f"{parent.host} cannot be written to"
    place = f"{parent.host}/{_inside(mount, parent)}"
    if os.path.realpath(place) != place:
        return f"{place} is, or lies behind, a symbolic link" if not _shows_it_already(mount, parent) else ""
    if os.path.isdir(place) != os.path.isdir(mount.host):
        return f"{place} is in the way"
    return ""


def _shows_it_already(mount: MappedMount, parent: MappedMount) -> bool:
    """Whether the parent shows the very same place, and may be written to like it."""
    same = os.path.realpath(f"{parent.host}/{_inside(mount, parent)}") == mount.host
    return same and (mount.mode == "ro") == (parent.mode == "ro")


def _is_there(mount: MappedMount, mounts: Sequence[MappedMount]) -> bool:
    """Whether nothing has to be mounted for it."""
    parent = parent_of(mount, mounts)
    return parent is not None and _shows_it_already(mount, parent)


def _missing_in(mount: MappedMount, mounts: Sequence[MappedMount]) -> list[str]:
    """The nested mounts for which a read-only folder has no place, so that it has to be put together."""
    if mount.mode != "ro":
        return []
    nested = [child for child in mounts if parent_of(child, mounts) == mount]
    return [child.name for child in nested if _first_missing(child, mount) is not None]


def _compose(recipe: Recipe, folder: str, place: str, nested: Sequence[Sequence[str]]) -> list[str]:
    """Show a folder read-only entry by entry, so that there is room for what is ``nested`` (paths by elements).

    Returns:
        places that have to be made read-only when everything is mounted in them.
    """
    closed = [place]
    recipe.add("--tmpfs", place)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            below = [path[1:] for path in nested if path[0] == entry.name]
            where = f"{place}/{entry.name}"
            if [] in below:
                continue  # this is where something will be mounted
            if entry.is_symlink():
                recipe.add("--symlink", os.readlink(entry.path), where)
            elif below and entry.is_dir():
                closed = _compose(recipe, entry.path, where, below) + closed
            elif entry.is_dir() or entry.is_file():
                recipe.bind(entry.path, where)
    return closed


def _make_room(recipe: Recipe, mount: MappedMount, parent: MappedMount, above: str, made: dict[str, None]) -> None:
    missing = _first_missing(mount, parent)
    if missing is None:
        return
    is_file = missing == _inside(mount, parent) and os.path.isfile(mount.host)
    place = f"{above}/{missing}"
    if place in made:
        return  # another mount below it has made room
    made[place] = None
    recipe.cover(parent.host, missing, b"" if is_file else None)
    if not is_file and missing != _inside(mount, parent):
        recipe.add("--tmpfs", place)


# -- guards


def _is_guarded(mount: MappedMount, home: str) -> bool:
    """Folders of the user's. Not the client's own: in its configuration, or by a name that it uses for them."""
    if mount.mode == "ro" or not os.path.isdir(mount.host):
        return False
    top = mount.name.partition("/")[0]
    own = top in OWN_MOUNTS or top.startswith(".cowork-") or is_below(mount.host, f"{home}/.config")
    return is_below(home, mount.host) or not own


def _guard(recipe: Recipe, mount: MappedMount, place: str, home: str, planned: Planned) -> None:
    nested = [other for other in planned.mounts if other.name.startswith(f"{mount.name}/")]
    inside = [_inside(other, mount) for other in nested if not _is_there(other, planned.mounts)]
    notes = add_guards(recipe, mount.host, place, home=home, inside=inside)
    planned.notes.extend(f"{mount.name}/{note}" for note in notes)


def add_guards(recipe: Recipe, folder: str, place: str, *, home: str, inside: Sequence[str] = ()) -> list[str]:
    """Guard what is in ``folder``, which is writable at ``place``. ``inside``: paths below it on which something will
    be mounted.

    Returns:
        what cannot be guarded, and why.
    """
    notes: list[str] = []
    if not can_be_changed(folder):
        return notes  # not by the session, either
    for guard in guards(folder, home=home):
        where, there = f"{place}/{guard.path}", f"{folder}/{guard.path}"
        if guard.kind == "open":
            notes.append(f"{guard.path} is not protected: {guard.content.decode()}")
        elif any(is_below(guard.path, path) for path in inside):
            continue  # something else will be seen there
        elif guard.kind != "pin" and any(is_below(path, guard.path) for path in inside):
            notes.append(f"{guard.path} is not protected: something is mounted in it")
        elif guard.kind == "pin":
            recipe.bind(there, where, writable=True)
        elif guard.kind == "seal":
            recipe.bind(there, where)
        elif guard.kind == "file":
            recipe.cover(folder, guard.path, guard.content)
            recipe.file_over(where, guard.content)
        else:
            recipe.cover(folder, guard.path, None)
            recipe.add("--tmpfs", where, "--remount-ro", where)
    return notes


def add_read_only(recipe: Recipe, folder: str, place: str, paths: Sequence[str]) -> list[str]:
    """Have ``paths`` below ``folder`` be read-only at ``place``; what is not there cannot be made, either.

    Returns:
        what cannot be had, and why.
    """
    notes: list[str] = []
    for path in paths:
        missing = _missing_below(folder, path)
        if missing is not None:
            recipe.cover(folder, missing, None)
            recipe.add("--tmpfs", f"{place}/{missing}", "--remount-ro", f"{place}/{missing}")
        elif os.path.realpath(f"{folder}/{path}") == f"{folder}/{path}":
            recipe.bind(f"{folder}/{path}", f"{place}/{path}")
        else:
            notes.append(f"{path} is not read-only: it is, or lies behind, a symbolic link")
    return notes
