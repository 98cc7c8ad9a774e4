"""What a holder says of itself is understood, whatever its release left out or added."""

from __future__ import annotations

import msgspec
import pytest

from cowork.sessions.status import HolderStatus, StartFailure


def test_a_full_status() -> None:
    raw = (
        b'{"version":1,"pid":5,"holder":4,"running":false,"head":9,"base":2,"output":"full","cgroup":"/c",'
        b'"stdin":{"open":true,"queued":3,"limit":16},"exit":{"exitCode":2},"later":1}'
    )
    status = msgspec.json.decode(raw, type=HolderStatus)
    assert (status.running, status.head, status.base, status.output) == (False, 9, 2, "full")
    assert (status.stdin.open, status.stdin.queued, status.stdin.limit) == (True, 3, 16)
    assert status.exit is not None
    assert (status.exit.exit_code, status.cgroup) == (2, "/c")


def test_what_is_missing_has_a_default() -> None:
    status = msgspec.json.decode(b'{"version":1,"pid":5,"holder":4,"running":true}', type=HolderStatus)
    assert (status.head, status.output, status.exit, status.stdin.open) == (0, "open", None, False)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b"{}", type=HolderStatus)


def test_a_failure() -> None:
    failure = msgspec.json.decode(b'{"what":"cwd","errno":2,"text":"no"}', type=StartFailure)
    assert (failure.what, failure.errno, failure.text) == ("cwd", 2, "no")
