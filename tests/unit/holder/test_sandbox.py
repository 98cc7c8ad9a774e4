"""Starting in a sandbox: what the holder hands over, what it looks at before the program runs, and clean failures."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cowork.holder import beneath, child, companion, ladder, sandbox, tree
from cowork.holder import messages as m
from cowork.holder.child import StartError
from cowork.holder.sandbox import ARGUMENTS, FREE, GATE, STATUS
from cowork.holder.spec import Cover, Folder, Listen, Sandbox, StartSpec
from cowork.proxy.settings import Settings
from tests.support import boxes, holding
from tests.support.boxes import FORKS
from tests.support.ordinary import ordinary_user

pytestmark = FORKS

OPEN = Settings(rules=[["*"]]).as_json()
PROXY = Listen("proxy", "tcp", "127.0.0.1", 3128)
RAN = "echo ran > /out/ran; echo done; sleep 3600"
"""Leaves a trace in the folder that is mounted at /out."""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before, children = descriptors(), tree.children(os.getpid())
    yield
    assert descriptors() == before
    assert tree.children(os.getpid()) == children


@pytest.fixture
def folder() -> Iterator[Path]:
    with boxes.user_folder() as made:
        yield made
        assert boxes.kill_all(made) == []


def seen(fd: int, source: Path, place: str, *, writable: bool = False) -> dict[str, Any]:
    """One folder of the host's, mounted."""
    option = "--bind" if writable else "--ro-bind"
    return {"options": [option, str(source), place], "folders": [Folder(fd, str(source), place)]}


def spec(folder: Path, script: str, **more: Any) -> StartSpec:
    return boxes.spec(folder, script, *more.pop("options", ()), **more)


def failure(asked: StartSpec) -> StartError:
    """How it fails. No descriptor is left; for processes see ``test_nothing_of_what_was_refused_runs``."""
    before = descriptors()
    with pytest.raises(StartError) as caught:
        sandbox.start(asked, None)
    assert descriptors() == before
    boxes.kill_all(Path(asked.folder))
    return caught.value


real = pytest.mark.bwrap


@real
def test_a_program_in_a_sandbox(folder: Path) -> None:
    (folder / "f").write_text("hello")
    asked = spec(folder, "cat /mine/f; ls /mine; cat; echo $0; exit 3", **seen(FREE, folder, "/mine"))
    with boxes.started(asked) as box:
        os.write(box.made.stdin, b" input ")
        os.close(box.made.stdin)
        box.made = box.made._replace(stdin=-1)
        ended = box.end()
    assert ended.out == f"hellof\n input {folder}\n"
    assert (ended.err, ended.outcome) == ("", (3, 0))


@real
def test_the_program_is_known_when_it_is_started(folder: Path) -> None:
    with boxes.started(spec(folder, "echo $$; read x")) as box:
        assert box.inside.program is not None
        assert box.line() == "2", "its pid inside"
        assert tree.children(box.inside.init) == [box.inside.program]
        assert tree.children(box.made.pid) == [box.inside.init]


@real
def test_a_terminal(folder: Path) -> None:
    with boxes.started(spec(folder, "tty; stty size; exit 4", terminal=True)) as box:
        ended = box.end()
    assert ended.out.splitlines()[-1] == "24 80"
    assert ended.outcome == (4, 0)


@real
def test_what_the_program_has_of_ours(folder: Path) -> None:
    """Its streams, and nothing of the environment or of the descriptors that were opened for bubblewrap."""
    inherited = os.open(folder, os.O_RDONLY)
    # A holder closes what it is started with; whoever runs the tests may have left something open in this process.
    others = {fd for fd in descriptors() if int(fd) > 10 and os.get_inheritable(int(fd))}
    script = "echo $(env | cut -d= -f1 | sort); for f in /proc/self/fd/*; do echo ${f##*/}; done; exit 0"
    asked = spec(folder, script, options=["--clearenv", "--setenv", "A", "b"])._replace(env={"SECRET": "value"})
    with boxes.started(asked) as box:
        ended = box.end()
    os.close(inherited)
    names, *fds = ended.out.splitlines()
    assert "SECRET" not in names.split()
    assert "A" in names.split()
    assert {fd for fd in fds if int(fd) > 10} <= others


