"""The system call filter: interpreted against a plain model of its table, and tried on the kernel that is here."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.backends.bwrap.seccomp import (
    FAMILIES,
    MACHINES,
    NAMESPACES,
    RULES,
    TIOCLINUX,
    TIOCSTI,
    Equals,
    HasAny,
    NoneOf,
    Rule,
    UnsupportedMachine,
    filter_for,
    number,
    without,
)

ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
NEWEST = {"open_tree_attr": 467}
"""Not in the headers of every distribution that is in use."""
NAMES = tuple(dict.fromkeys(rule.name for rule in RULES))
HERE = os.uname().machine
MARK = errno.EXFULL
"""An error number that no call gives of itself."""
HIGH = 1 << 32

on_this_kernel = pytest.mark.skipif(HERE not in MACHINES, reason=f"there is no filter for {HERE}")
each_machine = pytest.mark.parametrize("machine", MACHINES)


# -- the program, interpreted


def run(program: bytes, arch: int, nr: int, args: Sequence[int] = ()) -> int:
    """What a program decides about a call: the error number, 0 for allowed."""
    data = struct.pack("<IIQ6Q", nr, arch, 0xDEADBEEF, *args, *[0] * (6 - len(args)))
    steps = list(struct.iter_unpack("<HBBI", program))
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        match code:
            case 0x20:
                assert value % 4 == 0
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case 0x45:
                at += if_true if accumulator & value else if_false
            case 0x06:
                if value == 0x7FFF0000:
                    return 0
                assert value >> 16 == 0x5
                return int(value & 0xFFFF)
            case _:
                raise AssertionError(f"unknown code {code:#x} at {at - 1}")


def model(rules: Sequence[Rule], machine: str, arch: int, nr: int, args: Sequence[int]) -> int:
    """The same from the table, without a program."""
    if arch != ARCHES[machine] or (machine == "x86_64" and nr >= 0x40000000):
        return errno.ENOSYS
    for rule in rules:
        if number(rule.name, machine) != nr:
            continue
        match rule.condition:
            case None:
                return rule.errno
            case Equals(n, value) if args[n] % HIGH == value:
                return rule.errno
            case HasAny(n, mask) if args[n] & mask:
                return rule.errno
            case NoneOf(n, values) if args[n] % HIGH not in values:
                return rule.errno
    return 0


NUMBERS = {m: [n for n in (number(name, m) for name in NAMES) if n is not None] for m in MACHINES}
VALUES = [TIOCSTI, TIOCLINUX, *NAMESPACES.values(), *FAMILIES.values(), 40, 38, 17, 0, 0x40000, 0xFFFFFFFF]
u32 = st.integers(0, 0xFFFFFFFF)
arguments = st.lists(
    st.builds(lambda high, low: high << 32 | low, st.one_of(st.just(0), u32), st.one_of(st.sampled_from(VALUES), u32)),
    min_size=6,
    max_size=6,
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, int, int, list[int]]:
    machine = draw(st.sampled_from(MACHINES))
    arch = draw(st.one_of(st.just(ARCHES[machine]), st.sampled_from([*ARCHES.values(), 0x40000003, 0x40000028]), u32))
    nr = draw(st.one_of(st.sampled_from(NUMBERS[machine]), st.integers(0, 500), u32))
    return machine, arch, nr, draw(arguments)


@given(calls())
def test_the_program_does_what_the_table_says(call: tuple[str, int, int, list[int]]) -> None:
    machine, arch, nr, args = call
    assert run(filter_for(machine), arch, nr, args) == model(RULES, machine, arch, nr, args)


@given(calls(), st.lists(st.sampled_from(RULES)))
def test_any_other_table_too(call: tuple[str, int, int, list[int]], rules: list[Rule]) -> None:
    machine, arch, nr, args = call
    assert run(filter_for(machine, rules), arch, nr, args) == model(rules, machine, arch, nr, args)


@each_machine
def test_the_kernel_would_take_it(machine: str) -> None:
    """What seccomp_check_filter and bpf_check_classic ask of a program; every path ends in a return."""
    program = filter_for(machine)
    assert len(program) % 8 == 0
    steps = list(struct.iter_unpack("<HBBI", program))
    assert 0 < len(steps) <= 4096
    assert steps[-1][0] == 0x06
    for at, (code, if_true, if_false, value) in enumerate(steps):
        assert code in (0x20, 0x15, 0x35, 0x45, 0x06)
        assert at + 1 + max(if_true, if_false) < len(steps) or code == 0x06
        assert code != 0x20 or (value % 4 == 0 and value < 64)


@each_machine
def test_every_call_of_the_table_alone(machine: str) -> None:
    for rule in RULES:
        nr = number(rule.name, machine)
        if nr is not None and rule.condition is None:
            assert run(filter_for(machine), ARCHES[machine], nr) == rule.errno, rule.name


@each_machine
def test_the_terminal_calls_are_known_by_their_low_half(machine: str) -> None:
    nr = number("ioctl", machine)
    assert nr is not None
    for command in (TIOCSTI, TIOCLINUX, TIOCSTI | HIGH, TIOCLINUX | 0xFFFFFFFF << 32):
        assert run(filter_for(machine), ARCHES[machine], nr, [0, command]) == errno.EPERM
    for command in (0x5413, TIOCSTI + 1, TIOCSTI << 32, 0):
        assert run(filter_for(machine), ARCHES[machine], nr, [TIOCSTI, command, TIOCSTI]) == 0


@each_machine
def test_the_families_of_sockets(machine: str) -> None:
    nr = number("socket", machine)
    assert nr is not None
    kept = [f for f in range(64) if run(filter_for(machine), ARCHES[machine], nr, [f]) == 0]
    assert kept == [1, 2, 10, 16]
    assert run(filter_for(machine), ARCHES[machine], nr, [40 | HIGH, 1]) == errno.EAFNOSUPPORT


@each_machine
def test_threads_and_processes_are_made_namespaces_are_not(machine: str) -> None:
    nr = number("clone", machine)
    assert nr is not None
    for flags in (0x11, 0x003D0F00, 0x01200011, 0x4111):  # fork, pthread_create, glibc's fork, vfork
        assert run(filter_for(machine), ARCHES[machine], nr, [flags]) == 0
    assert sum(NAMESPACES.values()) == 0x7E020080
    for flag in NAMESPACES.values():
        assert run(filter_for(machine), ARCHES[machine], nr, [flag | 0x11]) == errno.EPERM
        assert run(filter_for(machine), ARCHES[machine], nr, [0x11, flag]) == 0


@each_machine
def test_the_calls_of_other_architectures_do_not_exist(machine: str) -> None:
    program = filter_for(machine)
    for arch in (0x40000003, 0x40000028, 0, *(a for m, a in ARCHES.items() if m != machine)):
        assert run(program, arch, 0) == errno.ENOSYS
    assert run(filter_for(machine, ()), 0x40000003, 0) == errno.ENOSYS


def test_x32_does_not_exist() -> None:
    for nr in (0x40000000, 0x40000000 | 39, 0x40000000 | 512, 0xFFFFFFFF):
        assert run(filter_for("x86_64"), ARCHES["x86_64"], nr) == errno.ENOSYS
    assert run(filter_for("aarch64"), ARCHES["aarch64"], 0x40000000) == 0


@each_machine
@pytest.mark.parametrize("name", NAMES)
def test_a_rule_can_be_dropped(machine: str, name: str) -> None:
    nr = number(name, machine)
    if nr is None:
        assert filter_for(machine, without(name)) == filter_for(machine)
        return
    args = [0x5, TIOCSTI] if name == "ioctl" else [0x10000000] * 6
    assert run(filter_for(machine), ARCHES[machine], nr, args) != 0
    assert run(filter_for(machine, without(name)), ARCHES[machine], nr, args) == 0


def test_what_is_not_there_cannot_be_dropped() -> None:
    with pytest.raises(ValueError, match="mont"):
        without("mount", "mont")


def test_a_machine_without_a_table() -> None:
    for machine in ("riscv64", "i686", "aarch64_be", ""):
        with pytest.raises(UnsupportedMachine) as raised:
            filter_for(machine, ())
        assert raised.value.hint is not None
        assert raised.value.exit_status == 6


def test_a_call_without_a_number() -> None:
    with pytest.raises(ValueError, match="no_such_call"):
        filter_for("x86_64", [Rule("no_such_call")])


@each_machine
def test_the_numbers_are_those_of_the_headers(machine: str) -> None:
    header = next((Path(p) for p in HEADERS[machine] if Path(p).exists()), None)
    if header is None:
        pytest.skip("the kernel's headers are not installed")
    there = {name: int(n) for name, n in re.findall(r"#define __NR_(\w+)\s+(\d+)\b", header.read_text())}
    assert len(there) > 250
    for name in NAMES:
        if name in there:
            assert number(name, machine) == there[name], name
        else:  # not on this machine, or newer than the header
            assert number(name, machine) == NEWEST.get(name), name


# -- the program, in the kernel

LOAD = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
class Prog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
def load(program):
    buffer = ctypes.create_string_buffer(program, len(program))
    prog = Prog(len(program) // 8, ctypes.addressof(buffer))
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, ctypes.byref(prog), 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP, a filter
program = bytes.fromhex(sys.argv[1])
"""

