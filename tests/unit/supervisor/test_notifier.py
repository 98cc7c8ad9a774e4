"""The command that is run when a session wants somebody: when, with what, and once."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cowork.errors import ConfigError
from cowork.linux.lockfile import LockFile
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord, SessionRecord, new_id
from cowork.supervisor import notifier, watch
from cowork.supervisor.approvals import digest
from cowork.supervisor.conversation import Conversation, Prompt
from cowork.supervisor.launch import Wanted, start
from cowork.supervisor.notifier import MEMORY, Notifier, ensure, event_of, fill_in
from cowork.supervisor.overview import SessionOverview, View
from cowork.supervisor.watch import Watch
from tests.support import daemon
from tests.support import stream as s
from tests.support.daemon import wait_for
from tests.support.holding import PATIENCE, Held, child, wait_gone
from tests.support.supervised import Home

TELL = """\
#!/bin/sh
line=$1
shift
for word do line="$line|$word"; done
printf '%s\\n' "$line" >"$0.fifo"
"""


# -- what there is to tell


def view(state: str, *prompts: Prompt, **known: Any) -> View:
    return View(SessionOverview("x", state, **known), Conversation(prompts={one.request: one for one in prompts}))


ONE, OTHER = Prompt("r-1", "can_use_tool", "Bash"), Prompt("r-2", "can_use_tool", "Bash")


@pytest.mark.parametrize(
    ("seen", "event"),
    [
        (view("starting"), ("", "")),
        (view("working"), ("", "")),
        (view("working", results=3, failure="x"), ("", "")),
        (view("blocked", ONE), ("blocked", digest(ONE))),
        (view("blocked", ONE, OTHER), ("blocked", f"{digest(ONE)},{digest(OTHER)}")),
        (view("idle"), ("", "")),
        (view("idle", results=2), ("done", "result 2")),
        (view("idle", results=2, failure="x"), ("failed", "result 2")),
        (view("idle", results=2, tasks=["serve"]), ("", "")),
        (view("done", ended=5.5), ("done", "ended 5.5")),
        (view("done", ended=5.5, results=2), ("done", "result 2")),
        (view("failed", ended=5.5, results=1), ("failed", "ended 5.5")),
        (view("stopped", ended=5.5), ("", "")),
        (view("unreadable"), ("", "")),
    ],
    ids=lambda value: value[0].state if isinstance(value, View) else None,
)  # fmt: skip
def test_what_there_is_to_tell(seen: View, event: tuple[str, str]) -> None:
    assert event_of(seen) == event


def test_a_command_line_is_filled_in_once() -> None:
    one = SessionOverview("id-1", "idle", name="{detail}", detail="{name} {x} {", cwd="/w")
    assert fill_in(["{id}", "a{name}b", "{state}{state}", "{detail}", "{cwd}/{x}", "{{id}}"], one, "done") == [
        "id-1", "a{detail}b", "donedone", "{name} {x} {", "/w/{x}", "{id-1}",
    ]  # fmt: skip
    assert fill_in([], one, "done") == []


def test_what_no_argument_can_hold_is_shown() -> None:
    one = SessionOverview("x", "idle", detail="a\0b\nc\x1b[m")
    assert fill_in(["{detail}"], one, "done") == ["a␀b ␊ c␛[m"]


# -- telling


class Ear:
    """What the command was run with, one line each time."""

    def __init__(self, home: Home) -> None:
        self.program = home.bin / "tell"
        self.program.write_text(TELL)
        self.program.chmod(0o755)
        os.mkfifo(f"{self.program}.fifo")
        self._fd = os.open(f"{self.program}.fifo", os.O_RDWR)
        self._lines: list[str] = []
        self._begun = b""

    def close(self) -> None:
        os.close(self._fd)

    def heard(self) -> str:
        """The next line."""
        while not self._lines:
            assert self._read(PATIENCE), "nothing was told"
        return self._lines.pop(0)

    def silence(self) -> bool:
        """Whether nothing more was told, by commands that have ended."""
        return not self._lines and not self._read(0)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        *lines, self._begun = (self._begun + os.read(self._fd, 65536)).split(b"\n")
        self._lines += [line.decode() for line in lines]
        return True


@pytest.fixture
def ear(home: Home) -> Iterator[Ear]:
    made = Ear(home)
    home.configure(f'[notify]\ncommand = ["{made.program}", "{{state}}", "{{name}}: {{detail}}"]\n')
    yield made
    made.close()


class Running:
    """A notifier in a thread; it ends when no session runs any more."""

    def __init__(self, home: Home) -> None:
        self.notifier = Notifier(home.where, home.environ)
        self._thread = threading.Thread(target=self.notifier.run)
        self._thread.start()

    def ended(self) -> bool:
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks after new sessions and its commands more often than once a second."""

    class Quick(Watch):
        def wait(self, patience: float | None = None) -> set[str]:
            return super().wait(0.05 if patience == 1.0 else patience)

    monkeypatch.setattr(notifier, "Watch", Quick)
    monkeypatch.setattr(watch, "LOOK_AGAIN", 0.1)


