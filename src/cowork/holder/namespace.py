"""What is done inside a sandbox's namespaces from outside: sockets that listen there, folders that are mounted there.

Joining a user namespace is allowed to whoever made it, but only to a process with one thread, and there is no way
back; so each such thing is done by a child forked for it. Sources: setns(2), ioctl_ns(2), move_mount(2).
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cowork.holder import syscalls

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
BACKLOG = 512
_LOOPBACK = 10.0
"""Seconds that a new network namespace is given to have its loopback address."""


class Address(NamedTuple):
    """Where to listen: ``protocol`` "tcp" or "udp", an IPv4 or IPv6 address, a port."""

    protocol: str
    host: str
    port: int


class NamespaceError(Exception):
    """Something could not be done inside; the text says what."""


def listen_inside(pid: int, addresses: Sequence[Address]) -> Errand:
    """Have sockets made that listen in the network namespace of process ``pid``, in the order of ``addresses``.

    ``Errand.result`` has them as descriptors; it raises if the namespace cannot be joined, or an address not be had.
    """

    def make(channel: socket.socket) -> None:
        join(pid, "net", CLONE_NEWNET)
        for address in addresses:
            with _listen(address) as sock:
                socket.send_fds(channel, [b"s"], [sock.fileno()])

    return Errand(make, len(addresses))


def forked(work: Callable[[socket.socket], None], count: int = 0) -> list[int]:
    """Run ``work`` in a child and wait for it; see ``Errand``."""
    return Errand(work, count).result()


class Errand:
    """``work`` in a child, from which ``count`` descriptors are wanted: it sends one with each "s"."""

    def __init__(self, work: Callable[[socket.socket], None], count: int = 0) -> None:
        self._count = count
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                syscalls.die_with(signal.SIGKILL)
                work(theirs)
                theirs.send(b".")
            except OSError as e:
                theirs.send(f"{e.filename or 'socket'}: {e.strerror}".encode())
            except BaseException as e:
                theirs.send(f"{type(e).__name__}: {e}".encode())
            finally:
                os._exit(0)
        theirs.close()

    def result(self) -> list[int]:
        """The descriptors, once it is done.

        Raises:
            NamespaceError: it failed.
        """
        got: list[int] = []
        try:
            while True:
                said, fds, _, _ = socket.recv_fds(self._sock, 1000, 1)
                got += fds
                if said != b"s":
                    break
        finally:
            self.close()
        if said != b"." or len(got) != self._count:
            for fd in got:
                os.close(fd)
            raise NamespaceError(said.decode("utf-8", "replace") or "the helper has died")
        for fd in got:
            os.set_inheritable(fd, False)
        return got

    def close(self) -> None:
        """Let go of it, done or not."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
            self._sock.close()


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
    end = time.monotonic() + _LOOPBACK
    while True:
        try:
            sock.bind((address.host, address.port))
            break
        except OSError as e:
            # bubblewrap tells its child's pid before that child has given the loopback device its address.
            if e.errno != errno.EADDRNOTAVAIL or time.monotonic() > end:
                sock.close()
                raise OSError(e.errno, e.strerror, f"{address.host}:{address.port}") from e
            time.sleep(0.0005)
    if address.protocol == "tcp":
        sock.listen(BACKLOG)
    return sock
