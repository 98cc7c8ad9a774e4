"""The check of the TLS name, and the end after one request."""

from __future__ import annotations

import pytest

from cowork.proxy.filters import HelloGate, OneRequest
from cowork.proxy.relay import Refused
from cowork.proxy.rules import Policy
from tests.unit.proxy.support import client_hello


class Gate(HelloGate):
    """For example.com, a.com and, on another port, b.com."""

    def __init__(self) -> None:
        self.waits = 0
        super().__init__(Policy([["example.com", "a.com", "b.com:80"]]), "example.com", 443, self._count)

    def _count(self) -> None:
        self.waits += 1


@pytest.mark.parametrize("name", ["example.com", "A.com", None])
def test_allowed_names_pass(name: str | None) -> None:
    gate, hello = Gate(), client_hello(name)
    out = b"".join(gate.feed(memoryview(hello)[i : i + 100]) for i in range(0, len(hello), 100))
    assert out == hello
    assert gate.passive
    assert gate.waits == 1
    gate.end()


@pytest.mark.parametrize(("name", "text"), [("evil.com", "not in allowedDomains"), ("b.com", "port 443")])
def test_others_do_not(name: str, text: str) -> None:
    with pytest.raises(Refused, match=f"another TLS name .*{text}") as caught:
        Gate().feed(memoryview(client_hello(name)))
    assert caught.value.where == f"{name}:443"


def test_a_malformed_name_or_hello_does_not() -> None:
    hello = client_hello("evil.com")
    with pytest.raises(Refused, match="name inside is malformed"):
        Gate().feed(memoryview(hello.replace(b"evil.com", b"a.com\0om")))
    with pytest.raises(Refused, match="hello inside is malformed"):
        Gate().feed(memoryview(b"\x15\x03\x01\x00\x02\x01\x5a" + hello))


def test_other_protocols_pass_at_once() -> None:
    gate = Gate()
    assert gate.feed(memoryview(b"SSH-2.0-x\r\n")) == b"SSH-2.0-x\r\n"
    assert gate.waits == 0
    Gate().end()


def test_half_a_hello_does_not_pass() -> None:
    gate = Gate()
    assert gate.feed(memoryview(client_hello("a.com")[:50])) == b""
    assert not gate.passive
    with pytest.raises(Refused, match="incomplete"):
        gate.end()


def test_one_request() -> None:
    filter_ = OneRequest(4, "a.com:80")
    assert bytes(filter_.feed(memoryview(b"ab"))) == b"ab"
    assert bytes(filter_.feed(memoryview(b"cdGET http://evil.com/"))) == b"cd"
    assert bytes(filter_.feed(memoryview(b"CONNECT evil.com:443"))) == b""
    filter_.end()
    with pytest.raises(Refused, match="size"):
        OneRequest(None, "a.com:80").feed(memoryview(b"GET / HTTP/1.1\r\n"))
