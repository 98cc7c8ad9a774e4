"""``cowork.cli.status``: what it makes of what it finds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork import paths
from cowork.cli.main import cli
from cowork.linux.lockfile import LockFile


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> Iterator[paths.Paths]:
    with tempfile.TemporaryDirectory(prefix="cw", dir="/tmp") as folder:
        for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME"):
            monkeypatch.setenv(name, folder)
        found = paths.resolve()
        found.make()
        yield found


def test_a_held_lock_without_an_answer_is_stuck(where: paths.Paths, capsys: pytest.CaptureFixture[str]) -> None:
    lock = LockFile(where.lock)
    assert lock.acquire()
    lock.note(b'{"pid":4711,"started":0,"version":"1"}')
    try:
        assert cli(["status"]) == 3
    finally:
        lock.release()
    assert capsys.readouterr().out == "stuck: no daemon is running (pid 4711)\n"


def test_a_socket_without_a_lock_is_stale_and_goes(where: paths.Paths, capsys: pytest.CaptureFixture[str]) -> None:
    where.control_socket.touch()
    assert cli(["status"]) == 3
    assert capsys.readouterr().out.startswith("stale: ")
    assert not where.control_socket.exists()


def test_nothing_is_stopped(where: paths.Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["status", "--json"]) == 3
    assert '"state":"stopped"' in capsys.readouterr().out


def test_a_foreign_file_in_place_of_the_socket_is_not_listened_to(where: paths.Paths) -> None:
    Path(where.control_socket).write_text("x")
    assert cli(["status"]) == 3
