"""The zygote: a warm, single-threaded process that forks holders, so that a session's start costs no interpreter's.

It reads one byte with one descriptor (SCM_RIGHTS) per session from the daemon's socket; a holder forked beforehand
speaks on that descriptor. It parses nothing, keeps nothing, and ends when the daemon does; its holders live on.
Sessions from the shell have one of their own, which listens and ends when nobody wants it.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys

from cowork.holder import cgroup, files, syscalls
from cowork.holder import messages as m
from cowork.holder.loop import Holder
from cowork.holder.spec import StartSpec

IDLE = 300.0
"""Seconds without work after which a shared zygote ends."""


def main(arguments: list[str]) -> None:
    """Entry of the process; never returns."""
    role, fd = arguments[0], int(arguments[1])
    if len(arguments) > 2:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(arguments[2]), hard))
    _leave_the_starter(keep=fd)
    # As low as can be, wherever the starter had it: high numbers are a sandbox's (sandbox.py).
    sock = socket.socket(fileno=os.dup(fd))
    os.close(fd)
    if role in ("zygote", "scoped-zygote"):
        serve(sock, cgroup.delegated() if role == "scoped-zygote" else None)
    elif os.fork() != 0:
        pass  # forked once more: the starter need not reap a process that outlives it
    elif role in ("shared-zygote", "scoped-shared-zygote"):
        share(sock, cgroup.delegated() if role == "scoped-shared-zygote" else None)
    else:
        become_holder()
        hold(sock, cgroup.delegated() if role == "scoped-hold" else None)
    os._exit(0)


def serve(sock: socket.socket, cgroups: str | None) -> None:
    """Hand every descriptor that comes to a holder forked beforehand, until the daemon's end closes.

    Says one byte first: it is up. ``cgroups``: where sessions may make theirs.
    """
    _become_zygote()
    sock.send(b"r")
    while True:
        warm = _fork_warm(sock, cgroups)
        channel = _receive_fd(sock)
        if channel is None:
            return
        # If that holder was killed while it waited, the daemon sees its channel close.
        _hand_over(warm, channel)


def share(listener: socket.socket, cgroups: str | None) -> None:
    """Hand the descriptor that comes on each connection to a holder forked beforehand, and say so with one byte.

    For sessions that no daemon starts. Ends after ``IDLE`` seconds without a connection; what it has forked goes on
    sharing its memory.
    """
    _become_zygote()
    listener.settimeout(IDLE)
    warm = None
    while True:
        warm = warm or _fork_warm(listener, cgroups)
        try:
            client, _ = listener.accept()
        except OSError:
            os.unlink(listener.getsockname())  # whoever comes in this moment is refused, and starts a holder plainly
            return
        with client:
            channel = _receive_fd(client)
            if channel is None:
                continue  # somebody only looked whether anybody listens
            handed, warm = _hand_over(warm, channel), None
            if handed:
                client.send(b"k")


def _become_zygote() -> None:
    syscalls.set_name("cowork-zygote")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # holders are nobody's business here: no zombies
    gc.collect()
    gc.freeze()


def _hand_over(warm: socket.socket, channel: int) -> bool:
    """Give a channel to the holder that waits; False if it was killed."""
    try:
        socket.send_fds(warm, [b"x"], [channel])
    except OSError:
        return False
    finally:
        warm.close()
        os.close(channel)
    return True


def _fork_warm(sock: socket.socket, cgroups: str | None) -> socket.socket:
    """Fork a holder that waits for its channel; returns the socket on which it waits."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        sock.close()
        ours.close()
        os.setsid()
        become_holder()
        _rehearse()
        channel = _receive_fd(theirs)
        theirs.close()
        if channel is not None:
            hold(socket.socket(fileno=channel), cgroups)
        os._exit(0)
    theirs.close()
    return ours


def _receive_fd(sock: socket.socket) -> int | None:
    """One descriptor, or None when the other side is gone."""
    try:
        data, fds, _, _ = socket.recv_fds(sock, 1, 1)
    except OSError:
        return None
    for fd in fds:
        # It comes inheritable, and a channel that the child had would outlive a killed holder.
        os.set_inheritable(fd, False)
    return fds[0] if data and fds else None


def become_holder() -> None:
    """What can be done before it is known which session it will be."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    syscalls.set_name("cowork-holder")
    syscalls.become_subreaper()
    os.chdir("/")  # nothing of ours may keep the caller's folder busy


def _rehearse() -> None:
    """Use what a start will use, so that its memory is ours (copied from the zygote's) before anybody waits for it."""
    spec = StartSpec("", "", ["a"], "a", dict.fromkeys(map(str, range(50)), ""), "/")
    ours, theirs = socket.socketpair()
    with theirs:
        m.Splitter().feed(m.pack(m.BEGIN, spec.encode()))
        Holder(StartSpec.decode(spec.encode()), ours).dismiss()


def hold(channel: socket.socket, cgroups: str | None = None) -> None:
    """Be the holder of the session that BEGIN describes."""
    spec = _receive_spec(channel)
    if spec is not None:
        Holder(spec._replace(cgroup=spec.cgroup or cgroups), channel).run()


def _receive_spec(channel: socket.socket) -> StartSpec | None:
    """Read BEGIN and not a byte more: what follows it is the loop's, which serves writes sent ahead in their order."""
    channel.setblocking(True)
    header = _receive_exactly(channel, m.HEADER.size)
    if header is None:
        return None
    kind, length = m.HEADER.unpack(header)
    body = _receive_exactly(channel, length) if kind == m.BEGIN and length <= m.MAX_BODY else None
    return StartSpec.decode(body) if body is not None else None


def _receive_exactly(channel: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        data = channel.recv(min(count - len(parts), 1 << 18))
        if not data:
            return None
        parts += data
    return bytes(parts)


def _leave_the_starter(keep: int) -> None:
    """Survive the starter: own session, no terminal, no stray descriptors, no signals of its terminal."""
    try:
        os.setsid()
    except PermissionError:
        pass  # already leads a process group: started with a session of its own
    # What is ignored or blocked is inherited over exec, and whoever started us may have ignored anything: a shell does
    # that with SIGINT and SIGQUIT of its background jobs. A handler that does nothing is not inherited. (Popen resets
    # the two that are ignored here.)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for any_signal in signal.valid_signals():
        if signal.getsignal(any_signal) is signal.SIG_IGN:
            signal.signal(any_signal, signal.SIG_DFL)
    for harmless in (signal.SIGHUP, signal.SIGINT):
        signal.signal(harmless, lambda *_: None)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    files.close_all_but({0, 1, 2, keep})
    os.set_inheritable(keep, False)
    os.umask(0o077)
    sys.stdin = sys.stdout = sys.stderr = None
