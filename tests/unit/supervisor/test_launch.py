"""Starting sessions from the shell: what they are given, what they are called, and that a failure leaves nothing."""

from __future__ import annotations

import json
import os
import re
import resource
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.backends.host import HostBackend
from cowork.errors import ConfigError, CoworkError, HolderError, PolicyError
from cowork.holder.spec import StartSpec
from cowork.holder.stdin import LIMIT
from cowork.sessions.blocking import BlockingClient
from cowork.sessions.directory import SessionDirectory, list_sessions
from cowork.sessions.record import ExitRecord, SessionRecord
from cowork.supervisor import launch, messages
from cowork.supervisor.find import find
from cowork.supervisor.launch import Started, Wanted, name_for, start
from tests.support import daemon, stream
from tests.support.holding import CHILDREN, Held, child, wait_gone
from tests.support.ordinary import ordinary_user
from tests.support.supervised import Home, below

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def command(*words: str | Path) -> tuple[str, ...]:
    return tuple(map(str, words))


def wanted(home: Home, *words: str | Path, **more: Any) -> Wanted:
    return Wanted(str(home.cwd), command=command(*words), **more)


def started(home: Home, what: Wanted, **environ: str) -> Started:
    """Start something that may have ended by the time that anybody looks."""
    found = start(home.where, what, {**home.environ, **environ})
    try:
        home.adopted(found)
    except OSError:
        pass  # it has
    return found


def described(home: Home, what: Wanted | None = None, **environ: str) -> dict[str, Any]:
    """What a child is given, as it says itself."""
    held = home.launch(what or wanted(home, *child("describes_itself")), **environ)
    return json.loads(held.first_line())  # type: ignore[no-any-return]


def claude_is(home: Home, script: str) -> None:
    """Have a shell script be the ``claude`` on the path."""
    (home.bin / "claude").unlink()
    (home.bin / "claude").write_text(f"#!/bin/sh\n{script}\n")
    (home.bin / "claude").chmod(0o755)


@pytest.fixture
def describing(home: Home) -> Home:
    """A home in which ``claude`` tells what it is given, and goes on."""
    claude_is(home, f'{" ".join(child("describes_itself"))} "$@"\nexec sleep 60')
    return home


# -- a claude with a prompt


def test_a_prompt_reaches_the_claude_that_is_on_the_path(home: Home) -> None:
    found = start(home.where, Wanted(str(home.cwd), prompt='say "hé"\ntwice', arguments=("--model=m",)), home.environ)
    held = home.adopted(found)
    assert found.notes == []
    one = home.until(held, "idle")
    assert (one.detail, one.results, one.settled) == ("done", 1, True)
    lines = held.printed().splitlines()
    assert lines[0] == stream.ready(messages.INITIALIZE), "it is asked for a sign of life before it is told anything"
    (message,) = [m for m in map(json.loads, lines) if m["type"] == "user"]
    assert (message["message"]["content"], message["isReplay"]) == ('say "hé"\ntwice', True)
    assert stream.state("idle") in lines, "it is asked to tell its state"
    asked = held.directory.record()
    assert asked == found.record
    assert asked.argv == ["claude", *messages.STREAM_JSON, "--model=m"]
    assert (asked.executable, asked.cwd) == (str(home.bin / "claude"), str(home.cwd))
    assert (asked.kind, asked.name, asked.terminal) == ("shell", "say-h-twice", False)
    assert (asked.backend, asked.isolation, asked.network) == ("host", "none", "host")


def test_what_a_prompt_and_a_command_find_in_their_environment(describing: Home) -> None:
    seen = described(describing, Wanted(str(describing.cwd), prompt="x"), GREETING="hello", PWD="/elsewhere")
    assert seen["argv"][1:] == list(messages.STREAM_JSON)
    env = seen["env"]
    assert (env["GREETING"], env["PWD"], env["HOME"]) == ("hello", str(describing.cwd), describing.environ["HOME"])
    assert env["CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS"] == "1"
    assert SessionDirectory(describing.sessions, env["COWORK_SESSION"]).record().name == "x"
    other = described(describing)["env"]
    assert "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS" not in other
    assert other["COWORK_SESSION"] != env["COWORK_SESSION"]


