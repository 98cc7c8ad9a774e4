"""Sockets inside a sandbox's network, made from outside, and the children that make them."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.holder import namespace, syscalls, tree
from cowork.holder.namespace import Address, Errand, NamespaceError, forked
from tests.support import boxes
from tests.support.boxes import FORKS
from tests.support.holding import PATIENCE
from tests.support.ordinary import ordinary_user

pytestmark = [FORKS, pytest.mark.usefixtures("nothing_is_left")]


def listen_inside(pid: int, addresses: list[Address]) -> list[socket.socket]:
    """The sockets, waited for."""
    return [socket.socket(fileno=fd) for fd in namespace.listen_inside(pid, addresses).result()]


INSIDE = """
import os, socket, sys
print(os.getpid(), flush=True)
for line in sys.stdin:
    kind, host, port, data = line.split()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, int(port)))
            sock.send(data.encode())
            print("got", sock.recv(100).decode(), flush=True)
        except OSError as e:
            print("failed", e.errno, flush=True)
"""


class Network:
    """A process in a network of its own, that connects where it is told to."""

    def __init__(self) -> None:
        argv = [boxes.bwrap(), "--unshare-user", "--unshare-net", "--dev-bind", "/", "/", "--die-with-parent"]
        self._process = subprocess.Popen(
            [*argv, sys.executable, "-I", "-c", INSIDE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = int(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "it has died"
        return line.rstrip("\n")

    def ask(self, kind: str, host: str, port: int, data: str = "hello") -> None:
        """Have it connect and send; ``answer`` is what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {host} {port} {data}\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        return self._read()

    def end(self) -> None:
        self._process.communicate(timeout=PATIENCE)


@pytest.fixture
def network() -> Iterator[Network]:
    with ordinary_user():
        made = Network()
        yield made
        made.end()


@pytest.mark.bwrap
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_program_inside_reaches_us(network: Network, host: str) -> None:
    (sock,) = listen_inside(network.pid, [Address("tcp", host, 443)])
    with sock:
        network.ask("tcp", "127.0.0.1", 443)
        sock.settimeout(PATIENCE)
        connection, peer = sock.accept()
        with connection:
            assert connection.recv(100) == b"hello"
            connection.send(b"outside")
        assert peer[0] == "127.0.0.1"
    assert network.answer() == "got outside"


@pytest.mark.bwrap
def test_datagrams(network: Network) -> None:
    (sock,) = listen_inside(network.pid, [Address("udp", "127.0.0.1", 53)])
    with sock:
        sock.settimeout(PATIENCE)
        network.ask("udp", "127.0.0.1", 53, "query")
        data, peer = sock.recvfrom(100)
        assert data == b"query"
        sock.sendto(b"reply", peer)
    assert network.answer() == "got reply"