CALLS = """
import fcntl, pty, termios
os.setsid()
master, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
os.dup2(terminal, 50)
zeros = ctypes.create_string_buffer(4096)
def attempt(number, args):
    if program:
        load(program)
    args = [ctypes.addressof(zeros) if a == "zeros" else a for a in args]
    ctypes.set_errno(0)
    failed = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(a) for a in args)) == -1
    return ctypes.get_errno() if failed else 0
results = []
for number, args in json.load(sys.stdin):
    pid = os.fork()
    if pid == 0:
        os._exit(attempt(number, args))
    results.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(results))
"""

Call = tuple[str, tuple[int | str, ...]]
NOBODY = (1 << 64) - 1
"""-1: no descriptor, no process."""
SIGHAND = 0x800
"""With a namespace's flag and without CLONE_VM: clone would fail with EINVAL before it makes anything."""
BAD_TYPE = 0x10000
"""A socket type that is refused with EINVAL before the family is looked at, whichever families a kernel has."""

TRIED: tuple[Call, ...] = (
    # Each does something harmless, or fails with an error number that is not the filter's.
    ("ioctl", (50, TIOCSTI, "zeros")),
    ("ioctl", (50, TIOCSTI | HIGH, "zeros")),
    ("ioctl", (NOBODY, TIOCSTI, 0)),
    ("ioctl", (NOBODY, TIOCLINUX | 7 << 40, 0)),
    *(("socket", (family, BAD_TYPE, 0)) for family in (0, 3, 17, 31, 38, 40, 44, 255, 40 | HIGH)),
    *(("clone", (flag | SIGHAND, 0, 0, 0, 0)) for flag in NAMESPACES.values()),
    ("clone3", (0, 0)),
    ("unshare", (0,)),
    ("setns", (NOBODY, 0)),
    ("keyctl", (0, NOBODY - 2, 1)),  # the id of the session's keyring
    ("add_key", (0, 0, 0, 0, 0)),
    ("request_key", (0, 0, 0, 0)),
    ("ptrace", (0,)),  # PTRACE_TRACEME
    ("process_vm_readv", (1, 0, 0, 0, 0, 0)),
    ("process_vm_writev", (1, 0, 0, 0, 0, 0)),
    ("pidfd_getfd", (NOBODY, 0, 0)),
    ("kcmp", (0, 0, 0, 0, 0)),
    ("io_uring_setup", (0, 0)),
    ("io_uring_enter", (NOBODY, 0, 0, 0, 0, 0)),
    ("io_uring_register", (NOBODY, 0, 0, 0)),
    ("bpf", (0, 0, 1 << 20)),  # too long: E2BIG, before it is asked who calls
    ("perf_event_open", (0, 0, 0, 0, 0xFFFF)),
    ("userfaultfd", (1,)),  # UFFD_USER_MODE_ONLY
    ("mount", (0, 0, 0, 0, 0)),
    ("umount2", (0, 0xFF00)),
    ("chroot", (0,)),
    ("open_tree", (NOBODY, 0, 0xF0000000)),
    ("open_tree_attr", (NOBODY, 0, 0xF0000000, 0, 0)),
    ("mount_setattr", (NOBODY, 0, 0xFFFF0000, 0, 0)),
    ("fsconfig", (NOBODY, 0, 0, 0, 0)),
    ("fanotify_init", (0x200, 0)),  # FAN_REPORT_FID
    ("quotactl", (0xFF, 0, 0, 0)),
    ("quotactl_fd", (NOBODY, 0xFF, 0, 0)),
    ("nfsservctl", (0, 0, 0)),
    ("settimeofday", (1, 0)),
    ("clock_settime", (99, 0)),
    ("clock_adjtime", (99, 0)),
    ("adjtimex", (0,)),
    ("iopl", (4,)),
    ("ioperm", (1 << 20, 1, 1)),
    ("modify_ldt", (99, 0, 0)),
    ("uselib", (0,)),
    ("personality", (0x0008,)),
    ("personality", (0x20000,)),
)
ROOTS: tuple[Call, ...] = (
    # EPERM for an ordinary user with and without the filter, so only another error number shows that it is there.
    # The arguments are wrong all the same: without the filter, nothing happens to root's machine either.
    ("pivot_root", (0, 0)),
    ("move_mount", (NOBODY, 0, NOBODY, 0, 0xF0000000)),
    ("fsopen", (0, 0xFF00)),
    ("fsmount", (NOBODY, 0xFF00, 0)),
    ("fspick", (NOBODY, 0, 0xFF00)),
    ("open_by_handle_at", (NOBODY, 0, 0)),
    ("lookup_dcookie", (0, 0, 0)),
    ("kexec_load", (0, 1000, 0, 0xFFFF)),
    ("kexec_file_load", (NOBODY, NOBODY, 0, 0, 0xFF00)),
    ("init_module", (0, 0, 0)),
    ("finit_module", (NOBODY, 0, 0xFF00)),
    ("delete_module", (0, 0)),
    ("reboot", (0, 0, 0, 0)),
    ("swapon", (0, 0xFF000000)),
    ("swapoff", (0,)),
    ("acct", (1,)),
    ("syslog", (99, 0, 0)),
    ("vhangup", ()),
    ("sethostname", (0, NOBODY)),
    ("setdomainname", (0, NOBODY)),
)
STILL_FINE: tuple[Call, ...] = (
    ("ioctl", (50, 0x5413, "zeros")),  # TIOCGWINSZ
    ("personality", (0xFFFFFFFF,)),
    ("personality", (0x40000,)),
    ("personality", (0,)),
    *(("socket", (family, 3 if family == 16 else 1, 0)) for family in FAMILIES.values()),
    ("clone", (0x11, 0, 0, 0, 0)),
)