def test_a_claude_on_a_terminal_gets_its_prompt_as_an_argument(describing: Home) -> None:
    folder = str(describing.cwd)
    seen = described(describing, Wanted(folder, prompt="a b", arguments=("--x",), terminal=(24, 80)), TERM="dumb")
    assert seen["argv"][1:] == ["--x", "a b"]
    assert (seen["terminal"], seen["env"]["TERM"]) == (True, "xterm-256color")
    assert "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS" not in seen["env"]
    bare = described(describing, Wanted(folder, terminal=(24, 80)), TERM="vt100")
    assert (bare["argv"][1:], bare["env"]["TERM"]) == ([], "vt100")


def test_a_terminal_has_the_size_it_was_wanted_with(home: Home) -> None:
    held = home.launch(wanted(home, *child("window_size"), terminal=(31, 97)))
    assert held.first_line() == b"31 rows 97 columns\r"
    assert held.directory.record().terminal


@pytest.mark.parametrize("how", ["closed", "ended"])
def test_one_that_does_not_take_its_prompt_is_kept_to_be_read(
    home: Home, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """``started`` returns only when it is too late to be told anything."""
    claude_is(home, "echo not logged in; exit 1" if how == "ended" else "exec <&-; echo not logged in; exec sleep 60")
    real = BlockingClient.started

    def late(client: BlockingClient) -> Any:
        status = real(client)
        if how == "ended":
            wait_gone(status.holder)
        else:
            (directory,) = list_sessions(home.sessions)
            log = directory.spool / f"{0:020d}.log"
            while not log.exists() or not log.stat().st_size:
                client.status()
        return status

    monkeypatch.setattr(BlockingClient, "started", late)
    found = started(home, Wanted(str(home.cwd), prompt="hello"))
    id = found.record.id
    assert found.notes == [f"it did not take its prompt ({how}): cowork logs {id}"]
    assert (SessionDirectory(home.sessions, id).spool / f"{0:020d}.log").read_bytes() == b"not logged in\n"


# -- a command


def test_a_command_is_found_as_it_would_be_in_that_folder(home: Home) -> None:
    (home.cwd / "tool").write_text("#!/bin/sh\nexec cat\n")
    (home.cwd / "tool").chmod(0o755)
    for first, executable in (("./tool", home.cwd / "tool"), ("../cwd/tool", home.cwd / "tool"), ("cat", None)):
        held = home.launch(wanted(home, first))
        asked = held.directory.record()
        assert asked.cwd == str(home.cwd)
        assert asked.executable == str(executable) if executable else asked.executable.endswith("/cat")
        assert asked.argv == [str(executable or "cat")]


def test_a_folder_is_taken_as_it_was_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.cwd / "sub").mkdir()
    monkeypatch.chdir(home.cwd)
    assert described(home, Wanted("sub", command=command(*child("describes_itself"))))["cwd"] == str(home.cwd / "sub")


def test_a_prompt_that_no_queue_would_take_is_refused(home: Home) -> None:
    with pytest.raises(ConfigError, match="longer than"):
        launch.start(home.where, Wanted(str(home.cwd), prompt="x" * (launch.LONGEST_PROMPT + 1)), home.environ)
    assert list(home.sessions.iterdir()) == []


def test_the_longest_prompt_fits_whatever_it_is_made_of(home: Home) -> None:
    longest = messages.initialize() + messages.user("\x00" * launch.LONGEST_PROMPT, "0" * 36)
    assert len(longest) <= LIMIT


def test_secrets_of_a_command_line_are_not_written_down(home: Home) -> None:
    held = home.launch(wanted(home, "sh", "-c", "exec cat", "--settings", "very-secret"))
    assert held.directory.record().argv == ["sh", "-c", "exec cat", "--settings", "…"]