@real
def test_small_files_with_bytes_of_any_kind(folder: Path) -> None:
    content = bytes(range(256)) * 300
    asked = spec(
        folder, "od -An -v -tu1 /run/data | tr -s ' \\n' '\\n' | grep . | cksum; ls -l /run/data | cut -c1-10",
        options=["--ro-bind-data", str(FREE), "/run/data"], files={FREE: content.decode("latin-1")},
    )  # fmt: skip
    with boxes.started(asked) as box:
        ended = box.end()
    expected = "".join(f"{byte}\n" for byte in content)
    assert ended.out.splitlines()[0] == cksum(expected.encode())
    assert ended.err == ""


def cksum(data: bytes) -> str:
    return subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout.decode().strip()


@real
def test_placeholders_are_there_while_it_runs(folder: Path) -> None:
    user = folder / "user"
    user.mkdir()
    asked = spec(folder, "ls -A /u; read x", covers=[Cover(str(user), ".hooks", None), Cover(str(user), ".rc")],
                 **seen(FREE, user, "/u", writable=True))  # fmt: skip
    with boxes.started(asked) as box:
        assert [box.line(), box.line()] == [".hooks", ".rc"]
    assert os.listdir(user) == []


@real
def test_sockets_inside_are_served_outside(folder: Path) -> None:
    script = "printf 'CONNECT example.com:443 HTTP/1.1\\r\\n\\r\\n' | python3 -I -c '" + (
        "import socket, sys\n"
        "s = socket.create_connection((\"127.0.0.1\", 3128), 20)\n"
        "s.sendall(sys.stdin.buffer.read())\n"
        "print(s.recv(4096).split(b\"\\r\\n\")[0].decode())'"
    )  # fmt: skip
    asked = spec(folder, script, listen=[PROXY], proxy=Settings(rules=[[]]).as_json())
    with boxes.started(asked) as box:
        proxy = box.running.proxy
        assert proxy is not None
        assert proxy.pid in tree.children(os.getpid())
        ended = box.end()
    assert " 403 " in ended.out, ended
    assert "example.com" in (folder / "network.log").read_text()
    assert proxy.pid == 0


@real
def test_a_sandbox_without_proxy_has_none(folder: Path) -> None:
    with boxes.started(spec(folder, "exit 0", listen=[PROXY])) as box:
        assert box.running.proxy is None
        assert box.end().outcome == (0, 0)


