"""The sandbox's name server: made-up addresses for allowed names, and nobody asked about the others."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from cowork.proxy import dnsserver
from tests.unit.proxy.support import Names, Proxy, dns_query, prepared


class Down(Names):
    """A resolver that also knows a name without addresses, and one that cannot be told now."""

    def __call__(self, host: str) -> list[str]:
        if host == "mail.allowed.com":
            self.asked.append(host)
            raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
        if host == "later.allowed.com":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return super().__call__(host)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    names = Down(allowed_com=["8.8.8.8"], www_allowed_com=["2606:4700::1111"])
    with prepared(["*.allowed.com", "allowed.com:443"], ["allowed.com:443", "*"], names=names) as made:
        made.add(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "dns").bind(("127.0.0.1", 0))
        made.start()
        yield made


def ask(proxy: Proxy, query: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(query, proxy.listeners[1].sock.getsockname())
        return sock.recv(512)


def answer(proxy: Proxy, name: bytes, kind: int = 1) -> tuple[int, str]:
    """The code, and the address if there is one."""
    reply = ask(proxy, dns_query(name, kind))
    assert reply[:2] == b"\0\x07"
    return reply[3] & 15, socket.inet_ntoa(reply[-4:]) if reply[7] else ""


def test_made_up_addresses(proxy: Proxy) -> None:
    assert answer(proxy, b"allowed.com") == (0, "127.64.0.1")
    assert answer(proxy, b"WWW.Allowed.COM") == (0, "127.64.0.2")
    assert answer(proxy, b"allowed.com") == (0, "127.64.0.1")


@pytest.mark.parametrize("kind", [28, 15, 16, 65])
def test_other_questions_about_a_name_that_exists(proxy: Proxy, kind: int) -> None:
    assert answer(proxy, b"allowed.com", kind) == (0, "")


@pytest.mark.parametrize(
    "name", [b"evil.com", b"secret.evil.com", b"com", b"a\0.allowed.com", b"1.2.3.4", b"\xff.allowed.com", b""]
)
def test_a_denied_name_is_never_resolved(proxy: Proxy, name: bytes) -> None:
    for kind in (1, 28, 16):
        assert answer(proxy, name, kind) == (3, "")
    assert proxy.names.asked == []
    proxy.log.wait("denied DNS ")


def test_names_that_do_not_exist_or_have_no_address_or_cannot_be_told(proxy: Proxy) -> None:
    assert answer(proxy, b"no.allowed.com") == (3, "")
    assert answer(proxy, b"no.allowed.com", 28) == (3, "")
    assert answer(proxy, b"mail.allowed.com") == (0, "")
    assert answer(proxy, b"later.allowed.com") == (2, "")
    assert proxy.names.asked == ["no.allowed.com", "mail.allowed.com"]


def test_localhost(proxy: Proxy) -> None:
    assert answer(proxy, b"localhost") == (0, "127.0.0.1")
    assert answer(proxy, b"a.LOCALHOST") == (0, "127.0.0.1")
    assert answer(proxy, b"localhost", 28) == (0, "")


def test_malformed_questions_are_answered_and_answers_are_not(proxy: Proxy) -> None:
    assert ask(proxy, dns_query(b"a.com")[:-1])[3] & 15 == 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        for message in (b"", b"x", dns_query(b"a")[:2] + b"\x80" + dns_query(b"a")[3:], dns_query(b"localhost")):
            sock.sendto(message, proxy.listeners[1].sock.getsockname())
        assert socket.inet_ntoa(sock.recv(512)[-4:]) == "127.0.0.1"  # the last one's, and the first to come


def test_many_at_once(proxy: Proxy) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        for _ in range(dnsserver._AT_ONCE * 2):
            sock.sendto(dns_query(b"localhost"), proxy.listeners[1].sock.getsockname())
        for _ in range(dnsserver._AT_ONCE * 2):
            sock.recv(512)


def test_with_an_upstream_proxy_nobody_is_asked() -> None:
    with prepared(["*"], upstream="http://127.0.0.1:9") as proxy:
        proxy.add(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "dns").bind(("127.0.0.1", 0))
        proxy.start()
        assert answer(proxy, b"anything.example") == (0, "127.64.0.1")
        assert proxy.names.asked == []
