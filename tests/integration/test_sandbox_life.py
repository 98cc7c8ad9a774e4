"""A sandboxed session's life and end: signals, limits, survival, and that nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cowork.holder.tree import descendants
from tests.support.daemon import RunningDaemon, alive, wait_for
from tests.support.sandbox import MNT, NAME, Session, lines

pytestmark = [pytest.mark.bwrap, pytest.mark.integration]


def command_line(daemon: RunningDaemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "cowork", *arguments]
    return subprocess.run(argv, env=daemon.environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["INT", "HUP", "USR1", "QUIT"])
def test_a_signal_reaches_the_program(session: Session, name: str) -> None:
    script = f'trap "echo got {name}; exit 9" {name}; echo ready; while :; do sleep 0.02; done'
    id = session.spawn("/bin/sh", "-c", script)
    session.client.until(lambda e: e["type"] == "stdout")
    session.client.ask("kill", {"id": id, "signal": name})
    ended = session.end(id)
    assert (ended.out, ended.code) == (f"got {name}\n", 9)


def test_a_signal_that_ends_the_program_is_named(session: Session) -> None:
    for name in ("TERM", "KILL", "USR2"):
        id = session.spawn("/bin/sleep", "600")
        session.client.ask("kill", {"id": id, "signal": name})
        exit = session.end(id).exit
        assert (exit["exitCode"], exit["signal"]) == (-1, f"SIG{name}")


def test_one_that_ignores_term_is_killed(session: Session) -> None:
    id = session.spawn("/bin/sh", "-c", 'trap "" TERM; echo ready; while :; do sleep 0.1; done')
    session.client.until(lambda e: e["type"] == "stdout")
    session.client.ask("kill", {"id": id, "signal": "TERM"})
    assert session.end(id).exit["signal"] == "SIGKILL"


def test_nothing_outlives_the_session(session: Session) -> None:
    script = "setsid sleep 611 & (setsid sh -c 'sleep 612 & sleep 613' &) ; sleep 0.1; exit 4"
    id = session.spawn("/bin/sh", "-c", script)
    assert session.end(id).code == 4
    assert not running(session, "sleep", "61")
    assert not running(session, "cowork-proxy")


def running(session: Session, name: str, argument: str = "") -> list[int]:
    """Living processes of that name below the daemon's holders, or of them. Inside a sandbox nothing of the daemon's
    environment is left, so they are known by their ancestors."""
    found = []
    for pid in dict.fromkeys(p for holder in session.daemon.place.processes() for p in (holder, *descendants(holder))):
        try:
            comm = Path(f"/proc/{pid}/comm").read_text().strip()
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if comm == name and argument.encode() in line and alive(pid):
            found.append(pid)
    return found


def test_it_goes_on_without_the_daemon_and_its_network_too(session: Session) -> None:
    daemon = session.daemon
    id = session.spawn("/bin/sh", "-c", "echo up; read -r line; curl -sS -o /dev/null http://denied.test; echo $line")
    session.client.until(lambda e: e["type"] == "stdout")
    daemon.kill()
    daemon.start()
    with Session(daemon) as again:
        again.client.ask("writeStdin", {"id": id, "data": "still here\n"})
        assert again.end(id).out.endswith("still here\n")
        assert "denied.test" in again.network_log()


def test_the_proxy_is_started_again_when_it_dies(session: Session) -> None:
    ask = "curl -s -o /dev/null -w '%{http_code}\\n' http://denied.test"
    id = session.spawn("/bin/sh", "-c", f"{ask}; read -r x; {ask}", allowedDomains=[])
    session.client.until(lambda e: e["type"] == "stdout" and "403" in e["data"])
    (proxy,) = running(session, "cowork-proxy")
    os.kill(proxy, signal.SIGKILL)
    wait_for(lambda: running(session, "cowork-proxy") not in ([], [proxy]))
    session.client.ask("writeStdin", {"id": id, "data": "\n"})
    assert session.end(id).out == "403\n"


def test_a_killed_holder_leaves_nothing(session: Session) -> None:
    proj = session.folder("proj")
    id = session.spawn("/bin/sh", "-c", "echo up; exec sleep 614", mounts={"proj": "proj"})
    session.client.until(lambda e: e["type"] == "stdout")
    assert sorted(p.name for p in proj.iterdir()) == [".claude", ".git", ".mcp.json", "HEAD"]
    (holder,) = [pid for pid in running(session, "cowork-holder") if descendants(pid)]
    (sleep,) = running(session, "sleep")
    (proxy,) = running(session, "cowork-proxy")
    os.kill(holder, signal.SIGKILL)
    session.client.until_exit(id)
    wait_for(lambda: not alive(sleep))
    wait_for(lambda: not alive(proxy))
    assert list(proj.iterdir()) == [], "the placeholders are gone"


def test_denials_can_be_read(session: Session) -> None:
    session.sh("curl -s -o /dev/null http://not.allowed.test; echo out; echo err >&2", allowedDomains=[])
    found = command_line(session.daemon, "logs", "--network", NAME)
    assert found.returncode == 0, found.stderr
    assert "denied HTTP not.allowed.test:80: not in allowedDomains" in found.stdout
    printed = command_line(session.daemon, "logs", NAME)
    assert (printed.stdout, printed.stderr) == ("out\n", "err\n")
    listing = command_line(session.daemon, "ps", "--all").stdout
    assert "bubblewrap" in listing
    assert "model API only" in listing


def test_what_is_weaker_is_told(session: Session) -> None:
    proj = session.folder("proj")
    (proj / "real").mkdir()
    (proj / ".claude").symlink_to("real")
    session.sh("true", {"proj": "proj"})
    weaker = "proj/.claude is not protected: it is a symbolic link"
    assert session.record()["weaker"] == [weaker]
    assert weaker in command_line(session.daemon, "ps", "--all").stdout


def test_limits_that_cannot_be_set_are_told_and_do_not_stop_it(session: Session) -> None:
    folder = session.home / ".config" / "cowork"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[limits]\nmemory = "64M"\ntasks = 50\n')
    ended = session.sh("echo fine")
    assert lines(ended) == ["fine"]
    log = (session.daemon.sessions()[0] / "lifecycle.log").read_text()
    assert "limit not set: memory.max=67108864" in log, "there is no user manager here that could delegate"


def test_a_program_that_is_not_there_is_refused(session: Session) -> None:
    refusal = session.client.refusal("spawn", {"id": "x", "name": NAME, "command": f"{MNT}/nothing"})
    assert "no such" in refusal.lower()
