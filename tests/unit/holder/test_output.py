"""When the child's output is read, and when it has to wait."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.holder import syscalls
from cowork.holder.output import QUIET, RETRY, SMALL, Output
from cowork.holder.spool import STDERR, STDOUT, SpoolWriter
from tests.support.holding import runs_of


class Setup:
    """Two pipes into an ``Output``; the test is the child and the loop, and tells the time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epoll = select.epoll()
        self.out, self.child_out = os.pipe2(os.O_NONBLOCK)
        self.err, self.child_err = os.pipe2(os.O_NONBLOCK)
        writer = SpoolWriter(str(folder), history=0, limit=1 << 40, hold=True)
        self.output = Output(self.epoll, writer, self.out, self.err)

    def ready(self) -> set[int]:
        """Streams that the loop would be woken for."""
        return {fd for fd, _ in self.epoll.poll(0)}

    def runs(self) -> list[tuple[int, bytes]]:
        return runs_of(self.folder, 0, self.output.spool.head)

    def close(self) -> None:
        self.output.close()
        for fd in (self.child_out, self.child_err):
            try:
                os.close(fd)
            except OSError:
                pass
        self.epoll.close()


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path / "spool")
    yield made
    made.close()


def test_a_stream_rests_after_a_small_piece(setup: Setup) -> None:
    os.write(setup.child_out, b"one\n")
    assert setup.ready() == {setup.out}
    assert setup.output.read(setup.out, 100.0)
    os.write(setup.child_out, b"two\n")
    assert setup.ready() == set()
    assert setup.output.deadline == pytest.approx(100.0 + QUIET)
    setup.output.wake(100.0 + QUIET / 2)
    assert setup.ready() == set()
    setup.output.wake(100.0 + QUIET)
    assert setup.ready() == {setup.out}
    assert setup.output.deadline is None


def test_a_large_piece_is_followed_at_once(setup: Setup) -> None:
    os.write(setup.child_out, b"x" * SMALL)
    assert setup.output.read(setup.out, 100.0)
    os.write(setup.child_out, b"y")
    assert setup.ready() == {setup.out}


def test_the_answer_to_a_prompt_is_read_at_once_and_so_is_what_rested(setup: Setup) -> None:
    os.write(setup.child_out, b"one\n")
    setup.output.read(setup.out, 100.0)
    os.write(setup.child_out, b"two\n")
    setup.output.prompt()
    assert setup.ready() == {setup.out}
    assert setup.output.read(setup.out, 100.0)
    os.write(setup.child_out, b"three\n")
    assert setup.ready() == {setup.out}


def test_what_rests_is_not_overtaken_by_the_other_stream(setup: Setup) -> None:
    os.write(setup.child_out, b"1")
    setup.output.read(setup.out, 100.0)
    os.write(setup.child_out, b"2")
    os.write(setup.child_err, b"3")
    assert setup.ready() == {setup.err}
    assert setup.output.read(setup.err, 100.001)
    os.write(setup.child_err, b"4")
    os.write(setup.child_out, b"5")
    assert setup.ready() == {setup.out}
    assert setup.output.read(setup.out, 100.002)
    assert setup.runs() == [(STDOUT, b"12"), (STDERR, b"34"), (STDOUT, b"5")]


def test_a_child_is_held_back_and_let_go(setup: Setup) -> None:
    os.write(setup.child_out, b"x" * SMALL)
    assert setup.output.hold_back(True)
    assert not setup.output.hold_back(True)
    assert setup.output.state == "full"
    assert setup.ready() == set()
    assert setup.output.hold_back(False)
    assert setup.output.state == "open"
    assert setup.ready() == {setup.out}


def test_a_hang_up_does_not_spin_while_held_back(setup: Setup) -> None:
    setup.output.hold_back(True)
    os.close(setup.child_out)
    assert setup.ready() == set()
    setup.output.hold_back(False)
    assert setup.ready() == {setup.out}


def test_the_end_of_both_streams(setup: Setup) -> None:
    os.write(setup.child_out, b"last")
    for fd in (setup.child_out, setup.child_err):
        os.close(fd)
    assert setup.output.read(setup.out, 1.0)
    setup.output.wake(2.0)
    assert not setup.output.read(setup.out, 2.0)
    assert not setup.output.ended
    assert not setup.output.read(setup.err, 2.0)
    assert setup.output.ended
    assert setup.output.state == "ended"
    assert setup.ready() == set()
    assert setup.output.deadline is None


def test_draining_takes_all_that_is_there(setup: Setup) -> None:
    os.write(setup.child_out, b"a" * 60_000)
    os.write(setup.child_err, b"b")
    setup.output.hold_back(True)
    assert setup.output.drain(1.0)
    assert setup.output.spool.head == 60_001
    assert not setup.output.ended


def test_a_full_disk_is_tried_again_also_when_nothing_more_is_printed(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    os.write(setup.child_out, b"data")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)  # the log has it, the index does not
        assert not setup.output.read(setup.out, 10.0)
        assert setup.output.state == "disk full"
        assert setup.output.deadline == 10.0 + RETRY
        assert setup.ready() == set()
        assert not setup.output.drain(10.0)
        assert not setup.output.wake(10.0 + RETRY)
        assert setup.output.state == "disk full"
    assert setup.output.wake(20.0)
    assert setup.output.state == "open"
    assert setup.runs() == [(STDOUT, b"data")]


def test_an_error_that_is_not_about_room_is_not_swallowed(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, "read-only")

    os.write(setup.child_out, b"data")
    monkeypatch.setattr(os, "splice", fail)
    with pytest.raises(OSError, match="read-only"):
        setup.output.read(setup.out, 1.0)


def test_a_terminal_has_one_stream(tmp_path: Path) -> None:
    epoll = select.epoll()
    master, slave = os.openpty()
    os.set_blocking(master, False)
    made = Output(epoll, SpoolWriter(str(tmp_path / "s"), history=0, limit=1, hold=True), master, -1)
    assert made.owns(master)
    assert not made.owns(-1)
    os.write(slave, b"x")
    assert made.read(master, 1.0)
    os.close(slave)  # the terminal answers EIO from now on
    assert not made.read(master, 1.0)
    assert made.ended
    made.close()
    epoll.close()


def test_the_pipe_grows_for_those_who_print_a_lot(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[int] = []
    monkeypatch.setattr(syscalls, "grow_pipe", lambda fd, size: grown.append(fd))
    for _ in range(2):
        os.write(setup.child_out, b"x" * 65536)
        setup.output.read(setup.out, 1.0)
    assert grown == [setup.out]
