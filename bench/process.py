"""What /proc tells about a process. Everything is 0 for a process that is gone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time

MB = 1_000_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def _kib(path: str, key: bytes) -> int:
    found = re.search(rb"^" + key + rb":\s+(\d+)", _read(path), re.M)
    return int(found.group(1)) if found else 0


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far, from the process's own CPU clock (ns resolution)."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of that process, see clock_getcpuclockid(3)
    except OSError:
        return 0.0


def rss_mb(pid: int) -> float:
    """Resident pages, shared ones counted in full."""
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE / MB if fields else 0.0


def pss_mb(pid: int) -> float:
    """Resident pages, each divided by the number of processes that share it."""
    return _kib(f"/proc/{pid}/smaps_rollup", b"Pss") * 1024 / MB


def peak_mb(pid: int) -> float:
    """Highest resident size since the start or the last reset_peak()."""
    return _kib(f"/proc/{pid}/status", b"VmHWM") * 1024 / MB


def reset_peak(pid: int) -> None:
    """Let peak_mb() start again from the present size."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")


def threads(pid: int) -> list[int]:
    """Thread ids."""
    try:
        return [int(t) for t in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def open_files(pid: int) -> int:
    """Number of descriptors."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def program(pid: int) -> str:
    """Base name of the executable, "" when it cannot be told."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def arguments(pid: int) -> list[str]:
    """The command line."""
    return _read(f"/proc/{pid}/cmdline").decode("utf-8", "replace").split("\0")[:-1]


def environment(pid: int) -> list[bytes]:
    """The NAME=VALUE entries it was started with; empty for a kernel thread and in the middle of an exec."""
    return _read(f"/proc/{pid}/environ").split(b"\0")[:-1]


def table() -> dict[int, tuple[int, int]]:
    """pid -> (parent, start time in ticks) of all processes that are not zombies."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
            if fields and fields[0] not in (b"Z", b"X"):
                found[int(name)] = (int(fields[1]), int(fields[19]))
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