def test_limits_of_the_configuration_and_of_the_project_hold(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.configure('[limits]\nmemory = "1G"\ntasks = 900\n[background]\nhistory = "5M"\n')
    (home.cwd / ".cowork.toml").write_text("[limits]\ntasks = 77\n")
    specs: list[StartSpec] = []
    real = StartSpec.encode

    def encode(spec: StartSpec) -> bytes:
        specs.append(spec)
        return real(spec)

    monkeypatch.setattr(StartSpec, "encode", encode)
    held = home.launch(wanted(home, "cat"))
    (spec,) = specs
    assert (spec.memory, spec.tasks, spec.history) == (1 << 30, 77, 5 << 20)
    assert held.directory.record().history == 5 << 20


def test_a_session_is_nobodys_but_its_users(home: Home) -> None:
    held = home.claude("hello")
    assert stat.S_IMODE(held.directory.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(os.stat(held.socket).st_mode) == 0o600


# -- names


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (Wanted("/", prompt="Fix the failing test, please!"), "fix-the-failing-test"),
        (Wanted("/", prompt="  ÄÖ 日本 \n"), "session"),
        (Wanted("/", prompt="a" * 90), "a" * 32),
        (Wanted("/", prompt="x" * 31 + " yz"), "x" * 31),
        (Wanted("/", command=("/usr/bin/python3.11", "-c")), "python3.11"),
        (Wanted("/", command=("./run me.sh",)), "run-me.sh"),
        (Wanted("/", command=("...",)), "session"),
        (Wanted("/", terminal=(24, 80)), "claude"),
        (Wanted("/", prompt="", terminal=(24, 80)), "session"),
    ],
)  # fmt: skip
def test_what_a_session_is_called_that_nobody_named(what: Wanted, name: str) -> None:
    assert name_for(what) == name


@given(st.one_of(st.none(), st.text()), st.lists(st.text(), max_size=2))
def test_a_name_that_is_made_could_have_been_given(prompt: str | None, words: list[str]) -> None:
    assert NAME.fullmatch(name_for(Wanted("/", prompt=prompt, command=() if prompt is not None else tuple(words))))


def test_no_two_that_run_have_the_same_name(home: Home) -> None:
    first, second, third = (home.launch(wanted(home, "cat")) for _ in range(3))
    assert [held.directory.record().name for held in (first, second, third)] == ["cat", "cat-2", "cat-3"]
    second.client.close_stdin()
    second.wait()
    assert home.launch(wanted(home, "cat")).directory.record().name == "cat-2"
    assert find(home.where, "cat").id == first.directory.id


def test_a_name_is_free_again_when_its_session_has_ended(home: Home) -> None:
    held = home.launch(wanted(home, "cat", name="talk"))
    with pytest.raises(ConfigError, match="a session named talk runs already") as caught:
        start(home.where, wanted(home, "cat", name="talk"), home.environ)
    assert caught.value.hint == "cowork attach talk"
    held.client.close_stdin()
    held.wait()
    assert home.launch(wanted(home, "cat", name="talk")).directory.record().name == "talk"


def test_those_that_cannot_be_read_have_no_name(home: Home) -> None:
    held = home.launch(wanted(home, "cat"))
    (held.directory.path / "session.json").write_text("{")
    assert home.launch(wanted(home, "cat")).directory.record().name == "cat"


