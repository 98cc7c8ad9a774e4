"""The server name in a ClientHello."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy.tls import MAX_HELLO, Look, inspect
from tests.unit.proxy.support import client_hello


def record(body: bytes, kind: int = 22) -> bytes:
    return bytes((kind, 3, 1)) + len(body).to_bytes(2) + body


def handshake(body: bytes, kind: int = 1) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3) + body


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2) + len(body).to_bytes(2) + body


def sni(*names: bytes, kind: int = 0) -> bytes:
    entries = b"".join(bytes((kind,)) + len(name).to_bytes(2) + name for name in names)
    return extension(0, len(entries).to_bytes(2) + entries)


def hello(*extensions: bytes, tail: bytes = b"") -> bytes:
    body = b"\x03\x03" + b"r" * 32 + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    joined = b"".join(extensions)
    return body + (len(joined).to_bytes(2) + joined if extensions else b"") + tail


REAL = client_hello("example.com")


def test_a_real_hello() -> None:
    assert inspect(REAL) == (Look.HELLO, [b"example.com"])
    assert inspect(client_hello(None)) == (Look.HELLO, [])


def test_every_prefix_is_incomplete() -> None:
    assert {inspect(REAL[:size])[0] for size in range(len(REAL))} == {Look.INCOMPLETE}
    assert inspect(REAL + b"more") == inspect(REAL)


@pytest.mark.parametrize("size", [1, 3, 50, 1000])
def test_a_hello_over_many_records(size: int) -> None:
    message = handshake(hello(sni(b"evil.com")))
    data = b"".join(record(message[i : i + size]) for i in range(0, len(message), size))
    assert inspect(data) == (Look.HELLO, [b"evil.com"])
    assert {inspect(data[:end])[0] for end in range(len(data))} == {Look.INCOMPLETE}


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1", b"SSH-2.0-x", b"\x00", b"\x16\x02", b"\x80\x2e\x01\x03\x01", b"\x19\x03"]
)
def test_other_protocols(data: bytes) -> None:
    assert inspect(data)[0] is Look.OTHER


@pytest.mark.parametrize(
    "data",
    [
        record(b"\x02Z", 21) + REAL, record(b"\x01", 20) + REAL, record(b"x", 23), record(b"") + REAL,
        record(handshake(b"x", 2)),
        record(b"\x01") + record(b"x", 21), record(b"\x01\x00") + b"\x16\x02", b"\x16\x03\x01\x40\x01",
        record(handshake(hello(sni(b"a"), sni(b"b")))), record(handshake(hello(sni()))),
        record(handshake(hello(extension(0, b"")))),
        record(handshake(hello(sni(b"a", kind=1)))), record(handshake(hello(sni(b"a"), tail=b"x"))),
        record(handshake(b"\x03\x03")),
        record(handshake(hello(extension(0, b"\x00\x09\x00\x00\x01a")))),
        record(handshake(hello(extension(0, b"\x00\x04\x00\x00\x01ab")))),
        record(handshake(hello()[:-1])),
    ],
)  # fmt: skip
def test_tls_that_no_honest_client_sends(data: bytes) -> None:
    assert inspect(data) == (Look.MALFORMED, [])


def test_all_names_are_told() -> None:
    assert inspect(record(handshake(hello(sni(b"a.com", b"b.com"))))) == (Look.HELLO, [b"a.com", b"b.com"])


def test_no_extensions() -> None:
    assert inspect(record(handshake(hello()))) == (Look.HELLO, [])
    assert inspect(record(handshake(hello(extension(5, b"xyz"))))) == (Look.HELLO, [])


def test_a_hello_is_bounded() -> None:
    message = handshake(hello(extension(21, b"\0" * 16000), extension(21, b"\0" * 1000), sni(b"evil.com")))
    data = record(message[:16000]) + record(message[16000:])
    assert inspect(data[: MAX_HELLO - 1])[0] is Look.INCOMPLETE
    assert inspect(data[:MAX_HELLO])[0] is Look.MALFORMED
    assert inspect(data)[0] is Look.MALFORMED


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda b: record(b)),
                 st.binary(max_size=60).map(lambda b: record(handshake(b))),
                 st.binary(max_size=60).map(lambda b: record(handshake(hello(b))))),
       st.integers(0, 200))  # fmt: skip
def test_a_verdict_stays(data: bytes, size: int) -> None:
    early = inspect(data[:size])
    assert early[0] is Look.INCOMPLETE or inspect(data) == early


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255))
def test_one_changed_byte(at: int, value: int) -> None:
    inspect(REAL[:at] + bytes((value,)) + REAL[at + 1 :])
