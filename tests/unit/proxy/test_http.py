"""Request heads: what is served, how it is rewritten, and all that is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy import http
from cowork.proxy.http import HttpError, Request, find_end, parse_request, parse_status, refusal


def parse(text: bytes) -> Request:
    assert find_end(text) == len(text)
    return parse_request(text)


def fails(text: bytes) -> int:
    with pytest.raises(HttpError) as caught:
        parse_request(text[: find_end(text)])
    assert caught.value.text
    return caught.value.status


def test_connect() -> None:
    request = parse(b"CONNECT Example.COM.:443 HTTP/1.1\r\nHost: other.com\r\nProxy-Authorization: Basic x\r\n\r\n")
    assert request.connect
    assert (request.host, request.port) == ("example.com", 443)
    assert parse(b"CONNECT [2001:DB8::1]:8443 HTTP/1.0\r\n\r\n")[1:3] == ("2001:db8::1", 8443)


def test_a_plain_request_is_rewritten() -> None:
    request = parse(
        b"POST http://Example.com:8080/a?b=c HTTP/1.1\r\nHost: evil.com\r\nhost: evil.org\r\nAccept: */*\r\n"
        b"Proxy-Connection: keep-alive\r\nproxy-authorization: x\r\n"
        b"Connection: keep-alive, X-Secret, Content-Length\r\n"
        b"X-Secret: 1\r\nUpgrade: h2c\r\nTE: trailers\r\nKeep-Alive: 5\r\nContent-Length:  5 \r\n\r\n"
    )  # fmt: skip
    assert request.to_server() == (
        b"POST /a?b=c HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nContent-Length: 5\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert request.to_proxy().startswith(b"POST http://example.com:8080/a?b=c HTTP/1.1\r\nHost: example.com:8080\r\n")
    assert request.length == 5


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://a.com", b"/", b"a.com"), (b"HTTP://A.com/", b"/", b"a.com"), (b"http://a.com?q", b"/?q", b"a.com"),
        (b"http://a.com:80/x/?y", b"/x/?y", b"a.com"), (b"http://a.com/http://b.com/", b"/http://b.com/", b"a.com"),
        (b"http://[::1]/@x", b"/@x", b"[::1]"), (b"http://a.com:8080", b"/", b"a.com:8080"),
        (b"http://a.com/\xc3\xbc", b"/\xc3\xbc", b"a.com"),
    ],
)  # fmt: skip
def test_targets(target: bytes, path: bytes, host: bytes) -> None:
    head = parse(b"GET " + target + b" HTTP/1.1\r\n\r\n").to_server()
    assert head == b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET https://a.com/ HTTP/1.1", b"GET http://a@evil.com/ HTTP/1.1",
        b"GET http://allowed.com@evil.com/ HTTP/1.1", b"GET http://allowed.com:80@evil.com/ HTTP/1.1",
        b"GET http://allowed.com\\@evil.com/ HTTP/1.1", b"GET http://allowed.com#@evil.com/ HTTP/1.1",
        b"GET http:///x HTTP/1.1",
        b"GET http://a%2ecom/ HTTP/1.1", b"GET http://a.com:99999/ HTTP/1.1", b"GET http://a.com:/ HTTP/1.1",
        b"GET  http://a.com/ HTTP/1.1",
        b"GET http://a.com/ HTTP/2.0", b"GET http://a.com/ http/1.1", b"GET http://a.com/",
        b"GET http://a.com/ b HTTP/1.1", b"", b"G\xc3T x HTTP/1.1",
        b"CONNECT a.com HTTP/1.1", b"CONNECT http://a.com:443 HTTP/1.1", b"CONNECT a.com:443/ HTTP/1.1",
        b"CONNECT u@a.com:443 HTTP/1.1",
        b"CONNECT a.com:0 HTTP/1.1", b"CONNECT ::1:443 HTTP/1.1", b"CONNECT 0x7f.1:443 HTTP/1.1",
        b"GET http://2130706433/ HTTP/1.1",
        b"\x16\x03\x01 x HTTP/1.1", b" GET http://a.com/ HTTP/1.1", b"GET\thttp://a.com/ HTTP/1.1",
        b"GET http://a.com/\x7f HTTP/1.1",
    ],
)  # fmt: skip
def test_other_request_lines_are_refused(line: bytes) -> None:
    assert fails(line + b"\r\n\r\n") == 400


@pytest.mark.parametrize(
    "line",
    [
        b"GET ftp://a.com/ HTTP/1.1",
        b"GET ws://a.com/ HTTP/1.1",
        b"GET http:/a.com/ HTTP/1.1",
        b"TRACE http://a.com/ HTTP/1.1",
    ],
)
def test_what_we_do_not_do(line: bytes) -> None:
    assert fails(line + b"\r\n\r\n") == 405


@pytest.mark.parametrize(
    "header",
    [
        b" folded: x", b"A: b\r\n folded", b"A : b", b"no colon", b": empty", b"A\x01: b", b"A: b\x00", b"A: b\nB: c",
        b"A: b\rB: c", b"A: \x08",
        b"Content-Length: 1\r\nContent-Length: 1", b"Content-Length: -1", b"Content-Length: 1, 1", b"Content-Length: ",
        b"Content-Length: 0x1",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding : chunked",
        b"Content-Length: " + b"9" * 19,
    ],
)  # fmt: skip
def test_malformed_headers_are_refused(header: bytes) -> None:
    assert fails(b"POST http://a.com/ HTTP/1.1\r\n" + header + b"\r\n\r\n") == 400


def test_chunked_bodies() -> None:
    assert parse(b"POST http://a.com/ HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n").length is None
    assert fails(b"POST http://a.com/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400
    kept = parse(b"POST http://a.com/ HTTP/1.1\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert b"Transfer-Encoding: chunked\r\n" in kept.to_server()


def test_the_head_is_bounded() -> None:
    start = b"GET http://a.com/ HTTP/1.1\r\nA: "
    fitting = start + b"x" * (http.MAX_HEAD - len(start) - 4) + b"\r\n\r\n"
    assert find_end(fitting) == http.MAX_HEAD
    with pytest.raises(HttpError, match="64 KiB"):
        find_end(fitting[:-4] + b"x\r\n\r\n")
    assert find_end(fitting[:-1]) == 0


def outcome(pieces: list[bytes]) -> object:
    data = b""
    for piece in pieces:
        seen = len(data)
        data += piece
        try:
            end = find_end(data, seen)
            if end:
                return end, parse_request(data[:end])
        except HttpError as e:
            return e.status
    return None


HEADS = st.lists(
    st.sampled_from([b"GET", b"CONNECT", b" ", b"http://a.com/", b"a.com:443", b"HTTP/1.1", b"\r\n", b"\r", b"\n",
    b"\0", b"A: b", b":",
                     b"\r\n\r\n", b"Content-Length: 3", b"GET http://a.com/ HTTP/1.1\r\n", b"\xff"]),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(st.one_of(HEADS, st.binary(max_size=60)), st.data())
def test_any_split_gives_the_same_result(text: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert outcome(pieces) == outcome([text])
    assert outcome([text[i : i + 1] for i in range(len(text))]) == outcome([text])


def test_refusals() -> None:
    text = refusal(403, "evil.com:443 is not allowed: \u00fc\r\nX: y"[:40], denied=True)
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"\r\nX-Cowork-Denied: 1" in head
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head
    assert body.isascii()
    assert b"X-Cowork-Denied" not in refusal(502, "x")
    assert b"\r\nAllow: " in refusal(405, "x")


def test_the_upstream_proxys_side() -> None:
    assert http.connect_request("::1", 443) == b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"
    assert parse_status(b"HTTP/1.0 200 OK\r\n\r\n") == 200
    assert parse_status(b"HTTP/1.1 407\r\nA: b\r\n\r\n") == 407
    for text in (b"", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 2000 x\r\n\r\n", b"\xff\r\n\r\n"):
        with pytest.raises(HttpError):
            parse_status(text)