@real
def test_nothing_runs_before_everything_was_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the last look the sandbox stands, and its program does not run."""
    looked: list[list[str]] = []
    real_look = sandbox._look_for

    def look(init: int, program: str, what: str) -> None:
        assert tree.children(init) == []
        assert Path(f"/proc/{init}/root/newroot/out").is_dir()
        looked.append(os.listdir(folder))
        real_look(init, program, what)

    monkeypatch.setattr(sandbox, "_look_for", look)
    with boxes.started(spec(folder, RAN, **seen(FREE, folder, "/out", writable=True))) as box:
        assert box.line() == "done"
    assert looked == [[]]
    assert "ran" in os.listdir(folder)


# -- failures


@real
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--no-such-option"], "bwrap: Unknown option --no-such-option"),
        (["--ro-bind", "/no/such/folder", "/x"], "bwrap: Can't find source path /no/such/folder: No such file"),
        (["--tmpfs", "/usr/x"], "bwrap: Can't mkdir"),
    ],
)
@pytest.mark.parametrize("terminal", [False, True])
def test_what_bubblewrap_says_is_passed_on(folder: Path, options: list[str], words: str, terminal: bool) -> None:
    user = folder / "user"
    user.mkdir()
    asked = spec(folder, "exit 0", options=options, covers=[Cover(str(user), "x")], terminal=terminal)
    error = failure(asked)
    assert (error.what, error.text[: len(words)]) == ("sandbox", words)
    assert "\n" not in error.text
    assert os.listdir(user) == [], "no placeholder is left"


@real
def test_a_program_that_is_not_there(folder: Path) -> None:
    asked = spec(folder, "exit 0")._replace(argv=["/no/such/program"])
    error = failure(asked)
    assert (error.what, error.errno) == ("exec", errno.ENOENT)
    assert error.text == "/no/such/program: not there inside the sandbox"


@real
def test_a_program_that_is_there_outside_only(folder: Path) -> None:
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o755)
    error = failure(spec(folder, "exit 0")._replace(argv=[str(folder / "tool")]))
    assert (error.what, error.errno) == ("exec", errno.ENOENT)


def test_no_bubblewrap(folder: Path) -> None:
    made = Sandbox(program="/no/such/bwrap", options=[])
    asked = StartSpec(str(folder), "", ["/bin/true"], "/bin/true", {}, "/", sandbox=made)
    before = descriptors()
    with pytest.raises(StartError) as caught:
        sandbox.start(asked, None)
    close_all_but(before)  # see test_a_start_that_fails_early_leaves_no_descriptor
    assert (caught.value.what, caught.value.errno) == ("exec", errno.ENOENT)
    assert "/no/such/bwrap" in caught.value.text


def descriptors() -> set[str]:
    """Those that are open."""
    listed = os.listdir("/proc/self/fd")
    return {fd for fd in listed if os.path.lexists(f"/proc/self/fd/{fd}")}


def close_all_but(before: set[str]) -> set[str]:
    """What was opened since, closed now."""
    left = descriptors() - before
    for fd in left:
        os.close(int(fd))
    return left


EARLY = {
    "no bubblewrap": {"program": "/no/such/bwrap"}, "folder gone": {"folders": [Folder(FREE, "/no/such", "/x")]},
    "placeholder": {"covers": [Cover("/no/such", "x")]},
}  # fmt: skip


@pytest.mark.parametrize("what", EARLY)
def test_a_start_that_fails_early_leaves_no_descriptor(folder: Path, what: str) -> None:
    made = Sandbox(program="/bin/true", options=[])._replace(**EARLY[what])  # type: ignore[arg-type]
    asked = StartSpec(str(folder), "", ["/bin/true"], "/bin/true", {}, "/", sandbox=made)
    before = descriptors()
    with pytest.raises(StartError):
        sandbox.start(asked, None)
    assert close_all_but(before) == set()


def test_a_placeholder_that_cannot_be_made(folder: Path) -> None:
    (folder / "user").mkdir()
    made = Sandbox("/bin/true", [], covers=[Cover(str(folder / "user"), "a"), Cover(str(folder / "user"), "no/b")])
    error = failure(StartSpec(str(folder), "", ["/bin/true"], "/bin/true", {}, "/", sandbox=made))
    assert (error.what, error.errno) == ("sandbox", errno.ENOENT)
    assert "user/no" in error.text
    assert os.listdir(folder / "user") == []


def test_a_folder_behind_a_link_is_refused(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    made = Sandbox("/bin/true", [], folders=[Folder(FREE, str(folder / "link"), "/x")])
    asked = StartSpec(str(folder), "", ["/bin/true"], "/bin/true", {}, "/", sandbox=made)
    before = descriptors()
    with pytest.raises(StartError) as caught:
        sandbox.start(asked, None)
    close_all_but(before)
    assert (caught.value.what, caught.value.errno) == ("sandbox", errno.ELOOP)
    assert str(folder / "link") in caught.value.text


def replacing(patch: pytest.MonkeyPatch, user: Path, by: str) -> None:
    """Have ``user`` be another one once it was opened: bubblewrap without --bind-fd opens it again, by its name."""
    start = child.start

    def late(asked: StartSpec, cgroup: str | None) -> child.Child:
        user.rename(user.with_name("moved"))
        if by == "another folder":
            user.mkdir()
        elif by == "a link":
            user.symlink_to("bad")
        return start(asked, cgroup)

    patch.setattr(child, "start", late)


@real
@pytest.mark.parametrize("by", ["another folder", "a link", "nothing"])
def test_a_folder_that_is_replaced_after_it_was_opened(folder: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    user = folder / "user"
    user.mkdir()
    (folder / "bad").mkdir()
    replacing(monkeypatch, user, by)
    error = failure(spec(folder, "exit 0", **seen(FREE, user, "/u")))
    assert error.what == "sandbox"
    words = "was replaced while the sandbox was made; not started" if by != "nothing" else "Can't find source path"
    assert words in error.text


REFUSED: dict[str, dict[str, Any]] = {
    "replaced": {}, "no such place": {"folders": [Folder(FREE, "/usr", "/nowhere")]},
    "no such program": {}, "killed": {}, "no sockets": {"listen": [PROXY, PROXY]},
}  # fmt: skip


@real
@pytest.mark.parametrize("why", REFUSED)
def test_nothing_of_what_was_refused_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Neither now nor when the gate is closed behind it."""
    user, out = folder / "user", folder / "out"
    user.mkdir()
    out.mkdir()
    asked = spec(folder, RAN, options=["--ro-bind", str(user), "/u", "--bind", str(out), "/out"], **REFUSED[why])
    if why == "replaced":
        assert asked.sandbox is not None
        asked = asked._replace(sandbox=asked.sandbox._replace(folders=[Folder(FREE, str(user), "/u")]))
        replacing(monkeypatch, user, "another folder")
    elif why == "killed":
        monkeypatch.setattr(sandbox, "_compare", lambda *_: killed_child(folder))
    elif why == "no such program":
        monkeypatch.setattr(beneath, "exists_in", lambda *_: False)
    with pytest.raises(StartError):
        sandbox.start(asked, None)
    left = boxes.kill_all(folder)
    assert (os.listdir(out), left) == ([], [])