def end(held: Held) -> None:
    """Have a scripted session end well."""
    held.client.close_stdin()
    held.wait()


def test_a_session_from_its_first_question_to_its_end(home: Home, ear: Ear) -> None:
    held = home.scripted(s.init(), name="talk")
    running = Running(home)
    home.prints(held, s.asks("r-1", command="touch a"))
    assert ear.heard() == "blocked|talk: Bash: touch a"
    home.prints(held, s.ready("r-1"), s.said("all is well"), s.result("all is well"), s.state("idle"))
    assert ear.heard() == "done|talk: all is well"
    home.prints(held, s.init(), s.result("no", error=True, terminal_reason="api_error"), s.state("idle"))
    assert ear.heard() == "failed|talk: the last turn failed: api_error: no"
    end(held)
    assert ear.heard() == "done|talk: "
    assert running.ended()
    assert ear.silence()


def test_what_a_command_finds_in_its_environment(home: Home, ear: Ear) -> None:
    home.configure(f"""[notify]\ncommand = ["sh", "-c", 'echo "$COWORK_SESSION|$COWORK_NAME|$COWORK_STATE|\
$COWORK_DETAIL|$COWORK_CWD|$HOME|$PWD" >{ear.program}.fifo']\n""")
    held = home.scripted(s.asks("r-1", command="a\0b"), name="talk", cwd="/work")
    running = Running(home)
    heard = ear.heard().split("|")
    assert heard == [held.directory.id, "talk", "blocked", "Bash: a␀b", "/work", home.environ["HOME"], "/"]
    end(held)
    running.ended()


def test_what_the_model_says_cannot_keep_it_from_being_told(home: Home, ear: Ear) -> None:
    held = home.scripted(s.init(), s.said("a\0b"), s.result("a\0b"), s.state("idle"), name="talk")
    running = Running(home)
    assert ear.heard() == "done|talk: a␀b"
    end(held)
    running.ended()


def test_a_question_is_told_once_and_each_further_one(home: Home, ear: Ear) -> None:
    held = home.scripted(s.asks("r-1", command="one"), name="talk")
    running = Running(home)
    assert ear.heard() == "blocked|talk: Bash: one"
    home.prints(held, s.said("meanwhile"), s.tasks("make"))
    home.prints(held, s.asks("r-2", use="t-2", command="two"))
    assert ear.heard() == "blocked|talk: Bash: one (and 1 more)"
    home.prints(held, s.ready("r-1"))
    home.prints(held, s.said("of two one is answered, which is nothing new"))
    home.prints(held, s.asks("r-3", use="t-3", command="three"))
    assert ear.heard() == "blocked|talk: Bash: two (and 1 more)"
    os.kill(held.pid, signal.SIGTERM)
    assert running.ended(), "one that was stopped is nothing to tell"
    assert ear.silence()


