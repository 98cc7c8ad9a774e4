"""Go-style flags in all their spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork import flags
from cowork.errors import ConfigError

VALUES = ("socket", "backend")
SWITCHES = ("debug", "version")


def parse(*arguments: str) -> dict[str, list[str]]:
    return flags.parse(arguments, values=VALUES, switches=SWITCHES)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-socket", "/a", "-debug"],
        ["--socket", "/a", "--debug"],
        ["-socket=/a", "-debug=true"],
        ["--debug", "--socket=/a"],
    ],
)
def test_all_spellings_mean_the_same(arguments: list[str]) -> None:
    assert parse(*arguments) == {"socket": ["/a"], "debug": ["true"]}


def test_values_keep_their_order_and_may_look_like_anything() -> None:
    assert parse("-socket", "-debug", "--socket=a=b", "-socket=") == {"socket": ["-debug", "a=b", ""]}


def test_a_switch_can_be_switched_off() -> None:
    assert parse("-debug=false") == {}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-sockets", "/a"], "unknown option '-sockets'"),
        (["-socket"], "-socket needs a value"),
        (["/a"], "unexpected argument '/a'"),
        (["--"], "unexpected argument '--'"),
        (["-debug=maybe"], "-debug is true or false, not 'maybe'"),
    ],
)
def test_what_makes_no_sense_is_named(arguments: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(*arguments)
    assert says in caught.value.message
    assert caught.value.exit_status == 2


@given(st.lists(st.text(max_size=8), max_size=6))
def test_any_arguments_give_flags_or_one_error(arguments: list[str]) -> None:
    try:
        found = parse(*arguments)
    except ConfigError:
        return
    assert set(found) <= {*VALUES, *SWITCHES}