def killed_child(folder: Path) -> None:
    """bubblewrap itself is ended by somebody while its first process waits at the gate."""
    (outer,) = (pid for pid in boxes.processes_of(folder) if pid in tree.children(os.getpid()))
    os.kill(outer, signal.SIGKILL)
    os.waitid(os.P_PID, outer, os.WEXITED | os.WNOWAIT)
    raise StartError("sandbox", 0, "it was seen")


@real
def test_a_place_that_is_not_there(folder: Path) -> None:
    error = failure(spec(folder, "exit 0", folders=[Folder(FREE, str(folder), "/nowhere")]))
    assert (error.what, error.errno) == ("sandbox", errno.ENOENT)
    assert "/nowhere" in error.text


@real
def test_a_place_that_nobody_looks_at(folder: Path) -> None:
    with boxes.started(spec(folder, "exit 0", folders=[Folder(FREE, str(folder), "")])) as box:
        assert box.end().outcome == (0, 0)


@real
def test_a_socket_that_cannot_be_had(folder: Path) -> None:
    error = failure(spec(folder, "exit 0", listen=[PROXY, PROXY], proxy=OPEN))
    assert error.what == "sandbox"
    assert "no sockets inside: 127.0.0.1:3128: Address already in use" in error.text


@real
def test_a_bubblewrap_that_does_not_come_to_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing at all."""
    monkeypatch.setattr(sandbox, "PATIENCE", 0.05)
    made = Sandbox(program="/bin/sh", options=[])
    asked = StartSpec(str(folder), "", ["x"], "/bin/sh", {}, "/", sandbox=made)
    monkeypatch.setattr(
        sandbox, "_outer", lambda *_: asked._replace(argv=["sh", "-c", "sleep 3600 >&- 2>&-", str(folder)])
    )
    error = failure(asked)
    assert "does not come to an end" in error.text


class Broken(Exception):
    """What nobody has thought of."""


@real
@pytest.mark.parametrize("error", [OSError(errno.EAGAIN, "Resource temporarily unavailable"), Broken()])
def test_no_failure_leaves_a_sandbox_waiting(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The program would run as soon as this process ends or closes the gate."""

    def fail(self: companion.Companion) -> None:
        raise error

    monkeypatch.setattr(companion.Companion, "start", fail)
    before = descriptors()
    try:
        with pytest.raises((StartError, Broken, OSError)):
            sandbox.start(spec(folder, "exit 0", listen=[PROXY], proxy=OPEN), None)
    finally:
        running = boxes.kill_all(folder)
        left = close_all_but(before)
    assert (running, left) == ([], set())


