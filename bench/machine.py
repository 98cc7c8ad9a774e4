"""The machine under the benchmark, and what else runs on it."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def description() -> str:
    """CPUs, kernel, interpreter, user."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, uid {os.getuid()}"
    )


def load(seconds: float = 0.25) -> float:
    """CPUs that are in use while this process sleeps for `seconds`."""
    before = _busy()
    time.sleep(seconds)
    return (_busy() - before) / seconds


def _busy() -> float:
    fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / _TICKS
