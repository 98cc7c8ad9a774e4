"""One spelling for each host, and no second reading of anything that comes from a sandbox."""

from __future__ import annotations

import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cowork.proxy.names import HostError, canonical_host, is_ipv4, is_literal, join, parse_authority, parse_port


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.com", "example.com"), ("EXAMPLE.Com", "example.com"), ("example.com.", "example.com"),
        ("_srv.a-b.c1", "_srv.a-b.c1"), ("localhost", "localhost"), ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.2.3.4", "1.2.3.4"), ("255.255.255.255", "255.255.255.255"), ("1.2.3.4.", "1.2.3.4"),
        ("::1", "::1"), ("2001:DB8:0:0::1", "2001:db8::1"), ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ("a" * 63 + ".com", "a" * 63 + ".com"), ("1password.com", "1password.com"), ("4.example", "4.example"),
        (".".join(["a" * 49] * 5) + ".abc", ".".join(["a" * 49] * 5) + ".abc"),
    ],
)  # fmt: skip
def test_one_spelling(text: str, canonical: str) -> None:
    assert canonical_host(text) == canonical
    assert canonical_host(text.encode()) == canonical
    assert canonical_host(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", ".a", "a.b..", "a b", "a\tb", " a", "a\n", "a\0.allowed.com", "allowed.com\0.evil.com",
        "a%2eb", "a/b", "a\\b", "a@b", "a:b", "*.a", "*", "a,b", "[::1]", "::1%eth0", "fe80::1%1", ":::", "1::2::3",
        "0x7f.1", "2130706433", "0177.0.0.1", "127.1", "127.0.1", "0x7f000001", "0x", "1.2.3.4.5", "1.2.3.256",
        "1.2.3.04", "01.2.3.4", "foo.1", "foo.0x1", "127.0.0.1.1", "a" * 64 + ".com", "bücher.de", "ⅼocalhost", "a。b",
        ".".join(["a" * 63] * 4), "1.2.3.4\n", "1.2.3.\u0664",
    ],
)  # fmt: skip
def test_what_is_doubtful_is_refused(text: str) -> None:
    with pytest.raises(HostError):
        canonical_host(text)
    with pytest.raises(HostError):
        canonical_host(text.encode())


@given(st.one_of(st.text(max_size=300), st.binary(max_size=300), st.from_regex(r"[0-9a-fx.:*@%\-\[\]]{0,20}")))
@example("0" * 400)
def test_it_is_canonical_or_refused(text: str | bytes) -> None:
    try:
        host = canonical_host(text)
    except HostError:
        return
    assert canonical_host(host) == host
    assert 0 < len(host) <= 253
    assert not set(host) - set("abcdefghijklmnopqrstuvwxyz0123456789-_.:")
    if not is_literal(host):
        with pytest.raises(OSError, match="illegal"):
            socket.inet_aton(host)  # nothing that a resolver would take for an address passes for a name


@given(st.ip_addresses(v=4), st.ip_addresses(v=6))
def test_all_addresses_are_literals(four: object, six: object) -> None:
    assert is_ipv4(str(four))
    assert canonical_host(str(four)) == str(four)
    assert is_literal(canonical_host(str(six)))


def test_a_name_is_no_literal() -> None:
    assert not is_literal("example.com")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Example.com:443", ("example.com", 443)), (b"1.2.3.4:1", ("1.2.3.4", 1)),
        (b"[2001:DB8::1]:65535", ("2001:db8::1", 65535)),
    ],
)  # fmt: skip
def test_authorities(text: bytes, expected: tuple[str, int]) -> None:
    assert parse_authority(text) == expected
    assert parse_authority(join(*expected).encode()) == expected


@pytest.mark.parametrize(("text", "host"), [(b"example.com", "example.com"), (b"[::1]", "::1")])
def test_a_port_may_be_missing_where_there_is_a_default(text: bytes, host: str) -> None:
    assert parse_authority(text, 80) == (host, 80)
    with pytest.raises(HostError, match="port is missing"):
        parse_authority(text)


@pytest.mark.parametrize(
    "text",
    [
        b"", b":443", b"a:", b"a:0", b"a:65536", b"a:0443", b"a:+1", b"a: 1", b"a:1 ", b"a:x", b"a:1:2", b"::1",
        b"::1:443",
        b"[::1", b"[::1]x", b"[::1]443", b"[]:1", b"[a]:1", b"[1.2.3.4]:1", b"[fe80::1%eth0]:1", b"a@b:1", b"a:b@c:1",
        b"@a:1", b"a\0b:1", b"a b:1", b"a:99999999999999999999", b"\xff:1", b"a:\xb2",
    ],
)  # fmt: skip
def test_other_authorities_are_refused(text: bytes) -> None:
    with pytest.raises(HostError):
        parse_authority(text, 80)


@given(st.binary(max_size=80), st.one_of(st.none(), st.integers(1, 65535)))
def test_an_authority_is_read_or_refused(text: bytes, default: int | None) -> None:
    try:
        host, port = parse_authority(text, default)
    except HostError:
        return
    assert canonical_host(host) == host
    assert 1 <= port <= 65535
    assert parse_authority(join(host, port).encode()) == (host, port)


@pytest.mark.parametrize("text", ["", "0", "65536", "1e3", "٣", "-1", "00", "1_0"])
def test_ports(text: str) -> None:
    with pytest.raises(HostError):
        parse_port(text)
