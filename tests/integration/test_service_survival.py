"""The main promise: whatever becomes of the daemon, its sessions live on and no byte of them is lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import Client, Closed, Message, output, types
from tests.support.daemon import RunningDaemon, alive, wait_for

pytestmark = pytest.mark.integration

LINE = 100
LINES = 900_000
"""90 MB: more than the spool takes, so the child is held back while nobody reads."""


class Tape:
    """Checks the numbered stream as it comes: no gap, no repeat but the event that was under way at a kill."""

    def __init__(self, lines: int = LINES) -> None:
        self.expected = b"".join(b"%099d\n" % n for n in range(1, lines + 1)).decode()
        self.at = 0
        self.repeats = 0
        self._last = ""
        self._may_repeat = False

    def reconnected(self) -> None:
        """After a kill one event may come again."""
        self._may_repeat = True

    def take(self, data: str) -> None:
        """The next event's data."""
        if self._may_repeat and data == self._last and not self.expected.startswith(data, self.at):
            self.repeats += 1
        else:
            assert self.expected.startswith(data, self.at), (
                f"at byte {self.at}, line {self.at // LINE + 1}: {data[:120]!r}"
            )
            self.at += len(data)
        self._last = data
        self._may_repeat = False


def collect(client: Client, tape: Tape, enough: Callable[[], bool]) -> Message | None:
    """Take events until it is enough, or the exit, which is returned."""
    while not enough():
        event = client.event()
        if event["type"] == "exit":
            return event
        assert event["type"] == "stdout", event
        tape.take(event["data"])
    return None


def rest(client: Client, tape: Tape) -> Message | None:
    """What the kernel still holds for a client of a daemon that is gone; a cut frame at the end does not count."""
    try:
        return collect(client, tape, lambda: False)
    except Closed:
        return None


def numbers(client: Client, lines: int = LINES) -> None:
    client.shell("p", f"exec seq -f %099.0f {lines}")


def settle(client: Client) -> None:
    """Let the daemon note what it has sent: after a kill the one event that was being written may come again."""
    client.ask("isRunning")


def recorded(daemon: RunningDaemon, process: str = "p") -> tuple[int, int]:
    """Pids of a process's leader and of its holder, which the holder notes when it has nothing else to do."""
    found: list[tuple[int, int]] = []

    def look() -> bool:
        for session in daemon.sessions():
            asked, child = session / "session.json", session / "child.json"
            if child.exists() and json.loads(asked.read_text())["process"] == process:
                note = json.loads(child.read_text())
                found.append((note["pid"], note["holder"]))
        return bool(found)

    wait_for(look, "child.json")
    return found[0]


def leader(daemon: RunningDaemon) -> int:
    """Pid of the leader."""
    return recorded(daemon)[0]


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_five_ends_of_the_daemon_in_the_middle_of_a_stream(daemon: RunningDaemon, how: str) -> None:
    """STOP-4, W8: nothing is lost; after each kill -9 at most the one event that was being written comes again."""
    tape = Tape()
    end = None
    fill = LINES * LINE // 6
    with daemon.client() as c:
        numbers(c)
    pid = leader(daemon)
    for turn in range(1, 6):
        with daemon.client() as c:
            c.subscribe()
            tape.reconnected()
            goal = turn * fill
            end = collect(c, tape, lambda goal=goal: tape.at >= goal)  # type: ignore[misc]
            assert end is None
            assert leader(daemon) == pid
            if how == "SIGKILL":
                daemon.kill()
            else:
                assert daemon.stop() == 0
            assert rest(c, tape) is None
        assert turn > 1 or alive(pid), "it is held back, so it has not ended"
        daemon.start()
    with daemon.client() as c:
        c.subscribe()
        tape.reconnected()
        end = collect(c, tape, lambda: False)
    assert end == {"type": "exit", "id": "p", "exitCode": 0}
    assert tape.at == len(tape.expected)
    assert tape.repeats <= (5 if how == "SIGKILL" else 0)
    with daemon.client() as c:
        c.subscribe()
        c.spawn("q", "/bin/true")
        assert [e["id"] for e in c.until_exit("q")] == ["q"], "told again"


