"""What ``claude agents`` tells, asked of fakes that behave and of many that do not."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.backends import programs
from cowork.holder import tree
from cowork.supervisor import agents
from cowork.supervisor.agents import Agent, listed
from tests.support.daemon import Place, wait_for

CURRENT = "echo '2.1.328 (Claude Code)'"
INTERACTIVE = {
    "pid": 24400, "cwd": "/home/u/work", "kind": "interactive", "startedAt": 1795190631909,
    "sessionId": "bf1e29cb-c2e3-4784-b244-9601b5bca8f4", "name": "work-cd", "status": "idle",
}  # fmt: skip
JOB = {
    "pid": 24526, "id": "c965441f", "cwd": "/home/u/proj", "kind": "background", "startedAt": 1795190667938,
    "sessionId": "c965441f-77c8-4841-847c-bcbbd4010d1e", "name": "touch a file", "status": "waiting",
    "waitingFor": "permission prompt", "state": "blocked",
}  # fmt: skip
STOPPED = {
    "id": "6768d3dd", "cwd": "/home/u/proj", "kind": "background", "startedAt": 1795190667168,
    "sessionId": "6768d3dd-94ca-42e3-b0ae-3349a9c483a5", "name": "begin", "state": "stopped",
}  # fmt: skip


class Fake:
    """A ``claude`` at the front of PATH; ``calls`` has the arguments of each run."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.path = place.root / "bin" / "claude"
        self.path.parent.mkdir()
        self.environment = place.environment()
        self.environment["PATH"] = f"{self.path.parent}:{self.environment['PATH']}"

    def write(self, answer: str, *, version: str = CURRENT) -> None:
        """Shell text for the two runs."""
        self.path.write_text(
            f'#!/bin/sh\necho "$@" >>{self.place.root}/calls\n'
            f"if [ $1 = --version ]; then\n{version}\nelse\n{answer}\nfi\n"
        )
        self.path.chmod(0o755)

    def listed(self, answer: str, *, version: str = CURRENT, patience: float = 20.0) -> list[Agent]:
        self.write(answer, version=version)
        return listed(self.environment, patience=patience)

    def entries(self, *entries: object) -> list[Agent]:
        """What becomes of a list."""
        return self.saying(json.dumps(entries, indent=2))

    def saying(self, answer: str | bytes) -> list[Agent]:
        file = self.place.root / "answer"
        file.write_bytes(answer.encode() if isinstance(answer, str) else answer)
        return self.listed(f"exec cat {file}")

    def calls(self) -> list[str]:
        file = self.place.root / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def fake(place: Place) -> Iterator[Fake]:
    """And at the end no child, not even a dead one, and no descriptor of it may be left."""
    before, children = descriptors(), tree.children(os.getpid())
    yield Fake(place)
    wait_for(lambda: not place.processes())
    assert descriptors() == before
    assert tree.children(os.getpid()) == children


def descriptors() -> list[str]:
    return [name for name in os.listdir("/proc/self/fd") if Path(f"/proc/self/fd/{name}").exists()]


def why(caplog: pytest.LogCaptureFixture) -> str:
    """The one line that tells why nothing is listed."""
    (record,) = caplog.records
    return record.getMessage()


# -- what it tells


