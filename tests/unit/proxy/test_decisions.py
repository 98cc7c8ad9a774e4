"""The log of decisions: once a minute each, printable, bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy import decisions
from cowork.proxy.decisions import Decisions, printable


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_decision_is_logged_once_a_minute() -> None:
    lines: list[str] = []
    clock = Clock()
    decide = Decisions(lines.append, clock)
    for _ in range(3):
        decide("denied", "CONNECT", "evil.com:443", "not in allowedDomains")
    decide("allowed", "CONNECT", "a.com:443")
    assert lines == ["denied CONNECT evil.com:443: not in allowedDomains", "allowed CONNECT a.com:443"]
    clock.now += 60
    decide("denied", "CONNECT", "evil.com:443", "not in allowedDomains")
    decide("allowed", "CONNECT", "a.com:443")
    assert lines[2:] == [
        "denied CONNECT evil.com:443: not in allowedDomains (and 2 times before)", "allowed CONNECT a.com:443",
    ]  # fmt: skip


def test_repeats_are_told_at_the_end() -> None:
    lines: list[str] = []
    decide = Decisions(lines.append)
    decide("allowed", "SOCKS", "a:1")
    decide("allowed", "SOCKS", "a:1")
    decide.close()
    assert lines == ["allowed SOCKS a:1", "allowed SOCKS a:1 (and 1 times more)"]


def test_a_flood_is_bounded() -> None:
    lines: list[str] = []
    clock = Clock()
    decide = Decisions(lines.append, clock)
    for number in range(10000):
        decide("denied", "DNS", f"{number}.evil.com")
    assert len(lines) == decisions._LINES
    assert len(decide._seen) == decisions._REMEMBERED
    clock.now += 60
    decide("denied", "DNS", "one more")
    assert lines[-2:] == ["9000 more decisions in a minute were not logged", "denied DNS one more"]


@given(st.text(max_size=600))
def test_names_are_printable(text: str) -> None:
    shown = printable(text)
    assert shown.isascii()
    assert not shown or shown.isprintable()
    assert len(shown) <= 255


def test_control_characters_are_escaped() -> None:
    assert printable("a\nb\x1b[0m\x00") == r"a\nb\x1b[0m\x00"
