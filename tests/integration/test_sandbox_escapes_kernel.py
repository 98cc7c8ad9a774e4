"""Ways out of the sandbox through the kernel: terminals, system calls, rights.

See ``test_sandbox_escapes``, whose table continues here.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cowork.backends.bwrap import seccomp
from tests.support.escape import (
    MACHINE,
    MARK,
    Escape,
    Mode,
    Scene,
    Tried,
    both,
    check,
    check_still_held,
    incomplete,
    marked,
    params,
    scene,
    still_params,
    without_filter,
    without_options,
    without_rules,
    without_sandbox,
)  # fmt: skip

pytestmark = [pytest.mark.bwrap, pytest.mark.integration, pytest.mark.usefixtures("ordinary")]


# -- terminals

_TYPE = """
import fcntl
attempt("TIOCSTI", lambda: fcntl.ioctl(0, 0x5412, b"x") and None)
def high(request):
    # The kernel looks at 32 bits of the request only.
    call(libc.ioctl, 0, ctypes.c_ulong(request), ctypes.c_char_p(b"x"))
attempt("TIOCSTI with a high bit", high, 0x1_0000_5412)
"""
_REQUEST = """
number, mark = map(int, sys.argv[1:])
libc.ioctl(0, ctypes.c_ulong(number), None)
attempt("the kernel sees it", lambda: ctypes.get_errno() != mark)
"""
_SESSION = """
attempt("in a session of the host's", lambda: os.getsid(0) == 0 or os.getsid(0) == int(sys.argv[1]))
"""


def _terminal(made: Scene) -> Tried:
    if _refuses_typing():
        marked(made)  # the kernel itself refuses, so it is enough that the filter is there first
        return made.python(_REQUEST, seccomp.TIOCSTI, MARK, terminal=True)
    return made.python(_TYPE, terminal=True)


def _refuses_typing() -> bool:
    try:
        return Path("/proc/sys/dev/tty/legacy_tiocsti").read_text().strip() == "0"
    except OSError:
        return False


def _console(made: Scene) -> Tried:
    marked(made)
    return made.python(_REQUEST, seccomp.TIOCLINUX, MARK)


def _session(made: Scene) -> Tried:
    return made.python(_SESSION, os.getsid(0))


# -- system calls

_CALLS = """
asked, mark = json.loads(sys.argv[1]), int(sys.argv[2])
buffer = ctypes.create_string_buffer(4096)
payload = ctypes.create_string_buffer(b"cowork")
iov = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
special = {
    "buffer": ctypes.addressof(buffer), "text": ctypes.addressof(payload), "iov": ctypes.addressof(iov),
    "pid": 0, "pidfd": 0, "here": ctypes.addressof(ctypes.create_string_buffer(b".")),
}
def enter(number, arguments):
    special["pid"] = os.getpid()
    special["pidfd"] = os.pidfd_open(os.getpid())
    values = [ctypes.c_long(special.get(a, a) if isinstance(a, str) else a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *values)
    if result == 0 and number == int(sys.argv[3]) and os.getpid() != special["pid"]:
        os._exit(0)  # a clone of ours
    if mark:
        return result >= 0 or ctypes.get_errno() != mark
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
for name, number, arguments in asked:
    attempt(name, in_child, enter, number, arguments)
"""
_ARGUMENTS: dict[str, list[int | str]] = {
    "add_key": ["text", "text", "text", 6, -2],
    "adjtimex": ["buffer"],
    "bpf": [0, "buffer", 72],
    "clock_adjtime": [0, "buffer"],
    "clone": [0x10000011, 0, 0, 0, 0],
    "io_uring_setup": [1, "buffer"],
    "ioctl": [0, 0x5412, "text"],
    "kcmp": ["pid", "pid", 0, 0, 0],
    "keyctl": [0, -3, 0],
    "modify_ldt": [0, "buffer", 4096],
    "open_tree": [-100, "here", 0],
    "perf_event_open": ["buffer", 0, -1, -1, 0],
    "personality": [0x0400000],
    "pidfd_getfd": ["pidfd", 0, 0],
    "process_vm_readv": ["pid", "iov", 1, "iov", 1, 0],
    "process_vm_writev": ["pid", "iov", 1, "iov", 1, 0],
    "ptrace": [0, 0, 0, 0],
    "socket": [17, 3, 0],
    "syslog": [10, 0, 0],
    "unshare": [0x10000000],
    "userfaultfd": [1],
}
"""What the calls are given; those that are not here get nothing but zeros, which the kernel refuses."""
_ALSO_HELD = frozenset({"clone", "unshare"})
"""What succeeds outside and is refused inside by something else as well (see the namespaces)."""


def _number(name: str) -> int:
    number = seccomp.number(name, MACHINE)
    assert number is not None
    return number


def _calls_of(names: list[str], mark: int) -> list[str]:
    asked = [[name, _number(name), _ARGUMENTS.get(name, [-1, 0, 0, 0, 0, 0])] for name in names]
    return [json.dumps(asked), str(mark), str(_number("clone"))]


@functools.cache
def _succeeding() -> frozenset[str]:
    """The calls that an ordinary user of this machine is given."""
    with scene("outside") as made:
        tried = made.python(_CALLS, *_calls_of(list(CALLS), 0))
    return frozenset(name for name, why in tried.items() if not why) - _ALSO_HELD


def _enter(name: str, made: Scene) -> Tried:
    succeeds = name in _succeeding()
    if not succeeds:
        marked(made)
    return made.python(_CALLS, *_calls_of([name], 0 if succeeds else MARK))


CALLS = tuple(
    dict.fromkeys(rule.name for rule in seccomp.RULES if seccomp.number(rule.name, MACHINE) is not None)
)  # fmt: skip
SURELY_SUCCEEDING = frozenset({"ptrace", "process_vm_readv", "pidfd_getfd", "personality", "adjtimex"})
"""Calls that every machine on which these tests run gives to an ordinary user."""

_FAMILIES = """
mark = int(sys.argv[1])
def make(family):
    # Never connected or bound.
    try:
        socket.socket(family, socket.SOCK_DGRAM if family != 38 else socket.SOCK_SEQPACKET).close()
    except OSError as e:
        if not mark or e.errno == mark:
            raise
for name, family in json.loads(sys.argv[2]).items():
    attempt(name, make, family)
"""
FAMILIES = {"AF_VSOCK": 40, "AF_ALG": 38, "AF_PACKET": 17, "AF_BLUETOOTH": 31, "AF_TIPC": 30, "AF_XDP": 44}


@functools.cache
def _families() -> frozenset[str]:
    with scene("outside") as made:
        tried = made.python(_FAMILIES, 0, json.dumps(FAMILIES))
    return frozenset(name for name, why in tried.items() if not why)


def _family(name: str, made: Scene) -> Tried:
    succeeds = name in _families()
    if not succeeds:
        marked(made)
    return made.python(_FAMILIES, 0 if succeeds else MARK, json.dumps({name: FAMILIES[name]}))


_NAMESPACES = """
NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
def become_root(more=0):
    call(libc.unshare, NEWUSER | more)
def mount():
    become_root(NEWNS)
    call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None)
