"""Entries of the allow-list, and what sets of them let through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.proxy.rules import Policy, Rule, RuleError, parse_rule


@pytest.mark.parametrize(
    ("entry", "rule", "text"),
    [
        ("example.com", Rule("example.com"), "example.com"), ("EXAMPLE.com.", Rule("example.com"), "example.com"),
        ("*.Example.com", Rule("example.com", True), "*.example.com"), ("*", Rule("", True), "*"),
        ("*:443", Rule("", True, 443), "*:443"), ("a.b:8080", Rule("a.b", False, 8080), "a.b:8080"),
        ("*.b:1", Rule("b", True, 1), "*.b:1"), ("10.0.0.1", Rule("10.0.0.1"), "10.0.0.1"),
        ("10.0.0.1:80", Rule("10.0.0.1", False, 80), "10.0.0.1:80"), ("::1", Rule("::1"), "[::1]"),
        ("[::1]", Rule("::1"), "[::1]"), ("[2001:DB8::1]:443", Rule("2001:db8::1", False, 443), "[2001:db8::1]:443"),
        ("bücher.example", Rule("xn--bcher-kva.example"), "xn--bcher-kva.example"),
        ("*.bücher.example", Rule("xn--bcher-kva.example", True), "*.xn--bcher-kva.example"),
    ],
)  # fmt: skip
def test_entries(entry: str, rule: Rule, text: str) -> None:
    assert parse_rule(entry) == rule
    assert str(rule) == text
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    ("entry", "fix"),
    [
        ("https://example.com", "write example.com"), ("http://u@example.com/x", "write example.com"),
        ("example.com/path", "write example.com"), ("example.com?x", "write example.com"),
        ("u@example.com", "write example.com"),
        ("https://", "write the host name"), ("", "leave it out"), (" ", "bare"), ("a b", "bare"), ("a\0b", "bare"),
        ("a\x7f", "bare"), ("a..b", "host name"), (".a", "host name"), ("a" * 64 + ".b", "host name"),
        (".".join(["a" * 60] * 5), "host name"), ("a.*", "*.name"), ("a.*.b", "*.name"), ("*a.b", "*.name"),
        ("**.b", "*.name"),
        ("*.*.b", "*.name"), ("*.", "host name"), ("*.1.2.3.4", "write 1.2.3.4"), ("a:0", "443"), ("a:65536", "443"),
        ("a:", "443"),
        ("a:https", "443"), ("0x7f.1", "host name"), ("2130706433", "host name"), ("0177.0.0.1", "host name"),
        ("[1.2.3.4]", "[address]"), ("[::1", "[address]"), ("[::1]443", "[address]"), ("[::1]:", "443"),
        ("1:2:3", "host name"),
        ("fe80::1%eth0", "host name"), ("a%2eb", "host name"), ("straße.de", "xn--"), ("a\u200db.de", "xn--"),
        ("℀.com", "host name"), ("a\ud800", "bare"), ("\u3002", "xn--"), ("é" * 70 + ".de", "xn--"),
    ],
)  # fmt: skip
def test_other_entries_are_refused_with_the_fix(entry: str, fix: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule(entry)
    error = caught.value
    assert error.entry == entry
    assert fix in error.fix
    assert all(part in str(error) for part in (ascii(entry), error.rule, error.fix))


def test_an_entry_that_is_no_string_is_refused() -> None:
    entry: Any = 7
    with pytest.raises(RuleError, match="string"):
        parse_rule(entry)


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[*a.:\[\]0x1@/]{0,12}")))
def test_an_entry_is_a_rule_or_a_rule_error(entry: str) -> None:
    try:
        rule = parse_rule(entry)
    except RuleError:
        return
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("rules", "host", "port", "allowed", "named"),
    [
        (["a.com"], "a.com", 443, True, True), (["a.com"], "b.a.com", 443, False, False),
        (["a.com"], "ba.com", 443, False, False),
        (["*.a.com"], "b.a.com", 1, True, False), (["*.a.com"], "c.b.a.com", 1, True, False),
        (["*.a.com"], "a.com", 1, False, False),
        (["*.a.com"], "xa.com", 1, False, False), (["*"], "anything", 1, True, False),
        (["*"], "8.8.8.8", 1, True, False),
        (["a.com:443"], "a.com", 443, True, True), (["a.com:443"], "a.com", 80, False, False),
        (["a.com:443", "*"], "a.com", 80, True, False), (["10.0.0.1"], "10.0.0.1", 1, True, True),
        (["::1"], "::1", 1, True, True),
        ([], "a.com", 443, False, False), (["*.com"], "1.2.3.4", 1, False, False),
    ],
)  # fmt: skip
def test_one_set(rules: list[str], host: str, port: int, allowed: bool, named: bool) -> None:
    verdict = Policy([rules]).check(host, port)
    assert (verdict.allowed, verdict.named) == (allowed, named)


@pytest.mark.parametrize(
    ("sets", "allowed", "named"),
    [
        ([], False, False), ([[]], False, False), ([["a.com"], []], False, False), ([["*"], ["a.com"]], True, False),
        ([["a.com"], ["a.com:443"]], True, True), ([["a.com"], ["b.com"]], False, False),
    ],
)  # fmt: skip
def test_all_sets_must_allow_and_nothing_allows_nothing(sets: list[list[str]], allowed: bool, named: bool) -> None:
    verdict = Policy(sets).check("a.com", 443)
    assert (verdict.allowed, verdict.named) == (allowed, named)


def test_reasons() -> None:
    assert Policy([[]]).check("a.com", 1).reason == "not in allowedDomains"
    assert Policy([["a.com:2"]]).check("a.com", 1).reason == "port 1 is not in allowedDomains"


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([], False), ([[]], False), ([["a.com"]], True), ([["a.com:1"]], True), ([["a.com:1"], ["a.com:2"]], False),
        ([["a.com:1"], ["*"]], True), ([["a.com:1", "*.com:2"], ["a.com:2"]], True), ([["b.com"]], False),
    ],
)  # fmt: skip
def test_a_name_may_be_resolved_if_any_port_is_allowed(sets: list[list[str]], expected: bool) -> None:
    assert Policy(sets).may_be_resolved("a.com") is expected