def test_kills_at_any_moment(daemon: RunningDaemon) -> None:
    """STOP-4, W8: killed while clients come, while they read, and before they have read anything."""
    tape = Tape(200_000)
    with daemon.client() as c:
        numbers(c, 200_000)
    end: Message | None = None
    for events in (0, 1, 2, 3, 5, 8, 13):
        daemon.restart()
        with daemon.client() as c:
            c.subscribe()
            tape.reconnected()
            goal = [events]

            def enough(goal: list[int] = goal) -> bool:
                goal[0] -= 1
                return goal[0] < 0

            end = end or collect(c, tape, enough)
            daemon.process.kill()  # type: ignore[union-attr]
            end = rest(c, tape) or end
    daemon.restart()
    if end is None:
        with daemon.client() as c:
            c.subscribe()
            tape.reconnected()
            end = collect(c, tape, lambda: False)
    assert end is not None
    assert tape.at == len(tape.expected)
    assert tape.repeats <= 8


def test_two_subscribers_at_different_places(daemon: RunningDaemon) -> None:
    """W8: each goes on where it was."""
    fast, slow = Tape(300_000), Tape(300_000)
    with daemon.client() as one, daemon.client() as two:
        one.subscribe("one")
        two.subscribe("two")
        one.shell("p", "exec seq -f %099.0f 300000")
        collect(one, fast, lambda: fast.at > 20_000_000)
        collect(two, slow, lambda: slow.at > 1_000_000)
        daemon.kill()
        assert rest(one, fast) is None
        assert rest(two, slow) is None
    daemon.start()
    assert slow.at < fast.at
    with daemon.client() as one, daemon.client() as two:
        two.subscribe("two")
        one.subscribe("one")
        for client, tape in ((one, fast), (two, slow)):
            tape.reconnected()
            assert collect(client, tape, lambda: False) == {"type": "exit", "id": "p", "exitCode": 0}
            assert tape.at == len(tape.expected)
            assert tape.repeats <= 1


def test_an_exit_while_the_daemon_is_down(daemon: RunningDaemon) -> None:
    """STOP-4: delivered once, with what was printed meanwhile."""
    go = daemon.place.root / "go"
    with daemon.client() as c:
        c.subscribe()
        c.shell("p", f"echo before; until [ -e {go} ]; do sleep 0.01; done; echo meanwhile; exit 9")
        c.until_text("p", "before\n")
        settle(c)
    session = daemon.sessions()[0]
    daemon.kill()
    go.touch()
    wait_for((session / "exit.json").exists, "the holder records the end without a daemon")
    daemon.start()
    with daemon.client() as c:
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": False, "exitCode": 9}
        events = c.subscribe().until_exit("p")
        assert output(events, "p") == "meanwhile\n"
        assert events[-1] == {"type": "exit", "id": "p", "exitCode": 9}
        settle(c)
    daemon.restart()
    with daemon.client() as c:
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": False, "exitCode": 9}
        c.subscribe()
        c.spawn("q", "/bin/true")
        assert [e["id"] for e in c.until_exit("q")] == ["q"], "the exit was told twice"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stdin_and_kill_after_a_restart(daemon: RunningDaemon, number: signal.Signals) -> None:
    """STOP-1, STOP-4: the same child, the same pid."""
    with daemon.client() as c:
        c.subscribe()
        c.shell("p", "echo $$; while read -r line; do echo $$ $line; done")
        pid = c.until_text("p", "\n").strip()
        settle(c)
    if number == signal.SIGKILL:
        daemon.kill()
    else:
        assert daemon.stop(number) == 0
        assert not daemon.socket.exists()
    assert alive(int(pid))
    daemon.start()
    assert any(line.startswith("adopted 1 ") for line in daemon.lifecycle())
    with daemon.client() as c:
        c.subscribe()
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": True}
        assert "already running" in c.refusal("spawn", {"id": "p", "name": "s", "command": "/bin/true"})
        c.ask("writeStdin", {"id": "p", "data": "again\n"})
        assert c.until_text("p", "\n") == f"{pid} again\n"
        assert c.ask("kill", {"id": "p", "signal": "SIGKILL"}) == {}
        assert c.until_exit("p")[-1] == {"type": "exit", "id": "p", "exitCode": -1, "signal": "SIGKILL"}
        assert not alive(int(pid))


def test_what_was_written_to_stdin_before_the_kill_is_not_lost(daemon: RunningDaemon) -> None:
    """IN-1, STOP-4: what was accepted reaches the child, in order, once."""
    with daemon.client() as c:
        c.subscribe()
        c.shell("p", "read go < go.fifo; cat", cwd=str(fifo(daemon).parent))
        for n in range(200):
            c.send("writeStdin", {"id": "p", "data": f"{n}\n" * 100})
        for n in range(200):
            assert c.reply(3 + n)["success"] is True
    daemon.restart()
    with daemon.client() as c:
        c.subscribe()
        c.ask("writeStdin", {"id": "p", "data": "last\n"})
        (fifo(daemon)).write_text("go\n")
        assert c.until_text("p", "last\n") == "".join(f"{n}\n" * 100 for n in range(200)) + "last\n"


