"""The zygote: a warm, single-threaded process that forks holders, so that a session's start costs no interpreter's.

It reads one byte with one descriptor (SCM_RIGHTS) per session from the daemon's socket and forks; the fork speaks
on that descriptor. It parses nothing, keeps nothing, and ends when the daemon does; its holders live on.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from cowork.holder import messages as m
from cowork.holder import syscalls
from cowork.holder.loop import Holder
from cowork.holder.spec import StartSpec


def main(arguments: list[str]) -> None:
    """Entry of the process; never returns."""
    role, fd = arguments[0], int(arguments[1])
    sock = socket.socket(fileno=fd)
    _leave_the_starter(keep=fd)
    if role == "zygote":
        serve(sock)
    else:
        hold(sock)
    os._exit(0)


def serve(sock: socket.socket) -> None:
    """Fork a holder for every descriptor that comes, until the daemon's end closes."""
    syscalls.set_name("cowork-zygote")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # holders are nobody's business here: no zombies
    gc.collect()
    gc.freeze()
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(sock, 1, 1)
        except InterruptedError:
            continue
        except OSError:
            return
        if not data:
            return
        for fd in fds:
            if os.fork() == 0:
                sock.close()
                os.setsid()
                hold(socket.socket(fileno=fd))
                os._exit(0)
            os.close(fd)


def hold(channel: socket.socket) -> None:
    """Be the holder of the session that BEGIN describes."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    syscalls.set_name("cowork-holder")
    syscalls.become_subreaper()
    spec = _receive_spec(channel)
    if spec is None:
        return
    # Anything the child was not given must not reach it, and nothing of ours may depend on the caller's folder.
    os.chdir("/")
    Holder(spec, channel).run()


def _receive_spec(channel: socket.socket) -> StartSpec | None:
    splitter = m.Splitter()
    channel.setblocking(True)
    while data := channel.recv(1 << 18):
        for kind, body in splitter.feed(data):
            if kind == m.BEGIN:
                return StartSpec.decode(body)
    return None


def _leave_the_starter(keep: int) -> None:
    """Survive the starter: own session, no terminal, no stray descriptors, no signals of its terminal."""
    try:
        os.setsid()
    except PermissionError:
        pass  # already leads a process group: started with a session of its own
    for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number != keep:
            try:
                os.close(number)
            except OSError:
                pass  # the descriptor of the listing itself
    os.set_inheritable(keep, False)
    os.umask(0o077)
    sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]
