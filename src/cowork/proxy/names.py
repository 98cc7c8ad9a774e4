"""Host names and authorities from outside: one canonical spelling, everything doubtful refused.

Every check of a host happens on what these functions return; nothing is resolved or connected to under another
spelling. So there is no second parser (a resolver's, a TLS library's) that could read something else into the bytes.
"""

from __future__ import annotations

import re
import socket

MAX_NAME = 253
"""Characters of a name without its last dot (RFC 1035: 255 bytes on the wire)."""

_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_QUAD = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class HostError(ValueError):
    """A host, port or authority that is not written as it has to be."""


def canonical_host(text: str | bytes) -> str:
    """The one spelling of a host: a lower-case name without its last dot, or an address as ``inet_ntop`` writes it.

    IPv6 comes without brackets. Non-ASCII, blanks, NUL, ``%``, zones and odd spellings of addresses are refused.

    Raises:
        HostError: it is no host name and no address; the message says why.
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if not text.isascii():
        raise HostError("a host name is ASCII (an international one is written xn--…)")
    if ":" in text:
        return _ipv6(text)
    name = text.lower().removesuffix(".")
    if not name:
        raise HostError("the host is empty")
    if len(name) > MAX_NAME:
        raise HostError(f"a host name has at most {MAX_NAME} characters")
    if is_ipv4(name):
        return name
    labels = name.split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise HostError(_why_not(label))
    if _NUMBER.fullmatch(labels[-1]):
        # What inet_aton would take for an address (0x7f.1, 2130706433, 0177.0.0.1) is no name either.
        raise HostError("an IPv4 address is written as four decimal numbers")
    return name


def _why_not(label: str) -> str:
    if not label:
        return "a host name has no empty labels"
    if len(label) > 63 and _LABEL.fullmatch(label[:63]):
        return "a label of a host name has at most 63 characters"
    return "a host name is made of letters, digits, hyphens, underscores and dots"


def _ipv6(text: str) -> str:
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        raise HostError("this is no IPv6 address") from None


def is_ipv4(host: str) -> bool:
    """Whether this is a strict dotted quad."""
    return _QUAD.fullmatch(host) is not None


def is_literal(host: str) -> bool:
    """Whether a canonical host is an address."""
    return ":" in host or is_ipv4(host)


def parse_port(text: str) -> int:
    """A port in decimal, without signs or leading zeros.

    Raises:
        HostError: it is none.
    """
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise HostError("a port is a number from 1 to 65535")
    return int(text)


def parse_authority(text: bytes, default_port: int | None = None) -> tuple[str, int]:
    """``name:port``, ``1.2.3.4:port`` or ``[IPv6]:port`` as (canonical host, port).

    Without ``default_port`` the port has to be there. User information (``user@``) is refused.

    Raises:
        HostError: anything else.
    """
    authority = text.decode("latin-1")
    if "@" in authority:
        raise HostError("user information before the host is refused")
    if authority.startswith("["):
        host, closed, rest = authority[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise HostError("an IPv6 address stands in brackets, followed by its port")
        if ":" not in host:
            raise HostError("this is no IPv6 address")
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = authority.partition(":")
        if ":" in port:
            raise HostError("an IPv6 address stands in brackets")
    name = canonical_host(host)
    if not colon:
        if default_port is None:
            raise HostError("the port is missing")
        return name, default_port
    return name, parse_port(port)


def join(host: str, port: int) -> str:
    """A canonical host and a port as an authority."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
