"""What is done inside a sandbox's namespaces from outside: sockets that listen there, folders that are mounted there.

Joining a user namespace is allowed to whoever made it, but only to a process with one thread, and there is no way
back; so each such thing is done by a child forked for it. Sources: setns(2), ioctl_ns(2), move_mount(2).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cowork.holder import syscalls

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
BACKLOG = 512


class Address(NamedTuple):
    """Where to listen: ``protocol`` "tcp" or "udp", an IPv4 or IPv6 address, a port."""

    protocol: str
    host: str
    port: int


class NamespaceError(Exception):
    """Something could not be done inside; the text says what."""


def listen_inside(pid: int, addresses: Sequence[Address]) -> list[socket.socket]:
    """Sockets that listen in the network namespace of process ``pid``, in the order of ``addresses``.

    Raises:
        NamespaceError: the namespace cannot be joined, or an address cannot be had.
    """

    def make(channel: socket.socket) -> None:
        join(pid, "net", CLONE_NEWNET)
        for address in addresses:
            with _listen(address) as sock:
                socket.send_fds(channel, [b"s"], [sock.fileno()])

    return [socket.socket(fileno=fd) for fd in forked(make, len(addresses))]


def forked(work: Callable[[socket.socket], None], count: int = 0) -> list[int]:
    """Run ``work`` in a child; the ``count`` descriptors that it sends, one with each "s".

    Raises:
        NamespaceError: it failed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            work(theirs)
            theirs.send(b".")
        except OSError as e:
            theirs.send(f"{e.filename or 'socket'}: {e.strerror}".encode())
        except BaseException as e:
            theirs.send(f"{type(e).__name__}: {e}".encode())
        finally:
            os._exit(0)
    theirs.close()
    got: list[int] = []
    with ours:
        try:
            while True:
                said, fds, _, _ = socket.recv_fds(ours, 1000, 1)
                got += fds
                if said != b"s":
                    break
        finally:
            os.waitpid(pid, 0)
    if said != b"." or len(got) != count:
        for fd in got:
            os.close(fd)
        raise NamespaceError(said.decode("utf-8", "replace") or "the helper has died")
    for fd in got:
        os.set_inheritable(fd, False)
    return got


def join(pid: int, name: str, kind: int) -> None:
    """Become a member of a namespace, and of the user namespace that owns it (not ``/proc/PID/ns/user``: bubblewrap
    puts the program into one more below)."""
    fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.enter_namespace(syscalls.owner_of_namespace(fd), CLONE_NEWUSER)
    syscalls.enter_namespace(fd, kind)


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, _TYPES[address.protocol])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address.host, address.port))
    except OSError as e:
        raise OSError(e.errno, e.strerror, f"{address.host}:{address.port}") from e
    if address.protocol == "tcp":
        sock.listen(BACKLOG)
    return sock
