"""News of sessions: that one has printed, has ended, or is new."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord, SessionRecord, new_id
from cowork.supervisor import watch as module
from cowork.supervisor.watch import Watch
from tests.support.holding import PATIENCE, child
from tests.support.supervised import Home


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.05)


def until(watch: Watch, id: str) -> set[str]:
    """Wait for news of one session; of whom there were any meanwhile."""
    found: set[str] = set()
    while id not in found:
        news = watch.wait(PATIENCE)
        assert news, f"no news of {id}"
        found |= news
    return found


def recorded(home: Home, **fields: object) -> SessionDirectory:
    """A session of which there is the record, and nobody who holds it."""
    directory = SessionDirectory(home.sessions, new_id())
    directory.create(SessionRecord(id=directory.id, kind="shell", name="test")).close()
    return directory


def test_output_is_news_and_silence_is_none(home: Home) -> None:
    one, other = home.start(["/bin/cat"]), home.start(["/bin/cat"])
    with Watch(home.where) as watch:
        assert watch.wait(0) == watch.wait(0.01) == set()
        one.client.write(b"x")
        assert watch.wait(PATIENCE) == {one.directory.id}
        one.client.write(b"x")
        other.client.write(b"x")
        news: set[str] = set()
        while news != {one.directory.id, other.directory.id}:
            more = watch.wait(PATIENCE)
            assert more
            news |= more


def test_news_from_before_the_wait_are_kept(home: Home) -> None:
    held = home.start(["/bin/cat"])
    with Watch(home.where) as watch:
        held.client.write(b"x")
        held.until(b"x")
        held.client.status()  # answered when everybody has been told
        assert watch.wait(0) == {held.directory.id}


def test_much_output_is_news_as_often_as_one_looks(home: Home) -> None:
    held = home.start(child("floods", 3_000_000), hold=False)
    with Watch(home.where) as watch:
        until(watch, held.directory.id)
        held.wait()
        until(watch, held.directory.id)
        assert watch.wait(0) == set()


def test_an_end_is_news_once(home: Home) -> None:
    held, other = home.start(["/bin/cat"]), home.start(["/bin/cat"])
    with Watch(home.where) as watch:
        held.client.close_stdin()
        held.wait()
        assert until(watch, held.directory.id) == {held.directory.id}
        assert watch.wait(0.2) == set()
        other.client.write(b"x")
        assert until(watch, other.directory.id) == {other.directory.id}


def test_the_end_of_a_holder_is_news_again_when_it_is_surely_dead(home: Home) -> None:
    """Its connections are closed while it still counts as alive, so the first look may be in vain."""
    held = home.start(["/bin/cat"])
    with Watch(home.where) as watch:
        held.kill_holder()
        assert watch.wait(PATIENCE) == {held.directory.id}
        assert watch.wait(PATIENCE) == {held.directory.id}
        assert watch.wait(0.2) == set()


def test_a_new_session_is_news_and_so_is_what_it_prints(home: Home) -> None:
    with Watch(home.where) as watch:
        held = home.start(["/bin/cat"])
        until(watch, held.directory.id)
        while home.seen(held).head == 0:
            held.client.write(b"x")
            until(watch, held.directory.id)


def test_one_that_is_removed_is_news(home: Home) -> None:
    held = home.start(child("exits_at_once", 0))
    held.wait()
    with Watch(home.where) as watch:
        assert watch.wait(0.1) == set(), "one that has ended before is no news"
        held.directory.remove()
        assert until(watch, held.directory.id) == {held.directory.id}


def test_only_those_that_are_named_are_watched(home: Home) -> None:
    one, other = home.start(["/bin/cat"]), home.start(["/bin/cat"])
    with Watch(home.where, [one.directory.id]) as watch:
        other.client.write(b"x")
        other.until(b"x")
        home.start(["/bin/cat"])
        assert watch.wait(0.2) == set()
        one.client.write(b"x")
        assert watch.wait(PATIENCE) == {one.directory.id}


@pytest.mark.parametrize("named", [True, False])
def test_one_that_was_not_reached_before_it_ended_is_news(home: Home, named: bool) -> None:
    """Its record is there before its holder listens, and it may have ended by the next look."""
    directory = recorded(home)
    with Watch(home.where, [directory.id] if named else None) as watch:
        assert watch.wait(0) == set()
        directory.write_exit(ExitRecord(exit_code=1))
        assert until(watch, directory.id) == {directory.id}
        assert watch.wait(0.2) == set()


def test_one_that_was_not_reached_at_first_is_reached_later(home: Home) -> None:
    held = home.prepare(["/bin/cat"])
    with Watch(home.where) as watch:
        held.client = home.begin(held)
        held.status = held.client.started()
        home.adopt(held)
        until(watch, held.directory.id)
        held.client.write(b"x")
        until(watch, held.directory.id)


def test_a_holder_that_listens_anew_is_found_again(home: Home) -> None:
    """The runtime folder goes with its user's last logout."""
    held = home.start(["/bin/cat"])
    os.unlink(held.socket)
    with Watch(home.where) as watch:
        assert watch.wait(0.1) == set()
        os.kill(held.holder, signal.SIGUSR1)
        assert until(watch, held.directory.id) == {held.directory.id}
        held.client.write(b"x")
        assert until(watch, held.directory.id) == {held.directory.id}


def test_a_holder_that_does_not_answer_keeps_nobody_from_the_others(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "ANSWERING", 0.2)
    silent, held = home.start(["/bin/cat"]), home.start(["/bin/cat"])
    silent.client.status()
    os.kill(silent.holder, signal.SIGSTOP)
    try:
        with Watch(home.where) as watch:
            held.client.write(b"x")
            assert until(watch, held.directory.id) == {held.directory.id}
    finally:
        os.kill(silent.holder, signal.SIGCONT)


def test_without_patience_it_waits_for_ever(home: Home) -> None:
    held = home.start(["/bin/cat"])
    found: list[set[str]] = []
    with Watch(home.where) as watch:
        waiting = threading.Thread(target=lambda: found.append(watch.wait()))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        held.client.write(b"x")
        waiting.join()
    assert found == [{held.directory.id}]


def test_nothing_is_left_open(home: Home) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    held, other = home.start(["/bin/cat"]), home.start(["/bin/cat"])
    before = descriptors()
    looks: list[Callable[[], object]] = [lambda: watch.wait(0.1), other.kill_holder, lambda: watch.wait(0.1)]
    with Watch(home.where) as watch:
        assert descriptors() > before
        for look in looks:
            look()
    assert descriptors() == before
    assert home.seen(held).state == "working", "letting go ends nothing"


def test_nowhere_yet(home: Home) -> None:
    home.sessions.rmdir()
    with Watch(home.where) as watch:
        assert watch.wait(0.1) == set()
