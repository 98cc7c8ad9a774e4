"""What is said of every session without a daemon."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from cowork.sessions.directory import SessionDirectory
from cowork.sessions.leftovers import bury
from cowork.sessions.record import ExitRecord, MountRecord, SessionRecord, StopRecord, WorktreeRecord, new_id
from cowork.supervisor import overview
from cowork.supervisor.conversation import Prompt
from cowork.supervisor.overview import SessionOverview, ended_state, look, view, why_blocked
from tests.support import stream as s
from tests.support.holding import PATIENCE, Place, child, wait_gone
from tests.support.supervised import SPEAKS, Home


def seen(place: Place) -> dict[str, SessionOverview]:
    return {one.id: one for one in look(place.sessions, place.runtime)}


def written(place: Place, **fields: object) -> SessionDirectory:
    """A session of which there is nothing but its record."""
    directory = SessionDirectory(place.sessions, new_id())
    usual: dict[str, object] = {"id": directory.id, "kind": "shell", "name": "test", "created": time.time()}
    directory.create(msgspec.convert({**usual, **fields}, SessionRecord)).close()
    return directory


def test_no_sessions(here: Place) -> None:
    assert look(here.sessions, here.runtime) == []
    assert look(here.folder / "none", here.runtime) == []


# -- what has no conversation


def test_a_command_that_runs_is_working(here: Place) -> None:
    held = here.start(["/bin/cat"])
    before = time.time()
    assert held.client.write(b"12345\n") is None
    held.until(b"12345\n")
    one = seen(here)[held.directory.id]
    assert (one.state, one.detail, one.pid, one.head, one.output) == ("working", "", held.pid, 6, "open")
    assert (one.argv, one.kind, one.name, one.exit_code) == (["/bin/cat"], "shell", "test", None)
    assert abs(one.last_event - before) < PATIENCE, "when it printed, by the clock of its files"
    assert (one.live, one.settled) == (True, False)


def test_commands_that_have_ended(here: Place) -> None:
    good, seven, killed = (here.start(a) for a in (child("exits_at_once", 0), child("exits_at_once", 7), ["/bin/cat"]))
    good.wait()
    seven.wait()
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    found = seen(here)
    states = [(one.state, one.detail, one.exit_code, one.signal) for one in
              (found[held.directory.id] for held in (good, seven, killed))]  # fmt: skip
    assert states == [
        ("done", "", 0, ""), ("failed", "exit status 7", 7, ""), ("failed", "SIGKILL", -1, "SIGKILL"),
    ]  # fmt: skip
    assert all(one.ended > 0 and not one.live for one in found.values())
    assert [one.settled for one in found.values() if one.state == "done"] == [True]


ENDS = [
    (ExitRecord(exit_code=0), None, "done", ""),
    (ExitRecord(exit_code=3), None, "failed", "exit status 3"),
    (ExitRecord(exit_code=130), None, "stopped", "SIGINT, exit status 130"),
    (ExitRecord(exit_code=143), None, "stopped", "SIGTERM, exit status 143"),
    (ExitRecord(exit_code=137), None, "failed", "exit status 137"),
    (ExitRecord(exit_code=255), None, "failed", "exit status 255"),
    (ExitRecord(signal="SIGHUP"), None, "stopped", "SIGHUP"),
    (ExitRecord(signal="SIGSEGV"), None, "failed", "SIGSEGV"),
    (ExitRecord(signal="SIGKILL", oom_kill_count=1), None, "failed", "out of memory"),
    (ExitRecord(signal="SIGKILL", oom_kill_count=0), None, "failed", "SIGKILL"),
    (ExitRecord(signal="SIGKILL"), "SIGKILL", "stopped", "asked to, by SIGKILL"),
    (ExitRecord(exit_code=1), "SIGTERM", "stopped", "asked to, by SIGTERM"),
    (ExitRecord(lost=True), "SIGTERM", "failed", "its holder was killed, and its end was not seen"),
]


@pytest.mark.parametrize(("ended", "asked", "state", "detail"), ENDS)
def test_how_an_end_is_called(ended: ExitRecord, asked: str | None, state: str, detail: str) -> None:
    stop = None if asked is None else StopRecord(asked=1.0, signal=asked)
    assert ended_state(ended, stop) == (state, detail)
    assert state in overview.ENDED < set(overview.STATES)


def test_an_end_that_was_asked_for_is_no_failure(here: Place) -> None:
    held = here.start(child("exits_at_once", 7))
    held.wait()
    held.directory.write_stop(StopRecord(asked=1.0, signal="SIGTERM"))
    assert seen(here)[held.directory.id].state == "stopped"


def test_who_has_ended_is_known_from_the_holder_before_it_is_on_the_disk(home: Home) -> None:
    """The holder waits for a disk that takes its record; what it answers then counts."""
    held = home.scripted(s.ready())
    assert home.seen(held).state == "starting"
    os.kill(held.pid, signal.SIGTERM)
    held.wait()
    assert home.seen(held).state == "stopped"


# -- what has one


TURN = (s.ready(), s.state("running"), s.init("c-1", "m-9"), s.typed("hello"), s.uses("Bash", command="make check"))


def test_a_conversation_from_its_start_to_its_end(home: Home) -> None:
    held = home.scripted()
    one = home.seen(held)
    assert (one.state, one.head, one.last_event) == ("starting", 0, one.created)
    home.prints(held, *TURN)
    one = home.seen(held)
    assert (one.state, one.detail, one.conversation, one.model) == ("working", "Bash: make check", "c-1", "m-9")
    home.prints(held, s.asks("r-1", command="make"), s.asks("r-2", "Write", "toolu_2", file_path="/a"))
    one = home.seen(held)
    assert (one.state, one.detail, one.prompts) == ("blocked", "Bash: make (and 1 more)", 2)
    home.prints(held, s.ready("r-1"), s.ready("r-2"), s.tasks("serve"), s.said("well\nand more"))
    home.prints(held, s.result("well", turns=3, cost=0.25), s.state("idle"))
    one = home.seen(held)
    assert (one.state, one.detail, one.tasks, one.settled) == ("idle", "in the background: serve", ["serve"], False)
    home.prints(held, s.tasks())
    one = home.seen(held)
    assert (one.state, one.detail, one.settled, one.prompts) == ("idle", "well", True, 0)
    assert (one.turns, one.cost, one.results) == (3, 0.25, 1)
    home.prints(held, s.init(), s.result("out of luck", error=True, terminal_reason="api_error"), s.state("idle"))
    one = home.seen(held)
    assert (one.state, one.detail) == ("idle", "the last turn failed: api_error: out of luck")
    assert (one.settled, one.failure) == (False, "api_error: out of luck")
    held.client.close_stdin()
    held.wait()
    one = home.seen(held)
    assert (one.state, one.detail, one.exit_code, one.results) == ("done", "", 0, 2)


def test_one_that_fails_says_what_its_last_turn_failed_with(home: Home) -> None:
    held = home.claude([{"fail": "out of luck"}, {"exit": 1}])
    held.wait()
    one = home.seen(held)
    assert (one.state, one.detail) == ("failed", "exit status 1")
    other = home.scripted(s.init(), s.result("out of luck", error=True, terminal_reason="api_error"))
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert home.seen(other).detail == "SIGKILL: api_error: out of luck"


def test_what_was_asked_last_is_asked_no_more_by_one_that_has_ended(home: Home) -> None:
    held = home.scripted(*TURN, s.tasks("serve"), s.asks(command="x"))
    os.kill(held.pid, signal.SIGKILL)
    held.wait()
    one = home.seen(held)
    assert (one.state, one.prompts, one.tasks, one.turns) == ("failed", 0, [], 0)


def test_only_a_claude_on_pipes_that_prints_stream_json_has_a_conversation(home: Home) -> None:
    argv = ["claude", "-c", "printf '%s\\n' \"$1\"; exec cat", SPEAKS, s.init().decode()]
    for record, state in (({}, "working"), ({"terminal": True}, "working"), ({"argv": argv[:3]}, "working")):
        held = home.start(argv, executable="/bin/sh", record=record)
        held.first_line()
        seen, conversation = home.view(held)
        assert (seen.state, seen.model) == (state, "" if record else "m-1")
        assert (conversation is None) == bool(record)


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ([Prompt("a", "can_use_tool", "Bash", msgspec.Raw(b'{"command":"ls"}'))], "Bash: ls"),
        ([Prompt("a", "elicitation"), Prompt("b", "x")], "asks: elicitation (and 1 more)"),
        ([Prompt("a", "can_use_tool", "T", msgspec.Raw(b"[1]"))], "T: [1]"),
        ([Prompt("a", "can_use_tool", "T", msgspec.Raw(b'{"a":' * 5000 + b"1" + b"}" * 5000))], "T"),
    ],
)  # fmt: skip
def test_why_it_is_blocked(prompts: list[Prompt], words: str) -> None:
    assert why_blocked({prompt.request: prompt for prompt in prompts}) == words


def test_a_question_as_deep_as_can_be_read_does_not_hide_the_other_sessions(home: Home) -> None:
    """How deep that is depends on how deep in calls the reader is."""

    def asking(depth: int) -> bytes:
        body = b'{"subtype":"can_use_tool","tool_name":"T","input":%b}' % (b'{"a":' * depth + b"1" + b"}" * depth)
        return b'{"type":"control_request","request_id":"r","request":%b}' % body

    def deep_in_calls(calls: int) -> list[SessionOverview]:
        return look(home.sessions, home.runtime) if not calls else deep_in_calls(calls - 1)

    held = home.scripted(s.init())
    for depth in range(980, 700, -5):
        home.prints(held, asking(depth))
        if home.seen(held).state == "blocked":
            break
    assert home.seen(held).prompts == 1
    for calls in range(0, 100, 10):
        assert [one.id for one in deep_in_calls(calls)] == [held.directory.id]


# -- what nobody answers for


def test_a_session_of_the_shell_whose_holder_was_killed_is_buried_by_whoever_looks(home: Home) -> None:
    held = home.start(["/bin/cat"])
    assert held.client.write(b"12345\n") is None
    held.until(b"12345\n")
    printed = home.seen(held).last_event
    held.kill_holder()
    one = home.seen(held)
    wait_gone(held.pid)
    ended = held.directory.exit()
    assert ended is not None
    assert ended.lost
    assert (one.state, one.lost, one.live, one.ended) == ("failed", True, False, ended.ended)
    assert one.detail == "its holder was killed, and its end was not seen"
    assert (one.head, one.last_event) == (6, printed), "what it had printed is still there"
    assert home.seen(held) == one


def test_one_of_claude_desktop_is_left_to_the_daemon(home: Home) -> None:
    held = home.start(["/bin/cat"], record={"kind": "cowork"})
    held.kill_holder()
    assert (home.seen(held).state, home.seen(held).lost) == ("failed", True)
    assert held.directory.exit() is None
    os.kill(held.pid, 0)
    bury(held.directory)
    wait_gone(held.pid)
    assert (home.seen(held).state, home.seen(held).lost) == ("failed", True)


def test_a_holder_that_does_not_answer_holds_all_the_same(home: Home) -> None:
    held = home.start(["/bin/cat"])
    held.client.status()
    os.kill(held.holder, signal.SIGSTOP)
    try:
        one = home.seen(held)
        assert (one.state, one.live) == ("working", True)
        assert held.directory.exit() is None
    finally:
        os.kill(held.holder, signal.SIGCONT)


def test_a_record_without_a_holder_is_one_that_starts_for_a_while(here: Place) -> None:
    young = written(here)
    old = written(here, created=time.time() - overview.STARTING_UP - 1)
    found = seen(here)
    assert (found[young.id].state, found[young.id].live) == ("starting", True)
    assert (found[old.id].state, found[old.id].lost) == ("failed", True)


# -- what else is said


def test_what_the_record_says_is_handed_on(here: Place) -> None:
    tree = WorktreeRecord("/t", "b", "/r", "c0")
    mounts = [MountRecord("a", "/a", "ro"), MountRecord("b", "/b", "rw")]
    directory = written(
        here, kind="cowork", process="p-1", backend="bwrap", isolation="bubblewrap", network="api", weaker=["less"],
        terminal=True, mounts=[m.__class__(**msgspec.structs.asdict(m)) for m in mounts], translated=True,
        worktree=tree, cwd="/w",
    )  # fmt: skip
    one = seen(here)[directory.id]
    assert (one.process, one.backend, one.isolation, one.network) == ("p-1", "bwrap", "bubblewrap", "api")
    assert (one.weaker, one.terminal, one.unenforced, one.worktree, one.cwd) == (["less"], True, ["a"], tree, "/w")


def test_one_that_is_held_back_says_so(home: Home) -> None:
    held = home.start(child("floods", 3_000_000), limit=1_000_000)
    held.until_output("full")
    assert (home.seen(held).state, home.seen(held).detail) == ("working", "held back: nobody reads")
    held.page.set_position(0, 1, 1 << 40)
    held.page.set_position(0, 2, 1 << 40)


def test_a_damaged_one_does_not_hide_the_others_and_the_oldest_is_first(here: Place) -> None:
    for created in (3.0, 1.0, 2.0):
        (written(here, name=str(created), created=created).path / "exit.json").write_text("{}")
    broken = written(here, name="x")
    (broken.path / "session.json").write_text("{")
    newer = written(here, name="y", created=4.0)
    (newer.path / "exit.json").write_text('{"version":99}')
    found = look(here.sessions, here.runtime)
    assert [one.name for one in found if one.state != "unreadable"] == ["1.0", "2.0", "3.0"]
    unreadable = {one.id: one.detail for one in found if one.state == "unreadable"}
    assert str(broken.path) in unreadable[broken.id]
    assert "newer release" in unreadable[newer.id]
    assert not any(one.live for one in found)


def test_one_that_is_removed_meanwhile_is_said_to_be_gone(here: Place, tmp_path: Path) -> None:
    found, conversation = view(SessionDirectory(tmp_path, "abcdefghijkl"), here.runtime)
    assert (found.state, found.detail, conversation) == ("unreadable", "no session abcdefghijkl", None)