HOLDER = """
import sys, time
from pathlib import Path
from cowork.holder import sandbox
from tests.support import boxes
def hang(*_):
    print("at the gate", flush=True)
    time.sleep(3600)
sandbox._compare = hang
asked = boxes.spec(Path(sys.argv[1]), sys.argv[2], "--bind", sys.argv[1] + "/out", "/out")
sandbox.start(asked, None)
"""


@real
def test_a_holder_that_is_killed_at_the_gate_lets_nothing_run(folder: Path) -> None:
    """What would run would be seen by nobody, and have no proxy."""
    (folder / "out").mkdir()
    root = Path(__file__).resolve().parents[3]
    argv = [sys.executable, "-c", HOLDER, str(folder), RAN]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=root) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"at the gate\n"
        holder.kill()
    boxes.kill_all(folder)  # which gives it two seconds
    assert os.listdir(folder / "out") == []


# -- the pieces


def test_the_gate_is_full_until_it_is_read_and_opens_on_demand_only() -> None:
    ours: list[int] = []
    gate = sandbox._open_gate(ours)
    poll = select.poll()
    poll.register(gate, select.POLLOUT)
    assert ours == [gate]
    assert poll.poll(0) == []
    assert os.get_inheritable(GATE)
    assert not os.get_inheritable(gate)
    assert os.get_blocking(GATE), "bubblewrap must wait, not fail"
    assert os.read(GATE, 8192).strip() == b""
    assert poll.poll(0) == [(gate, select.POLLOUT)]
    sandbox._let_pass(gate)
    assert os.read(GATE, 1) == b"", "it is open"
    os.close(GATE)


def test_the_gate_stays_shut_when_nobody_can_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PATIENCE", 0.5)
    os.close(sandbox._open_gate([]))
    os.read(GATE, 8192)
    with pytest.raises(BlockingIOError):
        os.read(GATE, 1)
    os.close(GATE)


def test_the_options_begin_with_the_status_and_end_with_the_gate() -> None:
    made = Sandbox("/b", ["--x", "\udcff"], files={FREE: "\x00\xff"}, folders=[Folder(FREE + 1, "/", "/x")])
    sandbox._open_files(made)
    words = os.read(ARGUMENTS, 4096).split(b"\0")
    assert words == [
        b"--json-status-fd",
        str(STATUS).encode(),
        b"--x",
        b"\xff",
        b"--file",
        b"100",
        b"/run/.cowork",
        b"",
    ]
    assert os.read(FREE, 10) == b"\0\xff"
    assert os.stat(FREE + 1).st_ino == os.stat("/").st_ino
    for fd in (ARGUMENTS, FREE, FREE + 1):
        assert os.get_inheritable(fd)
        os.close(fd)


def test_bubblewrap_is_told_everything_by_descriptor() -> None:
    """Its command line, which everybody can see, has the program's and nothing else."""
    made = Sandbox("/usr/bin/bwrap", ["--setenv", "A", "SECRET"])
    asked = StartSpec("/f", "/s", ["/bin/x", "y"], "/bin/x", {"B": "SECRET"}, "/sessions/s", sandbox=made)
    outer = sandbox._outer(asked, made)
    assert outer.argv == ["bwrap", "--args", str(ARGUMENTS), "--", "/bin/x", "y"]
    assert (outer.executable, outer.cwd, outer.env) == ("/usr/bin/bwrap", "/", {})


@pytest.mark.parametrize(
    ("writes", "pid"),
    [
        ([b'{"child-pid": 77}\n'], 77), ([b'{ "child-pid": 77', b', "net-namespace": 1', b" }\n"], 77),
        ([b'{"child-pid": 77}\n{"exit-code": 0}\n'], 77),
    ],
)  # fmt: skip
def test_the_first_process_is_told_in_pieces(writes: list[bytes], pid: int) -> None:
    read, write = os.pipe()
    me = child.Child(os.getpid(), os.pidfd_open(os.getpid()), -1, -1, -1)
    real_read = os.read
    pieces = iter(writes)
    os.write(write, b"x" * len(writes))

    class Patched:
        """One piece for each read."""

        def __call__(self, fd: int, size: int) -> bytes:
            real_read(fd, 1)
            return next(pieces)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", Patched())
        assert sandbox._first_process(read, me) == pid
    for fd in (read, write, me.pidfd):
        os.close(fd)


