"""``--plugin-dir``: clients name a folder inside a plugin, the CLI wants the plugin's own (conformance ARG-8)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cowork.translate.sessionmap import SessionMap

FLAG = "--plugin-dir"
MANIFESTS = (".claude-plugin/plugin.json", "manifest.json")
LEVELS = 3
"""Folders that are looked at, the one that was named counted as the first."""


def plugin_root(path: str, base: str) -> str:
    """The nearest folder with a manifest, from ``path`` upwards and not above ``base``; ``path`` if there is none."""
    folder = path
    for _ in range(LEVELS):
        if any(os.path.isfile(os.path.join(folder, manifest)) for manifest in MANIFESTS):
            return folder
        if folder == base or not folder.startswith(base.rstrip("/") + "/"):
            break
        folder = os.path.dirname(folder)
    return path


def climb(args: Sequence[str], session: SessionMap) -> list[str]:
    """``args`` with every plugin folder below a mount as its plugin's root; other folders are left alone."""
    out: list[str] = []
    for at, argument in enumerate(args):
        flag, equals, value = argument.partition("=")
        if equals and flag == FLAG:
            out.append(f"{FLAG}={_root(value, session)}")
        elif at and args[at - 1] == FLAG:
            out.append(_root(argument, session))
        else:
            out.append(argument)
    return out


def _root(path: str, session: SessionMap) -> str:
    mount = session.mount_of(path)
    return path if mount is None else plugin_root(path, mount.host)
