"""What is said of every session without a daemon."""

from __future__ import annotations

import os
import signal

from cowork.sessions.directory import SessionDirectory
from cowork.sessions.leftovers import bury
from cowork.sessions.overview import SessionOverview, look
from cowork.sessions.record import SessionRecord, new_id
from tests.support.holding import Place, child, wait_gone


def seen(place: Place) -> dict[str, SessionOverview]:
    return {one.id: one for one in look(place.sessions, place.runtime)}


def test_no_sessions(here: Place) -> None:
    assert look(here.sessions, here.runtime) == []
    assert look(here.folder / "none", here.runtime) == []


def test_a_session_that_runs(here: Place) -> None:
    held = here.start(["/bin/cat"])
    assert held.client.write(b"12345\n") is None
    held.until(b"12345\n")
    one = seen(here)[held.directory.id]
    assert (one.state, one.pid, one.head, one.output) == ("running", held.pid, 6, "open")
    assert (one.argv, one.kind, one.name, one.exit_code) == (["/bin/cat"], "shell", "test", None)


def test_sessions_that_have_ended(here: Place) -> None:
    seven = here.start(child("exits_at_once", 7))
    killed = here.start(["/bin/cat"])
    seven.wait()
    os.kill(killed.pid, signal.SIGTERM)
    killed.wait()
    found = seen(here)
    one, other = found[seven.directory.id], found[killed.directory.id]
    assert (one.state, one.exit_code, one.signal) == ("ended", 7, "")
    assert (other.state, other.exit_code, other.signal) == ("ended", -1, "SIGTERM")
    assert one.ended > 0


def test_a_session_whose_holder_was_killed_is_lost_before_and_after_its_burial(here: Place) -> None:
    held = here.start(["/bin/cat"])
    held.kill_holder()
    assert seen(here)[held.directory.id].state == "lost"
    bury(held.directory)
    wait_gone(held.pid)
    assert seen(here)[held.directory.id].state == "lost"


def test_a_damaged_one_does_not_hide_the_others_and_the_oldest_is_first(here: Place) -> None:
    for created in (3.0, 1.0, 2.0):
        directory = SessionDirectory(here.sessions, new_id())
        directory.create(SessionRecord(id=directory.id, kind="shell", name=str(created), created=created)).close()
        (directory.path / "exit.json").write_text("{}")
    broken = SessionDirectory(here.sessions, new_id())
    broken.create(SessionRecord(id=broken.id, kind="shell", name="x")).close()
    (broken.path / "session.json").write_text("{")
    found = look(here.sessions, here.runtime)
    assert [one.name for one in found] == ["", "1.0", "2.0", "3.0"]
    assert (found[0].id, found[0].state) == (broken.id, "unreadable")
    assert str(broken.path) in found[0].detail