def test_what_was_said_is_one_line_and_not_endless() -> None:
    read, write = os.pipe()
    os.write(write, b"bwrap: one\r\nbwrap: two\n" + b"x" * 5000)
    os.close(write)
    error = sandbox._failure(child.Child(0, -1, -1, -1, read))
    assert error.text.startswith("bwrap: one; bwrap: two; xxx")
    assert len(error.text) == 1000
    os.close(read)


# -- with a holder around it


@pytest.fixture
def held() -> Iterator[holding.Place]:
    with ordinary_user(), holding.place("zygote") as made:
        yield made


def start_held(place: holding.Place, script: str, **more: Any) -> holding.Held:
    asked = boxes.spec(place.folder, script, listen=[PROXY], proxy=OPEN, **more)
    return place.start(asked.argv, executable="/bin/sh", sandbox=asked.sandbox, env={})


def signals(held: holding.Held, *steps: ladder.Step) -> None:
    told = [{"after": step.after, "signal": step.signal, "to": step.to} for step in steps]
    held.client.send(m.SIGNAL, json.dumps({"token": 1, "steps": told}).encode())


@real
def test_a_session_in_a_sandbox_ends_like_any_other(held: holding.Place) -> None:
    session = start_held(held, "echo out; echo err >&2; read x; exit 5")
    session.until(b"out\n")
    session.client.write(b"\n")
    ended = session.wait()
    assert (ended.exit_code, ended.lost) == (5, False)
    assert (session.printed(), session.printed(holding.STDERR)) == (b"out\n", b"err\n")


@real
@pytest.mark.parametrize("to", ["leader", "group", "tree"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_whoever_is_killed_the_end_is_recorded(held: holding.Place, to: str, number: int) -> None:
    """With a KILL to everything the proxy goes, too."""
    session = start_held(held, "echo ready; sleep 3600")
    session.until(b"ready\n")
    signals(session, ladder.Step(0.0, number, to))
    ended = session.wait()
    assert (ended.exit_code, ended.signal, ended.lost) == (-1, signal.Signals(number).name, False)


@real
def test_a_proxy_that_dies_is_replaced_while_the_session_runs(held: holding.Place) -> None:
    session = start_held(held, "echo ready; read x; exit 0")
    session.until(b"ready\n")
    (proxy,) = (pid for pid in tree.children(session.holder) if pid != session.pid)
    os.kill(proxy, signal.SIGKILL)
    holding.wait_gone(proxy)
    session.client.status()
    while not (others := [pid for pid in tree.children(session.holder) if pid not in (session.pid, proxy)]):
        session.client.status()
    session.client.write(b"\n")
    assert session.wait().exit_code == 0
    holding.wait_gone(others[0])
    assert f"the proxy (pid {proxy}) died; now pid {others[0]}" in session.directory.lifecycle_log.read_text()


@real
def test_a_start_that_fails_is_told_to_the_starter(held: holding.Place) -> None:
    asked = boxes.spec(held.folder, "exit 0", "--no-such-option")
    session = held.prepare(asked.argv, executable="/bin/sh", sandbox=asked.sandbox, env={})
    client = held.begin(session)
    _, body = client.expect(m.FAILED)
    told = json.loads(body)
    assert told["what"] == "sandbox"
    assert "bwrap: Unknown option --no-such-option" in told["text"]
    client.close()
    session.page.close()


@real
def test_a_killed_holder_takes_sandbox_and_proxy_along(held: holding.Place) -> None:
    session = start_held(held, "echo ready; sleep 3600")
    session.until(b"ready\n")
    everybody = tree.descendants(session.holder)
    assert len(everybody) >= 4, "bubblewrap, its first process, the program, the proxy"
    session.kill_holder()
    for pid in everybody:
        holding.wait_gone(pid)
