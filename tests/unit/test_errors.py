"""The error tree: one root, members that carry data, exit statuses as documented."""

from __future__ import annotations

import pytest

from cowork import errors
from cowork.errors import CoworkError


def members() -> list[type[CoworkError]]:
    return [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, CoworkError)]


def test_all_errors_are_of_one_tree() -> None:
    defined = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert set(defined) == set(members())
    assert len(members()) >= 11


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.RpcError("x"), 1), (errors.HolderError("x"), 1), (errors.ConfigError("x"), 2),
        (errors.NotRunning("x"), 3), (errors.NotFound("x"), 4), (errors.PolicyError("x"), 6),
        (errors.UnknownMethod("x"), 1), (errors.Blocked("x"), 5), (errors.NotTaken("x"), 7),
        (errors.TimedOut("x"), 124),
    ],
)  # fmt: skip
def test_exit_statuses(error: CoworkError, status: int) -> None:
    assert error.exit_status == status


def test_members_carry_what_a_caller_needs() -> None:
    assert errors.FrameError("f", length=9).length == 9
    assert errors.ParseError("p", id=b"7").id == b"7"
    assert errors.UnknownMethod("m").method == "m"
    assert str(errors.UnknownMethod("m")) == "Unknown method: m"
    assert errors.InvalidParams("i", field="a.b").field == "a.b"
    assert errors.RpcError("full", code=-32002).code == -32002
    with_hint = errors.ConfigError("bad", hint="do this")
    assert (with_hint.message, with_hint.hint, str(with_hint)) == ("bad", "do this", "bad")
    assert errors.NotFound("x").hint is None
