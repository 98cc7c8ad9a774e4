"""The holder's parts that need no process; the whole of it is tested by tests/integration/test_holder_*.py."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from cowork.holder.loop import Holder, exit_record, outcome, signal_name
from cowork.holder.spec import StartSpec


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


class Printing(Holder):
    """One whose child has something to say whenever it is asked."""

    def __init__(self, folder: Path, ours: socket.socket) -> None:
        spec = StartSpec(str(folder), str(folder / "s"), ["true"], "/bin/true", env={}, cwd="/")
        super().__init__(spec, ours)
        self.calls: list[str] = []
        self.output = self.stdin = self.child = self.page = MagicMock()
        self.output.owns.return_value = self.output.read.return_value = True
        self.output.wake.return_value = False
        self.output.deadline = None
        self.epoll.close()
        self.epoll = MagicMock()
        self.epoll.poll.return_value = [(0, select.EPOLLIN)]

    def _record_child(self) -> None:
        self._recorded = True
        self.calls.append("recorded")

    def _published(self) -> None:
        self.calls.append("told")


def test_a_child_that_never_stops_printing_is_on_record(tmp_path: Path) -> None:
    """Nobody could end it after the holder was killed, if it had to leave a quiet moment for that."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        holder = Printing(tmp_path, ours)
        holder._turn()
        holder._turn()
    assert holder.calls == ["told", "recorded", "told"]


def test_every_signal_has_a_name() -> None:
    assert signal_name(signal.SIGTERM) == "SIGTERM"
    assert [signal_name(n) for n in (33, 40)] == ["SIG33", "SIG40"]
    assert all(signal_name(n).startswith("SIG") for n in range(1, 65))
