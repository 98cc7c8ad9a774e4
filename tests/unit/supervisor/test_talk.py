"""Speaking to a session, and the proof that it has heard."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from cowork.errors import CoworkError, HolderError, NotRunning, NotTaken
from cowork.holder.stdin import LIMIT
from cowork.supervisor import messages
from cowork.supervisor.talk import Talk
from tests.support import stream as s
from tests.support.holding import Held, Place, child, wait_gone
from tests.support.supervised import Home


def talk_to(held: Held) -> Talk:
    return Talk(held.directory, held.place.runtime)


def test_the_proof_is_in_what_it_prints_from_then_on(home: Home) -> None:
    held = home.claude("hello")
    home.until(held, "idle")
    with talk_to(held) as talk:
        talk.write(messages.user("again", "u-9"))
        line = talk.until(lambda line: b'"u-9"' in line and b"isReplay" in line)
        assert line == s.typed("again", "u-9")
        assert talk.until(lambda line: b'"type":"result"' in line) == s.result("done", uuids=("u-9",))
    assert home.until(held, "idle").results == 2


def test_what_was_printed_before_is_no_proof(here: Place) -> None:
    held = here.start(["/bin/cat"])
    held.client.write(b"one\n")
    held.until(b"one\n")
    with talk_to(held) as talk, pytest.raises(NotTaken, match="has not shown that it took it") as caught:
        talk.until(lambda line: line == b"one", 0.05)
    assert caught.value.hint == f"cowork logs {held.directory.id}"


def test_each_line_is_looked_at_once_though_many_come_together(here: Place) -> None:
    held = here.start(["/bin/cat"])
    seen: list[bytes] = []

    def take(line: bytes) -> bool:
        seen.append(line)
        return line in (b"b", b"d")

    with talk_to(held) as talk:
        talk.write(b"a\nb\nc\nd\ne\nhalf")
        held.until(b"half")
        assert talk.until(take) == b"b"
        assert talk.until(take) == b"d"
        talk.write(b" and half\nd\n")
        assert talk.until(take) == b"d"
    assert seen == [b"a", b"b", b"c", b"d", b"e", b"half and half", b"d"]


def test_what_it_said_while_something_else_was_answered_is_not_missed(here: Place) -> None:
    held = here.start(["/bin/cat"])
    with talk_to(held) as talk:
        talk.write(b"one\n")
        held.until(b"one\n")
        assert talk.drained(), "the holder's answer comes behind its note of the line"
        assert talk.until(lambda line: line == b"one", 1.0) == b"one"


def test_the_last_words_of_one_that_ends_are_heard(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "read -r line; echo noise; printf 'got %s\\n' \"$line\""])
    with talk_to(held) as talk:
        talk.write(b"it\n")
        assert talk.until(lambda line: line == b"got it") == b"got it"
        assert talk.until(lambda line: False) is None


def test_the_last_words_are_heard_though_the_end_was_learned_first(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "read -r line; printf 'got %s\\n' \"$line\""])
    with talk_to(held) as talk:
        talk.write(b"it\n")
        held.wait()
        with pytest.raises(NotRunning):
            talk.write(b"more\n")
        assert talk.until(lambda line: line == b"got it") == b"got it"


def test_one_that_ends_without_it_is_told(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "read -r line; echo other"])
    with talk_to(held) as talk:
        talk.write(b"it\n")
        assert talk.until(lambda line: line == b"it") is None
        with pytest.raises(NotRunning, match="has ended without taking it") as caught:
            talk.ended_without_it()
    assert caught.value.hint == f"cowork logs {held.directory.id}"


@pytest.mark.parametrize("how", ["by itself", "with its holder"])
def test_one_that_has_ended_cannot_be_spoken_to(here: Place, how: str) -> None:
    held = here.start(["/bin/cat"])
    if how == "by itself":
        held.client.close_stdin()
        held.wait()
    else:
        held.kill_holder()
    with pytest.raises(NotRunning, match=f"session {held.directory.id} does not run") as caught:
        talk_to(held)
    assert caught.value.hint == f"cowork logs {held.directory.id}"


def test_a_holder_that_is_killed_is_the_end(here: Place) -> None:
    held = here.start(["/bin/cat"])
    with talk_to(held) as talk:
        held.kill_holder()
        assert talk.until(lambda line: True) is None
        with pytest.raises(NotRunning):
            talk.write(b"x")
        with pytest.raises(NotRunning):
            talk.close_stdin()
        assert not talk.drained()


SPEAKING: list[Callable[[Talk], object]] = [
    lambda talk: talk.write(b"x\n"), lambda talk: talk.close_stdin(), lambda talk: talk.drained(),
    lambda talk: talk.until(lambda line: True),
]  # fmt: skip


def test_a_holder_that_does_not_answer_has_not_ended(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cowork.supervisor.talk.ANSWERING", 0.1)
    held = here.start(["/bin/cat"])
    with talk_to(held) as talk:
        held.client.status()
        os.kill(held.holder, signal.SIGSTOP)
        try:
            with pytest.raises(HolderError, match="does not answer"):
                talk_to(held)
            for speak in SPEAKING:
                with pytest.raises(NotTaken, match="does not answer"):
                    speak(talk)
        finally:
            os.kill(held.holder, signal.SIGCONT)


# -- stdin


def test_what_is_over_the_limit_is_refused_whole(here: Place) -> None:
    held = here.start(child("never_reads"))
    with talk_to(held) as talk:
        talk.write(b"x" * (LIMIT - 10))
        with pytest.raises(NotTaken, match="does not read its stdin, and the queue before it is full"):
            talk.write(b"x" * (1 << 17))
        talk.write(b"x" * 10)


def test_one_that_has_closed_its_stdin_takes_nothing(here: Place) -> None:
    held = here.start(["/bin/cat"])
    with talk_to(held) as talk:
        talk.close_stdin()
        with pytest.raises(NotRunning, match=r"takes nothing any more: its stdin is (closed|ended)"):
            talk.write(b"x")


def test_drained_is_when_the_child_has_it(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "echo ready; kill -STOP $$; exec cat >/dev/null"])
    held.first_line()
    with talk_to(held) as talk:
        assert talk.drained(), "nothing was written"
        talk.write(b"x" * 1_000_000)
        with pytest.raises(NotTaken, match="does not read its stdin") as caught:
            talk.drained(0.05)
        assert caught.value.hint == "it gets it when it does"
        os.kill(held.pid, signal.SIGCONT)
        assert talk.drained()


def test_drained_says_no_when_stdin_is_closed_before(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "echo ready; kill -STOP $$; exec <&-; echo closed; exec sleep 60"])
    held.first_line()
    with talk_to(held) as talk:
        talk.write(b"x" * 1_000_000)
        os.kill(held.pid, signal.SIGCONT)
        assert not talk.drained()
    held.until(b"closed")


def test_drained_says_no_when_it_ends_before(here: Place) -> None:
    held = here.start(child("never_reads"))
    found: list[bool | CoworkError] = []

    def wait() -> None:
        try:
            found.append(talk.drained())
        except CoworkError as e:
            found.append(e)

    with talk_to(held) as talk:
        talk.write(b"x" * 1_000_000)
        waiting = threading.Thread(target=wait)
        waiting.start()
        os.kill(held.pid, signal.SIGKILL)
        held.wait()
        waiting.join()
        assert found == [False]
        assert not talk.drained(), "also when it was over from the start"
    wait_gone(held.holder)


def test_letting_go_ends_nothing(here: Place) -> None:
    held = here.start(["/bin/cat"])
    with talk_to(held) as talk:
        talk.write(b"half")
    held.until(b"half")
    with talk_to(held) as talk:
        talk.write(b" a line\n")
        assert talk.until(lambda line: True) == b" a line"