def test_a_turn_is_done_when_nothing_is_left_in_the_background(home: Home, ear: Ear) -> None:
    held = home.scripted(s.init(), s.tasks("serve"), s.result(), s.state("idle"), name="talk")
    running = Running(home)
    home.prints(held, s.said("x"), s.tasks())
    assert ear.heard() == "done|talk: x"
    end(held)
    assert running.ended()
    assert ear.silence(), "that it has ended is no news when its last turn was"


def test_a_configuration_that_is_being_mended_loses_no_event(home: Home, ear: Ear) -> None:
    good = home.config.read_text()
    home.configure("[notify")
    held = home.scripted(s.asks("r-1", command="one"), name="talk")
    with pytest.raises(ConfigError):
        Notifier(home.where, home.environ).run()
    home.configure(good)
    running = Running(home)
    assert ear.heard() == "blocked|talk: Bash: one"
    end(held)
    assert running.ended()


def test_how_commands_have_ended(home: Home, ear: Ear) -> None:
    held = home.start(["/bin/cat"], record={"name": "waits"})
    running = Running(home)
    home.start(child("exits_at_once", 3), record={"name": "quick"})
    assert ear.heard() == "failed|quick: exit status 3"
    held.kill_holder()
    assert ear.heard() == "failed|waits: its holder was killed, and its end was not seen"
    assert running.ended()


def test_one_that_came_and_went_unnoticed_is_told(home: Home, ear: Ear) -> None:
    held = home.start(["/bin/cat"], record={"name": "waits"})
    running = Running(home)
    gone = home.prepare(["/bin/false"], record={"name": "gone"})
    wait_for(lambda: gone.directory.id in running.notifier._looked, "it sees the record before anybody holds it")
    gone.directory.write_exit(ExitRecord(ended=time.time(), exit_code=1))
    assert ear.heard() == "failed|gone: exit status 1"
    gone.page.close()
    end(held)
    assert running.ended()


def test_only_what_is_wanted_is_told(home: Home, ear: Ear) -> None:
    home.configure(home.config.read_text() + 'on = ["failed"]\n')
    held = home.scripted(s.asks("r-1", command="x"), name="talk")
    running = Running(home)
    home.prints(held, s.ready("r-1"), s.result(), s.state("idle"))
    home.prints(held, s.init(), s.result("no", error=True, terminal_reason="api_error"), s.state("idle"))
    assert ear.heard().startswith("failed|talk")
    end(held)
    assert running.ended()
    assert ear.silence()


def test_the_configuration_is_that_of_the_moment(home: Home, ear: Ear) -> None:
    text = home.config.read_text()
    home.configure("")
    held = home.scripted(s.init(), name="talk")
    running = Running(home)
    home.prints(held, s.result("one"), s.state("idle"))
    wait_for(lambda: (held.directory.path / "notified").exists(), "it is noted though nobody is told")
    home.configure(text)
    home.prints(held, s.init(), s.said("two"), s.result("two"), s.state("idle"))
    assert ear.heard() == "done|talk: two"
    end(held)
    assert running.ended()


def test_sessions_of_claude_desktop_are_told_of_there(home: Home, ear: Ear) -> None:
    home.scripted(s.asks(command="x"), kind="cowork")
    assert Running(home).ended(), "nor are they waited for"
    assert ear.silence()


def test_a_command_that_cannot_be_run_is_noted(home: Home) -> None:
    home.configure('[notify]\ncommand = ["/none", "{name}"]\n')
    held = home.scripted(s.asks(command="x"))
    running = Running(home)
    wait_for(home.where.lifecycle_log.exists)
    end(held)
    assert running.ended()
    assert "notify: /none: " in home.where.lifecycle_log.read_text()


def test_a_command_that_hangs_is_killed_with_all_of_its_group(
    home: Home, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "COMMAND_TIME", 0.2)
    script = f"sleep 60 & echo $$ $! >{ear.program}.fifo; wait"
    home.configure(f"[notify]\ncommand = ['sh', '-c', '{script}']\n")
    held = home.start(child("exits_at_once", 3))
    running = Running(home)
    pids = [int(pid) for pid in ear.heard().split()]
    assert running.ended()
    for pid in pids:
        wait_gone(pid)
    held.wait()


