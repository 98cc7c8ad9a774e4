"""The processes below a holder: who they are, how they are signalled, how they are made to go away.

The holder is a child subreaper, so every descendant that loses its parent becomes a child of the holder: nothing
below can hide. Pids are safe to signal as long as the holder has not reaped them.
"""

from __future__ import annotations

import os
import signal


def children(pid: int) -> list[int]:
    """Direct children of a process, of all its threads. Empty for a process that is gone."""
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children", "rb") as f:
                found += map(int, f.read().split())
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    """All processes below ``pid``, parents before their children."""
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot (proc(5), field 22); 0 if it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and waits to be reaped (or is gone)."""
    fields = _stat(pid)
    return not fields or fields[0] in (b"Z", b"X")


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat after the command name."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rpartition(b") ")[2].split()
    except OSError:
        return []


def send(target: str, leader: int, number: int, cgroup: str | None) -> bool:
    """Signal the "leader", its process "group", or the whole "tree"; True if anybody was there.

    The caller guarantees that ``leader`` is not reaped yet, so neither its pid nor its group can be another's.
    """
    if target == "leader":
        return kill(leader, number)
    sent = kill(-leader, number)
    if target == "tree":
        if number == signal.SIGKILL and cgroup is not None:
            sent |= kill_cgroup(cgroup)
        for pid in descendants(os.getpid()):
            if pid != leader and not _in_group(pid, leader):
                sent |= kill(pid, number)
    return sent


def reap_others(leader: int) -> list[int]:
    """Collect the children that have ended, adopted ones too, but not ``leader``; their pids."""
    reaped = []
    for pid in children(os.getpid()):
        if pid != leader and is_zombie(pid):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
            reaped.append(pid)
    return reaped


def alone(leader: int, companion: int = 0) -> bool:
    """Whether nothing but the (ended) leader, and a process that is no part of the session, is left below this one."""
    return all(pid in (leader, companion) for pid in children(os.getpid()))


def _in_group(pid: int, leader: int) -> bool:
    """Whether the signal to the group has reached the process; twice could mean something else to it."""
    try:
        return os.getpgid(pid) == leader
    except ProcessLookupError:
        return True


def kill(pid: int, number: int) -> bool:
    """Signal a process, or a group by its negated number; whether it was there."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_cgroup(cgroup: str) -> bool:
    """SIGKILL to everything in a cgroup v2; False where there is none, or a kernel before 5.14."""
    try:
        with open(os.path.join(cgroup, "cgroup.kill"), "w") as f:
            f.write("1")
    except OSError:
        return False
    return True
