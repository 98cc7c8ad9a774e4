"""The parts of the daemon's life that need no process; the rest is in tests/integration/test_service_stop.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cowork.backends.host import HostBackend
from cowork.errors import PolicyError
from cowork.linux.lockfile import LockFile
from cowork.service import daemon
from cowork.service.daemon import LockNote, Options, holder_of
from tests.support.service import paths_below


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (msgspec.json.encode(LockNote(17, 1.0, "x")), " (pid 17)"),
        (b"", ""),
        (b"{", ""),
        (b'{"pid":"x"}', ""),
        (b"\xff", ""),
    ],
)
def test_who_holds_the_lock(tmp_path: Path, note: bytes, expected: str) -> None:
    lock = LockFile(tmp_path / "lock")
    assert lock.acquire()
    lock.note(note)
    assert holder_of(LockFile(tmp_path / "lock")) == expected
    lock.release()


def test_nobody_has_ever_held_it(tmp_path: Path) -> None:
    assert holder_of(LockFile(tmp_path / "lock")) == ""


def test_a_second_one_is_refused_before_it_touches_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cowork.service.logs.set_up", lambda **_: None)
    (tmp_path / "r").mkdir()
    paths = paths_below(tmp_path)
    lock = LockFile(paths.lock)
    assert lock.acquire()
    lock.note(msgspec.json.encode(LockNote(os.getpid(), 1.0, "x")))
    with pytest.raises(PolicyError, match=rf"running \(pid {os.getpid()}\)") as raised:
        daemon.run(paths, Options(HostBackend(), [tmp_path / "r" / "a.sock"]))
    assert raised.value.hint
    assert not (tmp_path / "r" / "a.sock").exists()
    lock.release()


LATE = """
import os
import threading
from cowork.service.daemon import ENDING, EndingLoop
loop = EndingLoop()
for number in ENDING:
    loop.add_signal_handler(number, print)
over = threading.Event()
other = threading.Thread(target=over.wait)
other.start()
loop.close()
for number in ENDING:
    os.kill(os.getpid(), number)
over.set()
other.join()
"""


def test_a_signal_behind_the_end_is_no_failure() -> None:
    """G68: the daemon has served, and its last steps take a moment; a thread of it may still be at work."""
    subprocess.run([sys.executable, "-c", LATE], check=True)
