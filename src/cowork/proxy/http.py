"""What an HTTP proxy reads and writes, as bytes: request heads in, rewritten heads and refusals out. No sockets."""

from __future__ import annotations

import re
from typing import NamedTuple

from cowork.proxy.names import HostError, join, parse_authority

MAX_HEAD = 64 * 1024
"""Bytes of a request's or a reply's head, its empty line included."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e\x80-\xff]+")
"""No blanks, no control characters, no ``#``. Bytes from 0x80 are seen in paths; an authority refuses them."""
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:")
_LONE = re.compile(rb"\r(?!\n)(?!\Z)|(?<!\r)\n|\x00")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?")

_HOP_HEADERS = {b"connection", b"keep-alive", b"te", b"upgrade", b"host"}
_FRAMING = {b"content-length", b"transfer-encoding"}
"""Never taken out, whatever ``Connection`` says of them: the body would be read as the next request."""

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

_REASONS = {
    400: b"Bad Request",
    403: b"Forbidden",
    405: b"Method Not Allowed",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


class HttpError(ValueError):
    """A request that is not served: ``status`` and the text of the reply."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Request(NamedTuple):
    """A request's head. ``path`` (origin-form) is empty for CONNECT; ``length`` is None for a chunked body."""

    method: bytes
    host: str
    port: int
    path: bytes
    version: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    length: int | None

    @property
    def connect(self) -> bool:
        """Whether a tunnel is asked for."""
        return self.method == b"CONNECT"

    def to_server(self) -> bytes:
        """The head for the server itself."""
        return self._head(self.path)

    def to_proxy(self) -> bytes:
        """The head for another proxy (absolute-form)."""
        return self._head(b"http://" + join(self.host, self.port).encode() + self.path)

    def _head(self, target: bytes) -> bytes:
        # The Host of the client is not asked: a server that believed it would serve another site than was allowed.
        host = join(self.host, self.port).removesuffix(":80").encode()
        lines = [self.method + b" " + target + b" " + self.version, b"Host: " + host]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def find_end(data: bytes | bytearray, seen: int = 0) -> int:
    """Where the body begins, 0 as long as the head is incomplete. ``seen`` bytes were looked at before.

    Raises:
        HttpError: it is no head, or too long for one.
    """
    end = data.find(b"\r\n\r\n", max(0, seen - 3), MAX_HEAD)
    limit = end + 4 if end >= 0 else min(len(data), MAX_HEAD)
    if _LONE.search(data, max(0, seen - 1), limit):
        raise HttpError(400, "lines end with CRLF, and there is no NUL")
    if end >= 0:
        return end + 4
    if len(data) >= MAX_HEAD:
        raise HttpError(400, "the head is longer than 64 KiB")
    return 0


def parse_request(head: bytes) -> Request:
    """A complete head, its empty line included.

    Raises:
        HttpError: anything that is not exactly a request to a proxy.
    """
    lines = head[:-4].split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise HttpError(400, "this is no HTTP request")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise HttpError(400, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    headers = _headers(lines[1:])
    if method == b"CONNECT":
        host, port = _authority(target, None)
        return Request(method, host, port, b"", version, (), 0)
    host, port, path = _split(target)
    if method == b"TRACE":
        raise HttpError(405, "TRACE is not served")
    return Request(method, host, port, path, version, _forwarded(headers), _length(headers, version))


def _split(target: bytes) -> tuple[str, int, bytes]:
    """Host, port and origin-form of an absolute-form target."""
    if target[:7].lower() != b"http://":
        if target[:8].lower() == b"https://":
            raise HttpError(400, "https goes through CONNECT")
        if _SCHEME.match(target):
            raise HttpError(405, "only http is forwarded")
        raise HttpError(400, "a proxy needs the whole URL")
    rest = target[7:]
    cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    host, port = _authority(rest[:cut], 80)
    path = rest[cut:]
    return host, port, path if path.startswith(b"/") else b"/" + path


def _authority(text: bytes, default_port: int | None) -> tuple[str, int]:
    try:
        return parse_authority(text, default_port)
    except HostError as e:
        raise HttpError(400, str(e)) from None


def _headers(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    out = []
    for line in lines:
        name, colon, value = line.partition(b":")
        # A blank before the colon and a folded line both make the name no token.
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise HttpError(400, "a header is malformed")
        out.append((name, value.strip(b" \t")))
    return out


def _forwarded(headers: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Without what concerns this connection only."""
    connection = b",".join(value for name, value in headers if name.lower() == b"connection")
    listed = {word.strip(b" \t").lower() for word in connection.split(b",")}
    dropped = (listed | _HOP_HEADERS) - _FRAMING
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in dropped and not name.lower().startswith(b"proxy-")
    )


def _length(headers: list[tuple[bytes, bytes]], version: bytes) -> int | None:
    """Bytes of the body, None if it is chunked."""
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    encodings = [value.lower() for name, value in headers if name.lower() == b"transfer-encoding"]
    if encodings:
        if lengths or encodings != [b"chunked"] or version != b"HTTP/1.1":
            raise HttpError(400, "the body's length is ambiguous")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
        raise HttpError(400, "the body's length is ambiguous")
    return int(lengths[0])


def refusal(status: int, text: str, *, denied: bool = False) -> bytes:
    """A whole reply with a text for people; ``denied`` marks a decision of the rules."""
    body = f"cowork: {text}\n".encode("ascii", "backslashreplace")
    lines = [
        b"HTTP/1.1 %d %s" % (status, _REASONS[status]),
        b"Content-Type: text/plain",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
    ]
    if denied:
        lines.append(b"X-Cowork-Denied: 1")
    if status == 405:
        lines.append(b"Allow: CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
    return b"\r\n".join([*lines, b"", body])


def connect_request(host: str, port: int) -> bytes:
    """Ask another proxy for a tunnel."""
    authority = join(host, port).encode()
    return b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (authority, authority)


def parse_status(head: bytes) -> int:
    """The status of another proxy's reply.

    Raises:
        HttpError: 502, it is no reply.
    """
    match = _STATUS.fullmatch(head.partition(b"\r\n")[0])
    if not match:
        raise HttpError(502, "the upstream proxy does not speak HTTP")
    return int(match[1])
