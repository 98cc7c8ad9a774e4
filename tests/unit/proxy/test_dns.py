"""DNS messages, good and hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy import dns
from tests.unit.proxy.support import dns_query


def parse(data: bytes) -> dns.Query:
    query = dns.parse_query(data)
    assert isinstance(query, dns.Query)
    return query


def test_a_question_and_its_answer() -> None:
    query = parse(dns_query(b"Example.com", ident=0x1234))
    assert query[:4] == (0x1234, True, b"Example.com", dns.TYPE_A)
    reply = dns.answer(query, "127.64.0.9")
    assert reply[:12].hex() == "123481800001000100000000"
    assert reply[12 : 12 + len(query.question)] == query.question
    assert reply[12 + len(query.question) :].hex() == "c00c000100010000001e00047f400009"


@pytest.mark.parametrize(("kind", "answers"), [(1, 1), (255, 1), (28, 0), (15, 0), (65, 0), (16, 0)])
def test_an_address_for_questions_about_addresses_only(kind: int, answers: int) -> None:
    reply = dns.answer(parse(dns_query(b"a.com", kind)), "127.64.0.1")
    assert reply[3] & 15 == 0
    assert int.from_bytes(reply[6:8]) == answers


def test_errors_carry_the_question() -> None:
    query = parse(dns_query(b"a.com"))
    reply = dns.error(query, dns.NXDOMAIN)
    assert reply[3] & 15 == dns.NXDOMAIN
    assert reply.endswith(query.question)
    assert dns.answer(query, None)[3] & 15 == 0


def test_edns_is_ignored() -> None:
    data = bytearray(dns_query(b"a.com"))
    data[11] = 1
    assert parse(bytes(data) + b"\0\0\x29\x10\0\0\0\0\0\0\0").name == b"a.com"


@pytest.mark.parametrize("data", [b"", b"\0" * 11, dns_query(b"a")[:2] + b"\x81\x80" + dns_query(b"a")[4:]])
def test_what_is_no_question_gets_no_answer(data: bytes) -> None:
    assert dns.parse_query(data) == b""


def with_name(name: bytes) -> bytes:
    return dns_query(b"")[:12] + name + b"\x00\x01\x00\x01"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (with_name(b"\xc0\x0c"), dns.FORMERR), (with_name(b"\x01a\xc0\x0c"), dns.FORMERR),
        (with_name(b"\x40" + b"a" * 64 + b"\0"), dns.FORMERR),
        (with_name(b"\x05abc"), dns.FORMERR), (dns_query(b"a")[:-1], dns.FORMERR),
        (with_name(b"\x03a.b\0"), dns.FORMERR),
        (with_name(b"".join([b"\x3f" + b"a" * 63] * 4) + b"\0"), dns.FORMERR),
        (dns_query(b"a")[:4] + b"\0\x02" + dns_query(b"a")[6:], dns.FORMERR),
        (dns_query(b"a")[:4] + b"\0\0" + dns_query(b"a")[6:], dns.FORMERR),
        (dns_query(b"a")[:7] + b"\x01" + dns_query(b"a")[8:], dns.FORMERR),
        (dns_query(b"a")[:2] + b"\x28" + dns_query(b"a")[3:], dns.NOTIMP), (dns_query(b"a")[:-1] + b"\x03", dns.NOTIMP),
    ],
)  # fmt: skip
def test_malformed_questions(data: bytes, code: int) -> None:
    reply = dns.parse_query(data)
    assert isinstance(reply, bytes)
    assert reply[:2] == data[:2]
    assert reply[2] & 0x80
    assert reply[3] & 15 == code


@given(
    st.one_of(
        st.binary(max_size=600),
        st.binary(max_size=300).map(with_name),
        st.binary(max_size=300).map(lambda b: dns_query(b"")[:12] + b),
    )
)
def test_it_never_raises(data: bytes) -> None:
    result = dns.parse_query(data)
    if isinstance(result, dns.Query):
        assert len(result.name) <= 255
        assert dns.answer(result, "127.64.0.1")[12:].startswith(result.question)
        assert dns.parse_query(dns.error(result, 3)) == b""
