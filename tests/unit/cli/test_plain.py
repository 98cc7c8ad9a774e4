"""Attaching to a program that has no terminal: what it prints as it comes, and the lines that are typed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cowork.cli import plain
from cowork.supervisor.ending import send
from tests.support.desk import PATIENCE, Desk
from tests.support.holding import child, numbered


@contextmanager
def stdin(data: bytes = b"", *, goes_on: bool = False) -> Iterator[tuple[int, int]]:
    """This process's stdin is a pipe with these bytes in it, to which no more come unless it goes on; its two ends."""
    source, sink = os.pipe()
    os.write(sink, data)
    if not goes_on:
        os.close(sink)
    kept = os.dup(0)
    os.dup2(source, 0)
    try:
        yield source, sink
    finally:
        os.dup2(kept, 0)
        for fd in (kept, source, *([sink] if goes_on else [])):
            os.close(fd)


def attach(desk: Desk, session: str, *, read_only: bool = False) -> bool:
    return plain.attach(desk.directory(session), desk.where.runtime, read_only=read_only)


def shown(capture: pytest.CaptureFixture[bytes]) -> tuple[bytes, bytes]:
    return capture.readouterr()


@contextmanager
def once_shown(text: bytes, act: Callable[[], object]) -> Iterator[bytearray]:
    """Do something when a text has been shown; what was shown in all."""
    found = bytearray()
    source, sink = os.pipe()
    kept = os.dup(1)

    def read() -> None:
        done = False
        while data := os.read(source, 65536):
            found.extend(data)
            if text in found and not done:
                done = True
                act()

    reader = threading.Thread(target=read)
    os.dup2(sink, 1)
    os.close(sink)
    reader.start()
    try:
        yield found
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        reader.join(PATIENCE)
        os.close(source)
        assert not reader.is_alive()


def test_what_is_typed_gets_there_and_what_it_prints_comes_back(
    desk: Desk, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    session = desk.bg("--", "sh", "-c", r'read -r line; echo "got $line"; printf "oh \377\n" >&2; exit 3')
    with stdin(b"one\ntwo\n"):
        assert attach(desk, session), "it has ended"
    assert shown(capfdbinary) == (b"got one\n", b"oh \xff\n")
    assert desk.seen(session).exit_code == 3


def test_what_is_typed_later_gets_there_too(desk: Desk) -> None:
    session = desk.bg("--", "sh", "-c", 'for n in 1 2; do read -r line; echo "got $line"; done')
    with (
        stdin(b"one\n", goes_on=True) as (_, typing),
        once_shown(b"got one\n", lambda: os.write(typing, b"two\n")) as found,
    ):
        assert attach(desk, session)
    assert bytes(found) == b"got one\ngot two\n"


def test_the_end_of_what_is_typed_is_not_the_end_of_what_is_shown(desk: Desk) -> None:
    session = desk.bg("--", *child("polite"))
    end, reads = signal.SIGTERM, []

    def read(fd: int, count: int) -> bytes:
        if fd == 0:
            reads.append(count)
        return really(fd, count)

    really = os.read
    desk.patch.setattr(os, "read", read)
    with stdin(), once_shown(b"ready\n", lambda: send(desk.directory(session), desk.where.runtime, end)) as found:
        assert attach(desk, session)
    assert bytes(found) == b"ready\nbye\n"
    assert len(reads) == 1, "it is not asked again and again"


def test_what_was_said_before_comes_before(desk: Desk) -> None:
    session = desk.bg("--", "echo", "hello")
    desk.ended(session)
    with once_shown(b"hello\n", lambda: None) as found, open(1, "w", closefd=False) as out:
        desk.patch.setattr("sys.stdout", out)
        out.write("before\n")
        assert attach(desk, session, read_only=True)
    assert bytes(found) == b"before\nhello\n"


def test_who_only_looks_on_types_nothing(desk: Desk) -> None:
    session = desk.bg("--", *child("polite"))
    end = signal.SIGTERM
    with (
        stdin(b"typed\n", goes_on=True) as (typed, _),
        once_shown(b"ready\n", lambda: send(desk.directory(session), desk.where.runtime, end)),
    ):
        assert attach(desk, session, read_only=True)
        assert os.read(typed, 100) == b"typed\n", "nobody has taken it"


def test_one_that_takes_nothing_any_more_is_looked_at_to_its_end(desk: Desk) -> None:
    session = desk.bg("--", *child("closes_stdin"))
    desk.printed(session, b"closed\n")
    said: list[str] = []

    def note(text: str) -> None:
        said.append(text)
        send(desk.directory(session), desk.where.runtime, signal.SIGKILL)

    desk.patch.setattr("cowork.cli.output.note", note)
    with stdin(b"hello?\n", goes_on=True):
        assert attach(desk, session)
    assert said == [f"session {session} takes nothing any more: its stdin is closed"]


def test_one_that_has_ended_is_shown_from_a_little_before_its_end(
    desk: Desk, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    session = desk.bg("--", *child("floods", 300_000))
    desk.ended(session)
    shown(capfdbinary)
    with stdin(b"too late\n", goes_on=True):
        assert attach(desk, session)
    assert shown(capfdbinary) == (numbered(300_000)[-plain.HISTORY :], b"")


def test_ctrl_c_lets_go_and_the_session_goes_on(desk: Desk) -> None:
    session = desk.bg("--", *child("polite"))
    attached = threading.Event()
    attached.set()

    def interrupt(number: int, frame: object) -> None:
        if attached.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    main = threading.main_thread().ident
    assert main is not None
    try:
        with (
            stdin(goes_on=True),
            once_shown(b"ready\n", lambda: signal.pthread_kill(main, signal.SIGINT)) as found,
        ):  # fmt: skip
            assert not attach(desk, session)
            attached.clear()
    finally:
        signal.signal(signal.SIGINT, before)
    assert bytes(found) == b"ready\n"
    assert desk.seen(session).live
