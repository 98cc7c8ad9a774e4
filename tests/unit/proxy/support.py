"""A proxy in a thread, servers for it to reach, and clients that talk to it."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from cowork.proxy.server import serve
from cowork.proxy.settings import Listener, Settings

Handler = Callable[[socket.socket], None]


class Log:
    """Collects lines; whoever needs one can wait for it."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    @property
    def lines(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def wait(self, text: str) -> str:
        """The first line with that text, within ten seconds."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in line for line in self._lines), 10), self._lines
            return next(line for line in self._lines if text in line)


class Names:
    """A resolver of its own: what it was asked is remembered."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = {name.replace("_", "."): found for name, found in addresses.items()}
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.addresses[host]


class Proxy:
    """A running proxy on a Unix socket; more listeners can be had before it is started."""

    def __init__(self, stack: ExitStack, settings: Settings, names: Names) -> None:
        self.log = Log()
        self.names = names
        self._stack = stack
        self._settings = settings
        folder = tempfile.mkdtemp(prefix="cw", dir="/tmp")
        stack.callback(shutil.rmtree, folder)
        self.path = os.path.join(folder, "p")
        sock = stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.bind(self.path)
        sock.listen(128)
        self.listeners = [Listener(sock, "proxy")]

    def start(self) -> None:
        reading, writing = os.pipe()
        self._thread = threading.Thread(target=self._run, args=(reading,))
        self._thread.start()
        self._stack.callback(os.close, reading)
        self._alive: int | None = writing
        self._stack.callback(self.stop)

    def stop(self) -> None:
        """End it as the holder would; twice is once."""
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None
            self._thread.join(10)
            assert not self._thread.is_alive()

    def _run(self, alive: int) -> None:
        serve(self._settings, self.listeners, alive=alive, log=self.log, lookup=self.names)

    def add(self, sock: socket.socket, role: str, target: tuple[str, int] | None = None) -> socket.socket:
        """One more listener; closed with the proxy."""
        self._stack.enter_context(sock)
        self.listeners.append(Listener(sock, role, target))
        return sock

    def connect(self) -> socket.socket:
        """A client's socket; closed with the proxy."""
        sock = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.settimeout(10)
        sock.connect(self.path)
        return sock

    def ask(self, request: bytes) -> tuple[socket.socket, bytes]:
        """Send a request, read one reply's head."""
        sock = self.connect()
        sock.sendall(request)
        return sock, read_head(sock)

    def tunnel(self, host: str, port: int) -> socket.socket:
        """An established tunnel."""
        sock, head = self.ask(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
        assert head.startswith(b"HTTP/1.1 200 "), head
        return sock

    def socks(self, name: bytes, port: int, kind: int = 3) -> tuple[socket.socket, int]:
        """A SOCKS5 connection and the reply's code."""
        sock = self.connect()
        sock.sendall(b"\x05\x01\x00")
        assert read_exactly(sock, 2) == b"\x05\x00"
        address = bytes((len(name),)) + name if kind == 3 else name
        sock.sendall(b"\x05\x01\x00" + bytes((kind,)) + address + port.to_bytes(2))
        return sock, read_exactly(sock, 10)[1]


@contextmanager
def running(
    *rules: list[str], names: Names | None = None, upstream: str = "", patience: float = 10.0, idle: float = 10.0
) -> Iterator[Proxy]:
    """A proxy with one listener, until the block's end."""
    with ExitStack() as stack:
        settings = Settings(list(rules), upstream, [], patience, idle)
        proxy = Proxy(stack, settings, names or Names())
        proxy.start()
        yield proxy


@contextmanager
def prepared(*rules: list[str], names: Names | None = None, upstream: str = "") -> Iterator[Proxy]:
    """A proxy that the test starts."""
    with ExitStack() as stack:
        yield Proxy(stack, Settings(list(rules), upstream, [], 10.0, 10.0), names or Names())


class Outside:
    """A server on the loopback; every connection is handed to the test by accept()."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._sock = socket.create_server((address, port), family=family, backlog=128)
        self._sock.settimeout(10)
        self.port: int = self._sock.getsockname()[1]
        self._accepted: list[socket.socket] = []

    def accept(self) -> socket.socket:
        sock, _ = self._sock.accept()
        sock.settimeout(10)
        self._accepted.append(sock)
        return sock

    def nobody_came(self) -> bool:
        """Whether no connection waits: sure once the client has its refusal."""
        self._sock.settimeout(0)
        try:
            self.accept()
        except BlockingIOError:
            return True
        finally:
            self._sock.settimeout(10)
        return False

    def __enter__(self) -> Outside:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._sock, *self._accepted):
            sock.close()


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, data
        data += piece
    return data


def read_head(sock: socket.socket) -> bytes:
    """Up to the empty line and not a byte more."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)
        assert piece, data
        data += piece
    return data


def read_all(sock: socket.socket) -> bytes:
    """Up to the end; a reset is an end, too."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def client_hello(name: str | None) -> bytes:
    """What a real TLS library sends first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def dns_query(name: bytes, kind: int = 1, ident: int = 7) -> bytes:
    """A plain question."""
    labels = b"".join(bytes((len(label),)) + label for label in name.split(b".") if label)
    header = ident.to_bytes(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    return header + labels + b"\0" + kind.to_bytes(2) + b"\x00\x01"
