"""Made-up addresses: stable, each other's only ones, bounded."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy import madeup
from cowork.proxy.madeup import MadeUp


def test_a_name_and_its_address() -> None:
    table = MadeUp()
    assert table.address("a.com") == "127.64.0.1"
    assert table.address("b.com") == "127.64.0.2"
    assert table.address("a.com") == "127.64.0.1"
    assert table.name("127.64.0.1") == "a.com"


def test_what_was_never_given_out() -> None:
    table = MadeUp()
    table.address("a.com")
    for address in ("127.64.0.2", "127.0.0.1", "127.64.0.0", "", "x", "::1"):
        assert table.name(address) is None


def test_the_unused_go_first_and_their_addresses_rest() -> None:
    table = MadeUp(capacity=2)
    first, second = table.address("a"), table.address("b")
    assert table.name(first) == "a"  # used: now b is the oldest
    third = table.address("c")
    assert third not in (first, second)
    assert table.name(second) is None
    assert table.name(first) == "a"
    assert table.address("b") not in (first, second, third)


def test_addresses_are_given_out_again_when_all_were() -> None:
    table = MadeUp(capacity=2)
    table.address("a")
    table._next = madeup._LAST
    assert table.address("b") == "127.127.255.254"
    table.name("127.64.0.1")
    assert table.address("c") == "127.64.0.2"


@given(st.lists(st.integers(0, 20)), st.integers(1, 8))
def test_both_directions_agree(names: list[int], capacity: int) -> None:
    table = MadeUp(capacity)
    for number in names:
        address = table.address(str(number))
        assert ipaddress.ip_address(address) in ipaddress.ip_network("127.64.0.0/10")
        assert table.name(address) == str(number)
    assert len(table._names) == len(table._addresses) <= capacity
