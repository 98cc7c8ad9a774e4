"""The client without an event loop, against a scripted holder. Real ones are in tests/integration."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.errors import HolderError
from cowork.holder import messages as m
from cowork.sessions.blocking import BlockingClient, socket_path

STATUS = json.dumps({"version": 1, "pid": 5, "holder": 4, "running": True}).encode()


@pytest.fixture
def pair() -> Iterator[tuple[BlockingClient, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with BlockingClient(ours, timeout=10) as client, theirs:
        yield client, theirs


def asked(sock: socket.socket) -> list[tuple[int, bytes]]:
    return m.Splitter().feed(sock.recv(1 << 16))


def test_answers_are_found_among_notes(pair: tuple[BlockingClient, socket.socket]) -> None:
    client, holder = pair
    holder.sendall(m.pack(m.NOTE, m.U64.pack(1)) + m.pack(m.STATUS, STATUS) + m.pack(99, b"of a newer release"))
    holder.sendall(m.pack(m.ACCEPTED, m.U64.pack(1)) + m.pack(m.REFUSED, m.U64.pack(2) + b"full"))
    assert client.status().pid == 5
    assert client.write(b"abc") is None
    assert client.write(b"d") == "full"
    assert asked(holder) == [
        (m.QUERY, b""), (m.WRITE, m.U64.pack(1) + b"abc"), (m.WRITE, m.U64.pack(2) + b"d"),
    ]  # fmt: skip


def test_requests_on_the_wire(pair: tuple[BlockingClient, socket.socket]) -> None:
    client, holder = pair
    holder.sendall(m.pack(m.SIGNALLED, b'{"token": 1, "sent": true}') + m.pack(m.ACCEPTED, m.U64.pack(2)))
    holder.sendall(m.pack(m.STATUS, STATUS))
    assert client.signal([{"after": 0, "signal": 9, "to": "tree"}])
    client.close_stdin()
    client.resize(24, 80)
    assert client.watch().running
    (first, body), *rest = asked(holder)
    assert (first, json.loads(body)["steps"]) == (m.SIGNAL, [{"after": 0, "signal": 9, "to": "tree"}])
    assert rest == [(m.CLOSE, m.U64.pack(2)), (m.RESIZE, b"\0\x18\0\x50"), (m.WATCH, b"")]


def test_the_end(pair: tuple[BlockingClient, socket.socket]) -> None:
    client, holder = pair
    holder.sendall(m.pack(m.NOTE, m.U64.pack(9)) + m.pack(m.EXIT, b'{"exitCode": 3, "head": 9}'))
    holder.close()
    assert client.wait().exit_code == 3
    assert client.receive() is None
    with pytest.raises(HolderError, match="gone away"):
        client.wait()


def test_a_failed_start(pair: tuple[BlockingClient, socket.socket]) -> None:
    client, holder = pair
    holder.sendall(m.pack(m.FAILED, b'{"what": "exec", "errno": 2, "text": "/x: No such file"}'))
    with pytest.raises(HolderError, match=r"^/x: No such file$"):
        client.started()


def test_a_message_in_pieces_and_an_end_in_the_middle(pair: tuple[BlockingClient, socket.socket]) -> None:
    client, holder = pair
    message = m.pack(m.STATUS, STATUS)
    holder.sendall(message + message[:9])
    assert client.started().holder == 4
    holder.close()
    assert client.receive() is None


def test_a_holder_that_is_gone_with_something_unread_has_gone(pair: tuple[BlockingClient, socket.socket]) -> None:
    client, holder = pair
    client.send(m.QUERY)
    holder.close()  # the kernel answers with a reset
    assert client.receive() is None


def test_silence_is_a_time_out() -> None:
    ours, theirs = socket.socketpair()
    with BlockingClient(ours, timeout=0.01) as client, theirs, pytest.raises(TimeoutError):
        client.receive()


def test_nobody_listens(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        BlockingClient.connect(str(folder / "none"))


def test_the_socket_has_a_short_name() -> None:
    assert socket_path("/run/user/1000/cowork", "abcdefghijkl") == "/run/user/1000/cowork/abcdefghijkl.sock"


def test_an_end_that_comes_before_an_answer_is_kept(pair: tuple[BlockingClient, socket.socket]) -> None:
    client, holder = pair
    holder.sendall(m.pack(m.EXIT, b'{"exitCode": 5}') + m.pack(m.REFUSED, m.U64.pack(1) + b"ended"))
    assert client.write(b"x") == "ended"
    assert client.wait().exit_code == 5


def test_one_may_be_less_patient_for_a_moment(pair: tuple[BlockingClient, socket.socket]) -> None:
    client, holder = pair
    for patience in (0, 0.01):
        with pytest.raises(TimeoutError):
            client.receive(patience)
    holder.sendall(m.pack(m.NOTE, m.U64.pack(7)) * 2)
    assert client.receive(5) == (m.NOTE, m.U64.pack(7))
    assert client.receive(0) == (m.NOTE, m.U64.pack(7))
    holder.sendall(m.pack(m.STATUS, STATUS))
    assert client.status().pid == 5, "and patient again"
