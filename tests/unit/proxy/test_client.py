"""One connection from its first byte on: what may, what may not, and the known ways around it."""

from __future__ import annotations

import socket
import threading

import pytest

from cowork.proxy import client as module
from tests.unit.proxy.support import (
    Names,
    Outside,
    client_hello,
    dns_query,
    prepared,
    read_all,
    read_exactly,
    read_head,
    running,
)  # fmt: skip

HOME = ["127.0.0.1"]


def test_connect() -> None:
    with Outside() as outside, running(["allowed.com"], names=Names(allowed_com=HOME)) as proxy:
        sock, head = proxy.ask(b"CONNECT Allowed.COM.:%d HTTP/1.1\r\nHost: evil.com\r\n\r\nearly" % outside.port)
        assert head == b"HTTP/1.1 200 Connection established\r\n\r\n"
        server = outside.accept()
        assert read_exactly(server, 5) == b"early"
        server.sendall(b"hello")
        assert read_exactly(sock, 5) == b"hello"
        sock.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        proxy.log.wait(f"allowed CONNECT allowed.com:{outside.port}")


@pytest.mark.parametrize("rules", [[], ["other.com"], ["*.evil.com"], ["evil.com:1"]])
def test_what_is_not_allowed_is_refused_and_logged(rules: list[str]) -> None:
    names = Names(evil_com=HOME)
    with Outside() as outside, running(rules, names=names) as proxy:
        sock, head = proxy.ask(b"CONNECT evil.com:%d HTTP/1.1\r\n\r\n" % outside.port)
        assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert b"\r\nX-Cowork-Denied: 1\r\n" in head
        body = read_all(sock)
        assert f"evil.com:{outside.port} is not allowed: ".encode() in body
        assert b"not in allowedDomains" in body
        assert outside.nobody_came()
        assert "not in allowedDomains" in proxy.log.wait(f"denied CONNECT evil.com:{outside.port}: ")
        assert names.asked == []


def test_all_sets_have_to_allow() -> None:
    with running(["*"], ["a.com"]) as proxy:
        assert b" 403 " in proxy.ask(b"CONNECT b.com:443 HTTP/1.1\r\n\r\n")[1]


