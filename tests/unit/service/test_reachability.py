"""The probe of the API: what counts, what is told, and that it ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.service import reachability
from cowork.service.reachability import Prober, answers
from cowork.wire.events import PROBABLY_UNREACHABLE, REACHABLE, UNKNOWN, UNREACHABLE


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ("+", [REACHABLE]),
        ("-", [PROBABLY_UNREACHABLE]),
        ("--", [PROBABLY_UNREACHABLE, UNREACHABLE]),
        ("-----", [PROBABLY_UNREACHABLE, UNREACHABLE]),
        ("+++", [REACHABLE]),
        ("+-+", [REACHABLE, PROBABLY_UNREACHABLE, REACHABLE]),
        ("+--+-", [REACHABLE, PROBABLY_UNREACHABLE, UNREACHABLE, REACHABLE, PROBABLY_UNREACHABLE]),
        ("-+-+", [PROBABLY_UNREACHABLE, REACHABLE, PROBABLY_UNREACHABLE, REACHABLE]),
    ],
)
def test_what_is_told(results: str, told: list[str]) -> None:
    heard: list[str] = []
    prober = Prober("http://x", heard.append)
    assert prober.status == UNKNOWN
    for result in results:
        prober.note(result == "+")
    assert heard == told
    assert prober.status == told[-1]


@given(st.lists(st.booleans()))
@settings(derandomize=True, deadline=None, database=None)
def test_nothing_is_told_twice_and_the_last_word_is_true(results: list[bool]) -> None:
    heard: list[str] = []
    prober = Prober("http://x", heard.append)
    for result in results:
        prober.note(result)
    assert all(a != b for a, b in pairwise(heard))
    if results:
        assert (heard[-1] == REACHABLE) is results[-1]


class Server:
    """Answers each connection with the same bytes."""

    def __init__(self, reply: bytes) -> None:
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/path"
        self._reply = reply
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                data = connection.recv(65536)
                if data == b"stop":
                    return
                self.requests.append(data)
                connection.sendall(self._reply)

    def close(self) -> None:
        with socket.create_connection(self._socket.getsockname()) as last:
            last.sendall(b"stop")
        self._thread.join()
        self._socket.close()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(request.param)
    yield made
    made.close()


@pytest.mark.parametrize(
    "server", [b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % n for n in (200, 204, 401, 404, 500, 503)], indirect=True
)
def test_any_http_answer_is_one(server: Server) -> None:
    assert answers(server.url)
    assert server.requests[0].startswith(b"HEAD /path HTTP/1.1\r\n")


@pytest.mark.parametrize("server", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"], indirect=True)
def test_what_is_no_http_is_none(server: Server) -> None:
    assert not answers(server.url)


@pytest.mark.parametrize(
    "url", ["", "ftp://x/", "file:///etc/passwd", "http://", "http://[", "http://\x00/", "http://a b/"]
)
def test_urls_that_are_never_asked(url: str) -> None:
    assert not answers(url)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    assert not answers(f"http://127.0.0.1:{port}/")


@pytest.mark.asyncio
async def test_it_goes_on_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    results = iter([True, False, False, True])
    enough = asyncio.Event()
    heard: list[str] = []

    def probe(url: str) -> bool:
        assert url == "http://x/"
        return next(results, True)

    def tell(status: str) -> None:
        heard.append(status)
        if len(heard) == 4:
            enough.set()

    monkeypatch.setattr(reachability, "answers", probe)
    prober = Prober("http://x/", tell, period=0.001)
    prober.start()
    await asyncio.wait_for(enough.wait(), 20)
    prober.stop()
    prober.stop()
    assert heard == [REACHABLE, PROBABLY_UNREACHABLE, UNREACHABLE, REACHABLE]


@pytest.mark.asyncio
async def test_a_probe_under_way_when_it_is_stopped_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Event(), threading.Event()

    def probe(url: str) -> bool:
        begun.set()
        assert go.wait(20)
        return True

    heard: list[str] = []
    monkeypatch.setattr(reachability, "answers", probe)
    prober = Prober("http://x/", heard.append)
    prober.start()
    await asyncio.to_thread(begun.wait, 20)
    prober.stop()
    go.set()
    for _ in range(10):
        await asyncio.sleep(0)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert heard == []
