"""Which addresses are the public internet's, and which are somebody's own network.

A table of our own, not ``ipaddress.is_global``: that changes from one Python to the next, and knows nothing of the
IPv4 address inside an IPv6 one. Source: the IANA special-purpose address registries (RFC 6890 and its successors).
"""

from __future__ import annotations

import socket

_NOT_PUBLIC_4 = (
    ("0.0.0.0", 8, "unspecified"),
    ("10.0.0.0", 8, "private"),
    ("100.64.0.0", 10, "carrier-grade NAT"),
    ("127.0.0.0", 8, "loopback"),
    ("169.254.0.0", 16, "link-local"),  # cloud metadata, too
    ("172.16.0.0", 12, "private"),
    ("192.0.0.0", 24, "reserved"),
    ("192.0.2.0", 24, "documentation"),
    ("192.88.99.0", 24, "reserved"),
    ("192.168.0.0", 16, "private"),
    ("198.18.0.0", 15, "benchmark"),
    ("198.51.100.0", 24, "documentation"),
    ("203.0.113.0", 24, "documentation"),
    ("224.0.0.0", 4, "multicast"),
    ("240.0.0.0", 4, "reserved"),
)
_NOT_PUBLIC_6 = (
    ("2001::", 23, "reserved"),
    ("2001:db8::", 32, "documentation"),
    ("3fff::", 20, "documentation"),
)
"""Inside 2000::/3, the only part of IPv6 that is given out; all else is not public."""

_KINDS_6 = (
    ("::1", 128, "loopback"),
    ("::", 128, "unspecified"),
    ("fc00::", 7, "private"),
    ("fe80::", 10, "link-local"),
    ("fec0::", 10, "private"),
    ("ff00::", 8, "multicast"),
)

_Nets = tuple[tuple[int, int, str], ...]


def _compile(nets: tuple[tuple[str, int, str], ...], family: int, bits: int) -> _Nets:
    return tuple(
        (int.from_bytes(socket.inet_pton(family, net)) >> (bits - prefix), bits - prefix, kind)
        for net, prefix, kind in nets
    )


_NETS_4 = _compile(_NOT_PUBLIC_4, socket.AF_INET, 32)
_NETS_6 = _compile(_NOT_PUBLIC_6, socket.AF_INET6, 128)
_OTHER_6 = _compile(_KINDS_6, socket.AF_INET6, 128)


def why_not_public(address: str) -> str:
    """The kind of an address that is not globally reachable unicast (``"private"``, …); empty for one that is.

    IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4, Teredo) is judged by the inner address.
    """
    try:
        if ":" not in address:
            return _kind_4(int.from_bytes(socket.inet_pton(socket.AF_INET, address)))
        return _kind_6(int.from_bytes(socket.inet_pton(socket.AF_INET6, address)))
    except (OSError, ValueError):
        return "no address"


def _lookup(value: int, nets: _Nets) -> str:
    return next((kind for net, shift, kind in nets if value >> shift == net), "")


def _kind_4(value: int) -> str:
    return _lookup(value, _NETS_4)


def _kind_6(value: int) -> str:
    low = value & 0xFFFFFFFF
    kind = _lookup(value, _OTHER_6)
    if kind:
        return kind
    if value >> 32 in (0, 0xFFFF, 0x0064FF9B << 64):  # compatible, mapped, NAT64
        return _kind_4(low)
    if value >> 112 == 0x2002:  # 6to4
        return _kind_4(value >> 80 & 0xFFFFFFFF)
    if value >> 96 == 0x20010000:  # Teredo: the server, and the client turned over
        return _kind_4(value >> 64 & 0xFFFFFFFF) or _kind_4(low ^ 0xFFFFFFFF)
    if value >> 125 != 1:
        return "reserved"
    return _lookup(value, _NETS_6)