def change_root():
    become_root()
    os.chroot(".")
def join():
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become_root()
        finally:
            os.write(w, b".")
            os.read(os.pipe()[0], 1)
    os.read(r, 1)
    try:
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        call(libc.setns, fd, NEWUSER)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
def raw():
    become_root(NEWNET)
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
def packets():
    become_root(NEWNET)
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
attempt("unshare", in_child, become_root)
for action in (mount, change_root, join, raw, packets):
    attempt(action.__name__, in_child, action)
import subprocess
attempt("unshare -U", lambda: subprocess.run(["unshare", "-U", "true"], check=True, capture_output=True))
"""


def _namespaces(made: Scene) -> Tried:
    return made.python(_NAMESPACES)


# -- identity

_SHARES = """
for name, host in json.loads(sys.argv[1]).items():
    attempt(name, lambda: os.readlink(f"/proc/self/ns/{name}") == host)
"""
_RIGHTS = """
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
attempt("can get rights", lambda: int(status["CapBnd"], 16) != 0)
attempt("gains rights by exec", lambda: status["NoNewPrivs"].strip() == "0")
filters = int(status.get("Seccomp_filters", status["Seccomp"]))
attempt("no more filters than its starter", lambda: filters <= int(sys.argv[1]))
"""
_HOLDS = """
held = {line.split(":\\t")[0]: line.split(":\\t")[1].strip() for line in open("/proc/self/status")}
for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
    if int(held[name], 16):
        raise SystemExit(f"{name} is {held[name]}")
