"""Attaching to a session on a terminal: its screen comes here, and what is typed here goes there."""

from __future__ import annotations

import os
import select
import signal
import termios
import tty
from typing import TYPE_CHECKING, Self

from cowork.cli.keys import Detector
from cowork.cli.screen import Modes, replay
from cowork.errors import HolderError
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.follow import Follower

if TYPE_CHECKING:
    from pathlib import Path

    from cowork.cli.keys import Key
    from cowork.sessions.directory import SessionDirectory

TAIL = 256 * 1024
"""Bytes of output that the screen is restored from."""
BEFORE = 1024 * 1024
"""Bytes in front of them that are looked through for modes of the terminal; and the first ones, where programs set
them."""
_BEGINNING = 64 * 1024
_CTRL_C = b"\x03"
_CANCEL = b"\x18"
"""Breaks off an escape sequence."""


def attach(
    directory: SessionDirectory, runtime: Path, keys: tuple[Key, ...], *, read_only: bool
) -> bool:  # fmt: skip
    """Until the session has ended; False if it was let go of before, or if this terminal has gone away."""
    with Follower(directory, runtime) as follower, Window() as window:
        attachment = Attachment(directory, runtime, follower, window, Detector(keys), read_only=read_only)
        try:
            return attachment.run()
        finally:
            attachment.close()


class Window:
    """Our own terminal in raw mode; a context manager that leaves it as it was. Resizing makes ``fd`` readable."""

    def __init__(self) -> None:
        self._before = termios.tcgetattr(0)
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        self.fd, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._old_wake = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in (signal.SIGWINCH, signal.SIGCONT, signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, lambda *_: None)
        self.make_raw()
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)
        except termios.error:
            pass  # it has gone away
        signal.set_wakeup_fd(self._old_wake)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self.fd)
        os.close(self._wake)

    def make_raw(self) -> None:
        """Every byte as it is typed. Nothing that was typed before is lost."""
        tty.setraw(0, termios.TCSADRAIN)

    def signals(self) -> set[int]:
        """Those that have come since the last call: a storm of them is one."""
        try:
            return set(os.read(self.fd, 65536))
        except BlockingIOError:
            return set()

    def size(self) -> tuple[int, int]:
        """Rows and columns; (0, 0) if it does not tell."""
        try:
            found = os.get_terminal_size(0)
        except OSError:
            return 0, 0
        return found.lines, found.columns


class Attachment:
    """One terminal on one session."""

    def __init__(
        self, directory: SessionDirectory, runtime: Path, follower: Follower, window: Window, detector: Detector, *,
        read_only: bool,
    ) -> None:  # fmt: skip
        self._follower = follower
        self._window = window
        self._detector = detector
        self._read_only = read_only
        self._modes = Modes()
        # Answers to what is written must not be mixed up with the news of output.
        path = socket_path(runtime, directory.id)
        self._holder = None if follower.ended else BlockingClient.connect(path)

    def close(self) -> None:
        """Leave the terminal in the modes that a shell expects."""
        if self._holder is not None:
            self._holder.close()
        try:
            _write(self._modes.undo() + b"\r\n")
        except OSError:
            pass

    def run(self) -> bool:
        """See ``attach``."""
        try:
            self._restore()
            return self._loop()
        except OSError:
            return False  # the terminal has gone away

    def _restore(self) -> None:
        """Show what the screen of the session shows."""
        follower = self._follower
        begin = max(0, follower.head - TAIL)
        before = Modes()
        for start, end in ((0, min(_BEGINNING, begin)), (max(_BEGINNING, begin - BEFORE), begin)):
            before.feed(_CANCEL)  # what the block before has cut off does not go on here
            for data in self._between(start, end):
                before.feed(data)
        self._modes = before
        tail = b"".join(self._between(begin, follower.head))
        _write(replay(tail, before, complete=begin == 0 and not follower.lost))
        self._modes.feed(tail)
        if not self._read_only:
            # A program that draws its whole screen does so when the size changes, also where it is the same again.
            self._resize(jiggle=begin > 0)

    def _between(self, start: int, end: int) -> list[bytes]:
        follower = self._follower
        head, follower.head, follower.offset = follower.head, end, start
        try:
            return [follower.read(run) for run in follower.runs()] if start < end else []
        finally:
            follower.head, follower.offset = head, end

    def _loop(self) -> bool:
        """Whether the session has ended."""
        poll = select.poll()
        for fd in (0, self._window.fd, *([] if self._follower.holder is None else [self._follower.holder.fileno()])):
            poll.register(fd, select.POLLIN)
        while True:
            for run in self._follower.runs():
                data = self._follower.read(run)
                self._modes.feed(data)
                _write(data)
            if self._follower.ended:
                return True
            for fd, _ in poll.poll():
                if fd == 0:
                    if not self._type(os.read(0, 65536)):
                        return False
                elif fd == self._window.fd:
                    if not self._signalled():
                        return False
                else:
                    self._follower.poll()

    def _type(self, data: bytes) -> bool:
        """Hand on what was typed; False when that is the end of it."""
        if not data:
            return False
        typed, detached = self._detector.feed(data)
        if self._read_only:
            return not detached and _CTRL_C not in typed
        if typed:
            self._resize()  # the one who types is the one whose size counts
            self._send(typed)
        return not detached

    def _send(self, typed: bytes) -> None:
        if self._holder is None:
            return
        try:
            if self._holder.write(typed) is not None:
                _write(b"\a")  # it does not read, or has ended, which is about to be told
        except (HolderError, OSError):
            self._holder.close()
            self._holder = None

    def _signalled(self) -> bool:
        numbers = self._window.signals()
        if numbers & {signal.SIGTERM, signal.SIGHUP}:
            return False
        if signal.SIGCONT in numbers:
            self._window.make_raw()
        if not self._read_only:
            self._resize(jiggle=signal.SIGCONT in numbers)
        return True

    def _resize(self, *, jiggle: bool = False) -> None:
        rows, columns = self._window.size()
        if self._holder is None or not rows or not columns:
            return
        try:
            if jiggle:
                self._holder.resize(rows, max(1, columns - 1))
            self._holder.resize(rows, columns)
        except OSError:
            pass  # it has ended, which is about to be told


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except BlockingIOError:
            select.select([], [1], [])
