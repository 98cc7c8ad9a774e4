"""The proxy as a whole: its end, its limits, and what many connections cost."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from cowork.proxy import server as module
from cowork.proxy.resolver import system_lookup
from cowork.proxy.rules import RuleError
from cowork.proxy.server import Server, raise_limit, serve
from cowork.proxy.settings import Listener, Settings
from tests.unit.proxy.support import Log, Outside, Proxy, prepared, read_all, read_exactly, running


def test_it_ends_with_what_keeps_it_alive() -> None:
    with Outside() as outside, running(["127.0.0.1"]) as proxy:
        sock = proxy.tunnel("127.0.0.1", outside.port)
        server = outside.accept()
        asking = proxy.connect()
        asking.sendall(b"GET ")
        proxy.stop()
        assert read_all(sock) == read_all(server) == read_all(asking) == b""
        assert proxy.listeners[0].sock.fileno() >= 0  # the caller's


def test_bytes_do_not_end_it() -> None:
    reading, writing = os.pipe()
    thread = threading.Thread(target=lambda: serve(Settings([]), [], alive=reading, log=Log()))
    thread.start()
    os.write(writing, b"still here")
    thread.join(0.1)
    assert thread.is_alive()
    os.close(writing)
    thread.join(10)
    assert not thread.is_alive()
    os.close(reading)


@pytest.mark.parametrize(
    "settings", [Settings([["http://a"]]), Settings([], upstream="p:1"), Settings([], "http://p:1", ["/"])]
)
def test_settings_that_cannot_be_meant(settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"write|no_upstream"):
        serve(settings, [], alive=-1, log=Log())
    assert issubclass(RuleError, ValueError)


@pytest.mark.parametrize(("role", "target"), [("http", None), ("forward", None), ("proxy", ("a", 1))])
def test_listeners_that_cannot_be_meant(role: str, target: tuple[str, int] | None) -> None:
    reading, writing = os.pipe()
    with socket.socket() as sock, pytest.raises(ValueError, match="no role"):
        serve(Settings([]), [Listener(sock, role, target)], alive=reading, log=Log())
    os.close(reading)
    os.close(writing)


def test_the_limit_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: made.append(limits))
    for soft, hard, expected in [(1024, 4096, 4096), (1024, 1 << 20, 65536), (1024, -1, 65536), (99999, -1, 99999)]:
        both = (soft, hard)
        monkeypatch.setattr(resource, "getrlimit", lambda _, both=both: both)
        assert raise_limit() == expected
    assert made == [(4096, 4096), (65536, 1 << 20), (65536, -1)]


def started(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(module, "MAX_CLIENTS", limit)
    proxy.start()


def test_too_many_connections_wait_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with Outside() as outside, prepared(["127.0.0.1"]) as proxy:
        started(proxy, monkeypatch, 2)
        one = proxy.tunnel("127.0.0.1", outside.port)
        proxy.tunnel("127.0.0.1", outside.port)
        third = proxy.connect()
        third.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % outside.port)
        assert not select.select([third], [], [], 0.1)[0]
        one.close()
        outside.accept().close()
        assert read_exactly(third, 12) == b"HTTP/1.1 200"


def test_descriptors_that_ran_out_make_no_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listening(socket.socket):
        calls = 0

        def accept(self) -> tuple[socket.socket, object]:
            self.calls += 1
            if self.calls == 1:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    monkeypatch.setattr(module, "_BREATH", 0.05)
    with prepared(["127.0.0.1"]) as proxy, Outside() as outside:
        listener = Listening(fileno=os.dup(proxy.listeners[0].sock.fileno()))
        with listener:
            proxy.listeners[0] = Listener(listener, "proxy")
            proxy.start()
            proxy.tunnel("127.0.0.1", outside.port)
            assert listener.calls <= 4
            proxy.log.wait("failed ACCEPT proxy: Too many open files")
            proxy.stop()


def rss(pid: int) -> int:
    """Bytes of memory that a process has at its peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def program(listener: socket.socket, alive: int) -> int:
    """A proxy in a process of its own, as small as the holder's; its pid."""
    source = str(Path(module.__file__).parents[2])
    code = (
        f"import sys, socket; sys.path.insert(0, {source!r})\n"
        "from cowork.proxy.server import serve\nfrom cowork.proxy.settings import Listener, Settings\n"
        f"serve(Settings([['127.0.0.1']]), [Listener(socket.socket(fileno={listener.fileno()}), 'proxy')],"
        f" alive={alive}, log=lambda line: None)"
    )
    os.set_inheritable(listener.fileno(), True)
    os.set_inheritable(alive, True)
    return os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", code], {})


def tunnel(address: object, port: int) -> socket.socket:
    sock = socket.create_connection(address, 10)  # type: ignore[arg-type]
    sock.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port)
    assert read_exactly(sock, 39).startswith(b"HTTP/1.1 200 ")
    return sock


def fill(socks: list[socket.socket]) -> None:
    """Send on all of them until none takes any more."""
    piece = b"x" * 65536
    poll = select.poll()
    known = {sock.fileno(): sock for sock in socks}
    for fd, sock in known.items():
        sock.setblocking(False)
        poll.register(fd, select.POLLOUT)
    while ready := poll.poll(500):
        for fd, _ in ready:
            try:
                known[fd].send(piece)
            except BlockingIOError:
                pass


def test_500_stalled_connections_in_64_megabytes() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_limit()  # for our own two ends of each
    reading, writing = os.pipe()
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        stack.callback(os.close, reading)
        outside = stack.enter_context(Outside())
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        pid = program(listener, reading)
        try:
            socks: list[socket.socket] = []
            for _ in range(500):
                socks.append(stack.enter_context(tunnel(listener.getsockname(), outside.port)))
                socks.append(outside.accept())
            fill(socks)
            assert rss(pid) < 64 << 20
        finally:
            os.close(writing)
            _, status, usage = os.wait4(pid, 0)
        assert status == 0
        assert usage.ru_utime < 20


def test_throughput() -> None:
    size = 100 << 20
    with Outside() as outside, running(["127.0.0.1"]) as proxy:
        sock = proxy.tunnel("127.0.0.1", outside.port)
        server = outside.accept()
        thread = threading.Thread(target=lambda: sock.sendall(bytes(size)))
        started_at = time.monotonic()
        thread.start()
        buffer, left = bytearray(1 << 20), size
        while left:
            left -= server.recv_into(buffer)
        thread.join(10)
        # One interpreter does all three sides here; the figure for a process of its own is several times that.
        assert size / (time.monotonic() - started_at) > 20e6


def test_a_bug_in_one_connection_is_not_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with Outside() as outside, prepared(["127.0.0.1"]) as proxy:
        log = Log()
        server = Server(Settings([]), log, system_lookup)
        server.context.loop._trouble(RuntimeError("bug"))
        server.close()
        assert log.lines == ["trouble: RuntimeError in the proxy: bug"]
        proxy.start()
        proxy.tunnel("127.0.0.1", outside.port)