def test_plain_http_is_filtered_and_rewritten() -> None:
    with Outside() as outside, running(["allowed.com"], names=Names(allowed_com=HOME)) as proxy:
        for url in (b"http://evil.com/", b"http://evil.com:%d/" % outside.port, b"http://x.allowed.com/"):
            assert b" 403 " in proxy.ask(b"GET " + url + b" HTTP/1.1\r\nHost: allowed.com\r\n\r\n")[1]
        sock = proxy.connect()
        head = b"POST http://allowed.com:%d/x HTTP/1.1\r\nHost: evil.com\r\nContent-Length: 4\r\n\r\n"
        sock.sendall(head % outside.port + b"bo")
        server = outside.accept()
        sent = read_head(server)
        assert sent.startswith(b"POST /x HTTP/1.1\r\nHost: allowed.com:%d\r\n" % outside.port)
        assert b"evil" not in sent
        # What follows the body is nobody's: a second request would go past the rules.
        sock.sendall(b"dyGET http://evil.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"body"
        server.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        server.close()
        assert read_all(sock) == b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET http://allowed.com@evil.com/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: allowed.com\r\n\r\n", 400),
        (b"CONNECT allowed.com\0.evil.com:443 HTTP/1.1\r\n\r\n", 400),
        (b"TRACE http://allowed.com/ HTTP/1.1\r\n\r\n", 405),
        (b"CONNECT 2130706433:80 HTTP/1.1\r\n\r\n", 400), (b"CONNECT 0x7f.1:80 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT 0177.0.0.1:80 HTTP/1.1\r\n\r\n", 400), (b"CONNECT [::1]:80 HTTP/1.1\r\n\r\n", 403),
        (b"CONNECT [::ffff:127.0.0.1]:80 HTTP/1.1\r\n\r\n", 403), (b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n\r\n", 403),
        (b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n", 403), (b"GET http://[::1]/ HTTP/1.1\r\n\r\n", 403),
        (b"CONNECT metadata.internal:80 HTTP/1.1\r\n\r\n", 403), (b"CONNECT nowhere.com:80 HTTP/1.1\r\n\r\n", 502),
        (b"GET http://nowhere.com/ HTTP/1.1\n\n", 400), (b"\x16\x03\x01\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_refusals_when_everything_public_is_allowed(request_: bytes, status: int) -> None:
    with running(["*"], names=Names(metadata_internal=["169.254.169.254"])) as proxy:
        sock, head = proxy.ask(request_)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert read_all(sock).startswith(b"cowork: ")


def test_socks() -> None:
    with Outside() as outside, running(["allowed.com"], names=Names(allowed_com=HOME)) as proxy:
        sock, code = proxy.socks(b"ALLOWED.com", outside.port)
        assert code == 0
        server = outside.accept()
        sock.sendall(b"ping")
        assert read_exactly(server, 4) == b"ping"
        assert proxy.socks(b"allowed.com\0.evil.com", outside.port)[1] == 2
        assert proxy.socks(b"evil.com", outside.port)[1] == 2
        assert proxy.socks(bytes(15) + b"\x01", outside.port, kind=4)[1] == 2
        assert proxy.socks(b"\x7f\0\0\x01", outside.port, kind=1)[1] == 2
        assert outside.nobody_came()
        proxy.log.wait(f"denied SOCKS [::1]:{outside.port}")


def test_socks_errors() -> None:
    with socket.socket() as nobody, running(["127.0.0.1", "nowhere.com"]) as proxy:
        nobody.bind(("127.0.0.1", 0))
        assert proxy.socks(b"\x7f\0\0\x01", nobody.getsockname()[1], kind=1)[1] == 5
        assert proxy.socks(b"nowhere.com", 80)[1] == 4
        sock = proxy.connect()
        sock.sendall(b"\x05\x01\x00\x05\x02\x00\x01\x01\x02\x03\x04\x00\x50")
        assert read_all(sock)[3] == 7
        proxy.log.wait("failed SOCKS nowhere.com:80: nowhere.com: no such name")


@pytest.mark.parametrize("pieces", [1, 5])
def test_domain_fronting(pieces: int) -> None:
    with Outside() as outside, running(["allowed.com"], names=Names(allowed_com=HOME)) as proxy:
        sock = proxy.tunnel("allowed.com", outside.port)
        server = outside.accept()
        server.sendall(b"220 the server speaks first\r\n")
        assert read_exactly(sock, 29) == b"220 the server speaks first\r\n"
        hello = client_hello("evil.com")
        step = len(hello) // pieces + 1
        for at in range(0, len(hello), step):
            sock.sendall(hello[at : at + step])
        assert read_all(sock) == b""
        assert read_all(server) == b""
        proxy.log.wait(f"denied CONNECT evil.com:{outside.port}: another TLS name inside a connection to allowed.com:")


def test_an_honest_hello_arrives_whole() -> None:
    with Outside() as outside, running(["allowed.com"], names=Names(allowed_com=HOME)) as proxy:
        sock, code = proxy.socks(b"allowed.com", outside.port)
        assert code == 0
        hello = client_hello("allowed.com") + b"more"
        sock.sendall(hello[:70])
        server = outside.accept()
        sock.sendall(hello[70:])
        assert read_exactly(server, len(hello)) == hello


def test_a_hello_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELLO", 0.05)
    with Outside() as outside, running(["allowed.com"], names=Names(allowed_com=HOME)) as proxy:
        sock = proxy.tunnel("allowed.com", outside.port)
        sock.sendall(client_hello("allowed.com")[:40])
        assert read_all(outside.accept()) == b""
        assert read_all(sock) == b""
        proxy.log.wait("the TLS hello inside is incomplete")


def test_a_request_that_never_ends_is_not_waited_for() -> None:
    with running(["*"], idle=0.05) as proxy:
        sock = proxy.connect()
        sock.sendall(b"GET http://")
        assert read_all(sock) == b""


def test_a_client_that_is_gone_while_we_connect() -> None:
    release = threading.Event()

    class Slow(Names):
        def __call__(self, host: str) -> list[str]:
            release.wait(10)
            return HOME

    with Outside() as outside, running(["slow.com", "127.0.0.1"], names=Slow()) as proxy:
        sock = proxy.connect()
        sock.sendall(b"CONNECT slow.com:%d HTTP/1.1\r\n\r\n" % outside.port)
        sock.close()
        proxy.tunnel("127.0.0.1", outside.port)  # by now the other one is known to be gone
        outside.accept()
        release.set()
        proxy.tunnel("127.0.0.1", outside.port)
        outside.accept()
        assert outside.nobody_came()


def test_through_an_upstream_proxy() -> None:
    names = Names()
    with (
        Outside() as corporate,
        running(["a.com"], names=names, upstream=f"http://127.0.0.1:{corporate.port}") as proxy,
    ):
        sock = proxy.connect()
        sock.sendall(b"CONNECT a.com:443 HTTP/1.1\r\n\r\n" + client_hello("a.com"))
        server = corporate.accept()
        assert read_head(server) == b"CONNECT a.com:443 HTTP/1.1\r\nHost: a.com:443\r\n\r\n"
        server.sendall(b"HTTP/1.0 200 ")
        server.sendall(b"OK\r\nVia: x\r\n\r\nearly")
        assert read_head(sock) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        assert read_exactly(sock, 5) == b"early"
        assert server.recv(3) == client_hello("a.com")[:3]
        assert b" 403 " in proxy.ask(b"CONNECT b.com:443 HTTP/1.1\r\n\r\n")[1]
        assert names.asked == []


def test_a_second_request_never_reaches_the_upstream_proxy() -> None:
    with Outside() as corporate, running(["a.com"], upstream=f"http://127.0.0.1:{corporate.port}") as proxy:
        sock = proxy.connect()
        sock.sendall(b"GET http://a.com/x HTTP/1.1\r\n\r\nCONNECT evil.com:443 HTTP/1.1\r\n\r\n")
        server = corporate.accept()
        assert read_head(server) == b"GET http://a.com:80/x HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n"
        sock.sendall(b"CONNECT evil.com:443 HTTP/1.1\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(server) == b""


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"SSH-2.0\r\n\r\n", b"\n", b""]
)
def test_an_upstream_proxy_that_refuses(reply: bytes) -> None:
    with Outside() as corporate, running(["a.com"], upstream=f"http://127.0.0.1:{corporate.port}") as proxy:
        sock = proxy.connect()
        sock.sendall(b"CONNECT a.com:443 HTTP/1.1\r\n\r\n")
        server = corporate.accept()
        read_head(server)
        server.sendall(reply)
        server.shutdown(socket.SHUT_WR)
        assert read_head(sock).startswith(b"HTTP/1.1 502 ")
        assert b"the upstream proxy" in read_all(sock)


def test_forwarding_asks_no_rules() -> None:
    with Outside() as outside, prepared([]) as proxy:
        listener = proxy.add(socket.create_server(("127.0.0.1", 0)), "forward", ("127.0.0.1", outside.port))
        proxy.start()
        with socket.create_connection(listener.getsockname(), 10) as sock:
            sock.sendall(client_hello("any.name"))
            assert outside.accept().recv(1) == b"\x16"


def test_direct_connections_by_a_made_up_address() -> None:
    # The server outside is on the same port of another address than the first one that is made up.
    with Outside() as outside, prepared(["allowed.com"], names=Names(allowed_com=HOME)) as proxy:
        dns = proxy.add(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "dns")
        dns.bind(("127.0.0.1", 0))
        direct = proxy.add(socket.create_server(("127.64.0.1", outside.port)), "direct").getsockname()
        other = proxy.add(socket.create_server(("127.64.0.2", 0)), "direct").getsockname()
        proxy.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
            resolver.settimeout(10)
            resolver.sendto(dns_query(b"allowed.com"), dns.getsockname())
            assert socket.inet_ntoa(resolver.recv(512)[-4:]) == "127.64.0.1"
        with socket.create_connection(direct, 10) as sock:
            outside.accept().sendall(b"SSH-2.0-x\r\n")
            assert read_exactly(sock, 11) == b"SSH-2.0-x\r\n"
        with socket.create_connection(direct, 10) as sock:
            sock.sendall(client_hello("evil.com"))
            assert read_all(sock) == b""
        # A SOCKS client that resolves for itself comes with the same address.
        assert proxy.socks(b"\x7f\x40\0\x01", outside.port, kind=1)[1] == 0
        assert proxy.socks(b"\x7f\x40\0\x02", outside.port, kind=1)[1] == 2
        with pytest.raises(ConnectionResetError), socket.create_connection(other, 10) as sock:
            sock.recv(1)
        proxy.log.wait(f"denied DIRECT 127.64.0.2:{other[1]}: no name has this address")
        proxy.log.wait(f"denied DIRECT evil.com:{outside.port}: another TLS name")
