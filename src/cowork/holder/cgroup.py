"""A session's own cgroup v2, where the holder was given a folder to make it in.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel: cgroup.kill, memory.events.
"""

from __future__ import annotations

import os


def delegated() -> str | None:
    """Prepare the cgroup that was made for this process (and delegated to it) to hold the sessions' own.

    Processes may not be in a cgroup whose children have controllers, so this one moves into the child ``holders``;
    then memory and pids are counted per session where that is allowed.

    Returns:
        the folder in which sessions make theirs, or None where there is no writable cgroup v2.
    """
    base = _own()
    if base is None or not os.access(base, os.W_OK):
        return None
    try:
        leaf = os.path.join(base, "holders")
        os.makedirs(leaf, exist_ok=True)
        _write(os.path.join(leaf, "cgroup.procs"), "0")
    except OSError:
        return None
    for controller in ("memory", "pids"):
        try:
            _write(os.path.join(base, "cgroup.subtree_control"), f"+{controller}")
        except OSError:
            pass  # not delegated to this user: the session is still one cgroup that can be ended as a whole
    return base


def _own() -> str | None:
    """Folder of this process's cgroup v2 (cgroups(7): the entry 0 of /proc/self/cgroup, and where v2 is mounted)."""
    path = mount = None
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as f:
            for line in f:
                if line.startswith("0::"):
                    path = line[3:].rstrip("\n")
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            for line in f:
                before, _, after = line.partition(" - ")
                if after.startswith("cgroup2 "):
                    mount = before.split()[4]
    except OSError:
        return None
    return None if path is None or mount is None else mount + path


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def make(parent: str, name: str) -> str | None:
    """Create the session's cgroup; None where that is not allowed."""
    path = os.path.join(parent, name)
    try:
        os.mkdir(path, 0o755)
    except OSError:
        return None
    return path


def limit(path: str | None, memory: int | None, tasks: int | None) -> list[str]:
    """Set the session's limits: bytes of memory (swap included), number of tasks.

    Returns:
        what could not be set, in words; the session runs without it.
    """
    unset = []
    for name, value in (("memory.max", memory), ("pids.max", tasks)):
        if value is None:
            continue
        try:
            if path is None:
                raise FileNotFoundError
            _write(os.path.join(path, name), str(value))
        except OSError:
            unset.append(f"{name}={value}: no such controller was delegated to this user")
    if memory is not None and not any(text.startswith("memory") for text in unset):
        try:
            _write(os.path.join(str(path), "memory.swap.max"), "0")
        except OSError:
            pass  # a kernel without swap accounting
    return unset


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
