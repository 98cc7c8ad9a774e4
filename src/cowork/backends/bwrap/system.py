"""The parts of the host's system that every sandbox sees: programs and libraries, a little of /etc, nothing of anybody.

Read-only, all of it. Distributions differ: /bin may be a link into /usr or a folder, NixOS has its programs in /nix.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from typing import NamedTuple

from cowork.translate.paths import is_below

FOLDERS = ("/usr", "/nix", "/gnu/store")
"""Whole folders, where they exist; programs live there and nothing of the user."""
TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Links into /usr on most distributions, folders on some."""
LINKS = ("/run/current-system", "/etc/static", "/etc/profiles")
"""NixOS: the way to the programs. Links into /nix/store are made again, anything else is left out."""
ETC = (
    "alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version",
    "fonts", "gai.conf", "gitconfig", "host.conf", "inputrc", "java", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime",
    "locale.conf", "lsb-release", "magic", "mime.types", "npmrc", "openssl", "os-release", "pip.conf", "pki", "profile",
    "profile.d", "protocols", "python3", "python3.11", "python3.12", "python3.13", "python3.14", "services", "shells",
    "ssl", "terminfo", "timezone", "zoneinfo",
)  # fmt: skip
"""What of /etc is shown, where it exists: no keys, no accounts, no hosts, no services' settings."""


SMALL = 64 * 1024
"""Bytes up to which a file of /etc is copied: that is much quicker than a mount."""


class Part(NamedTuple):
    """``kind``: "bind" (``source`` read-only at ``place``), "link" (a symbolic link ``place`` to ``source``) or "copy"
    (of a small file)."""

    kind: str
    source: str
    place: str


def parts(root: str = "/", *, without: Collection[str] = ()) -> Iterator[Part]:
    """The parts in the order in which they have to be made. ``without``: places that are left out.

    ``root``: where the system lies, for tests; sources are below it.
    """
    for place in FOLDERS:
        if place not in without and os.path.isdir(_at(root, place)):
            yield Part("bind", _at(root, place), place)
    for place in TOP:
        if place not in without:
            yield from _top(root, place)
    for place in LINKS:
        target = _target(_at(root, place))
        if target is not None and target.startswith("/nix/store/") and place not in without:
            yield Part("link", target, place)
    for name in ETC:
        if f"/etc/{name}" not in without:
            yield from _etc(root, f"/etc/{name}")


def _etc(root: str, place: str) -> Iterator[Part]:
    path = _at(root, place)
    target = _target(path)
    if target is not None and os.path.exists(path) and is_visible(os.path.normpath(f"/etc/{target}"), root):
        yield Part("link", target, place)  # into /usr: the time zone, os-release
        return
    if not os.access(path, os.R_OK):
        return  # not there, or not for everybody's eyes
    info = os.stat(path)
    small = stat.S_ISREG(info.st_mode) and info.st_size <= SMALL
    yield Part("copy" if small else "bind", path, place)


def _top(root: str, place: str) -> Iterator[Part]:
    target = _target(_at(root, place))
    if target is not None:
        yield Part("link", target, place)
    elif os.path.isdir(_at(root, place)):
        yield Part("bind", _at(root, place), place)


def _at(root: str, place: str) -> str:
    return root.rstrip("/") + place


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def is_visible(path: str, root: str = "/") -> bool:
    """Whether a real path lies in a part that every sandbox sees."""
    shown = [*FOLDERS, *(top for top in TOP if not os.path.islink(_at(root, top)))]
    return any(is_below(path, folder) for folder in shown)


def accounts(name: str, uid: int, gid: int, home: str) -> tuple[bytes, bytes]:
    """passwd and group with nobody in them but root, the user and nobody."""
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    rows = {
        "root": f"root:x:0:0:root:/root:{shell}",
        "nobody": "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
        name: f"{name}:x:{uid}:{gid}::{home}:{shell}",
    }  # fmt: skip
    groups = {"root": "root:x:0:", "nogroup": "nogroup:x:65534:", name: f"{name}:x:{gid}:"}
    return "".join(f"{row}\n" for row in rows.values()).encode(), "".join(f"{g}\n" for g in groups.values()).encode()


HOSTS = b"127.0.0.1 localhost cowork\n::1 localhost\n"
RESOLV = b"# Names are resolved outside, by the session's proxy.\nnameserver 127.0.0.1\noptions timeout:5 attempts:2\n"
NSSWITCH = b"passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"
