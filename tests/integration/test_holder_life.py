"""A session outlives whoever started it, serves anybody, and is tidied up after when its holder is killed."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from cowork.errors import HolderError
from cowork.holder import messages as m
from cowork.holder.tree import start_time
from cowork.sessions import starter
from cowork.sessions.blocking import BlockingClient
from cowork.sessions.leftovers import bury, call_holder, holder_lives
from cowork.sessions.status import StartFailure
from tests.support.holding import CHILDREN, PATIENCE, Held, Place, alive, child, place, sleeper, wait_gone

pytestmark = pytest.mark.integration

STARTER = """
import os, sys, socket
sys.path[:0] = [{src!r}]
from cowork.sessions import starter
zygote = starter.Zygote()
channel = zygote.channel() if {way!r} == "zygote" else starter.plain_channel()
channel.sendall(sys.stdin.buffer.read())
channel.recv(1)
print(zygote.pid or 0, flush=True)
while True: channel.recv(65536)
"""


# -- survival


@pytest.mark.parametrize("way", ["plain", "zygote"])
def test_a_session_outlives_its_starter_and_its_zygote(here: Place, way: str) -> None:
    held = here.prepare(["/bin/cat"])
    script = STARTER.format(src=os.path.dirname(os.path.dirname(os.path.dirname(starter.__file__))), way=way)
    begin = m.pack(m.BEGIN, held.spec.encode())
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(begin)
        process.stdin.close()
        zygote = int(process.stdout.readline())
        held.client = held.connect()
        held.status = held.client.watch()
        here.adopt(held)
        assert held.client.write(b"before\n") is None
        held.until(b"before\n")
        process.kill()
        process.wait()
    if zygote:
        try:
            os.kill(zygote, signal.SIGKILL)
        except ProcessLookupError:
            pass
        wait_gone(zygote)
    assert held.client.write(b"after\n") is None
    held.until(b"after\n")
    with held.connect() as other:
        assert other.watch().running
        assert held.runs(7) == [(1, b"after\n")]
        other.close_stdin()
        ended = other.wait()
    assert ended.exit_code == 0
    assert ended == held.wait()


def test_a_new_zygote_is_started_when_the_old_one_was_killed(here: Place) -> None:
    first = here.start(["/bin/cat"])
    assert here.zygote is not None
    old = here.zygote.pid
    assert old is not None
    os.kill(old, signal.SIGKILL)
    wait_gone(old)
    second = here.start(["/bin/cat"])
    assert here.zygote.pid != old
    for held in (first, second):
        assert held.client.write(b"x\n") is None
        held.until(b"x\n")


def test_a_holder_is_nobodys_child_and_leads_a_session(either: Place) -> None:
    held = either.start(["/bin/cat"])
    assert os.getsid(held.holder) != os.getsid(0)
    assert os.getsid(held.pid) == held.pid
    assert os.getpgid(held.pid) == held.pid
    with open(f"/proc/{held.holder}/comm", encoding="ascii") as f:
        assert f.read() == "cowork-holder\n"
    assert os.readlink(f"/proc/{held.holder}/cwd") == "/"


def test_the_holder_has_no_stray_descriptors(either: Place) -> None:
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        held = either.start(["/bin/cat"])
    finally:
        os.close(secret)
    names = [os.readlink(f"/proc/{held.holder}/fd/{fd}") for fd in os.listdir(f"/proc/{held.holder}/fd")]
    assert names.count("/dev/null") == 3  # 0, 1 and 2
    assert len(names) < 20


def test_many_sessions_leave_nothing_open_in_the_zygote(here: Place) -> None:
    here.start(child("exits_at_once")).wait()
    assert here.zygote is not None

    def count() -> int:
        assert here.zygote is not None
        return len(os.listdir(f"/proc/{here.zygote.pid}/fd"))

    before = count()
    for _ in range(5):
        here.start(child("exits_at_once")).wait()
    # One channel may just be on its way.
    assert count() <= before + 1


def test_the_socket_is_private_from_the_start(either: Place) -> None:
    held = either.start(["/bin/cat"])
    assert os.lstat(held.socket).st_mode & 0o777 == 0o600
    for path in held.directory.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_socket_that_was_removed_comes_back_on_request(here: Place) -> None:
    held = here.start(["/bin/cat"])
    os.unlink(held.socket)
    os.rmdir(here.runtime)
    os.kill(held.holder, signal.SIGUSR1)
    assert held.client.status().running
    assert held.client.status().running
    with held.connect() as other:
        assert other.write(b"x\n") is None
    assert os.lstat(held.socket).st_mode & 0o777 == 0o600
    held.until(b"x\n")


# -- clients


def test_several_clients_are_told_of_everything(here: Place) -> None:
    held = here.start(["/bin/cat"])
    clients = [held.connect() for _ in range(5)]
    for client in clients:
        assert client.watch().head == 0
    for number, client in enumerate(clients):
        assert client.write(b"%d\n" % number) is None
        held.until(b"%d\n" % number)
    held.client.close_stdin()
    ended = held.client.wait()
    for client in clients:
        assert client.wait() == ended
        client.close()
    held.wait_closed()


def test_one_that_does_not_watch_is_told_nothing(here: Place) -> None:
    held = here.start(["/bin/cat"])
    with held.connect() as quiet:
        assert quiet.status().running
        assert held.client.write(b"x\n") is None
        held.until(b"x\n")
        held.client.close_stdin()
        held.wait()
        assert quiet.receive() is None


def test_a_client_that_never_reads_holds_nobody_up(here: Place) -> None:
    held = here.start(["/bin/cat"])
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(held.socket)
    sock.sendall(m.pack(m.WATCH))
    sock.settimeout(PATIENCE)
    for number in range(3000):
        assert held.client.write(b"%d\n" % number) is None
    held.until(b"2999\n")
    held.client.close_stdin()
    assert held.client.wait().exit_code == 0
    # What waited for it is still in order: notes grow, and the end is the last.
    splitter = m.Splitter()
    told: list[tuple[int, bytes]] = []
    while data := sock.recv(1 << 16):
        told += splitter.feed(data)
    sock.close()
    assert [kind for kind, _ in told if kind != m.NOTE] == [m.STATUS, m.EXIT]
    notes = [m.U64.unpack(body)[0] for kind, body in told if kind == m.NOTE]
    assert notes == sorted(notes)
    assert notes[-1] == len(held.printed())
    wait_gone(held.holder)


def test_a_client_that_never_reads_at_all_does_not_keep_the_holder(here: Place) -> None:
    held = here.start(["/bin/cat"])
    stuck = held.connect()
    for _ in range(20_000):
        stuck.send(m.QUERY)  # answered with 200 bytes each: more than a socket's buffer takes
        if not select.select([], [stuck.fileno()], [], 0)[1]:
            break
    stuck.send(m.WATCH)
    held.client.close_stdin()
    assert held.wait().exit_code == 0
    stuck.close()


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5, b"\x02\xff\xff\xff\xff"])
def test_nonsense_closes_that_connection_only(here: Place, nonsense: bytes) -> None:
    held = here.start(["/bin/cat"])
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(held.socket)
        sock.settimeout(PATIENCE)
        sock.sendall(nonsense)
        assert sock.recv(1) == b""
    assert held.client.status().running


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to become somebody else")
def test_another_user_is_not_served(here: Place) -> None:
    held = here.start(["/bin/cat"])
    for path in (here.folder, here.runtime):
        path.chmod(0o755)
    os.chmod(held.socket, 0o666)
    script = (
        "import os, socket, sys\n"
        "os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "try:\n"
        "    s.sendall(bytes([7, 0, 0, 0, 0])); answer = s.recv(1)\n"
        "except OSError:\n"
        "    answer = b''\n"
        "sys.exit(0 if answer == b'' else 9)\n"
    )
    assert subprocess.run([sys.executable, "-I", "-S", "-c", script, held.socket]).returncode == 0
    assert held.client.status().running


# -- what the child gets


def described(held: Held) -> dict[str, object]:
    found = json.loads(held.until(b"\n"))
    assert isinstance(found, dict)
    return found


def test_the_child_gets_exactly_what_was_asked_for(either: Place) -> None:
    env = {**either.environment(), "WITH": "a = b\nc", "UTF": "é😀", "EMPTY": ""}
    folder = either.cwd / "a folder"
    folder.mkdir()
    argv = child("describes_itself", "two words", "", "-x", "é")
    held = either.start(argv, env=env, cwd=str(folder), umask=0o027)
    found = described(held)
    assert found["env"] == env
    assert found["argv"] == argv[-5:]
    assert found["cwd"] == str(folder)
    assert found["umask"] == 0o027
    fds = found["fds"]
    assert isinstance(fds, dict)
    assert {n: target.partition(":")[0] for n, target in fds.items()} == {"0": "pipe", "1": "pipe", "2": "pipe"}
    assert len(set(fds.values())) == 3
    assert found["pid"] == found["sid"] == found["pgid"] == held.pid
    assert found["blocked"] == 0
    assert not found["terminal"]
    assert held.wait().exit_code == 0


def test_no_signal_is_ignored_by_the_child(either: Place) -> None:
    """Python itself ignores two; a shell has its background jobs ignore two others."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGQUIT, signal.SIGUSR2)}
    try:
        held = either.start(["/bin/grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    held.wait()
    # 32 and 33 are the C library's own, and nobody can set them; GNU make has them ignored.
    assert [int(mask, 16) & ~(3 << 31) for mask in held.printed().split()[1::2]] == [0, 0]


def test_arguments_that_are_no_text_arrive(here: Place) -> None:
    raw = b"caf\xe9"
    held = here.start(["/bin/printf", "%s", os.fsdecode(raw)], env={"RAW": os.fsdecode(raw)})
    held.wait()
    assert held.printed() == raw


def test_argv_zero_is_not_the_executable(here: Place) -> None:
    held = here.start(["other-name", "-c", "echo $0"], executable="/bin/sh")
    held.wait()
    assert held.printed() == b"other-name\n"


# -- starts that fail


@pytest.mark.parametrize(
    ("argv", "options", "what", "text"),
    [
        (["/nonexistent/program"], {}, "exec", "/nonexistent/program: No such file or directory"),
        (["/bin/true"], {"cwd": "/nonexistent"}, "cwd", "working directory /nonexistent: No such file or directory"),
        (["/bin/true"], {"cwd": "/etc/passwd"}, "cwd", "working directory /etc/passwd: Not a directory"),
        ([f"{CHILDREN}/not_executable"], {}, "exec", f"{CHILDREN}/not_executable: Permission denied"),
        ([f"{CHILDREN}/bad_interpreter"], {}, "exec", f"{CHILDREN}/bad_interpreter: No such file or directory"),
        (["/etc"], {}, "exec", "/etc: Permission denied"),
        (["/bin/true"], {"socket": "/nonexistent/s"}, "socket", "/nonexistent/s: No such file or directory"),
    ],
)
def test_a_failed_start_says_why_and_leaves_nothing(
    either: Place, argv: list[str], options: dict[str, str], what: str, text: str
) -> None:
    import msgspec

    held = either.prepare(argv, **{name: value for name, value in options.items() if name != "socket"})
    if "socket" in options:
        held.spec = held.spec._replace(socket=options["socket"])
    with either.begin(held) as client:
        kind, body = client.expect(m.FAILED, m.STATUS)
        assert kind == m.FAILED
        failure = msgspec.json.decode(body, type=StartFailure)
        assert (failure.what, failure.text) == (what, text)
        assert failure.errno > 0
        assert client.receive() is None
    held.page.close()
    assert not os.path.lexists(held.socket)
    assert held.directory.exit() is None
    assert held.directory.child() is None
    assert f"not started: {text}" in held.directory.lifecycle_log.read_text()


def test_a_failed_start_is_an_error_with_that_text(here: Place) -> None:
    with pytest.raises(HolderError, match=r"^/nonexistent: No such file or directory$"):
        here.start(["/nonexistent"])


def test_a_folder_that_cannot_hold_a_spool_starts_nothing(here: Place) -> None:
    """The spool is made before the child, so that no child is ever without one."""
    held = here.prepare(child("never_reads"))
    held.directory.spool.write_text("in the way")
    with here.begin(held) as client:
        kind, body = client.expect(m.FAILED, m.STATUS)
        assert kind == m.FAILED
        assert json.loads(body)["text"] == f"{held.directory.spool}: File exists"
        assert client.receive() is None
    held.page.close()


def test_a_starter_that_goes_away_before_it_begins(here: Place) -> None:
    channel = here.channel()
    channel.close()
    held = here.start(child("exits_at_once", 5))
    assert held.wait().exit_code == 5


# -- a holder that was killed


def test_a_killed_holder_is_buried(here: Place) -> None:
    held = here.start(child("has_children"))
    pids = [int(pid) for pid in held.first_line().split()[1:]]
    held.kill_holder()
    while held.client.receive() is not None:
        pass  # the connection ends although the child lives
    assert alive(held.pid)
    ended = bury(held.directory)
    for pid in pids:
        wait_gone(pid)
    assert (ended.lost, ended.exit_code, ended.signal) == (True, -1, "")
    assert held.directory.exit() == ended
    assert json.loads((held.directory.path / "exit.json").read_bytes())["lost"] is True
    assert "holder was killed" in held.directory.lifecycle_log.read_text()
    assert held.printed().startswith(b"ready ")


def test_a_stranger_with_the_recorded_pid_is_left_alone(here: Place) -> None:
    held = here.start(["/bin/cat"])
    held.kill_holder()
    os.kill(held.pid, signal.SIGKILL)
    wait_gone(held.pid)
    with sleeper() as stranger:
        record = json.loads((held.directory.path / "child.json").read_bytes())
        record["pid"] = stranger.pid
        # Another process than the one recorded, also where both started within one tick of the clock.
        record["start"] = start_time(stranger.pid) - 1
        (held.directory.path / "child.json").write_text(json.dumps(record))
        assert bury(held.directory).lost
        assert stranger.poll() is None
        stranger.kill()


def test_a_session_without_a_child_record_can_be_buried(here: Place) -> None:
    held = here.prepare(["/bin/cat"])
    held.page.close()
    assert bury(held.directory).lost
    assert held.directory.exit() is not None


def test_a_blocking_client_times_out_instead_of_hanging() -> None:
    with place() as made:
        held = made.start(["/bin/cat"])
        os.kill(held.holder, signal.SIGSTOP)
        try:
            with BlockingClient.connect(held.socket, timeout=0.05) as client, pytest.raises(TimeoutError):
                client.status()
        finally:
            os.kill(held.holder, signal.SIGCONT)


# -- when everything goes wrong


def test_a_holder_whose_folder_was_removed_leaves_nothing_behind(here: Place) -> None:
    held = here.start(child("floods_for_ever"), hold=False)
    held.grown()
    while held.directory.path.exists():
        shutil.rmtree(held.directory.path, ignore_errors=True)  # the holder makes new files meanwhile
    ended = held.wait()
    assert ended.lost
    wait_gone(held.pid)


def test_a_stopped_holder_is_not_taken_for_a_dead_one(here: Place) -> None:
    held = here.start(["/bin/cat"])
    held.client.status()
    assert holder_lives(held.directory)
    os.kill(held.holder, signal.SIGSTOP)
    try:
        assert holder_lives(held.directory)
    finally:
        os.kill(held.holder, signal.SIGCONT)
    held.kill_holder()
    assert not holder_lives(held.directory)


def test_a_missing_socket_is_made_again_when_the_holder_is_called(here: Place) -> None:
    """A runtime folder goes with its user's last logout; the session does not."""
    held = here.start(["/bin/cat"])
    held.client.status()
    os.unlink(held.socket)
    call_holder(held.directory)
    end = time.monotonic() + PATIENCE
    while not os.path.exists(held.socket):
        assert time.monotonic() < end
        time.sleep(0.002)
    with held.connect() as client:
        assert client.write(b"still here\n") is None
    held.until(b"still here\n")
