"""``cowork.service.client`` against a peer that is played here."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.errors import NotRunning, RpcError
from cowork.service.client import Client
from cowork.wire.events import VmStarted
from cowork.wire.frames import pack


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cw", dir="/tmp") as made:
        yield str(Path(made) / "s.sock")


class Peer:
    """Sends what it is told as soon as somebody connects, in small pieces."""

    def __init__(self, path: str, *frames: bytes) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._frames = frames
        self.received = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            for byte in b"".join(self._frames):
                client.sendall(bytes([byte]))
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(4096):
                self.received += data

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


def test_a_call_and_an_event_and_what_is_shown(path: str) -> None:
    peer = Peer(path, pack(b'{"id":1,"success":true,"result":{"a":1}}'), pack(b'{"type":"vmStarted","name":"x"}'))
    shown: list[tuple[str, bytes]] = []
    with Client(path, lambda direction, payload: shown.append((direction, payload))) as client:
        assert bytes(client.call("m", {"b": 2}).result) == b'{"a":1}'
        assert client.event() == VmStarted("x")
        with pytest.raises(NotRunning, match="closed the connection"):
            client.event()
    peer.close()
    assert peer.received == pack(b'{"method":"m","id":1,"params":{"b":2}}')
    assert [direction for direction, _ in shown] == [">", "<", "<"]


def test_a_refusal_is_an_error_with_its_code(path: str) -> None:
    peer = Peer(path, pack(b'{"id":1,"success":false,"error":"full","code":-32002}'))
    with Client(path, lambda *_: None) as client, pytest.raises(RpcError, match="m: full") as caught:
        client.call("m")
    peer.close()
    assert caught.value.code == -32002


def test_nobody_answers(path: str) -> None:
    with pytest.raises(NotRunning):
        Client(path, lambda *_: None)