@pytest.mark.bwrap
def test_many_in_their_order(network: Network) -> None:
    """Ports that only root may have outside, and kinds mixed."""
    addresses = [
        Address("tcp", "127.0.0.1", 3128), Address("udp", "127.0.0.1", 53), Address("tcp", "0.0.0.0", 22),
        Address("tcp", "::1", 80), Address("tcp", "127.0.0.5", 80),
    ]  # fmt: skip
    socks = listen_inside(network.pid, addresses)
    try:
        assert [sock.getsockname()[:2] for sock in socks] == [(a.host, a.port) for a in addresses]
        kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
        assert [sock.type for sock in socks] == [kinds[a.protocol] for a in addresses]
        assert not any(sock.get_inheritable() for sock in socks)
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.bwrap
def test_what_listens_inside_is_not_there_outside(network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (sock,) = listen_inside(network.pid, [Address("tcp", "127.0.0.1", port)])
        sock.close()
    network.ask("tcp", "127.0.0.1", port)
    assert network.answer() == f"failed {errno.ECONNREFUSED}"


@pytest.mark.bwrap
def test_we_stay_where_we_are(network: Network) -> None:
    before = [os.readlink(f"/proc/self/ns/{name}") for name in ("net", "user", "mnt")]
    for sock in listen_inside(network.pid, [Address("tcp", "127.0.0.1", 1)]):
        sock.close()
    assert [os.readlink(f"/proc/self/ns/{name}") for name in ("net", "user", "mnt")] == before
    assert os.readlink(f"/proc/{network.pid}/ns/net") != before[0]


@pytest.mark.bwrap
@pytest.mark.parametrize("good_ones_before", [0, 2])
def test_a_port_that_is_taken(network: Network, good_ones_before: int) -> None:
    (first,) = listen_inside(network.pid, [Address("tcp", "127.0.0.1", 80)])
    others = [Address("tcp", "127.0.0.1", 1000 + n) for n in range(good_ones_before)]
    with first, pytest.raises(NamespaceError, match=r"127\.0\.0\.1:80: Address already in use"):
        listen_inside(network.pid, [*others, Address("tcp", "127.0.0.1", 80)])


@pytest.mark.bwrap
def test_an_address_that_is_nobodys(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    monkeypatch.setattr(namespace, "_LOOPBACK", 0.01)
    with pytest.raises(NamespaceError, match=r"192\.0\.2\.1:80: Cannot assign"):
        listen_inside(network.pid, [Address("tcp", "192.0.2.1", 80)])


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen(["/bin/true"]) as gone:
        gone.wait()
    with pytest.raises(NamespaceError, match=f"/proc/{gone.pid}/ns/net: No such file"):
        listen_inside(gone.pid, [Address("tcp", "127.0.0.1", 80)])


def test_a_namespace_that_is_not_ours_to_join() -> None:
    """Our own user namespace cannot be joined again; another user's is not even looked at."""
    with (
        ordinary_user(),
        pytest.raises(NamespaceError, match=r": (Invalid|Operation not|Permission)"),
    ):
        listen_inside(os.getpid(), [Address("tcp", "127.0.0.1", 80)])
    with ordinary_user(), pytest.raises(NamespaceError, match="/proc/1/ns/net: Permission denied"):
        listen_inside(1, [Address("tcp", "127.0.0.1", 80)])


# -- the children


def test_work_that_is_done_gives_its_descriptors(tmp_path: Path) -> None:
    def work(channel: socket.socket) -> None:
        for name in ("a", "b"):
            fd = os.open(tmp_path / name, os.O_CREAT | os.O_RDWR)
            os.write(fd, name.encode())
            socket.send_fds(channel, [b"s"], [fd])

    fds = forked(work, 2)
    assert [os.pread(fd, 10, 0) for fd in fds] == [b"a", b"b"]
    assert not any(map(os.get_inheritable, fds))
    for fd in fds:
        os.close(fd)


def test_work_without_descriptors() -> None:
    assert forked(lambda channel: None) == []


def refuse(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EPERM, "Operation not permitted"), "socket: Operation not permitted"),
        (OSError(errno.EPERM, "Operation not permitted", "setns"), "setns: Operation not permitted"),
        (ValueError("no good"), "ValueError: no good"), (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (SystemExit(3), "SystemExit: 3"), (AssertionError(), "AssertionError: "),
    ],
)  # fmt: skip
def test_work_that_fails_says_why(error: BaseException, text: str) -> None:
    with pytest.raises(NamespaceError) as caught:
        forked(lambda channel: refuse(error))
    assert str(caught.value) == text


def test_work_that_dies() -> None:
    with pytest.raises(NamespaceError, match="the helper has died"):
        forked(lambda channel: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.parametrize(("sent", "wanted"), [(0, 1), (1, 2), (2, 1), (1, 0)])
def test_another_number_of_descriptors_than_was_meant(sent: int, wanted: int) -> None:
    """None is kept, whatever they are."""

    def work(channel: socket.socket) -> None:
        for _ in range(sent):
            socket.send_fds(channel, [b"s"], [0])

    with pytest.raises(NamespaceError):
        forked(work, wanted)


def test_work_that_dies_in_the_middle() -> None:
    def work(channel: socket.socket) -> None:
        socket.send_fds(channel, [b"s"], [0])
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(NamespaceError, match="the helper has died"):
        forked(work, 2)


def test_what_the_child_does_is_not_done_here(tmp_path: Path) -> None:
    def work(channel: socket.socket) -> None:
        os.chdir(tmp_path)
        os.close(0)

    before = os.getcwd()
    forked(work)
    assert os.getcwd() == before


def test_the_owner_is_joined_before_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not /proc/PID/ns/user, which bubblewrap's own second namespace may be."""
    calls: list[tuple[int, int]] = []
    null = os.open("/dev/null", os.O_RDONLY)
    monkeypatch.setattr(syscalls, "owner_of_namespace", lambda fd: null)
    monkeypatch.setattr(syscalls, "enter_namespace", lambda fd, kind: calls.append((fd, kind)))
    namespace.join(os.getpid(), "net", namespace.CLONE_NEWNET)
    (owner, first), (own, second) = calls
    assert (owner, first, second) == (null, namespace.CLONE_NEWUSER, namespace.CLONE_NEWNET)
    assert os.readlink(f"/proc/self/fd/{own}") == os.readlink("/proc/self/ns/net")
    os.close(own)  # the child that does this ends right behind it
    os.close(null)


def test_an_errand_that_nobody_waits_for_any_more_is_ended() -> None:
    before = set(tree.children(os.getpid()))
    errand = Errand(lambda channel: signal.pause(), 1)
    (pid,) = set(tree.children(os.getpid())) - before
    errand.close()
    assert tree.start_time(pid) == 0, "gone, and reaped"
    errand.close()