def here(calls: Sequence[Call]) -> list[Call]:
    return [call for call in calls if HERE in MACHINES and number(call[0], HERE) is not None]


def name_of(call: object) -> str:
    assert isinstance(call, tuple)
    return "-".join([call[0], *(hex(a) if isinstance(a, int) else a for a in call[1])])


def python(code: str, program: bytes, stdin: str = "", *more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", "-S", "-c", code, program.hex(), *more]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)


def outcomes(calls: Sequence[Call], program: bytes) -> dict[Call, int]:
    """The error number of each call in a process of its own under a program (empty: under none)."""
    done = python(LOAD + CALLS, program, json.dumps([(number(name, HERE), args) for name, args in calls]))
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(calls, json.loads(done.stdout), strict=True))


Outcomes = Mapping[Call, int]


@pytest.fixture(scope="module")
def unfiltered() -> Outcomes:
    return outcomes(here([*TRIED, *STILL_FINE]), b"")


@pytest.fixture(scope="module")
def filtered() -> Outcomes:
    return outcomes(here([*TRIED, *ROOTS, *STILL_FINE]), filter_for(HERE))


@pytest.fixture(scope="module")
def marked() -> Outcomes:
    return outcomes(here([*TRIED, *ROOTS]), filter_for(HERE, [replace(rule, errno=MARK) for rule in RULES]))


