"""Which addresses count as public."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy.addresses import why_not_public


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.0",
                                     "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1",
                                     "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"])  # fmt: skip
def test_public(address: str) -> None:
    assert why_not_public(address) == ""


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"), ("127.255.255.255", "loopback"), ("127.64.0.1", "loopback"), ("10.1.2.3", "private"),
        ("172.16.0.1", "private"), ("172.31.255.255", "private"), ("192.168.1.1", "private"),
        ("169.254.169.254", "link-local"),
        ("100.64.0.1", "carrier-grade NAT"), ("0.0.0.0", "unspecified"), ("0.1.2.3", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"), ("240.0.0.1", "reserved"), ("198.18.0.1", "benchmark"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.1", "documentation"), ("203.0.113.1", "documentation"), ("192.0.0.8", "reserved"),
        ("::1", "loopback"), ("::", "unspecified"), ("fe80::1", "link-local"), ("fc00::1", "private"),
        ("fd12::1", "private"),
        ("fec0::1", "private"), ("ff02::1", "multicast"), ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("100::1", "reserved"), ("4000::1", "reserved"), ("2001:10::1", "reserved"), ("64:ff9b:1::1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"), ("::ffff:10.0.0.1", "private"), ("::127.0.0.1", "loopback"),
        ("::10.0.0.1", "private"),
        ("64:ff9b::169.254.169.254", "link-local"), ("2002:7f00:1::", "loopback"), ("2002:a00:1::1", "private"),
        ("2001:0:a00:1::f7f7:f7f7", "private"), ("2001:0:808:808::80ff:fffe", "loopback"),
        ("::ffff:0:127.0.0.1", "reserved"),
    ],
)  # fmt: skip
def test_not_public(address: str, kind: str) -> None:
    assert why_not_public(address) == kind


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "::1%lo", "1.2.3.4\0", "a:b", "\ud800:"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert why_not_public(text) == "no address"


@given(st.ip_addresses(v=4))
def test_never_more_than_the_library_allows(address: ipaddress.IPv4Address) -> None:
    if (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
    ):
        assert why_not_public(str(address))
    for inside in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert why_not_public(inside) == why_not_public(str(address))


@given(st.ip_addresses(v=6))
def test_nothing_outside_global_unicast_is_public(address: ipaddress.IPv6Address) -> None:
    if not why_not_public(str(address)):
        assert int(address) >> 125 == 1 or address.ipv4_mapped or str(address).startswith(("64:ff9b::", "::"))
        assert not address.is_multicast
        assert not address.is_link_local
