"""The contract of a backend: what is not shown of a request, and what cannot be left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowork.backends.base import Availability, Backend, Prepared, SpawnRequest
from cowork.translate.sessionmap import SessionMap


def test_a_token_and_an_environment_are_not_printed() -> None:
    request = SpawnRequest(
        name="s", command="c", args=[], cwd="", env={}, mounts={}, tree=Path("/t"), home=Path("/h"), inherited={},
        token="SECRET",
    )  # fmt: skip
    assert "SECRET" not in repr(request)
    session = SessionMap("s", "/t")
    assert "SECRET" not in repr(Prepared(["c", "SECRET"], "c", {"A": "SECRET"}, "/", [], session))


def test_what_is_prepared_is_on_the_host_unless_it_says_otherwise() -> None:
    """Guest paths are translated, nothing is started in anything, nothing is limited."""
    prepared = Prepared(["c"], "c", {}, "/", [], SessionMap("s", "/t"))
    assert (prepared.translated, prepared.sandbox, prepared.network, prepared.weaker) == (True, None, "host", [])
    assert (prepared.memory, prepared.tasks) == (None, None)
    with pytest.raises(TypeError, match="session"):
        Prepared(["c"], "c", {}, "/", [])  # type: ignore[call-arg]


def test_a_request_says_nothing_that_was_not_asked_for() -> None:
    request = SpawnRequest(
        name="s", command="c", args=[], cwd="", env={}, mounts={}, tree=Path("/t"), home=Path("/h"), inherited={},
    )  # fmt: skip
    assert request.allowed_domains is None, "which is not the empty list"
    assert (request.one_shot, request.skeleton_home, request.ours, request.terminal) == (False, False, (), False)


def test_a_backend_honours_nothing_that_it_does_not_name() -> None:
    assert Backend.honours == frozenset()


def test_a_backend_must_probe_and_prepare() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Backend()  # type: ignore[abstract]


def test_availability_says_why_not() -> None:
    assert Availability(works=True) == Availability(True, "", "")
