"""Clients of a holder: in order, without waiting for any of them, and dropped when they are of no use."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.holder import messages as m
from cowork.holder.control import Client, Clients


class Setup:
    """Clients on an epoll, with connected peers."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.clients = Clients(self.epoll)
        self.peers: list[socket.socket] = []

    def connect(self, *, watching: bool = False) -> tuple[Client, socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.settimeout(10)
        self.peers.append(theirs)
        client = self.clients.add(ours)
        client.watching = watching
        return client, theirs

    def fill(self, client: Client) -> int:
        """Send until something waits; returns how many messages that took."""
        count = 0
        while not client.waiting:
            self.clients.send(client, m.pack(m.STATUS, b"x" * 1000))
            count += 1
        return count

    def read_all(self, client: Client, peer: socket.socket) -> list[tuple[int, bytes]]:
        """Read until nothing waits any more."""
        splitter, out = m.Splitter(), []
        peer.setblocking(False)
        while True:
            try:
                out += splitter.feed(peer.recv(1 << 20))
            except BlockingIOError:
                if not client.waiting:
                    return out
                self.clients.flush(client)


@pytest.fixture
def setup() -> Iterator[Setup]:
    made = Setup()
    yield made
    for peer in made.peers:
        peer.close()
    for client in list(made.clients._clients.values()):
        made.clients.drop(client)
    made.clients.stop_listening()
    made.epoll.close()


def test_messages_come_in_order_however_slow_the_reader(setup: Setup) -> None:
    client, peer = setup.connect()
    count = setup.fill(client)
    for number in range(100):
        setup.clients.send(client, m.pack(m.ACCEPTED, m.U64.pack(number)))
    received = setup.read_all(client, peer)
    assert [kind for kind, _ in received] == [m.STATUS] * count + [m.ACCEPTED] * 100
    assert [m.U64.unpack(body)[0] for kind, body in received if kind == m.ACCEPTED] == list(range(100))


def test_only_the_newest_note_waits_and_it_keeps_its_place(setup: Setup) -> None:
    client, peer = setup.connect(watching=True)
    setup.fill(client)
    for head in range(1000):
        setup.clients.broadcast(m.pack(m.NOTE, m.U64.pack(head)), note=True)
    setup.clients.broadcast(m.pack(m.EXIT, b"{}"))
    received = [message for message in setup.read_all(client, peer) if message[0] != m.STATUS]
    assert received == [(m.NOTE, m.U64.pack(999)), (m.EXIT, b"{}")]


def test_notes_that_can_be_sent_are_all_sent(setup: Setup) -> None:
    client, peer = setup.connect(watching=True)
    for head in range(3):
        setup.clients.broadcast(m.pack(m.NOTE, m.U64.pack(head)), note=True)
    assert setup.read_all(client, peer) == [(m.NOTE, m.U64.pack(head)) for head in range(3)]


def test_writability_is_asked_for_exactly_while_something_waits(setup: Setup) -> None:
    client, peer = setup.connect()
    assert not setup.epoll.poll(0)
    setup.fill(client)
    assert client.armed
    assert setup.clients.unsent
    setup.read_all(client, peer)
    assert not client.armed
    assert not setup.clients.unsent
    assert not setup.epoll.poll(0)


def test_only_those_who_watch_are_told(setup: Setup) -> None:
    _, watcher = setup.connect(watching=True)
    _, other = setup.connect()
    setup.clients.broadcast(b"news")
    assert watcher.recv(10) == b"news"
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(10)


def test_a_client_that_never_reads_is_dropped_at_the_limit(setup: Setup) -> None:
    client, _ = setup.connect()
    for _ in range(20):
        setup.clients.send(client, b"x" * (1 << 20))
    assert client.sock.fileno() == -1
    assert not setup.clients.unsent


def test_a_client_that_is_gone_is_dropped(setup: Setup) -> None:
    client, peer = setup.connect(watching=True)
    fd = client.sock.fileno()
    peer.close()
    assert setup.clients.receive(client) == []
    assert setup.clients.get(fd) is None
    setup.clients.send(client, b"into the void")
    setup.clients.broadcast(b"nobody")


def test_a_client_that_talks_nonsense_is_dropped(setup: Setup) -> None:
    client, peer = setup.connect()
    peer.sendall(b"\xff" * 5)
    assert setup.clients.receive(client) == []
    assert peer.recv(1) == b""


def test_messages_in_pieces(setup: Setup) -> None:
    client, peer = setup.connect()
    message = m.pack(m.WRITE, m.U64.pack(1) + b"data")
    peer.sendall(message[:7])
    assert setup.clients.receive(client) == []
    peer.sendall(message[7:] + m.pack(m.QUERY))
    assert setup.clients.receive(client) == [(m.WRITE, m.U64.pack(1) + b"data"), (m.QUERY, b"")]
    assert setup.clients.receive(client) == []
    assert setup.clients.get(client.sock.fileno()) is client


def test_the_socket_is_private_and_goes_away(setup: Setup, folder: Path) -> None:
    path = folder / "s"
    setup.clients.listen(str(path))
    assert path.lstat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        ((fd, _),) = setup.epoll.poll(10)
        assert setup.clients.is_listener(fd)
        setup.clients.accept()
        setup.clients.stop_listening()
        assert not path.exists()
        assert not setup.clients.is_listener(fd)
        sock.sendall(m.pack(m.QUERY))  # connections stay
        ((fd, _),) = setup.epoll.poll(10)
        client = setup.clients.get(fd)
        assert client is not None
        assert setup.clients.receive(client) == [(m.QUERY, b"")]


def test_a_path_that_is_taken_is_an_error(setup: Setup, folder: Path) -> None:
    (folder / "s").write_text("mine")
    with pytest.raises(OSError, match="in use"):
        setup.clients.listen(str(folder / "s"))
    setup.clients.stop_listening()
    assert (folder / "s").read_text() == "mine"
    umask = os.umask(0)
    os.umask(umask)
    assert umask != 0o177


def test_listening_again_makes_the_folder_too(setup: Setup, folder: Path) -> None:
    path = folder / "r" / "s"
    path.parent.mkdir()
    setup.clients.listen(str(path))
    path.unlink()
    path.parent.rmdir()
    setup.clients.listen_again()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
