"""``cowork stop`` where there is nothing to stop; with a daemon it is tested as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowork import paths
from cowork.cli import stop
from cowork.cli.main import cli
from cowork.errors import NotRunning
from cowork.linux.lockfile import LockFile


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> paths.Paths:
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    found = paths.resolve()
    found.make()
    return found


def test_without_a_daemon(where: paths.Paths) -> None:
    with pytest.raises(NotRunning) as caught:
        cli([stop.command.name or ""])
    assert caught.value.exit_status == 3


def test_the_pid_of_a_note_is_not_signalled_when_nobody_holds_the_lock(where: paths.Paths) -> None:
    lock = LockFile(where.lock)
    assert lock.acquire()
    lock.note(b'{"pid":1,"started":0,"version":"1"}')
    lock.release()
    with pytest.raises(NotRunning):
        cli(["stop"])
