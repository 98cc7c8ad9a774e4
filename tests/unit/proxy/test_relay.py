"""The relay: every byte, both ends told of the other's end, no turn for nothing, memory bounded."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cowork.proxy import relay as module
from cowork.proxy.loop import Loop
from cowork.proxy.relay import BUFFER, Buffers, Refused, Relay, reset_on_close

Pair = tuple[socket.socket, socket.socket]


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        two, _ = listener.accept()
    return one, two


class Bench:
    """A relay between two pairs, whose far ends the test holds; the loop runs in a thread."""

    def __init__(self, make: Callable[[], Pair]) -> None:
        self.troubles: list[BaseException] = []
        self.loop = Loop(self.troubles.append)
        self.buffers = Buffers()
        self.client, inner = make()
        outer, self.server = make()
        self.refused: list[Refused | None] = []
        self.finished = threading.Event()
        for sock in (self.client, self.server):
            sock.settimeout(10)
        for sock in (inner, outer):
            sock.setblocking(False)
        self.inner, self.outer = inner, outer
        self.relay = Relay(self.loop, self.buffers, inner, outer, self._finished)
        self._thread = threading.Thread(target=self.loop.run)

    def start(
        self, to_server: bytes = b"", early: bytes = b"", to_client: bytes = b"", filter_: module.Filter | None = None
    ) -> None:
        self.relay.start(to_server, early, to_client, filter_)
        self._thread.start()

    def _finished(self, refused: Refused | None) -> None:
        self.refused.append(refused)
        self.finished.set()

    def quiet(self) -> bool:
        """Whether nothing that is watched has events: a loop that turns for nothing would show here."""
        deadline = time.monotonic() + 5
        while select.select([self.loop._epoll], [], [], 0.1)[0]:
            if time.monotonic() > deadline:
                return False
        return True

    def close(self) -> None:
        if self._thread.ident is not None:
            sock, wake = socket.socketpair()
            with sock, wake:
                self.loop._epoll.register(sock.fileno(), select.EPOLLIN)
                self.loop.stop()
                wake.send(b"x")
                self._thread.join(10)
                self.loop._epoll.unregister(sock.fileno())
        self.relay.close()
        self.loop.shut()
        for sock in (self.client, self.server, self.inner, self.outer):
            sock.close()
        assert self.troubles == []
        assert self.buffers.kept == 0


@pytest.fixture(params=["tcp", "unix"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(tcp_pair if request.param == "tcp" else socket.socketpair)
    yield made
    made.close()


def read(sock: socket.socket) -> bytes:
    out = bytearray()
    while piece := sock.recv(1 << 20):
        out += piece
    return bytes(out)


def test_both_ways_at_once_and_half_closes(bench: Bench) -> None:
    bench.start()
    up, down = b"up" * 3_000_000, b"dn" * 3_000_000
    results: dict[str, bytes] = {}

    def send(sock: socket.socket, data: bytes) -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    threads = [
        threading.Thread(target=send, args=(bench.client, up)),
        threading.Thread(target=send, args=(bench.server, down)),
        threading.Thread(target=lambda: results.update(up=read(bench.server))),
        threading.Thread(target=lambda: results.update(down=read(bench.client))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == {"up": up, "down": down}
    assert bench.finished.wait(10)
    assert bench.refused == [None]


def test_an_answer_after_the_clients_end(bench: Bench) -> None:
    bench.start()
    bench.client.sendall(b"question")
    bench.client.shutdown(socket.SHUT_WR)
    assert read(bench.server) == b"question"
    assert not bench.finished.is_set()
    bench.server.sendall(b"answer")
    bench.server.close()
    assert read(bench.client) == b"answer"
    assert bench.finished.wait(10)


def test_what_is_there_already_goes_first(bench: Bench) -> None:
    bench.start(b"head ", b"early ", b"greeting ")
    bench.client.sendall(b"more")
    bench.client.shutdown(socket.SHUT_WR)
    bench.server.sendall(b"reply")
    bench.server.shutdown(socket.SHUT_WR)
    assert read(bench.server) == b"head early more"
    assert read(bench.client) == b"greeting reply"


def test_a_stalled_reader_holds_back_one_piece_and_no_turns(bench: Bench) -> None:
    bench.start()
    bench.client.setblocking(False)
    sent = 0
    while select.select([], [bench.client], [], 0.3)[1]:
        sent += bench.client.send(b"x" * 65536)
    assert 0 < bench.buffers.kept <= BUFFER
    assert bench.quiet()
    bench.client.close()  # gone altogether, with a piece kept and more behind it
    assert bench.quiet()
    assert len(read(bench.server)) == sent
    bench.server.close()
    assert bench.finished.wait(10)


def test_a_client_that_is_gone_ends_it_when_the_server_speaks(bench: Bench) -> None:
    bench.start()
    bench.client.close()
    assert read(bench.server) == b""
    assert bench.quiet()
    try:
        while not bench.finished.is_set():
            bench.server.sendall(b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert bench.finished.wait(10)


def test_what_the_server_said_before_it_was_gone_is_delivered(bench: Bench) -> None:
    bench.start()
    bench.server.sendall(b"early answer")
    bench.server.shutdown(socket.SHUT_WR)
    assert read(bench.client) == b"early answer"
    bench.server.close()
    try:
        while not bench.finished.is_set():
            bench.client.sendall(b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert bench.finished.wait(10)


def test_a_reset_is_passed_on() -> None:
    bench = Bench(tcp_pair)
    bench.start()
    reset_on_close(bench.server)
    bench.server.close()
    with pytest.raises(ConnectionResetError):
        bench.client.recv(1)
    assert bench.finished.wait(10)
    bench.close()


def test_a_reset_while_the_other_side_stalls() -> None:
    bench = Bench(tcp_pair)
    bench.start()
    bench.client.setblocking(False)
    while select.select([], [bench.client], [], 0.3)[1]:
        bench.client.send(b"x" * 65536)
    reset_on_close(bench.client)
    bench.client.close()
    assert bench.finished.wait(10)
    bench.close()


class Upper:
    """A filter that holds the first byte back, changes letters, and refuses an exclamation mark."""

    passive = False

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: memoryview) -> bytes:
        if b"!" in bytes(data):
            raise Refused("here", "loud")
        self.held += data
        if len(self.held) < 2:
            return b""
        out, self.held = self.held.upper(), b""
        return out

    def end(self) -> None:
        if self.held:
            raise Refused("here", "cut off")


def test_a_filter_sees_the_clients_bytes_only(bench: Bench) -> None:
    bench.start(b"head ", b"e", b"", filter_=Upper())
    bench.server.sendall(b"at once")
    assert bench.client.recv(100) == b"at once"
    bench.client.sendall(b"arly")
    bench.client.shutdown(socket.SHUT_WR)
    assert read(bench.server) == b"head EARLY"


@pytest.mark.parametrize("early", [b"", b"!"])
def test_a_filter_ends_it(bench: Bench, early: bytes) -> None:
    bench.start(b"", early, b"", filter_=Upper())
    if not early:
        bench.client.sendall(b"!")
    assert bench.finished.wait(10)
    assert [r and r.text for r in bench.refused] == ["loud"]


def test_a_filter_may_refuse_the_end(bench: Bench) -> None:
    bench.start(b"", b"x", b"", filter_=Upper())
    bench.client.shutdown(socket.SHUT_WR)
    assert bench.finished.wait(10)
    assert [r and r.text for r in bench.refused] == ["cut off"]


def test_reads_shrink_as_more_is_kept() -> None:
    buffers = Buffers()
    sizes: list[int] = []
    while len(sizes) < 4000:  # the worst: whatever is read stays
        sizes.append(buffers.size())
        buffers.kept += buffers.size()
    assert sizes[0] == BUFFER
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == module._SMALLEST
    assert sum(sizes[:1000]) < 28 << 20
