"""What ``attach`` decides before and after; terminals and conversations have tests of their own."""

from __future__ import annotations

import os
import signal

import pytest

from cowork import paths
from cowork.cli.attach import end_of, exit_status
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord
from tests.support.daemon import Place
from tests.support.holding import alive, child
from tests.support.shell import Shell


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (ExitRecord(exit_code=0), 0),
        (ExitRecord(exit_code=7), 7),
        (ExitRecord(exit_code=255), 255),
        (ExitRecord(exit_code=-1, signal="SIGTERM"), 143),
        (ExitRecord(exit_code=-1, signal="SIGKILL"), 137),
        (ExitRecord(lost=True), 1),
    ],
)
def test_a_sessions_end_is_the_commands(ended: ExitRecord, status: int) -> None:
    assert exit_status(ended) == status


def test_the_end_of_one_whose_holder_was_killed_is_written_down(place: Place) -> None:
    shell = Shell(place)
    session = shell.bg("--", "sleep", "60")
    shell.ok("ps")
    where = paths.resolve(shell.environment)
    found = SessionDirectory(where.sessions, session)
    held = found.child()
    assert held is not None
    os.kill(held.holder, signal.SIGKILL)
    assert end_of(found, where).lost
    assert not alive(held.pid)


@pytest.mark.parametrize("verb", [["attach"], ["attach", "-r"]])
def test_what_cannot_be_attached_to(place: Place, verb: list[str]) -> None:
    shell = Shell(place)
    ended = shell.bg("--", "true")
    shell.ok("wait", ended)
    done = shell.run(*verb, ended)
    assert (done.returncode, f"cowork logs {ended}" in done.stderr) == (3, True)
    terminal = shell.bg("--tty", "--", *child("draws_its_screen"))
    done = shell.run(*verb, terminal)
    assert (done.returncode, f"cowork logs -f {terminal}" in done.stderr) == (2, True)
    done = shell.run(*verb, terminal, "--detach-keys", "nothing")
    assert (done.returncode, "no key" in done.stderr) == (2, True)


def test_output_is_followed_without_a_terminal(place: Place) -> None:
    shell = Shell(place)
    session = shell.bg("--", "sh", "-c", 'echo one; echo two >&2; read -r x; echo "got $x"; exit 5')
    attached = shell.popen("attach", session)
    out, err = attached.communicate(b"typed\n", timeout=30)
    assert (attached.returncode, out) == (5, b"one\ngot typed\n")
    assert err.startswith(b"two\n")
    assert b"is failed: exit status 5" in err