def test_a_command_that_takes_a_while_is_waited_for(home: Home, ear: Ear) -> None:
    home.configure(f"[notify]\ncommand = ['sh', '-c', 'echo $$ >{ear.program}.fifo; read -r x <{ear.program}.go']\n")
    os.mkfifo(f"{ear.program}.go")
    home.start(child("exits_at_once", 3))
    running = Running(home)
    pid = int(ear.heard())
    os.kill(pid, 0)
    Path(f"{ear.program}.go").write_text("go\n")
    assert running.ended()


def test_a_disk_that_takes_nothing_is_no_reason_to_tell_it_again_and_again(
    home: Home, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    held = home.start(child("exits_at_once", 3))
    held.wait()
    monkeypatch.setattr("cowork.holder.files.write_whole", full)
    assert Running(home).ended()
    assert ear.silence()


# -- what was told, and what is old


def ended(home: Home, age: float, name: str = "old") -> SessionDirectory:
    directory = SessionDirectory(home.sessions, new_id())
    directory.create(SessionRecord(id=directory.id, kind="shell", name=name, created=1.0)).close()
    directory.write_exit(ExitRecord(ended=time.time() - age, exit_code=1))
    return directory


def test_old_news_are_noted_and_not_told(home: Home, ear: Ear) -> None:
    old, young = ended(home, MEMORY + 10), ended(home, MEMORY - 30, "young")
    assert Running(home).ended()
    assert ear.heard() == "failed|young: exit status 1"
    assert ear.silence()
    assert all((directory.path / "notified").exists() for directory in (old, young))


def test_what_happened_after_something_that_was_told_is_not_old(home: Home, ear: Ear) -> None:
    """Nobody was there to tell it, for however long."""
    directory = ended(home, MEMORY + 1000)
    (directory.path / "notified").write_text("blocked 12345678\n")
    assert Running(home).ended()
    assert ear.heard() == "failed|old: exit status 1"
    assert Running(home).ended()
    assert ear.silence(), "the next one does not repeat it"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"failed\n"])
def test_a_note_that_is_damaged_costs_a_repetition(home: Home, ear: Ear, content: bytes) -> None:
    directory = ended(home, 1.0)
    (directory.path / "notified").write_bytes(content)
    assert Running(home).ended()
    assert ear.heard() == "failed|old: exit status 1"


# -- the process


def notifiers(home: Home, place: daemon.Place) -> list[int]:
    """Pids of the notifiers of this home that run."""
    found = []
    for pid in place.processes():
        try:
            if b"cowork.supervisor.notifier" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            pass
    return found


def held_lock(home: Home) -> bool:
    return LockFile(home.where.state / "notifier.lock").held()


def test_there_is_one_while_it_is_wanted_and_while_a_session_runs(home: Home, ear: Ear, place: daemon.Place) -> None:
    held = home.scripted(s.asks("r-1", command="x"), name="talk")
    assert ensure(home.where, home.environ)
    assert ear.heard() == "blocked|talk: Bash: x"
    (pid,) = notifiers(home, place)
    assert os.getsid(pid) == pid, "it outlives the terminal that it was started from"
    assert not ensure(home.where, home.environ), "one is enough"
    end(held)
    assert ear.heard() == "done|talk: "
    wait_gone(pid)
    assert not held_lock(home)


def test_one_that_is_killed_is_followed_by_one_that_neither_repeats_nor_forgets(
    home: Home, ear: Ear, place: daemon.Place
) -> None:
    held, other = (home.scripted(s.asks("r-1", command="x"), name=name) for name in ("one", "two"))
    assert ensure(home.where, home.environ)
    assert sorted(ear.heard() for _ in range(2)) == ["blocked|one: Bash: x", "blocked|two: Bash: x"]
    (pid,) = notifiers(home, place)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
    end(held)
    assert ensure(home.where, home.environ)
    assert ear.heard() == "done|one: "
    home.prints(other, s.asks("r-2", command="y", use="t-2"))
    assert ear.heard() == "blocked|two: Bash: x (and 1 more)"
    end(other)
    assert ear.heard() == "done|two: "


