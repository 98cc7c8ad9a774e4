"""The helper's own decisions; the whole of it is tested as a command (tests/integration/test_helper_command.py)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cowork import helper, paths
from cowork.errors import NotRunning
from cowork.linux import unixsocket


def test_no_daemon_that_stays_up_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    tried: list[Path] = []

    def fail(where: paths.Paths, listener: object, path: Path, *, debug: bool) -> None:
        tried.append(path)
        raise NotRunning("it cannot be started")

    monkeypatch.setattr(helper, "_lend_once", fail)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    path = tmp_path / "x.sock"
    with pytest.raises(NotRunning, match="5 tries failed"):
        helper.run(path)
    assert tried == [path] * helper.MAX_FAILURES
    assert not path.exists()


def test_another_helper_may_have_been_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> int:
        raise NotRunning("another daemon is running")

    monkeypatch.setattr("cowork.service.background.start", refused)
    monkeypatch.setattr("cowork.service.background.running_pid", lambda where: 4711)
    where = paths.resolve({"HOME": str(tmp_path)})
    assert helper._start_daemon(where, debug=False) == 4711
    monkeypatch.setattr("cowork.service.background.running_pid", lambda where: None)
    with pytest.raises(NotRunning):
        helper._start_daemon(where, debug=False)


def test_a_second_signal_does_not_disturb_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "x.sock"
    unlink = unixsocket.unlink_own

    def lend(*arguments: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def unlink_disturbed(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        unlink(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(helper, "_lend_once", lend)
    monkeypatch.setattr(unixsocket, "unlink_own", unlink_disturbed)
    before = {number: signal.getsignal(number) for number in helper.ENDING}
    try:
        assert helper.run(path) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert not path.exists()
