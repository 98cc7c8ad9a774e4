"""The holder's parts that need no process; the whole of it is tested by tests/integration/test_holder_*.py."""

from __future__ import annotations

import os
import signal
import time

import pytest

from cowork.holder.loop import exit_record, outcome, signal_name


def ended(code: str) -> os.waitid_result:
    """How a process that runs ``code`` ends."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", code], {})
    result = os.waitid(os.P_PID, pid, os.WEXITED)
    assert result is not None
    return result


@pytest.mark.parametrize(("code", "status"), [("exit 0", 0), ("exit 1", 1), ("exit 255", 255)])
def test_the_record_of_an_exit(code: str, status: int) -> None:
    before = time.time()
    record = exit_record(*outcome(ended(code)), head=77, oom_kills=None)
    when = record.pop("ended")
    assert isinstance(when, float)
    assert before <= when <= time.time()
    assert record == {"version": 1, "head": 77, "exitCode": status}


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (6, "SIGABRT"), (40, "SIG40")])
def test_the_record_of_a_signal(number: int, name: str) -> None:
    record = exit_record(*outcome(ended(f"kill -{number} $$")), head=0, oom_kills=2)
    assert {key: record[key] for key in ("exitCode", "signal", "oomKillCount")} == {
        "exitCode": -1, "signal": name, "oomKillCount": 2,
    }  # fmt: skip


def test_every_signal_has_a_name() -> None:
    assert signal_name(signal.SIGTERM) == "SIGTERM"
    assert [signal_name(n) for n in (33, 40)] == ["SIG33", "SIG40"]
    assert all(signal_name(n).startswith("SIG") for n in range(1, 65))
