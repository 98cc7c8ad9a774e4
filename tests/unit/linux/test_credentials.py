"""The peer of a socket is who the kernel says."""

from __future__ import annotations

import os
import socket

from cowork.linux.credentials import peer_of


def test_the_peer_of_our_own_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == (os.getpid(), os.getuid(), os.getgid())


def test_the_pid_is_that_of_the_process_that_connected() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")  # the kernel picks an abstract name
    listener.listen()
    pid = os.fork()
    if pid == 0:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(listener.getsockname())
            sock.recv(1)
        os._exit(0)
    sock, _ = listener.accept()
    with sock, listener:
        assert peer_of(sock).pid == pid
    os.waitpid(pid, 0)
