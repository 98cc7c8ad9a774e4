"""A lock that ends with its holder."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cowork.linux.lockfile import LockFile

HOLDER = """
import sys, signal
from pathlib import Path
from cowork.linux.lockfile import LockFile
lock = LockFile(Path(sys.argv[1]))
assert lock.acquire()
lock.note(b"a longer note")
lock.note(b"note")
print("held", flush=True)
signal.pause()
"""


def test_one_has_it_at_a_time(tmp_path: Path) -> None:
    first, second = LockFile(tmp_path / "l"), LockFile(tmp_path / "l")
    assert not first.held()
    assert first.read() == b""
    assert first.acquire()
    assert second.held()
    assert not second.acquire()
    first.release()
    first.release()
    assert not second.held()
    assert second.acquire()
    second.release()
    assert (tmp_path / "l").stat().st_mode & 0o777 == 0o600


def test_it_ends_with_its_holder_and_the_note_stays(tmp_path: Path) -> None:
    lock = LockFile(tmp_path / "l")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "l")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert lock.held()
        assert not lock.acquire()
        assert lock.read() == b"note"
        waiter = threading.Thread(target=lock.wait_until_free)
        waiter.start()
        process.send_signal(signal.SIGKILL)
        waiter.join(timeout=30)
        assert not waiter.is_alive()
    assert not lock.held()
    assert lock.acquire()
    assert lock.read() == b"note"
    lock.release()


def test_many_that_wait_have_it_one_after_the_other(tmp_path: Path) -> None:
    first, order, inside = LockFile(tmp_path / "l"), list[int](), list[int]()

    def have_it(number: int) -> None:
        lock = LockFile(tmp_path / "l")
        lock.acquire_when_free()
        inside.append(number)
        order.append(len(inside))
        inside.remove(number)
        lock.release()

    first.acquire_when_free()
    waiters = [threading.Thread(target=have_it, args=(number,)) for number in range(8)]
    for each in waiters:
        each.start()
    assert order == []
    first.release()
    for each in waiters:
        each.join(timeout=30)
    assert order == [1] * 8
    assert not first.held()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        LockFile(tmp_path / "l").acquire()
    assert not (tmp_path / "target").exists()