def fifo(daemon: RunningDaemon) -> Path:
    path = daemon.place.root / "go.fifo"
    if not path.exists():
        os.mkfifo(path)
    return path


def test_a_backlog_of_events_survives(daemon: RunningDaemon) -> None:
    """SUB-4, W8: a start, a refused spawn and an output that nobody was told of before the kill."""
    with daemon.client() as c:
        c.ask("startVM", {"bundlePath": "/b/X"})
        c.refusal("spawn", {"id": "bad", "name": "s", "command": "/nope"})
        c.spawn("p", "/bin/echo", "hello")
        wait_for(lambda: not c.ask("isProcessRunning", {"id": "p"})["running"])
    daemon.restart()
    with daemon.client() as c:
        events = c.subscribe().until_exit("p")
        kinds = types(events)
        assert kinds.count("vmStarted") == kinds.count("apiReachability") == kinds.count("error") == 1
        assert output(events, "p") == "hello\n"
        settle(c)
    daemon.restart()
    with daemon.client() as c:
        c.subscribe()
        c.spawn("q", "/bin/true")
        assert [e.get("id") for e in c.until_exit("q")] == ["q"]


def test_a_holder_that_was_killed(daemon: RunningDaemon) -> None:
    """STOP-4, W12: its child is ended, too, and the exit is told; the daemon and the other sessions go on."""
    daemon.expected_trouble.append("holder of session")
    with daemon.client() as c:
        c.subscribe()
        c.shell("p", "echo $$; exec sleep 1000")
        pid = int(c.until_text("p", "\n"))
        c.spawn("other", "/bin/cat")
        os.kill(recorded(daemon)[1], signal.SIGKILL)
        assert c.until_exit("p")[-1] == {"type": "exit", "id": "p", "exitCode": -1}
        wait_for(lambda: not alive(pid), "the child of a dead holder")
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": False, "exitCode": -1}
        c.ask("writeStdin", {"id": "other", "data": "fine\n"})
        assert c.until_text("other", "\n") == "fine\n"


def test_a_holder_that_was_killed_while_the_daemon_was_down(daemon: RunningDaemon) -> None:
    """STOP-4."""
    with daemon.client() as c:
        c.subscribe()
        c.shell("p", "echo $$; echo kept; exec sleep 1000")
        pid = int(c.until_text("p", "kept\n").split()[0])
        settle(c)
    holder = recorded(daemon)[1]
    daemon.kill()
    os.kill(holder, signal.SIGKILL)
    wait_for(lambda: not alive(holder))
    daemon.start()
    with daemon.client() as c:
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": False, "exitCode": -1}
        assert c.subscribe().until_exit("p") == [{"type": "exit", "id": "p", "exitCode": -1}]
    wait_for(lambda: not alive(pid))


def test_a_damaged_session_does_not_keep_the_daemon_from_starting(daemon: RunningDaemon) -> None:
    """STOP-4: it is named, left alone, and the others are taken over."""
    daemon.expected_trouble.append("is left alone")
    with daemon.client() as c:
        c.subscribe()
        for name in ("a", "b", "c", "d"):
            c.shell(name, "echo up; exec cat")
            c.until_text(name, "up\n")
        settle(c)
    daemon.kill()
    by_name = {}
    for path in daemon.sessions():
        by_name[json.loads((path / "session.json").read_text())["process"]] = path
    (by_name["a"] / "session.json").write_text("{")
    (by_name["b"] / "readers").write_bytes(b"short")
    (by_name["c"] / "session.json").write_text(
        (by_name["c"] / "session.json")
        .read_text()
        .replace('"version":1', '"version":99')
        .replace("{", '{"version":99,', 1)
    )
    (daemon.state / "subscribers").write_bytes(b"\0" * 10)
    (daemon.state / "events.log").write_bytes(b"\xff\n{}\n")
    daemon.start()
    with daemon.client() as c:
        c.subscribe()
        assert c.ask("isProcessRunning", {"id": "d"}) == {"running": True}
        c.ask("writeStdin", {"id": "d", "data": "alive\n"})
        c.until_text("d", "alive\n")
    for name in ("a", "b", "c"):
        assert by_name[name].name in daemon.stderr()
        assert by_name[name].exists()
