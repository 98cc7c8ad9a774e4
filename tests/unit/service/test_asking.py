"""Asking a daemon, against one that is played here."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.errors import NotRunning, PolicyError
from cowork.service import asking

STATUS = (
    b'{"v":1,"pid":7,"version":"1","backend":"host","isolation":"none","started":1.5,"machine":true,"running":2,'
    b'"subscribers":1,"connections":3,"listeners":[{"path":"/a","dialect":"helper","lent":true}]}\n'
)


class Played:
    """A control socket that answers one line with what it is told."""

    def __init__(self, folder: str, answer: bytes) -> None:
        self.path = Path(folder) / "c.sock"
        self.received = b""
        self.fds: list[int] = []
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            while not self.received.endswith(b"\n"):
                data, fds, _, _ = socket.recv_fds(client, 4096, 4)
                self.received += data
                self.fds += fds
            client.sendall(self._answer)

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cw", dir="/tmp") as made:
        yield made


def test_the_state_is_decoded(folder: str) -> None:
    daemon = Played(folder, STATUS)
    found = asking.status(daemon.path)
    daemon.close()
    assert daemon.received == b'{"op":"status","path":"","dialect":null}\n'
    assert (found.pid, found.running, found.listeners[0].lent) == (7, 2, True)


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b'{"v":1}\n'])
def test_an_answer_that_is_none(folder: str, answer: bytes) -> None:
    daemon = Played(folder, answer)
    with pytest.raises(NotRunning, match="does not answer"):
        asking.status(daemon.path)
    daemon.close()


def test_nobody_is_there(folder: str) -> None:
    with pytest.raises(NotRunning) as caught:
        asking.connect(Path(folder) / "none.sock")
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("ok", [True, False])
def test_a_listener_is_lent(folder: str, ok: bool) -> None:
    daemon = Played(folder, b'{"ok":true}\n' if ok else b'{"ok":false,"error":"it is served already"}\n')
    with socket.socket(socket.AF_UNIX) as listener, asking.connect(daemon.path) as control:
        if ok:
            asking.lend(control, listener, Path("/x.sock"))
        else:
            with pytest.raises(PolicyError, match="served already"):
                asking.lend(control, listener, Path("/x.sock"))
        daemon.close()
        assert len(daemon.fds) == 1
    assert b'"path":"/x.sock"' in daemon.received
