"""Which file a command names on this host. No shell is asked, nothing of the input is ever shell text (fault G16)."""

from __future__ import annotations

import os
import stat

from cowork.errors import RpcError

FALLBACKS = ("~/.local/bin", "~/.claude/local", "/usr/local/bin", "/usr/bin", "/bin")
"""Searched after PATH: services are often started with a shorter PATH than their user's."""


def find_program(command: str, *, path: str, home: str, sdk: str | None = None) -> str:
    """The executable file that ``command`` means.

    ``path``: the child's PATH. ``sdk``: the ``claude`` that ``installSdk`` told of, which stands for every command
    of that name and no other. An absolute command that does not exist is looked for by name only if it is
    ``claude``, which clients name by the place it has in the virtual machine; anything else would run an unrelated
    program.

    Raises:
        RpcError: nothing of that name can be run; the message says where it was looked for.
    """
    if not command:
        raise RpcError("the command is empty")
    base = command.rpartition("/")[2]
    if sdk is not None and base == "claude":
        return sdk
    if command.startswith("/") and (is_program(command) or base != "claude"):
        if not is_program(command):
            raise RpcError(f"{command}: {_why_not(command)}")
        return command
    if "/" in command and not command.startswith("/"):
        raise RpcError(f"{command}: a command is a name or an absolute path")
    folders = [p for p in path.split(":") if p.startswith("/")]
    folders += [os.path.join(home, f[2:]) if f.startswith("~/") else f for f in FALLBACKS]
    for folder in folders:
        candidate = os.path.join(folder, base)
        if is_program(candidate):
            return candidate
    raise RpcError(f"{command}: no such program", hint=f"looked in {':'.join(dict.fromkeys(folders))}")


def is_program(path: str) -> bool:
    """A regular file (links followed) that this user may execute."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False


def _why_not(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        return "not a path"
    except OSError as e:
        return e.strerror or "not to be found"
    return "not executable" if stat.S_ISREG(mode) else "not a regular file"
