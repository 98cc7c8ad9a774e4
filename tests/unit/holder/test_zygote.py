"""The zygote: what it reads of a channel, and what it lets go of. Its work is tested with real sessions."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cowork.holder import messages as m
from cowork.holder import zygote
from cowork.holder.spec import StartSpec

SPEC = StartSpec(folder="/f", socket="/s", argv=["a" * 300_000], executable="/a", env={}, cwd="/")


def received(data: bytes) -> tuple[StartSpec | None, bytes]:
    """What a holder makes of ``data``, and what it leaves for its loop."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(10)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        spec = zygote._receive_spec(theirs)
        rest = b""
        while part := theirs.recv(1 << 16):
            rest += part
        return spec, rest


def test_begin_is_read_and_not_a_byte_more() -> None:
    assert received(m.pack(m.BEGIN, SPEC.encode()) + b"what follows") == (SPEC, b"what follows")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x01\0\0", m.pack(m.BEGIN, SPEC.encode())[:-1], m.pack(m.QUERY),
        m.HEADER.pack(m.BEGIN, m.MAX_BODY + 1) + b"x",
    ],
)  # fmt: skip
def test_anything_else_is_no_session(data: bytes) -> None:
    assert received(data)[0] is None


def test_a_descriptor_that_comes_is_not_inherited() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [0])
        fd = zygote._receive_fd(theirs)
        assert fd is not None
        assert not os.get_inheritable(fd)
        os.close(fd)
        ours.sendall(b"no descriptor")
        assert zygote._receive_fd(theirs) is None
        ours.close()
    ours, theirs = socket.socketpair()
    ours.close()
    assert zygote._receive_fd(theirs) is None
    theirs.close()
    assert zygote._receive_fd(theirs) is None


def test_a_shared_zygote_ends_when_nobody_wants_it(folder: Path) -> None:
    path = folder / "zygote.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        pid = os.fork()
        if pid == 0:
            zygote.IDLE = 0.05
            zygote._fork_warm = lambda *_: socket.socketpair()[0]
            zygote.share(listener, None)
            os._exit(0 if not path.exists() else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