attempt("has none", lambda: (held["NoNewPrivs"], held["Seccomp"], str(os.getuid())) == ("1", "2", sys.argv[1]))
"""


def _shares(made: Scene) -> Tried:
    names = ("pid", "ipc", "uts", "net", "cgroup", "user", "mnt")
    return made.python(_SHARES, json.dumps({name: os.readlink(f"/proc/self/ns/{name}") for name in names}))


def _shares_some(made: Scene) -> Tried:
    names = ("ipc", "uts", "cgroup", "pid")
    return made.python(_SHARES, json.dumps({name: os.readlink(f"/proc/self/ns/{name}") for name in names}))


def _rights(made: Scene) -> Tried:
    own = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return made.python(_RIGHTS, own.get("Seccomp_filters", own["Seccomp"]))


MATRIX: dict[str, list[Escape]] = {
    "TIOCSTI types into the parent terminal": [
        Escape("TIOCSTI", _terminal, without_rules("ioctl")),
        Escape("TIOCLINUX", _console, without_rules("ioctl")),
        Escape("terminal-session", _session, without_options("--new-session")),
    ],
    "/proc/self/root, ld-linux re-exec": [
        Escape(
            "namespaces", _namespaces, both(without_filter, without_options("--disable-userns")),
            still=(without_filter, without_options("--disable-userns")),
        ),
        *(Escape(f"call-{name}", functools.partial(_enter, name), without_rules(name)) for name in CALLS),
        *(Escape(f"socket-{name}", functools.partial(_family, name), without_rules("socket")) for name in FAMILIES),
    ],
    "SBX-1: no rights": [Escape("rights", _rights, without_sandbox)],
    "SBX-3: namespaces of its own": [
        Escape("shared-namespaces", _shares, without_sandbox),
        Escape(
            "ipc-uts-cgroup-pid", _shares_some,
            without_options("--unshare-ipc", "--unshare-uts", "--hostname", "--unshare-cgroup-try", "--unshare-pid"),
        ),
    ],
}  # fmt: skip
"""Continues the table of ``test_sandbox_escapes``."""


@pytest.mark.parametrize(("escape", "mode"), params(MATRIX))
def test_escape(escape: Escape, mode: Mode) -> None:
    check(escape, mode)


@pytest.mark.parametrize(("escape", "taken"), still_params(MATRIX))
def test_one_defence_is_enough(escape: Escape, taken: Callable[[Scene], None]) -> None:
    check_still_held(escape, taken)


def test_every_row_has_its_three_parts() -> None:
    assert not incomplete(MATRIX)


def test_what_an_ordinary_user_is_given_here() -> None:
    """So that calls which nothing but the filter refuses are among those above."""
    assert _succeeding() >= SURELY_SUCCEEDING


def test_the_program_has_no_rights_and_a_filter() -> None:
    with scene("inside") as made:
        assert made.python(_HOLDS, os.getuid()) == {"has none": ""}