def expected(call: Call) -> int:
    return next(rule.errno for rule in RULES if rule.name == call[0])


def filtered_already() -> bool:
    """A container's own filter stands before the kernel's answer: calls may fail here with our error number."""
    return "\nSeccomp:\t0\n" not in Path("/proc/self/status").read_text()


def test_every_rule_is_tried() -> None:
    assert {call[0] for call in (*TRIED, *ROOTS)} == set(NAMES)


@on_this_kernel
@pytest.mark.parametrize("call", here(TRIED), ids=name_of)
def test_it_is_the_filter_that_refuses(call: Call, unfiltered: Outcomes, filtered: Outcomes, marked: Outcomes) -> None:
    if not filtered_already():
        assert unfiltered[call] != expected(call)
    assert (filtered[call], marked[call]) == (expected(call), MARK)


@on_this_kernel
@pytest.mark.parametrize("call", here(ROOTS), ids=name_of)
def test_what_only_root_may_is_refused_by_the_filter_first(call: Call, filtered: Outcomes, marked: Outcomes) -> None:
    assert (filtered[call], marked[call]) == (expected(call), MARK)


@on_this_kernel
@pytest.mark.parametrize("call", STILL_FINE, ids=name_of)
def test_the_other_side_of_a_condition(call: Call, unfiltered: Outcomes, filtered: Outcomes) -> None:
    # IPv6 may be missing here; then it is missing in the same way.
    assert filtered[call] == unfiltered[call]