def test_several_who_want_one_at_the_same_time_get_one(home: Home, ear: Ear, place: daemon.Place) -> None:
    held = home.scripted(s.asks("r-1", command="x"), name="talk")
    for _ in range(3):
        ensure(home.where, home.environ)
    assert ear.heard() == "blocked|talk: Bash: x"
    wait_for(lambda: len(notifiers(home, place)) == 1)
    end(held)
    assert ear.heard() == "done|talk: "
    wait_for(lambda: not notifiers(home, place))
    assert ear.silence()


@pytest.mark.parametrize("config", ["", "[notify]\ncommand = []\n", "[notify\n", "[notify]\ncommand = 3\n"])
def test_without_a_command_there_is_none(home: Home, place: daemon.Place, config: str) -> None:
    home.configure(config)
    home.start(["/bin/cat"])
    assert not ensure(home.where, home.environ)
    assert notifiers(home, place) == []


def test_that_none_can_be_started_is_nobodys_trouble(home: Home, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/none")
    assert not ensure(home.where, home.environ)


@pytest.fixture
def process(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that is also this process's, so that ``main`` can be called."""
    for name, value in home.environ.items():
        monkeypatch.setenv(name, value)
    return home


def test_it_ends_when_there_is_nothing_to_do(process: Home, ear: Ear) -> None:
    assert notifier.main() == 0
    assert not held_lock(process)


def test_a_second_one_leaves_it_to_the_first(process: Home, ear: Ear) -> None:
    process.scripted(s.asks(command="x"))
    first = LockFile(process.where.state / "notifier.lock")
    assert first.acquire()
    try:
        assert notifier.main() == 0
    finally:
        first.release()
    assert ear.silence()


def test_a_configuration_that_makes_no_sense_is_noted_and_the_end(process: Home, ear: Ear) -> None:
    process.start(child("exits_at_once", 3)).wait()
    process.configure("[notify\n")
    assert notifier.main() == 2
    assert "notifier: " in process.where.lifecycle_log.read_text()
    assert not held_lock(process)


@pytest.mark.parametrize("runs_on", [True, False], ids=["one that runs on", "one that ends at once"])
def test_a_session_that_starts_while_it_is_about_to_end_is_not_forgotten(
    process: Home, ear: Ear, monkeypatch: pytest.MonkeyPatch, runs_on: bool
) -> None:
    """Whoever started it was told that there is a notifier: the lock was held still."""
    real = Notifier.run
    held: list[Held] = []

    def answer() -> None:
        ear.heard()
        end(held[0])

    over = threading.Thread(target=answer)

    def run(self: Notifier) -> None:
        real(self)
        if held:
            return
        if runs_on:
            held.append(process.scripted(s.asks("r-1", command="x"), name="late"))
            over.start()
        else:
            held.append(process.start(child("exits_at_once", 3), record={"name": "late"}))
            held[0].wait()
        assert not ensure(process.where, process.environ), "it is there still"

    monkeypatch.setattr(Notifier, "run", run)
    assert notifier.main() == 0
    if runs_on:
        over.join()
    assert ear.heard() == ("done|late: " if runs_on else "failed|late: exit status 3")


def test_a_full_disk_is_no_reason_to_run_round_and_round(
    process: Home, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Notifier, "_remember", lambda *arguments: False)
    process.start(child("exits_at_once", 3)).wait()
    assert notifier.main() == 0
    assert ear.silence()


def test_a_session_that_is_started_by_the_shell_is_told_of(home: Home, ear: Ear) -> None:
    """As the commands do it: start, then see that there is a notifier."""
    start(home.where, Wanted(str(home.cwd), command=("sh", "-c", "exit 5"), name="probe"), home.environ)
    assert ensure(home.where, home.environ)
    assert ear.heard() == "failed|probe: exit status 5"
