"""Which host path a guest path of one session stands for, and the other way round.

A session sees ``/sessions/<name>`` with its mounts at ``/sessions/<name>/mnt/<mount>``. On the host the first is the
session's tree, a mount is the folder that it shows.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from cowork.translate.paths import GUEST_ROOT


class MappedMount(NamedTuple):
    """A mount with its place on the host.

    ``name`` is the guest's name for it below ``mnt/`` and may be nested (``proj/.cache``); ``host`` is absolute and
    free of symbolic links; ``mode`` is ``ro``, ``rw`` or ``rwd``.
    """

    name: str
    host: str
    mode: str = "rw"


@dataclass(frozen=True, slots=True)
class SessionMap:
    """The paths of session ``name``, whose tree is at host path ``tree``. Immutable; looks up nothing on the disk.

    A mount whose top folder is asked for with a leading dot too many or too few is found, unless a mount of that very
    name exists: clients strip such dots in places.

    Raises:
        ValueError: a host path is not absolute, or a name is empty or holds an element ``.`` or ``..``.
    """

    name: str
    tree: str
    mounts: Sequence[MappedMount] = ()
    root: str = field(init=False)
    """``/sessions/<name>``."""
    guest_prefix: bytes = field(init=False, repr=False, compare=False)
    """Text that does not hold these bytes holds no guest path of this session."""
    guest_bases: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """Host path by guest path: of the root, of each mount, of each mount under its other spelling."""
    host_bases: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """Guest path by host path: of the tree and of each mount; the first mount of a folder wins."""

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or "/" in self.name:
            raise ValueError(f"no session name: {self.name!r}")
        tree = _absolute(self.tree)
        mounts = tuple(MappedMount(_mount_name(m.name), _absolute(m.host), m.mode) for m in self.mounts)
        root = f"{GUEST_ROOT}/{self.name}"
        guests, hosts = {root: tree}, {tree: root}
        for name, host in _with_other_spellings({m.name: m.host for m in mounts}).items():
            guests[f"{root}/mnt/{name}"] = host
        for mount in mounts:
            hosts.setdefault(mount.host, f"{root}/mnt/{mount.name}")
        values = {
            "tree": tree, "mounts": mounts, "root": root, "guest_prefix": root.encode("utf-8", "surrogateescape"),
            "guest_bases": MappingProxyType(guests), "host_bases": MappingProxyType(hosts),
        }  # fmt: skip
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

    def to_host(self, path: str) -> str | None:
        """The host path of one guest path, normalised; None for what is no guest path of this session.

        The deepest mount wins; what lies in no mount lies in the tree. Elements ``..`` lead neither out of the tree
        nor out of a mount into what is not mounted: None.
        """
        if not path.startswith("/"):
            return None
        guest = ""
        for element in path.split("/"):
            if element == "..":
                left = self._mount_of(guest)
                guest = guest.rpartition("/")[0]
                if left and not self._mount_of(guest):
                    return None
            elif element not in ("", "."):
                guest = f"{guest}/{element}"
        base = _base_of(guest, self.guest_bases)
        return None if base is None else _below(self.guest_bases[base], guest[len(base) :])

    def to_guest(self, path: str) -> str | None:
        """The guest path of one host path, normalised; None for what the session does not see.

        The deepest folder wins. A path that a nested mount hides from the session gets the name it would have.
        """
        if not path.startswith("/"):
            return None
        host = _absolute(path)
        base = _base_of(host, self.host_bases)
        return None if base is None else _below(self.host_bases[base], host[len(base.rstrip("/")) :])

    def mount_of(self, path: str) -> MappedMount | None:
        """The mount that a host path lies in, the deepest one; None in the tree and outside."""
        base = _base_of(_absolute(path), self.host_bases) if path.startswith("/") else None
        return next((m for m in self.mounts if m.host == base), None)

    def _mount_of(self, guest: str) -> str | None:
        base = _base_of(guest, self.guest_bases)
        return None if base == self.root else base


def _base_of(path: str, bases: Mapping[str, str]) -> str | None:
    """The longest of ``bases`` that ``path``, which is normalised, equals or lies below."""
    while path:
        if path in bases:
            return path
        path = path.rpartition("/")[0]
    return "/" if "/" in bases else None


def _below(base: str, rest: str) -> str:
    """``rest``, which is empty or begins with a slash, below ``base``, which may be ``/``."""
    return (base.rstrip("/") + rest.rstrip("/")) or "/"


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"no absolute path: {path!r}")
    return posixpath.normpath("/" + path.lstrip("/"))  # normpath keeps two leading slashes


def _mount_name(name: str) -> str:
    elements = name.strip("/").split("/")
    if any(element in ("", ".", "..") for element in elements):
        raise ValueError(f"no mount name: {name!r}")
    return "/".join(elements)


def _with_other_spellings(mounts: Mapping[str, str]) -> dict[str, str]:
    """Host path by name, with the names whose top folder has a dot too few or too many added."""
    tops = {name.partition("/")[0] for name in mounts}
    named = dict(mounts)
    for dotted in (True, False):  # a dot that got lost is likelier than one that came from nowhere
        for name, host in mounts.items():
            top = name.partition("/")[0]
            if top.startswith(".") or not dotted:
                other = name[1:] if dotted else f".{name}"
                if other[:1] not in ("", "/") and other.partition("/")[0] not in (*tops, ".", ".."):
                    named.setdefault(other, host)
    return named
