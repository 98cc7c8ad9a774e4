"""The thin wrappers do what the kernel's manual says."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import subprocess
import sys

import pytest

import cowork.holder.syscalls as syscalls
from tests.support.holding import PATIENCE

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


def test_a_child_that_dies_with_the_process_that_made_it() -> None:
    """The grandchild holds the writing end of the pipe: it closes when that one, too, has ended."""
    read, write = os.pipe()
    code = (
        "import os, signal, sys, cowork.holder.syscalls as s\n"
        "ready, told = os.pipe()\n"
        "if not os.fork():\n"
        "    s.die_with(signal.SIGKILL)\n"
        "    os.write(told, b'x')\n"
        "    signal.pause()\n"
        "os.read(ready, 1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=[write])
    os.close(write)
    assert select.select([read], [], [], PATIENCE)[0], "it lives on"
    assert os.read(read, 1) == b""
    os.close(read)


def reaped(how: str) -> int:
    """A pidfd of a process that ``how`` (Python) ended and that another process has reaped."""
    code = (
        "import os, signal, sys\n"
        "ours, theirs = os.pipe()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    os.read(ours, 1)\n"
        f"    {how}\n"
        "print(pid, flush=True)\n"
        "sys.stdin.read(1)\n"
        "os.write(theirs, b'x')\n"
        "os.waitpid(pid, 0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        fd = os.pidfd_open(int(process.stdout.readline()))
        process.stdin.close()
        assert process.wait() == 0
    return fd


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("os._exit(0)", ("exit", 0)), ("os._exit(7)", ("exit", 7)), ("os._exit(143)", ("exit", 143)),
        ("os.kill(os.getpid(), 15)", ("signal", 15)), ("os.kill(os.getpid(), 9)", ("signal", 9)),
    ],
)  # fmt: skip
def test_how_somebody_elses_child_ended(how: str, expected: tuple[str, int]) -> None:
    fd = reaped(how)
    try:
        status = syscalls.exit_status_of(fd)
    finally:
        os.close(fd)
    if status is None:
        assert kernel() < (6, 15), "this kernel can tell"
        pytest.skip("a kernel before 6.15 does not tell")
    told = ("signal", os.WTERMSIG(status)) if os.WIFSIGNALED(status) else ("exit", os.WEXITSTATUS(status))
    assert told == expected


def kernel() -> tuple[int, ...]:
    return tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))


def test_how_a_process_ended_that_has_not() -> None:
    fd = os.pidfd_open(os.getpid())
    assert syscalls.exit_status_of(fd) is None
    os.close(fd)
    read, write = os.pipe()
    assert syscalls.exit_status_of(read) is None, "no pidfd at all"
    os.close(read)
    os.close(write)


def test_a_kernel_that_tells_nothing_of_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the request and leaves the mask as it likes."""
    monkeypatch.setattr(fcntl, "ioctl", lambda fd, request, info, mutate: info.__setitem__(slice(0, 8), bytes(8)))
    assert syscalls.exit_status_of(0) is None


def test_namespaces_are_refused_in_words() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(OSError, match="Invalid argument") as caught:
        syscalls.enter_namespace(fd, 0x10000000)
    assert caught.value.filename == "setns"
    with pytest.raises(OSError, match="ioctl"):
        syscalls.owner_of_namespace(fd)
    os.close(fd)


def test_the_owner_of_a_namespace() -> None:
    """Of our network namespace: our own user namespace, or one above it, which is out of reach."""
    net = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        owner = syscalls.owner_of_namespace(net)
    except PermissionError:
        pytest.skip("it belongs to a user namespace above ours")
    finally:
        os.close(net)
    assert os.fstat(owner).st_ino == os.stat("/proc/self/ns/user").st_ino
    os.close(owner)
