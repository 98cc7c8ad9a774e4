"""A session's own cgroup v2, where the holder was given a folder to make it in.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel: cgroup.kill, memory.events.
"""

from __future__ import annotations

import os


def make(parent: str, name: str) -> str | None:
    """Create the session's cgroup; None where that is not allowed."""
    path = os.path.join(parent, name)
    try:
        os.mkdir(path, 0o755)
    except OSError:
        return None
    return path


def oom_kills(path: str) -> int | None:
    """How many processes the kernel killed here for memory; None where the memory controller is not on."""
    try:
        with open(os.path.join(path, "memory.events"), encoding="ascii") as f:
            for line in f:
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
    except (OSError, ValueError):
        pass
    return None


def remove(path: str) -> None:
    """Remove the empty cgroup; one that is still in use stays."""
    try:
        os.rmdir(path)
    except OSError:
        pass
