"""The thin wrappers do what the kernel's manual says."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

import cowork.holder.syscalls as syscalls

_PR_GET_CHILD_SUBREAPER = 37


def test_the_name_of_a_process_is_cut_at_15_bytes() -> None:
    code = (
        "from cowork.holder.syscalls import set_name\n"
        "set_name('a-name-of-twenty-one-')\n"
        "print(open('/proc/self/comm').read(), end='')\n"
    )
    assert run(code) == "a-name-of-twent\n"


def test_a_subreaper_gets_the_orphans() -> None:
    code = (
        "import ctypes, cowork.holder.syscalls as s\n"
        "s.become_subreaper()\n"
        "out = ctypes.c_int()\n"
        f"s._libc.prctl({_PR_GET_CHILD_SUBREAPER}, ctypes.byref(out), 0, 0, 0)\n"
        "print(out.value)\n"
    )
    assert run(code) == "1\n"


def run(code: str) -> str:
    """In a process of its own, since these change the process."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_a_refusal_is_an_error_with_the_kernels_reason() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        syscalls._prctl(-1, 0)
    assert isinstance(syscalls._libc, ctypes.CDLL)


def test_a_pipe_grows_and_never_shrinks() -> None:
    read, write = os.pipe()
    assert syscalls.grow_pipe(write, 65536 * 2)
    os.set_blocking(write, False)
    assert os.write(write, b"x" * (1 << 20)) >= 65536 * 2
    assert syscalls.grow_pipe(write, 4096)
    os.close(read)
    os.close(write)
    assert not syscalls.grow_pipe(write, 4096)
