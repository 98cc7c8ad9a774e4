"""A session's mounts on the host: which folders they are, and the links to them in the session's tree.

The user's folders are looked at, never changed: nothing is made, removed or replaced outside the tree, and in the tree
only links of ours. Faults not to repeat: G5, G19-G22, G59, N9, N21, N36.
"""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from cowork.translate.paths import NAME_MAX, has_control, resolve_subpath
from cowork.translate.sessionmap import MappedMount

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cowork.wire.requests import Mount

MODES = ("ro", "rw", "rwd")
INTERNAL = frozenset({".claude", "outputs", "uploads", ".auto-memory"})
"""Mounts whose folders are the client's own and are made if they are missing; any other is the user's to make."""

_log = logging.getLogger(__name__)


class Mounts(NamedTuple):
    """What became of the mounts that were asked for: those that hold, and the names of those that do not."""

    mapped: tuple[MappedMount, ...]
    failed: list[str]


def resolve_mounts(requested: Mapping[str, Mount], *, home: str, files: bool = False) -> Mounts:
    """Find the folders of the mounts, parents before what is nested in them.

    A file is left out, unless ``files``, without being a failure: clients hand every mount to the CLI as
    ``--add-dir``, which takes no files, and where nothing separates the session from the host it finds it anyway.
    """
    mapped: list[MappedMount] = []
    failed: list[str] = []
    for name in sorted(requested, key=lambda n: (n.count("/"), n)):
        mount = requested[name]
        problem = check_name(name) or ("leads upwards" if ".." in mount.path.split("/") else "")
        host = "" if problem else _folder(name, mount.path, home)
        if problem or not host:
            _log.warning("mount %.100r is not there: %s", name, problem or f"{mount.path!r} is no folder")
            failed.append(name)
        elif files or os.path.isdir(host):
            mapped.append(MappedMount(name, host, _mode(name, mount.mode)))
        else:
            _log.info("mount %.100r is a file; left out on the host", name)
    return Mounts(tuple(mapped), failed)


def check_name(name: str) -> str:
    """What is wrong with the name of a mount; empty if nothing is. It is one or more plain elements."""
    for element in name.split("/"):
        if element in ("", ".", ".."):
            return "its name has an empty element, . or .."
        if len(os.fsencode(element)) > NAME_MAX:
            return f"an element of its name is longer than {NAME_MAX} bytes"
        if has_control(element):
            return "its name has a control character"
    return ""


def link_mounts(tree: Path, mapped: tuple[MappedMount, ...]) -> None:
    """Make ``<tree>/mnt`` show the mounts, for people and for programs that list it.

    The session itself is given host paths, so a link that cannot be made is no failure of the mount. What is nested
    in a mounted folder gets none: it would have to be made inside the user's folder.
    """
    root = os.path.join(tree, "mnt")
    if os.path.islink(root):  # the session's doing; behind it anything may lie
        os.unlink(root)
    os.makedirs(root, mode=0o700, exist_ok=True)
    wanted = {m.name: m.host for m in mapped if not _inside_another(m.name, mapped)}
    _drop_stale(root, "", wanted)
    for name, host in wanted.items():
        try:
            _link(root, name, host)
        except OSError as e:
            _log.info("no link for mount %.100r: %s", name, e.strerror)


def _folder(name: str, path: str, home: str) -> str:
    """Real path of what a mount shows, or nothing. Only the client's own folders are made."""
    if "\0" in path:
        return ""
    rooted = os.path.realpath("/" + path.lstrip("/"))
    inside = bool(path) and rooted.startswith(home.rstrip("/") + "/")  # also by another spelling of home
    host = rooted if inside else os.path.realpath(resolve_subpath(path, home, os.path.exists))
    try:
        mode = os.stat(host).st_mode
    except (OSError, ValueError):
        if name not in INTERNAL or not host.startswith(os.path.realpath(home) + "/"):
            return ""
        try:
            os.makedirs(host, mode=0o700, exist_ok=True)
        except OSError:
            return ""
        return host
    return host if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else ""


def _mode(name: str, mode: str) -> str:
    if mode in MODES:
        return mode
    if mode:
        _log.warning("mount %.100r: unknown mode %.20r, taken as ro", name, mode)
        return "ro"
    return "rw"


def _inside_another(name: str, mapped: tuple[MappedMount, ...]) -> bool:
    return any(name.startswith(m.name + "/") for m in mapped)


def _drop_stale(root: str, below: str, wanted: Mapping[str, str]) -> None:
    """Remove links of earlier spawns that are not wanted any more; real folders are walked, links never."""
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in list(entries):
            name = f"{below}/{entry.name}".lstrip("/")
            if entry.is_symlink():
                if wanted.get(name) != os.readlink(entry.path):
                    os.unlink(entry.path)
            elif entry.is_dir(follow_symlinks=False) and any(w.startswith(name + "/") for w in wanted):
                _drop_stale(root, name, wanted)


def _link(root: str, name: str, host: str) -> None:
    *parents, last = name.split("/")
    folder = root
    for parent in parents:
        folder = os.path.join(folder, parent)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            if os.path.islink(folder):
                return  # never through a link
    place = os.path.join(folder, last)
    if os.path.lexists(place) or os.path.realpath(folder) + "/" + last == host:
        return  # it is there already, or would lead to itself
    os.symlink(host, place)