@pytest.mark.parametrize("name", ["a b", "-a", ".a", "_", "é", "a/b", "a" * 65, "a\n"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(home: Home, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        start(home.where, wanted(home, "true", name=name), home.environ)


def test_those_that_start_at_the_same_time_get_names_of_their_own(home: Home) -> None:
    found: list[Started] = []
    together = threading.Barrier(4)

    def run() -> None:
        together.wait()
        found.append(start(home.where, wanted(home, "cat"), home.environ))

    several = [threading.Thread(target=run) for _ in range(4)]
    for each in several:
        each.start()
    for each in several:
        each.join()
    for one in found:
        home.adopted(one)
    assert sorted(one.record.name for one in found) == ["cat", "cat-2", "cat-3", "cat-4"]


# -- what fails


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def repository(home: Home) -> Path:
    """The folder that sessions work in, as a repository with one commit."""
    git(home.cwd, "init", "-q", "-b", "main")
    (home.cwd / "sub").mkdir()
    (home.cwd / "sub" / "file").write_text("x\n")
    git(home.cwd, "add", ".")
    git(home.cwd, "commit", "-q", "-m", "one")
    return home.cwd


def everything(home: Home) -> list[str]:
    """All that there is of sessions, apart from what is shared by all."""
    places = (home.sessions, home.where.homes, home.where.worktrees, home.where.trees, home.cwd)
    sockets = [name for name in below(home.runtime) if not name.startswith("zygote")]
    return [str(place / name) for place in places if place.exists() for name in below(place)] + sockets


FAILURES = [
    ({"command": ("no-such-program",)}, CoworkError, "no such program"),
    ({"command": ("./none",)}, CoworkError, "No such file"),
    ({"command": (str(CHILDREN / "not_executable"),)}, CoworkError, "not executable"),
    ({"command": (str(CHILDREN / "bad_interpreter"),)}, HolderError, "bad_interpreter"),
    ({"command": ("",)}, CoworkError, "empty"),
    ({"command": ("true", "x" * 300_000)}, HolderError, "Argument list too long"),
    ({"command": ("true",), "name": "a b"}, ConfigError, "cannot be used"),
    ({"command": ("true",), "folder": "/none"}, ConfigError, "/none is no folder"),
    ({"command": ("true",), "folder": "/etc/passwd"}, ConfigError, "/etc/passwd is no folder"),
    ({"command": ("true",), "folder": "a\0b"}, ConfigError, "is no folder"),
    ({"command": ("true",), "backend": "kvm"}, CoworkError, "kvm"),
]


@pytest.mark.parametrize(("fields", "error", "says"), FAILURES)
@pytest.mark.parametrize("worktree", [False, True])
@pytest.mark.usefixtures("repository")
def test_a_start_that_fails_leaves_nothing(
    home: Home, fields: dict[str, Any], error: type[CoworkError], says: str, worktree: bool
) -> None:
    before = everything(home)
    with pytest.raises(error, match=says):
        start(home.where, Wanted(**{"folder": str(home.cwd), "worktree": worktree, **fields}), home.environ)
    assert everything(home) == before
    assert git(home.cwd, "branch", "--format=%(refname:short)").split() == ["main"]


def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing(home: Home) -> None:
    home.launch(wanted(home, "cat"))
    before = everything(home)
    full = full_disk()
    next(full)
    try:
        with pytest.raises(OSError, match="File too large"):
            start(home.where, wanted(home, "true"), home.environ)
    finally:
        next(full, None)
    assert everything(home) == before


def test_a_holder_that_cannot_be_started_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise HolderError("cannot start a holder: no")

    monkeypatch.setattr(launch, "shared_channel", fail)
    with pytest.raises(HolderError, match="cannot start a holder"):
        start(home.where, wanted(home, "true"), home.environ)
    assert everything(home) == []


@pytest.mark.parametrize("late", ["started", "write"])
def test_whoever_is_interrupted_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch, late: str) -> None:
    """It is held by then, whether or not the one who wanted it is still there."""
    pids: list[int] = []
    real, method = BlockingClient.started, getattr(BlockingClient, late)

    def remember(client: BlockingClient) -> Any:
        status = real(client)
        pids.extend((status.pid, status.holder))
        return status

    def interrupted(client: BlockingClient, *arguments: Any) -> None:
        remember(client) if late == "started" else method(client, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(BlockingClient, "started", remember)
    monkeypatch.setattr(BlockingClient, late, interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(home.where, Wanted(str(home.cwd), prompt='[{"stay": true}]'), home.environ)
    for pid in pids:
        wait_gone(pid)
    assert len(pids) == 2
    assert everything(home) == []


# -- what a project and the configuration ask for


def test_a_project_that_wants_isolation_is_not_served_by_the_host(home: Home) -> None:
    (home.cwd / ".cowork.toml").write_text('isolation = "required"\n')
    for backend in (None, "host"):
        with pytest.raises(PolicyError, match=r'\.cowork\.toml says isolation = "required"') as caught:
            start(home.where, wanted(home, "true", backend=backend), home.environ)
        assert caught.value.hint == "cowork bg --backend bwrap ..."


def test_a_project_file_that_is_not_committed_holds_for_a_worktree_too(home: Home, repository: Path) -> None:
    (repository / ".cowork.toml").write_text('isolation = "required"\n')
    with pytest.raises(PolicyError, match=r'\.cowork\.toml says isolation = "required"'):
        start(home.where, wanted(home, "true", worktree=True), home.environ)
    assert git(repository, "worktree", "list").count("\n") == 1
    (repository / ".cowork.toml").write_text("isolation = 3\n[limits\n")
    with pytest.raises(CoworkError, match=r"\.cowork\.toml"):
        start(home.where, wanted(home, "true", worktree=True), home.environ)


@pytest.mark.parametrize("content", ["[", 'network = "x"\n', "[limits]\ntasks = 0\n"])
def test_a_project_file_that_is_not_understood_is_refused(home: Home, content: str) -> None:
    (home.cwd / ".cowork.toml").write_text(content)
    with pytest.raises(CoworkError, match=r"\.cowork\.toml"):
        start(home.where, wanted(home, "true"), home.environ)
    assert list(home.sessions.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "backend", "chosen"),
    [
        ("", None, "host"),
        ("", "auto", "auto"),
        ('isolation = "required"\n', None, "auto"),
        ('isolation = "required"\n', "host", "host"),
        ('isolation = "required"\n[background]\nbackend = "bwrap"\n', None, "bwrap"),
        ('[background]\nbackend = "auto"\n', None, "auto"),
        ('[background]\nbackend = "bwrap"\n', "host", "host"),
    ],
)  # fmt: skip
def test_which_backend_is_asked_for(
    home: Home, monkeypatch: pytest.MonkeyPatch, config: str, backend: str | None, chosen: str
) -> None:
    """Named goes before configured, and nobody gets less than the configuration requires without naming it."""
    home.configure(config)
    found: list[str] = []

    def choose(name: str, environ: dict[str, str]) -> tuple[HostBackend, list[str]]:
        found.append(name)
        return HostBackend(environ), []

    monkeypatch.setattr(launch, "choose", choose)
    home.launch(wanted(home, "cat", backend=backend))
    assert found == [chosen]


def test_the_host_is_refused_where_isolation_is_required_though_it_is_named(home: Home) -> None:
    home.configure('isolation = "required"\n')
    with pytest.raises(PolicyError, match=r'config\.toml says isolation = "required"'):
        start(home.where, wanted(home, "true", backend="host"), home.environ)


def test_a_configuration_that_makes_no_sense_is_said(home: Home) -> None:
    home.configure("[background]\nbackend = 3\n")
    with pytest.raises(ConfigError, match=r"config\.toml"):
        start(home.where, wanted(home, "true"), home.environ)


# -- worktrees


def test_a_worktree_is_where_the_session_works(home: Home, repository: Path) -> None:
    (repository / "new").write_text("x")
    found = start(home.where, Wanted(str(repository / "sub"), command=("cat",), worktree=True), home.environ)
    held = home.adopted(found)
    asked = found.record
    assert found.notes == ["what is not committed in this folder is not in the worktree"]
    tree = asked.worktree
    assert tree is not None
    assert tree.path == str(home.where.worktrees / asked.id / "sub")
    assert (asked.cwd, tree.branch) == (f"{tree.path}/sub", f"cowork/cat-{asked.id[:6]}")
    assert os.readlink(f"/proc/{held.pid}/cwd") == asked.cwd
    assert os.listdir(asked.cwd) == ["file"]
    assert tree.branch in git(repository, "branch", "--format=%(refname:short)").split()


def test_a_clean_repository_needs_no_note(home: Home, repository: Path) -> None:
    found = start(home.where, Wanted(str(repository), command=("cat",), worktree=True), home.environ)
    home.adopted(found)
    assert found.notes == []
    assert found.record.cwd == str(home.where.worktrees / found.record.id / "cwd")


def test_no_worktree_without_a_repository(home: Home) -> None:
    with pytest.raises(ConfigError, match="is in no git repository"):
        start(home.where, wanted(home, "true", worktree=True), home.environ)
    assert everything(home) == []


# -- in a sandbox


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """The home of an ordinary user, who is let into a sandbox."""
    with ordinary_user():
        place = daemon.Place()
        monkeypatch.setenv(daemon.TAG, place.tag)
        home = Home(place)
        try:
            yield home
        finally:
            home.close()
            place.remove()


def ran(home: Home, script: str, **more: Any) -> tuple[SessionRecord, str]:
    """What a script in a sandbox prints; it is waited for."""
    what = Wanted(more.pop("folder", str(home.cwd)), command=("sh", "-c", f"{script}; echo; echo over; cat"), **more)
    held = home.launch(what)
    printed = held.until(b"over\n")
    return held.directory.record(), printed.removesuffix(b"\nover\n").decode()


@pytest.mark.bwrap
def test_in_a_sandbox_the_folder_has_the_place_that_any_session_has(inside: Home) -> None:
    asked, printed = ran(inside, 'pwd; echo "$COWORK_SESSION"; echo hello >made; ls -a "$HOME"', backend="bwrap")
    assert (asked.backend, asked.isolation) == ("bwrap", "bubblewrap")
    assert asked.cwd == f"/sessions/{asked.id}/mnt/cwd"
    assert [(m.name, m.host, m.mode) for m in asked.mounts] == [("cwd", os.path.realpath(inside.cwd), "rw")]
    assert printed.split("\n")[:2] == [asked.cwd, asked.id]
    assert (inside.cwd / "made").read_text() == "hello\n"
    assert (inside.where.homes / asked.id).is_dir()


@pytest.mark.bwrap
def test_a_configuration_that_requires_isolation_gets_it(inside: Home) -> None:
    inside.configure('isolation = "required"\n')
    (inside.cwd / ".cowork.toml").write_text('isolation = "required"\n')
    asked, printed = ran(inside, "pwd")
    assert (asked.backend, printed) == ("bwrap", f"/sessions/{asked.id}/mnt/cwd\n")


@pytest.mark.bwrap
def test_a_prompt_reaches_a_claude_in_a_sandbox_with_its_configuration(inside: Home) -> None:
    claude_is(inside, 'echo "$CLAUDE_CONFIG_DIR $ANTHROPIC_MODEL"; exec cat')
    conf = Path(inside.environ["HOME"]) / ".claude"
    conf.mkdir()
    held = inside.launch(Wanted(str(inside.cwd), prompt="hello", backend="bwrap"), ANTHROPIC_MODEL="m-1")
    first, ready, prompt = held.until(b'"hello"}').splitlines()[:3]
    asked = held.directory.record()
    assert first.decode() == f"/sessions/{asked.id}/mnt/.claude m-1"
    assert json.loads(ready)["request_id"] == messages.INITIALIZE
    assert json.loads(prompt)["message"]["content"] == "hello"
    assert {(m.name, m.host) for m in asked.mounts} == {("cwd", str(inside.cwd)), (".claude", str(conf))}


@pytest.mark.bwrap
def test_a_folder_that_has_the_name_of_the_configurations_is_not_taken_for_it(inside: Home) -> None:
    claude_is(inside, "pwd; ls mine; cd $CLAUDE_CONFIG_DIR; ls settings; echo over; exec cat")
    conf, own = Path(inside.environ["HOME"]) / ".claude", inside.cwd / ".claude"
    for folder, name in ((conf, "settings"), (own, "mine")):
        folder.mkdir()
        (folder / name).touch()
    held = inside.launch(Wanted(str(own), prompt="hello", backend="bwrap"))
    where, *names = held.until(b"over\n").decode().split()
    assert names[:3] == ["mine", "settings", "over"]
    assert where == held.directory.record().cwd
    both = inside.launch(Wanted(str(conf), prompt="hello", backend="bwrap"))
    assert b"settings\nover\n" in both.until(b"over\n"), "where both are one, that is it"
    assert both.directory.record().cwd.endswith("/mnt/.claude")


@pytest.mark.bwrap
def test_a_start_that_fails_in_a_sandbox_leaves_nothing(inside: Home) -> None:
    (inside.cwd / "broken").write_text("#!/none\n")
    (inside.cwd / "broken").chmod(0o755)
    before = everything(inside)
    for words in (("no-such-program",), ("./broken",), ("true", "x" * 300_000)):
        with pytest.raises(CoworkError):
            start(inside.where, Wanted(str(inside.cwd), command=words, backend="bwrap"), inside.environ)
        assert everything(inside) == before


@pytest.mark.bwrap
def test_a_worktree_is_not_for_a_sandbox(inside: Home) -> None:
    git(inside.cwd, "init", "-q")
    with pytest.raises(ConfigError, match="a worktree needs its repository") as caught:
        start(inside.where, wanted(inside, "true", backend="bwrap", worktree=True), inside.environ)
    assert caught.value.hint == "leave out --worktree, or add --backend host"


def test_one_that_has_ended_is_none_of_those_that_run(home: Home) -> None:
    held: Held = home.launch(wanted(home, "cat"))
    directory = SessionDirectory(home.sessions, "abcdefghijkl")
    directory.create(SessionRecord(id=directory.id, kind="shell", name="cat-2")).close()
    directory.write_exit(ExitRecord())
    assert home.launch(wanted(home, "cat")).directory.record().name == "cat-2"
    assert held.directory.record().name == "cat"