def test_what_it_tells(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.entries(STOPPED, INTERACTIVE, JOB) == [
        Agent(
            id="6768d3dd", name="begin", kind="bg", cwd="/home/u/proj", state="stopped", started=1795190667.168,
            session="6768d3dd-94ca-42e3-b0ae-3349a9c483a5",
        ),
        Agent(
            id="bf1e29cb", name="work-cd", pid=24400, kind="interactive", cwd="/home/u/work", state="idle",
            started=1795190631.909, session="bf1e29cb-c2e3-4784-b244-9601b5bca8f4",
        ),
        Agent(
            id="c965441f", name="touch a file", pid=24526, kind="bg", cwd="/home/u/proj", state="blocked",
            detail="permission prompt", started=1795190667.938, session="c965441f-77c8-4841-847c-bcbbd4010d1e",
        ),
    ]  # fmt: skip
    assert not caplog.records


def test_how_it_is_asked(fake: Fake) -> None:
    """Not by a prompt, once, without a terminal, a stdin, and our own session's marks."""
    out = fake.place.root / "asked"
    fake.environment |= {"CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_CONFIG_DIR": "/c"}
    look = f"pwd >{out}; readlink /proc/$$/fd/0 >>{out}; ps -o tty=,sid= -p $$ >>{out}; echo $$ >>{out}; env >>{out}"
    assert fake.listed(f"{look}; echo '[]'") == []
    assert fake.calls() == ["--version", "agents --json --all"]
    cwd, stdin, terminal, pid, *rest = out.read_text().splitlines()
    assert (cwd, stdin) == ("/", "/dev/null")
    assert terminal.split() == ["?", pid]
    environment = dict(line.split("=", 1) for line in rest)
    assert environment["CLAUDE_CONFIG_DIR"] == "/c"
    assert environment["DISABLE_AUTOUPDATER"] == "1"
    assert not {"CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT"} & environment.keys()


@pytest.mark.parametrize(
    ("state", "status", "meant"),
    [
        (None, "idle", "idle"),
        (None, "busy", "working"),
        (None, "waiting", "blocked"),
        (None, None, ""),
        ("working", None, "working"),
        ("working", "idle", "working"),
        ("working", "busy", "working"),
        ("blocked", "waiting", "blocked"),
        ("done", "idle", "done"),
        ("failed", "idle", "failed"),
        ("stopped", None, "stopped"),
        ("new word", "busy", "working"),
        ("new word", "other", ""),
        (1, ["idle"], ""),
    ],
)
def test_states(fake: Fake, state: object, status: object, meant: str) -> None:
    """A job's own state counts, as it is about the task; its process may be idle between two steps."""
    fields = {"state": state, "status": status}
    (agent,) = fake.entries({"id": "a"} | {k: v for k, v in fields.items() if v is not None})
    assert agent.state == meant


@pytest.mark.parametrize("entry", [None, 1, "a", [], [JOB], {}, {"id": 1}, {"name": "a"}, {"pid": True}, {"pid": -1}])
def test_an_entry_that_is_none(fake: Fake, entry: object) -> None:
    assert [agent.id for agent in fake.entries(entry, STOPPED, entry, JOB)] == ["6768d3dd", "c965441f"]


@pytest.mark.parametrize("wrong", [None, True, 1.5, -1, 1 << 60, "2026-11-20", [], {}, float("nan"), float("inf")])
def test_a_number_of_another_type(fake: Fake, wrong: object) -> None:
    (agent,) = fake.entries({**JOB, "pid": wrong, "startedAt": wrong, "new": {"field": [wrong]}})
    assert (agent.id, agent.pid, agent.started) == ("c965441f", 0, 0.0)


@pytest.mark.parametrize("wrong", [None, True, 1, [], ["x"], {"x": "y"}])
def test_a_text_of_another_type(fake: Fake, wrong: object) -> None:
    texts = dict.fromkeys(("name", "kind", "cwd", "waitingFor", "state", "status", "sessionId"), wrong)
    assert fake.entries({**JOB, **texts}) == [Agent("c965441f", pid=24526, started=1795190667.938)]


def test_what_an_entry_is_called_that_has_no_id(fake: Fake) -> None:
    assert [a.id for a in fake.entries(INTERACTIVE, {"pid": 7, "kind": "interactive"})] == ["bf1e29cb", "7"]


def test_a_kind_of_a_later_release(fake: Fake) -> None:
    (agent,) = fake.entries({**JOB, "kind": "cloud"})
    assert agent.kind == "cloud"


def test_texts_can_be_shown(fake: Fake) -> None:
    """Names are made of prompts, and the CLI cuts them where it likes."""
    (agent,) = fake.entries({**JOB, "name": "a\x1b[2J\nb\x9b\ud83d", "cwd": "/é \u00a0😀"})
    assert agent.name == "a�[2J�b��"
    assert agent.cwd == "/é \u00a0😀"


def test_more_than_a_pipe_holds(fake: Fake) -> None:
    assert len(fake.entries(*[{**JOB, "name": "n" * 500}] * 3000)) == 3000


# -- whom it asks


@pytest.mark.parametrize("version", ["2.1.169", "2.1.1000", "2.2.0", "10.0.0"])
def test_releases_that_are_asked(fake: Fake, version: str) -> None:
    assert fake.listed('echo \'[{"id": "a"}]\'', version=f"echo '{version} (Claude Code)'") == [Agent("a")]


@pytest.mark.parametrize("version", ["2.1.168", "2.0.999", "1.9.500", "0.2.139"])
def test_releases_that_would_take_it_for_a_prompt(fake: Fake, version: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert fake.listed('echo \'[{"id": "a"}]\'', version=f"echo '{version} (Claude Code)'") == []
    assert fake.calls() == ["--version"]
    assert version in why(caplog)


@pytest.mark.parametrize(
    "version",
    [
        "true",
        "echo 2.1.328",
        "echo 'Claude Code 2.1.328'",
        "echo '2.1 (Claude Code)'",
        "echo '2.1.328-beta (Claude Code)'",
        "echo; echo '2.1.328 (Claude Code)'",
        "echo '2.1.99999999999999999999 (Claude Code)'",
        "echo '9.9.9 (Another Claude)'",
        r"printf '\377.1.328 (Claude Code)'",
        f"{CURRENT}; exit 1",
        f"{CURRENT}; kill -9 $$",
    ],
)
def test_what_does_not_say_its_release_is_not_asked(fake: Fake, version: str, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.listed('echo \'[{"id": "a"}]\'', version=version) == []
    assert fake.calls() == ["--version"]
    assert str(fake.path) in why(caplog)


def test_none_is_installed(fake: Fake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(programs, "FALLBACKS", ("~/.local/bin",))
    assert listed(fake.environment | {"PATH": str(fake.path.parent)}) == []
    assert "not installed" in why(caplog)
    assert listed({}) == []


def test_one_that_is_not_in_path(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write('echo \'[{"id": "a"}]\'')
    (fake.place.home / ".local").mkdir()
    fake.path.parent.rename(fake.place.home / ".local" / "bin")
    monkeypatch.setattr(programs, "FALLBACKS", ("~/.local/bin",))
    assert listed(fake.environment | {"PATH": "/usr/bin:/bin"}, patience=20.0) == [Agent("a")]


@pytest.mark.parametrize("name", ["\x7fELF nonsense", "#!/no/such/interpreter\n"])
def test_one_that_cannot_be_executed(fake: Fake, name: str, caplog: pytest.LogCaptureFixture) -> None:
    fake.path.write_text(name)
    fake.path.chmod(stat.S_IRWXU)
    assert listed(fake.environment) == []
    assert str(fake.path) in why(caplog)


def test_an_environment_that_cannot_be_passed_on(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake.environment["A"] = "a\0b"
    assert fake.listed("echo '[]'") == []
    assert str(fake.path) in why(caplog)


# -- those that do not answer


@pytest.mark.parametrize("answer", ["echo '[]'; exit 1", "echo '[]'; kill -9 $$", "echo 'unknown option' >&2; exit 1"])
def test_one_that_fails(fake: Fake, answer: str, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.listed(answer) == []
    assert "agents --json --all ended with status" in why(caplog)


@pytest.mark.parametrize(
    "said",
    ["", "null", "{}", '"a"', "no sessions", '[{"id": "a"}', '[] []', "[" * 100_000, b"[\xff]", b"\0", b"\xff\xfe["],
    ids=lambda said: repr(said)[:20],
)  # fmt: skip
def test_garbage(fake: Fake, said: str | bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.saying(said) == []
    assert "no list" in why(caplog)


@pytest.mark.parametrize("slow", ["version", "answer"])
@pytest.mark.parametrize(
    "script",
    [
        "sleep 1000",
        "trap '' TERM INT HUP; sleep 1000 & (sleep 1000 & sleep 1000) & while :; do sleep 1; done",
        "exec >&-; sleep 1000",
        "while :; do echo x; sleep 0.01; done",
        "kill -STOP $$",
    ],
)
def test_one_that_does_not_end(fake: Fake, script: str, slow: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither it nor what it started lives on. Both runs have the same deadline."""
    begin = time.monotonic()
    version, answer = (script, "echo '[]'") if slow == "version" else (f"sleep 0.2; {CURRENT}", script)
    assert fake.listed(answer, version=version, patience=0.5) == []
    assert 0.5 <= time.monotonic() - begin < 5
    assert "in time" in why(caplog)


def test_no_time_at_all(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.listed("echo '[]'", patience=0.0) == []
    assert "in time" in why(caplog)


@pytest.mark.parametrize("run", ["version", "answer"])
def test_one_that_floods(fake: Fake, run: str, caplog: pytest.LogCaptureFixture) -> None:
    version, answer = ("exec yes", "true") if run == "version" else (CURRENT, "exec yes")
    assert fake.listed(answer, version=version) == []
    assert "too much" in why(caplog)


def test_as_much_as_is_read(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    assert fake.saying("[]".ljust(agents.MAX_OUTPUT)) == []
    assert not caplog.records
    assert fake.saying("[]".ljust(agents.MAX_OUTPUT + 1)) == []
    assert "too much" in why(caplog)


def test_one_that_leaves_something_in_the_background(fake: Fake) -> None:
    """It has told everything although its output stays open."""
    begin = time.monotonic()
    start = "sleep 1000 &"
    assert fake.listed(f'{start} echo \'[{{"id": "a"}}]\'', version=f"{start} {CURRENT}") == [Agent("a")]
    assert time.monotonic() - begin < 10


def test_one_that_leaves_a_daemon(fake: Fake) -> None:
    """Just so; but what has a session of its own is not ours to end."""
    begin = time.monotonic()
    ready = fake.place.root / "ready"
    start = f"setsid sh -c 'echo >>{ready}; exec sleep 1000' & while [ ! -e {ready} ]; do sleep 0.01; done; "
    assert fake.listed(f'{start} echo \'[{{"id": "a"}}]\'', version=f"{start} rm {ready}; {CURRENT}") == [Agent("a")]
    assert time.monotonic() - begin < 10
    assert len(fake.place.processes()) == 2
    fake.place.end_processes()