@on_this_kernel
def test_a_namespace_that_could_be_had() -> None:
    call = ("unshare", (NAMESPACES["CLONE_NEWUSER"],))
    clone = ("clone", (NAMESPACES["CLONE_NEWUSER"] | 17, 0, 0, 0, 0))
    if any(outcomes([call, clone], b"").values()):
        pytest.skip("this host gives nobody a user namespace")
    assert set(outcomes([call, clone], filter_for(HERE)).values()) == {errno.EPERM}
    assert not any(outcomes([call, clone], filter_for(HERE, without("unshare", "clone"))).values())


@on_this_kernel
def test_without_its_rule_a_call_is_what_it_was(unfiltered: Outcomes) -> None:
    """The escape tests rest on this: a row whose rule is gone turns red."""
    for name in {call[0] for call in here(TRIED)}:
        calls = [call for call in here(TRIED) if call[0] == name]
        assert outcomes(calls, filter_for(HERE, without(name))) == {call: unfiltered[call] for call in calls}


INT_80 = """
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("53b814000000cd805bc3"))  # push rbx; mov eax, 20; int 0x80; pop rbx; ret
getpid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
if program:
    load(program)
print(getpid() - (0 if program else os.getpid()), flush=True)
os._exit(0)
"""


@on_this_kernel
@pytest.mark.skipif(HERE != "x86_64", reason="int 0x80 is an instruction of x86")
def test_a_32_bit_call_from_a_64_bit_program() -> None:
    if python(LOAD + INT_80, b"").stdout != "0\n":
        pytest.skip("this kernel has no 32 bit calls, or no memory that can be written and executed")
    assert python(LOAD + INT_80, filter_for(HERE)).stdout == f"{-errno.ENOSYS}\n"
    assert python(LOAD + INT_80, filter_for(HERE, ())).stdout == f"{-errno.ENOSYS}\n"


