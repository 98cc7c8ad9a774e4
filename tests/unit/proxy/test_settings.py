"""Settings: JSON and back, and the upstream proxy's address."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cowork.proxy.settings import Settings, Upstream


def test_there_and_back() -> None:
    settings = Settings([["a.com"], ["*"]], "http://proxy:3128", ["corp.example"], 5.0, 6.0)
    assert Settings.from_json(json.loads(json.dumps(settings.as_json()))) == settings
    assert Settings.from_json({"rules": [], "of tomorrow": 1}) == Settings([])


@pytest.mark.parametrize(
    "raw",
    [
        None, [], {}, {"rules": None}, {"rules": ["a.com"]}, {"rules": [[1]]}, {"rules": [], "upstream": 1},
        {"rules": [], "no_upstream": "x"},
        {"rules": [], "patience": 0}, {"rules": [], "patience": "1"}, {"rules": [], "idle": True},
        {"rules": [], "idle": float("nan")},
    ],
)  # fmt: skip
def test_wrong_types(raw: Any) -> None:
    with pytest.raises(ValueError, match="needed"):
        Settings.from_json(raw)


def test_the_upstream_proxy() -> None:
    upstream = Upstream("http://Proxy.example:3128/", [".corp.example", "*.lab", "Host", "10.0.0.1", "[::1]"])
    assert upstream.address == ("proxy.example", 3128)
    for host in ("corp.example", "a.corp.example", "x.lab", "host", "10.0.0.1", "::1"):
        assert not upstream.serves(host)
    for host in ("xcorp.example", "example", "10.0.0.2", "::2"):
        assert upstream.serves(host)
    assert not Upstream("", []).serves("a.com")
    assert not Upstream("http://p:1", ["*"]).serves("a.com")


@pytest.mark.parametrize(
    "url", ["p:1", "https://p:1", "http://p", "http://u:p@p:1", "http://p:1/x", "socks5://p:1", "http://ü:1"]
)
def test_other_upstreams_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="write http://host:port"):
        Upstream(url, [])


def test_exceptions_are_checked() -> None:
    with pytest.raises(ValueError, match="no_upstream"):
        Upstream("http://p:1", ["a/8"])
