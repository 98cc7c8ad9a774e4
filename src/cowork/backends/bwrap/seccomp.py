"""System calls that a program in the sandbox is not given: a classic BPF program for ``bwrap --seccomp FD``.

A deny list, because what runs inside is any toolchain there is; the namespaces and the lack of capabilities are the
walls, this takes away the kernel's rarely used doors in them. Every refusal is an error number that the caller can
live with, nothing is killed.

Sources: seccomp(2); Documentation/userspace-api/seccomp_filter.rst; linux/filter.h; linux/audit.h; the numbers are
those of asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from errno import EAFNOSUPPORT, ENOSYS, EPERM
from typing import TYPE_CHECKING

from cowork.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence

if TYPE_CHECKING:
    pass


class UnsupportedMachine(PolicyError):
    """There is no table of system calls for a machine."""


@dataclass(frozen=True, slots=True)
class Equals:
    """The low 32 bits of an argument are ``value``.

    Where the kernel looks at an ``int``, comparing 64 bits would let a caller past that sets a high bit.
    """

    argument: int
    value: int


@dataclass(frozen=True, slots=True)
class HasAny:
    """The low 32 bits of an argument have at least one bit of ``mask``."""

    argument: int
    mask: int


@dataclass(frozen=True, slots=True)
class NoneOf:
    """The low 32 bits of an argument are none of ``values``."""

    argument: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls of ``name`` that meet the condition (None: all) fail with ``errno``."""

    name: str
    condition: Equals | HasAny | NoneOf | None = None
    errno: int = EPERM


TIOCSTI = 0x5412
TIOCLINUX = 0x541C
NAMESPACES = {
    "CLONE_NEWNS": 0x00020000,
    "CLONE_NEWCGROUP": 0x02000000,
    "CLONE_NEWUTS": 0x04000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
    "CLONE_NEWTIME": 0x00000080,
}
"""clone's flags that make namespaces. Its CLONE_NEWTIME is a bit of the exit signal, which no signal's number has."""
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
"""The socket families that stay. AF_VSOCK would reach the hypervisor, AF_ALG and the rest are little tried code."""
_PERSONALITIES = (0, 0x00040000, 0xFFFFFFFF)
"""Linux, Linux without address randomisation (``setarch -R``), and the question which one it is."""


def _deny(names: str, errno: int = EPERM) -> tuple[Rule, ...]:
    return tuple(Rule(name, errno=errno) for name in names.split())


RULES: tuple[Rule, ...] = (
    # Typing into the terminal that the sandbox was started from (CVE-2017-5226).
    Rule("ioctl", Equals(1, TIOCSTI)),
    Rule("ioctl", Equals(1, TIOCLINUX)),
    Rule("socket", NoneOf(0, tuple(FAMILIES.values())), EAFNOSUPPORT),
    # New namespaces give capabilities over code that is otherwise root's. clone3 has its flags in memory, where a
    # filter cannot look; ENOSYS makes the C libraries use clone.
    Rule("clone", HasAny(0, sum(NAMESPACES.values()))),
    *_deny("clone3", ENOSYS),
    *_deny("unshare setns"),
    # The user's keyrings are not part of any namespace.
    *_deny("keyctl add_key request_key"),
    # Other processes' memory and descriptors.
    *_deny("ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp"),
    # A ring does socket, open and ioctl on behalf of its owner, where no filter sees them.
    *_deny("io_uring_setup io_uring_enter io_uring_register", ENOSYS),
    *_deny("bpf perf_event_open userfaultfd"),
    *_deny("mount umount2 pivot_root chroot open_tree open_tree_attr move_mount mount_setattr"),
    *_deny("fsopen fsconfig fsmount fspick"),
    *_deny("open_by_handle_at fanotify_init lookup_dcookie"),
    # What is root's anyway, for the day on which something inside turns out to have a capability.
    *_deny("kexec_load kexec_file_load init_module finit_module delete_module reboot"),
    *_deny("swapon swapoff acct syslog quotactl quotactl_fd nfsservctl vhangup sethostname setdomainname"),
    *_deny("settimeofday clock_settime clock_adjtime adjtimex"),
    *_deny("iopl ioperm modify_ldt uselib"),
    Rule("personality", NoneOf(0, _PERSONALITIES)),
)
"""What is refused. Where several rules match a call, the first one counts."""


