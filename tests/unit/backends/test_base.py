"""The contract of a backend: what is not shown of a request, and what cannot be left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowork.backends.base import Availability, Backend, Prepared, SpawnRequest


def test_a_token_and_an_environment_are_not_printed() -> None:
    request = SpawnRequest(
        name="s", command="c", args=[], cwd="", env={}, mounts={}, tree=Path("/t"), home=Path("/h"), inherited={},
        token="SECRET",
    )  # fmt: skip
    assert "SECRET" not in repr(request)
    assert "SECRET" not in repr(Prepared(["c"], "c", {"A": "SECRET"}, "/", []))


def test_a_backend_must_probe_and_prepare() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Backend()  # type: ignore[abstract]


def test_availability_says_why_not() -> None:
    assert Availability(works=True) == Availability(True, "", "")
