"""Attaching on a pseudo-terminal: what is sent to it byte by byte, and how it is left. Screens: tests/integration."""

from __future__ import annotations

import os
import pty
import select
import signal
import termios
import time
from collections.abc import Iterator

import pytest

from cowork.cli import terminal
from tests.support.client import TIMEOUT
from tests.support.daemon import Place
from tests.support.shell import COWORK, Shell


class Seat:
    """A pseudo-terminal at which ``cowork attach`` runs; everything it is sent is kept."""

    def __init__(self, shell: Shell, *arguments: str) -> None:
        self.seen = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(shell.work)
                os.execve(COWORK[0], [*COWORK, "attach", *arguments], {**shell.environment, "TERM": "xterm"})
            finally:
                os._exit(99)
        self.before = termios.tcgetattr(self.master)

    def until(self, text: bytes) -> bytes:
        """Wait until it has been sent something; all that was sent so far."""
        end = time.monotonic() + TIMEOUT
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {text!r}: {self.seen!r}"
            try:
                self.seen += os.read(self.master, 65536)
            except OSError:
                raise AssertionError(f"ended without {text!r}: {self.seen!r}") from None
        return self.seen

    def type(self, data: bytes) -> None:
        """Press keys."""
        os.write(self.master, data)

    def end(self) -> int:
        """Read on until it has ended; its exit status."""
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            self.seen += data
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status

    def reap(self) -> None:
        """End it if it has not ended."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def is_as_before(self) -> bool:
        """Whether the terminal is in the modes that it was in."""
        return bool(termios.tcgetattr(self.master) == self.before)


@pytest.fixture
def shell(place: Place) -> Shell:
    return Shell(place)


@pytest.fixture
def seats() -> Iterator[list[Seat]]:
    made: list[Seat] = []
    yield made
    for seat in made:
        os.close(seat.master)
        seat.reap()


def sit(seats: list[Seat], shell: Shell, *arguments: str) -> Seat:
    seats.append(Seat(shell, *arguments))
    return seats[-1]


ASKING = r"printf 'a\033[6n\033[c\033]52;c;eA==\007b\007\033[?2004h\033[?25l'; stty raw -echo; echo ready; exec cat -v"


def test_a_screen_fits_what_is_replayed() -> None:
    """A screen of 200 x 60 cells, each with a colour of its own."""
    assert 200 * 60 * len("\x1b[38;2;255;255;255mx") <= terminal.TAIL


def test_a_replay_asks_the_terminal_nothing(shell: Shell, seats: list[Seat]) -> None:
    session = shell.bg("--tty", "--", "sh", "-c", ASKING)
    first = sit(seats, shell, session)
    first.until(b"ready")
    first.type(b"x")
    first.until(b"x")
    os.kill(first.pid, signal.SIGKILL)
    first.end()
    second = sit(seats, shell, session)
    seen = second.until(b"x")
    for question in (b"\x1b[6n", b"\x1b[c", b"\x1b]52", b"\a"):
        assert question not in seen
    assert b"\x1b[?2004h" in seen
    assert b"\x1b[?25l" in seen
    second.type(b"\x1cd")
    assert second.end() == 0
    assert second.seen.rindex(b"\x1b[?2004l") > second.seen.rindex(b"\x1b[?2004h")
    assert second.seen.rindex(b"\x1b[?25h") > second.seen.rindex(b"\x1b[?25l")


@pytest.mark.parametrize("way", ["detached", "ended", "terminated"])
def test_the_terminal_is_left_as_it_was(shell: Shell, seats: list[Seat], way: str) -> None:
    session = shell.bg("--tty", "--", "sh", "-c", "echo ready; read -r x")
    seat = sit(seats, shell, session)
    seat.until(b"ready")
    assert not seat.is_as_before(), "raw"
    if way == "detached":
        seat.type(b"\x1cd")
    elif way == "ended":
        seat.type(b"\r")
    else:
        os.kill(seat.pid, signal.SIGTERM)
    # Its side closes only with the process, and then its modes cannot be asked for any more.
    seat.until(b"is done" if way == "ended" else b"let go of")
    assert seat.is_as_before()
    assert seat.end() == 0


def test_every_byte_that_is_typed_arrives(shell: Shell, seats: list[Seat]) -> None:
    session = shell.bg("--tty", "--", "sh", "-c", "stty raw -echo; echo ready; head -c 256 | od -An -v -tu1; exec cat")
    seat = sit(seats, shell, session)
    seat.until(b"ready")
    seat.type(bytes(byte for byte in range(256) if byte != 0x1C) + b"\x1c\x1c")
    seat.until(b"255")
    numbers = [int(number) for number in seat.seen.partition(b"ready")[2].split() if number.isdigit()]
    while len(numbers) < 256:
        seat.seen += os.read(seat.master, 65536)
        numbers = [int(number) for number in seat.seen.partition(b"ready")[2].split() if number.isdigit()]
    assert sorted(numbers) == list(range(256))


def test_one_who_only_looks_on_types_nothing(shell: Shell, seats: list[Seat]) -> None:
    session = shell.bg("--tty", "--", "sh", "-c", "stty -echo; echo ready; read -r x; echo got $x; exec sleep 60")
    looking = sit(seats, shell, "-r", session)
    looking.until(b"ready")
    looking.type(b"nothing\r")
    typing = sit(seats, shell, session)
    typing.until(b"ready")
    typing.type(b"something\r")
    looking.until(b"got something")
    looking.type(b"\x03")
    assert looking.end() == 0
    typing.type(b"\x1cd")
    assert typing.end() == 0


def test_a_program_that_does_not_read_is_told_by_the_bell(shell: Shell, seats: list[Seat]) -> None:
    session = shell.bg("--tty", "--", "sh", "-c", "stty raw -echo; echo ready; exec sleep 60")
    seat = sit(seats, shell, session)
    seat.until(b"ready")
    sent = 0
    while b"\a" not in seat.seen:
        assert sent < 64 * 1024 * 1024
        ready, writable, _ = select.select([seat.master], [seat.master], [], TIMEOUT)
        assert ready or writable
        if ready:
            seat.seen += os.read(seat.master, 65536)
        if writable:
            sent += os.write(seat.master, b"z" * 4096)
    os.kill(seat.pid, signal.SIGTERM)
    assert seat.end() == 0