# -- ordinary things

EXEC = LOAD + "load(program); os.execvp(sys.argv[2], sys.argv[2:])"

FORK = "import os; p = os.fork(); p or os._exit(7); assert os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) == 7"
THREADS = """
import threading
seen = []
threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert sorted(seen) == list(range(8))
"""
SUBPROCESS = """
import subprocess
assert subprocess.run(["/bin/sh", "-c", "echo a | cat"], stdout=subprocess.PIPE).stdout == b"a\\n"
assert subprocess.run(["/bin/sh", "-c", "exit 3"], start_new_session=True, preexec_fn=lambda: None).returncode == 3
"""
SOCKETS = """
import os, socket, tempfile
def talk(server, address):
    server.bind(address)
    server.listen()
    client = socket.socket(server.family)
    client.connect(server.getsockname())
    client.send(b"x")
    assert server.accept()[0].recv(1) == b"x"
talk(socket.socket(socket.AF_INET), ("127.0.0.1", 0))
with tempfile.TemporaryDirectory() as folder:
    talk(socket.socket(socket.AF_UNIX), os.path.join(folder, "s"))
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    a.send(b"x")
    assert b.recv(1) == b"x"
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", 0))
"""
INTERFACES = """
import ctypes, socket
first = ctypes.c_void_p()
assert ctypes.CDLL(None).getifaddrs(ctypes.byref(first)) == 0
assert first
assert "lo" in [name for _, name in socket.if_nameindex()]
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))
"""
WRITING = """
import mmap, os, pty, select, tempfile
with tempfile.TemporaryFile() as f:
    f.write(b"x" * 5000); f.flush(); os.fsync(f.fileno())
    assert mmap.mmap(f.fileno(), 0)[4999:] == b"x"
pid, fd = pty.fork()
pid or os.execlp("true", "true")
assert os.waitpid(pid, 0)[1] == 0
select.epoll().close(); os.eventfd(0); os.pidfd_open(os.getpid()); os.memfd_create("x")
"""


def under_the_filter(*argv: str) -> subprocess.CompletedProcess[str]:
    return python(EXEC, filter_for(HERE), "", *argv)


@on_this_kernel
@pytest.mark.parametrize(
    "code",
    [FORK, THREADS, SUBPROCESS, SOCKETS, INTERFACES, WRITING],
    ids=["fork", "threads", "subprocess", "sockets", "interfaces", "writing"],
)
def test_ordinary_things_work(code: str) -> None:
    done = under_the_filter(sys.executable, "-I", "-S", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


@on_this_kernel
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_works() -> None:
    code = "new (require('worker_threads').Worker)('', {eval: true}).on('exit', c => process.exit(c + 5))"
    for script, status in (("1", 0), (code, 5)):
        done = under_the_filter("node", "-e", script)
        assert (done.returncode, done.stderr) == (status, "")


def bubblewrap(*argv: str, fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    argv = ("bwrap", "--ro-bind", "/", "/", *argv)
    return subprocess.run(argv, pass_fds=fds, capture_output=True, text=True, check=False)


@on_this_kernel
@pytest.mark.bwrap
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_takes_it() -> None:
    if bubblewrap("true").returncode != 0:
        pytest.skip("bubblewrap does not work on this host")
    code = "import ctypes; c = ctypes.CDLL(None, use_errno=True); c.setns(-1, 0); print(ctypes.get_errno())"
    fd = os.memfd_create("filter")
    try:
        os.write(fd, filter_for(HERE, [*without("setns"), Rule("setns", errno=MARK)]))
        os.lseek(fd, 0, os.SEEK_SET)
        done = bubblewrap("--seccomp", str(fd), sys.executable, "-I", "-S", "-c", code, fds=(fd,))
    finally:
        os.close(fd)
    assert (done.stdout, done.stderr) == (f"{MARK}\n", "")