_NUMBERS: dict[str, tuple[int, int | None]] = {
    # name: (x86_64, aarch64)
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "socket": (41, 198),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The AUDIT_ARCH number of each machine, in the order of the numbers above."""
MACHINES = tuple(_MACHINES)
"""The machines that there are filters for, as ``os.uname().machine`` names them."""
_X32 = 0x40000000

# Codes of linux/bpf_common.h and what seccomp(2) makes of a returned value.
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
# Offsets in struct seccomp_data.
_NUMBER = 0
_ARCH = 4


def number(name: str, machine: str) -> int | None:
    """The number of a system call of the table; None where the machine does not have it.

    Raises:
        UnsupportedMachine: there are no numbers for the machine.
        ValueError: the call is not in the table of numbers.
    """
    _audit_arch(machine)
    if name not in _NUMBERS:
        raise ValueError(f"no number is known for the system call {name}")
    return _NUMBERS[name][MACHINES.index(machine)]


def without(*names: str) -> tuple[Rule, ...]:
    """``RULES`` but for the ones of these system calls, to show that a test notices.

    Raises:
        ValueError: there is no such rule.
    """
    unknown = set(names) - {rule.name for rule in RULES}
    if unknown:
        raise ValueError(f"no rule is about {', '.join(sorted(unknown))}")
    return tuple(rule for rule in RULES if rule.name not in names)


def filter_for(machine: str, rules: Sequence[Rule] = RULES) -> bytes:
    """The program for a machine (``os.uname().machine``): an array of ``struct sock_filter``.

    Calls of another architecture (32 bit programs) and of x32 do not exist (ENOSYS): their numbers mean other calls.

    Raises:
        UnsupportedMachine: there are no numbers for the machine.
        ValueError: a rule is about an unknown system call.
    """
    return _built(machine, tuple(rules))


@functools.cache
def _built(machine: str, rules: tuple[Rule, ...]) -> bytes:
    program = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, _audit_arch(machine), 1, 0),
        _refuse(ENOSYS),
        _step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        program += [_step(_AT_LEAST, _X32, 0, 1), _refuse(ENOSYS)]
    for rule in rules:
        wanted = number(rule.name, machine)
        if wanted is not None:
            # Jumps reach 255 steps: each rule has its own return right behind it, none is far away.
            block = _block(rule)
            program += [_step(_EQUAL, wanted, 0, len(block)), *block]
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _audit_arch(machine: str) -> int:
    if machine not in _MACHINES:
        raise UnsupportedMachine(
            f"there is no system call filter for {machine or 'a nameless machine'}",
            hint=f"there is one for {' and '.join(MACHINES)}",
        )
    return _MACHINES[machine]


def _block(rule: Rule) -> list[bytes]:
    """What is done for a call of the right number: refuse it, or go on behind the block with the number loaded."""
    refuse = _refuse(rule.errno)
    match rule.condition:
        case None:
            return [refuse]
        case Equals(argument, value):
            tests = [_step(_EQUAL, value, 0, 1)]
        case HasAny(argument, mask):
            tests = [_step(_ANY_BIT, mask, 0, 1)]
        case NoneOf(argument, values):
            tests = [_step(_EQUAL, value, len(values) - i, 0) for i, value in enumerate(values)]
    # Both machines are little-endian: the low half of argument N comes first, behind the instruction pointer.
    return [_step(_LOAD, 16 + 8 * argument), *tests, refuse, _step(_LOAD, _NUMBER)]


def _refuse(errno: int) -> bytes:
    return _step(_RETURN, _ERRNO | errno)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
