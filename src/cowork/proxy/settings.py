"""What a proxy is told at its start: the rules, the way out, the sockets it serves."""

from __future__ import annotations

import math
import socket
from typing import NamedTuple

from cowork.proxy.names import HostError, canonical_host, parse_authority

ROLES = ("proxy", "direct", "dns", "forward")


class Listener(NamedTuple):
    """A bound (and, if a stream, listening) socket and what it is for; ``target`` goes with ``forward`` alone."""

    sock: socket.socket
    role: str
    target: tuple[str, int] | None = None


class Settings(NamedTuple):
    """Plain values, so that they can be handed on as JSON.

    ``rules``: sets of entries (see rules.py) that all have to allow. ``upstream``: empty, or ``http://host:port`` of a
    proxy through which everything goes that ``no_upstream`` (names with their sub-domains, addresses, ``*``) does not
    name. ``patience``: seconds for connecting; ``idle``: seconds in which a request has to be complete.
    """

    rules: list[list[str]]
    upstream: str = ""
    no_upstream: list[str] = []  # noqa: RUF012 - a tuple would not survive JSON, and nobody changes it
    patience: float = 30.0
    idle: float = 30.0

    def as_json(self) -> dict[str, object]:
        """Something that ``json.dumps`` takes."""
        return self._asdict()

    @classmethod
    def from_json(cls, raw: object) -> Settings:
        """The reverse; what is unknown is ignored, what is missing has its default.

        Raises:
            ValueError: a value of the wrong type, or no rules.
        """
        if not isinstance(raw, dict):
            raise ValueError("settings: an object is needed")
        return cls(
            _sets(raw.get("rules")),
            _text(raw.get("upstream", "")),
            _texts(raw.get("no_upstream", []), "no_upstream"),
            _seconds(raw.get("patience", 30.0), "patience"),
            _seconds(raw.get("idle", 30.0), "idle"),
        )


def _sets(raw: object) -> list[list[str]]:
    if not isinstance(raw, list):
        raise ValueError("rules: a list of lists of strings is needed")
    return [_texts(entries, "rules") for entries in raw]


def _texts(raw: object, key: str) -> list[str]:
    if not isinstance(raw, list) or not all(isinstance(entry, str) for entry in raw):
        raise ValueError(f"{key}: a list of strings is needed")
    return list(raw)


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("upstream: a string is needed")
    return raw


def _seconds(raw: object, key: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw) or raw <= 0:
        raise ValueError(f"{key}: a number of seconds is needed")
    return float(raw)


class Upstream:
    """The proxy outside through which connections are chained, if there is one."""

    def __init__(self, url: str, direct: list[str]) -> None:
        """Raises ValueError for anything but ``http://host:port``."""
        self.address = _parse(url) if url else None
        self._everything = "*" in direct
        self._direct = tuple(_plain(entry) for entry in direct if entry != "*")

    def serves(self, host: str) -> bool:
        """Whether a canonical host is reached through it."""
        if self.address is None or self._everything:
            return False
        return not any(host == entry or host.endswith("." + entry) for entry in self._direct)


def _parse(url: str) -> tuple[str, int]:
    scheme, _, rest = url.partition("://")
    if scheme.lower() != "http":
        raise ValueError(f"upstream {url!a}: write http://host:port")
    try:
        return parse_authority(rest.removesuffix("/").encode("ascii"))
    except (HostError, UnicodeEncodeError) as e:
        raise ValueError(f"upstream {url!a}: {e}; write http://host:port") from None


def _plain(entry: str) -> str:
    """An entry as the environment's no_proxy has it: ``name``, ``.name``, ``*.name`` or an address."""
    try:
        return canonical_host(entry.removeprefix("*").removeprefix(".").strip("[]"))
    except HostError as e:
        raise ValueError(f"no_upstream {entry!a}: {e}") from None
