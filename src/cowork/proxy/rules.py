"""The allow-list: what an entry may look like, and whether a set of them lets a host and port through. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cowork.proxy.names import HostError, canonical_host, is_literal, parse_port

_DEVIATIONS = "\u00df\u1e9e\u03c2\u200c\u200d"
"""Characters that IDNA 2003 (Python's) drops or maps to others, and IDNA 2008 (the registries') does not."""


class RuleError(ValueError):
    """An entry that is no rule: ``entry`` as it was written, the ``rule`` it breaks, the ``fix``."""

    def __init__(self, entry: str, rule: str, fix: str) -> None:
        super().__init__(f"{entry!a}: {rule}; {fix}")
        self.entry = entry
        self.rule = rule
        self.fix = fix


class Rule(NamedTuple):
    """One entry: ``host`` is canonical, empty for ``*``; ``wild`` means its sub-domains only; no port means any."""

    host: str
    wild: bool = False
    port: int | None = None

    def __str__(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        name = ("*." + name if name else "*") if self.wild else name
        return name if self.port is None else f"{name}:{self.port}"

    def matches(self, host: str) -> bool:
        """Whether a canonical host is meant, whatever the port."""
        if not self.wild:
            return host == self.host
        return not self.host or host.endswith("." + self.host)


def parse_rule(entry: str) -> Rule:
    """``name``, ``*.name``, ``*``, an IPv4 or IPv6 address (bare or in brackets), each with ``:port`` or without.

    Raises:
        RuleError: anything else.
    """
    if not isinstance(entry, str):
        raise RuleError(repr(entry), "an entry is a string", "write a host name in quotes")
    _refuse_what_is_no_host(entry)
    host, port = _split_port(entry)
    if host == "*":
        return Rule("", True, port)
    wild = host.startswith("*.")
    if wild:
        host = host[2:]
    if "*" in host:
        raise RuleError(entry, "* stands for whole labels at the front", "write *.name for sub-domains, * for all")
    name = _canonical(entry, host)
    if wild and is_literal(name):
        raise RuleError(entry, "an address has no sub-domains", f"write {name}")
    return Rule(name, wild, port)


def _refuse_what_is_no_host(entry: str) -> None:
    """Tell the usual slips by their names."""
    if not entry:
        raise RuleError(entry, "an entry is not empty", "leave it out")
    if any(c.isspace() or (not c.isprintable() and c not in _DEVIATIONS) for c in entry):
        raise RuleError(entry, "an entry has no blanks or control characters", "write the bare host name")
    if "://" in entry:
        rest = entry.split("://", 1)[1].split("/", 1)[0].rsplit("@", 1)[-1]
        raise RuleError(entry, "an entry has no scheme", f"write {rest}" if rest else "write the host name")
    if "/" in entry or "\\" in entry or "?" in entry or "#" in entry:
        rest = entry.replace("\\", "/").split("/", 1)[0].split("?", 1)[0].split("#", 1)[0]
        raise RuleError(entry, "an entry has no path", f"write {rest}" if rest else "write the host name")
    if "@" in entry:
        raise RuleError(entry, "an entry has no user", f"write {entry.rsplit('@', 1)[1] or 'the host name'}")


def _split_port(entry: str) -> tuple[str, int | None]:
    """The host without brackets, and the port if there is one."""
    if entry.startswith("["):
        host, closed, rest = entry[1:].partition("]")
        if not closed or ":" not in host or (rest and not rest.startswith(":")):
            raise RuleError(entry, "brackets hold an IPv6 address", "write [address] or [address]:port")
        colon, port = rest[:1], rest[1:]
    elif entry.count(":") > 1:
        return entry, None  # a bare IPv6 address
    else:
        host, colon, port = entry.partition(":")
    if not colon:
        return host, None
    try:
        return host, parse_port(port)
    except HostError as e:
        raise RuleError(entry, str(e), "write host:443, or the host alone for every port") from None


def _canonical(entry: str, host: str) -> str:
    if not host.isascii():
        if any(c in _DEVIATIONS for c in host):
            raise RuleError(entry, "this name is written differently in IDNA 2003 and 2008", "write its xn--… form")
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise RuleError(entry, "this is no international host name", "write its xn--… form") from None
    try:
        return canonical_host(host)
    except HostError as e:
        raise RuleError(entry, str(e), "write a host name such as api.example.com, or an address") from None


class Verdict(NamedTuple):
    """``named``: every set has the very host in it (not a pattern), so that it may also have a private address."""

    allowed: bool
    named: bool
    reason: str


class Policy:
    """Sets of rules that all have to allow. No sets, like an empty one, allow nothing."""

    def __init__(self, sets: Iterable[Iterable[str]]) -> None:
        """Raises RuleError for an entry that is no rule."""
        self._sets = [[parse_rule(entry) for entry in entries] for entries in sets]

    def check(self, host: str, port: int) -> Verdict:
        """Judge a canonical host and a port."""
        named = True
        if not self._sets:
            return Verdict(False, False, "no rules")
        for rules in self._sets:
            matching = [rule for rule in rules if rule.matches(host)]
            if not matching:
                return Verdict(False, False, "not in allowedDomains")
            fitting = [rule for rule in matching if rule.port in (None, port)]
            if not fitting:
                return Verdict(False, False, f"port {port} is not in allowedDomains")
            named = named and any(not rule.wild for rule in fitting)
        return Verdict(True, named, "named" if named else "matched")

    def may_be_resolved(self, host: str) -> bool:
        """Whether a canonical host is allowed on any port at all."""
        common: set[int] | None = None
        for rules in self._sets:
            ports = [rule.port for rule in rules if rule.matches(host)]
            if not ports:
                return False
            if None not in ports:
                own = {port for port in ports if port is not None}
                common = own if common is None else common & own
        return bool(self._sets) and common != set()
