"""Start, end and uniqueness of the daemon, and the sockets it listens on."""

from __future__ import annotations

import json
import os
import pwd
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cowork.linux import unixsocket
from tests.support.client import Client, Closed, output, request
from tests.support.daemon import Place, RunningDaemon, alive, wait_for

pytestmark = pytest.mark.integration

root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def other_user() -> pwd.struct_passwd:
    """The user for tests that need a second one."""
    return pwd.getpwnam(os.environ.get("COWORK_TEST_USER") or "nobody")


def as_other(code: str, *arguments: str) -> str:
    """What a piece of Python prints when the other user runs it."""
    user = other_user()
    # The interpreter may lie where only root can read, so the change of user comes after the imports.
    change = f"import os,socket,sys\nos.setgroups([]); os.setgid({user.pw_gid}); os.setuid({user.pw_uid})\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", change + code, *arguments],
        cwd="/", capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def wide_open() -> None:
    """What a careless launcher does."""
    os.umask(0)


# -- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_when_asked_with_clients_and_children(daemon: RunningDaemon, number: signal.Signals) -> None:
    """STOP-1, G11: rc 0, sockets removed, clients hung up on, sessions live on in their holders."""
    with daemon.client() as one, Client(daemon.service_socket) as two:
        one.subscribe()
        pids = []
        for n in range(3):
            one.shell(f"p{n}", "echo $$; exec sleep 1000")
            pids.append(int(one.until_text(f"p{n}", "\n")))
        assert daemon.stop(number) == 0
        for c in (one, two):
            with pytest.raises(Closed):
                c.recv()
    assert not daemon.socket.exists()
    assert not daemon.service_socket.exists()
    assert not (daemon.place.run / "cowork" / "control.sock").exists()
    assert all(map(alive, pids))


def test_it_ends_although_a_client_does_not_read(daemon: RunningDaemon) -> None:
    """STOP-1: a stalled subscriber and a client with unread replies."""
    with daemon.client() as stalled, daemon.client() as greedy:
        stalled.subscribe()
        stalled.shell("p", "yes")
        greedy.sock.setblocking(False)
        batch = request("isRunning", id=1) * 2000
        try:
            while True:
                greedy.sock.send(batch)
        except BlockingIOError:
            pass
        wait_for(lambda: select.select([stalled.sock], [], [], 0)[0])
        assert daemon.stop() == 0


def test_requests_under_way_when_it_ends(daemon: RunningDaemon) -> None:
    """STOP-1: whoever waits for a slow request is hung up on, and nothing is logged as a failure."""
    with daemon.client() as c:
        c.subscribe()
        c.shell("p", "trap '' TERM; echo up; while :; do sleep 1; done")
        c.until_text("p", "up\n")
        c.send("stopVM")
        c.ask("isRunning")
        assert daemon.stop() == 0


def test_a_second_signal_ends_it_at_once(daemon: RunningDaemon) -> None:
    """G68."""
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 0
    daemon.process = None


def test_the_lifecycle_log(daemon: RunningDaemon) -> None:
    """LOG-3: start, sockets, adoption, signals, end; kill -9 leaves no end."""
    with daemon.client() as c:
        c.spawn("p", "/bin/cat")
    first = daemon.pid
    daemon.restart()
    second = daemon.pid
    assert daemon.stop(signal.SIGINT) == 0
    lines = daemon.lifecycle()
    listening = [f"listening {daemon.socket}", f"listening {daemon.service_socket}"]
    assert [line for line in lines if not line.startswith("startup")] == [
        *listening, "adopted 1 running sessions", *listening, "SIGINT received", "exit code=0",
    ]  # fmt: skip
    starts = [line for line in lines if line.startswith("startup")]
    assert [f"pid={first} " in starts[0], f"pid={second} " in starts[1], len(starts)] == [True, True, 2]
    assert all(" backend=host" in line and " version=" in line for line in starts)
    assert (daemon.state / "lifecycle.log").stat().st_mode & 0o077 == 0


def test_children_run_on_when_the_last_client_leaves(daemon: RunningDaemon) -> None:
    """STOP-5."""
    with daemon.client() as c:
        c.subscribe()
        c.shell("p", "echo $$; exec cat")
        pid = int(c.until_text("p", "\n"))
    with daemon.client() as c:
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": True}
        c.subscribe()
        c.ask("writeStdin", {"id": "p", "data": "x\n"})
        c.until_text("p", "x\n")
    assert alive(pid)


def test_an_exception_of_the_daemon_itself(stopped: RunningDaemon, tmp_path: Path) -> None:
    """STOP-6: rc is not 0, and the diary says why."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "from cowork.service import daemon as d\n"
        "def fails(self):\n    raise ZeroDivisionError('injected')\n"
        "d.Daemon._ready = fails\n"
    )
    stopped.environment["PYTHONPATH"] = f"{tmp_path}:{stopped.environment['PYTHONPATH']}"
    status, said = stopped.refused()
    assert status == 1
    assert "injected" in said
    assert "uncaught ZeroDivisionError: injected" in stopped.lifecycle()
    assert stopped.lifecycle()[-1] == "exit code=1"
    assert not stopped.socket.exists()
    stopped.errors.unlink()
    (stopped.state / "lifecycle.log").unlink()


@pytest.mark.parametrize("method", ["isRunning", "getSessionsDiskInfo"])
def test_an_exception_of_one_request(stopped: RunningDaemon, tmp_path: Path, method: str) -> None:
    """DISP-9, G4: an error reply that tells no insides, a traceback in the log, and the daemon serves on."""
    (tmp_path / "sitecustomize.py").write_text(
        "from cowork.service import methods as m\n"
        "async def later(*_):\n    raise ZeroDivisionError('inside')\n"
        "def now(*_):\n    raise ZeroDivisionError('inside')\n"
        "for name, f in (('isRunning', now), ('getSessionsDiskInfo', later)):\n"
        "    m.METHODS[name] = m.METHODS[name]._replace(call=f)\n"
    )
    stopped.environment["PYTHONPATH"] = f"{tmp_path}:{stopped.environment['PYTHONPATH']}"
    stopped.expected_trouble += ["Traceback", "ZeroDivisionError"]
    stopped.start()
    with stopped.client() as c:
        text = c.refusal(method)
        assert "inside" not in text
        assert "internal" in text.lower()
        assert c.ask("isGuestConnected") == {"connected": False}
    assert stopped.stderr().count("ZeroDivisionError: inside") == 1


# -- one daemon


def test_a_second_daemon_is_refused(daemon: RunningDaemon) -> None:
    """STOP-2, G12: whether it is asked for the same socket or for another one; the pid of the first is named."""
    daemon.expected_trouble.append("cowork: ")
    for sockets in ([daemon.socket], [daemon.place.run / "other.sock"]):
        status, said = daemon.refused(sockets=sockets)
        assert status != 0
        assert f"pid {daemon.pid}" in said
        assert "running" in said
    assert not (daemon.place.run / "other.sock").exists()
    with daemon.client() as c:
        assert c.ask("isRunning") == {"running": False}


def test_a_daemon_of_another_state_folder_does_not_steal_the_socket(daemon: RunningDaemon, place: Place) -> None:
    """STOP-2, W19."""
    second = RunningDaemon(place)
    second.errors = place.root / "stderr2"
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
        folder = place.root / name
        folder.mkdir()
        second.environment[name] = str(folder)
    inode = daemon.socket.stat().st_ino
    status, said = second.refused(sockets=[daemon.socket])
    assert status != 0
    assert str(daemon.socket) in said
    assert "another daemon" in said
    assert daemon.socket.stat().st_ino == inode
    with daemon.client() as c:
        assert c.ask("isRunning") == {"running": False}


def test_two_starts_at_the_same_time(stopped: RunningDaemon) -> None:
    """STOP-2: exactly one comes up."""
    stopped.expected_trouble.append("cowork: ")
    started = [stopped.launch() for _ in range(4)]
    wait_for(lambda: sum(p.poll() is not None for p in started) == 3, "three of four give up")
    (winner,) = [p for p in started if p.poll() is None]
    assert all(p.returncode not in (0, None) for p in started if p is not winner)
    stopped.process = winner
    wait_for(stopped.socket.exists)
    with stopped.client() as c:
        assert c.ask("isRunning") == {"running": False}


def test_a_dead_daemons_socket_is_replaced(daemon: RunningDaemon) -> None:
    """STOP-2, STOP-4."""
    daemon.kill()
    assert daemon.socket.exists()
    # What it was just starting has its descriptors until the exec.
    wait_for(lambda: not unixsocket.answers(daemon.socket), "the socket is dead")
    daemon.start()
    with daemon.client() as c:
        assert c.ask("isRunning") == {"running": False}


def test_a_successors_socket_is_left_alone(daemon: RunningDaemon) -> None:
    """STOP-3: only our own inode is unlinked."""
    daemon.socket.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.socket))
        assert daemon.stop() == 0
        assert stat.S_ISSOCK(daemon.socket.lstat().st_mode)
    daemon.socket.unlink()


# -- the socket's path


def unchanged(path: Path) -> tuple[int, int, int]:
    info = path.lstat()
    return info.st_ino, info.st_mode, info.st_mtime_ns


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling", "fifo"])
def test_what_is_no_socket_is_left_alone(stopped: RunningDaemon, kind: str) -> None:
    """STOP-7."""
    path = stopped.socket
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        target = stopped.place.root / "target"
        if kind == "link":
            target.write_text("precious")
        path.symlink_to(target)
    before = unchanged(path)
    status, said = stopped.refused()
    assert status != 0
    assert str(path) in said
    assert unchanged(path) == before
    assert not stopped.service_socket.exists()
    stopped.errors.unlink()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda run: run / ("x" * 107), "107"),
        (lambda run: run / "missing" / "a.sock", "no such directory"),
        (lambda run: Path("relative.sock"), "absolute"),
        (lambda run: run / "h" / "a.sock", "written by others"),
    ],
)
def test_a_path_that_cannot_be_used(stopped: RunningDaemon, make: object, words: str) -> None:
    """STOP-8, W19: said in words, rc is not 0, nothing is made."""
    assert callable(make)
    open_to_all = stopped.place.run / "h"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    status, said = stopped.refused(sockets=[make(stopped.place.run)])
    assert status != 0
    assert words in said
    assert "Traceback" not in said
    assert sorted(p.name for p in stopped.place.run.iterdir()) in (["h"], ["cowork", "h"])
    stopped.errors.unlink()


def test_the_longest_path_that_fits(stopped: RunningDaemon) -> None:
    """STOP-8: 107 bytes."""
    folder = stopped.place.run / ("x" * 60)
    folder.mkdir(mode=0o700)
    path = folder / ("y" * (107 - len(str(folder)) - 1))
    assert len(str(path)) == 107
    stopped.start(sockets=[path])
    with Client(path) as c:
        assert c.ask("isRunning") == {"running": False}


def test_our_own_runtime_folder_is_made(stopped: RunningDaemon) -> None:
    """STOP-8: XDG_RUNTIME_DIR is there, ours below it is not; 0700 whatever the umask."""
    stopped.process = stopped.launch(before=wide_open)
    wait_for(lambda: (stopped.place.run / "cowork" / "control.sock").exists())
    for folder in (stopped.place.run / "cowork", stopped.state, stopped.state / "sessions"):
        assert folder.stat().st_mode & 0o777 == 0o700
    wide = [p for p in stopped.place.root.rglob("*") if "cowork" in str(p) and p.lstat().st_mode & 0o077]
    assert [p for p in wide if p.parts[-1] not in ("cowork", "trees") or p == stopped.state] == []


def test_the_sockets_rights_from_the_first_instant(stopped: RunningDaemon) -> None:
    """STOP-9, W19: under umask 000, looked at all the time while it starts."""
    stopped.process = stopped.launch(before=wide_open)
    modes = set()
    seen = 0
    while seen < 200:
        assert stopped.process.poll() is None, stopped.stderr()
        with os.scandir(stopped.place.run) as entries:
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISSOCK(info.st_mode):
                    modes.add(info.st_mode & 0o777)
                    seen += 1
    assert all(mode & 0o077 == 0 for mode in modes), modes


@root_only
@pytest.mark.second_user
def test_a_folder_of_another_user(stopped: RunningDaemon) -> None:
    """W19."""
    folder = stopped.place.run / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, other_user().pw_uid, -1)
    status, said = stopped.refused(sockets=[folder / "a.sock"])
    assert status != 0
    assert f"uid {other_user().pw_uid}" in said
    assert list(folder.iterdir()) == []
    stopped.errors.unlink()


@root_only
@pytest.mark.second_user
@pytest.mark.parametrize("which", ["service", "control"])
def test_a_connection_of_another_user_is_refused(daemon: RunningDaemon, which: str) -> None:
    """STOP-10, W19: even where the rights of the socket and its folders let it through."""
    path = daemon.socket if which == "service" else daemon.place.run / "cowork" / "control.sock"
    for folder in (daemon.place.root, daemon.place.run, path.parent):
        folder.chmod(0o711)
    path.chmod(0o666)
    code = (
        "s=socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])\n"
        "try:\n s.sendall(bytes.fromhex(sys.argv[2])); print(s.recv(100))\n"
        "except OSError as e: print(type(e).__name__)\n"
    )
    message = request("isRunning", id=1) if which == "service" else b'{"op":"status"}\n'
    assert as_other(code, str(path), message.hex()) in ("b''\n", "ConnectionResetError\n", "BrokenPipeError\n")
    with daemon.client() as c:
        assert c.ask("isRunning") == {"running": False}
    if which == "service":
        assert f"uid {other_user().pw_uid}" in daemon.stderr()


def own_tmp(daemon: RunningDaemon, prepare: str = "true") -> list[str]:
    """What gives a daemon a /tmp of its own; its folders are in there, and it has no runtime folder."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare(1)")
    daemon.environment.update({"HOME": "/tmp/h", "XDG_STATE_HOME": "/tmp/s", "XDG_DATA_HOME": "/tmp/d"})
    daemon.environment.pop("XDG_RUNTIME_DIR")
    mount = "mount -t tmpfs tmpfs /tmp"
    checkout = Path(__file__).resolve().parents[2]
    if checkout.is_relative_to("/tmp"):
        # The daemon is run from there, so it has to be seen in the new /tmp, too.
        mount = f"mount --bind '{checkout}' /mnt && {mount} && mkdir -p '{checkout}' && mount --bind /mnt '{checkout}'"
    script = f'{mount} && mkdir -m 700 /tmp/h /tmp/s /tmp/d && {prepare} && exec "$@"'
    return ["unshare", "-m", "/bin/sh", "-c", script, "sh"]


@root_only
@pytest.mark.parametrize("value", [None, "", "relative/folder"])
def test_no_runtime_folder(stopped: RunningDaemon, value: str | None) -> None:
    """STOP-8: then it is /tmp/cowork-UID, 0700, and the default socket is in /tmp."""
    wrapper = own_tmp(stopped)
    if value is not None:
        stopped.environment["XDG_RUNTIME_DIR"] = value
    stopped.start(sockets=[], wrapper=wrapper)
    tmp = Path(f"/proc/{stopped.pid}/root/tmp")
    with Client(tmp / "cowork-vm-service.sock") as c:
        assert c.ask("isGuestConnected") == {"connected": True}
        c.subscribe()
        c.spawn("p", "/bin/echo", "hi")
        assert output(c.until_exit("p"), "p") == "hi\n"
    info = (tmp / f"cowork-{os.getuid()}").lstat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o700, os.getuid())


@root_only
@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("mkdir /tmp/x && ln -s /tmp/x /tmp/cowork-0", "symbolic link"),
        ("mkdir -m 777 /tmp/cowork-0 && chown 12345 /tmp/cowork-0", "uid 12345"),
        ("touch /tmp/cowork-0", "not a folder"),
    ],
)
def test_a_runtime_folder_that_somebody_else_has_laid_out(stopped: RunningDaemon, prepare: str, words: str) -> None:
    """STOP-8, G50: a predictable name in /tmp is not trusted."""
    status, said = stopped.refused(sockets=[], wrapper=own_tmp(stopped, prepare))
    assert status == 6
    assert words in said
    assert "Traceback" not in said


# -- several sockets


def test_dialects_by_name_and_by_option(stopped: RunningDaemon) -> None:
    """W20, LIFE-1: several sockets at once, each with its own."""
    paths = [stopped.place.run / n for n in ("x.sock", "cowork-vm-service.sock", "cowork-kvm-service.sock")]
    stopped.start(sockets=paths)
    connected = []
    for path in paths:
        with Client(path) as c:
            connected.append(c.ask("isGuestConnected")["connected"])
    assert connected == [False, True, True]
    assert stopped.stop() == 0
    for dialect, expected in (("helper", False), ("service", True)):
        stopped.start("--dialect", dialect, sockets=paths)
        for path in paths:
            with Client(path) as c:
                assert c.ask("isGuestConnected") == {"connected": expected}
        assert stopped.stop() == 0
    status, said = stopped.refused("--dialect", "klingon")
    assert (status, "klingon" in said) == (2, True)


def test_the_default_socket(stopped: RunningDaemon) -> None:
    """W20: the one that clients 2.x dial."""
    stopped.start(sockets=[])
    with Client(stopped.service_socket) as c:
        assert c.ask("isGuestConnected") == {"connected": True}


def control(daemon: RunningDaemon) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(daemon.place.run / "cowork" / "control.sock"))
    return sock


def line(sock: socket.socket) -> dict[str, object]:
    data = b""
    while not data.endswith(b"\n"):
        received = sock.recv(65536)
        assert received, "closed"
        data += received
    message = json.loads(data)
    assert isinstance(message, dict)
    return message


def test_the_state_as_told_on_the_control_socket(daemon: RunningDaemon) -> None:
    """STOP-4: what ``cowork status`` shows."""
    with daemon.client() as c, control(daemon) as sock:
        c.subscribe()
        c.spawn("p", "/bin/cat")
        c.ask("startVM")
        sock.sendall(b'{"op":"status"}\n')
        told = line(sock)
        assert told["pid"] == daemon.pid
        assert (told["backend"], told["isolation"], told["machine"]) == ("host", "none", True)
        assert (told["running"], told["subscribers"], told["connections"]) == (1, 1, 1)
        listeners = told["listeners"]
        assert isinstance(listeners, list)
        assert [entry["path"] for entry in listeners] == [str(daemon.socket), str(daemon.service_socket)]


@pytest.mark.parametrize("end", ["hang up", "stop"])
def test_a_lent_listener(daemon: RunningDaemon, end: str) -> None:
    """W20: served while the helper lives; when it is gone the daemon lets go, and the sessions live on."""
    path = daemon.place.run / "lent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        sock = control(daemon)
        socket.send_fds(sock, [json.dumps({"op": "listen", "path": str(path)}).encode() + b"\n"], [listener.fileno()])
        assert line(sock) == {"ok": True}
    with Client(path) as c:
        c.subscribe()
        assert c.ask("isGuestConnected") == {"connected": False}
        c.shell("p", "echo up; exec cat")
        c.until_text("p", "up\n")
        if end == "stop":
            assert daemon.stop() == 0
            sock.close()
            assert "is gone" not in daemon.stderr()
            return
        sock.close()
        wait_for(lambda: f"no longer listening on {path}" in daemon.stderr())
        with pytest.raises(OSError, match=r"refused|No such file"):
            Client(path)
        c.ask("writeStdin", {"id": "p", "data": "still\n"})
        assert c.until_text("p", "still\n") == "still\n"


@pytest.mark.parametrize(
    "data",
    [b"nonsense\n", b"{}\n", b'{"op":"listen","path":"/x"}\n', b'{"op":1}\n', b"x" * 200_000, b"\xff\n", b'{"op":"'],
)
def test_nonsense_on_the_control_socket(daemon: RunningDaemon, data: bytes) -> None:
    """STOP-6: an answer or a hang-up, and the daemon serves on."""
    with control(daemon) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
    with control(daemon) as sock:
        sock.sendall(b'{"op":"status"}\n')
        assert line(sock)["pid"] == daemon.pid


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--backend", "nonsense"], "nonsense"), (["--frobnicate"], "frobnicate"), (["--socket"], "value"),
     (["--ready-fd", "x"], "ready-fd"), (["word"], "word")],
)  # fmt: skip
def test_options_that_make_no_sense(stopped: RunningDaemon, options: list[str], words: str) -> None:
    """STOP-8: rc 2, in words."""
    status, said = stopped.refused(*options, sockets=[])
    assert status == 2
    assert words in said
    assert "Traceback" not in said


def test_output_of_a_session_goes_on_without_any_daemon(daemon: RunningDaemon) -> None:
    """STOP-1: printed between two daemons, told by the second."""
    with daemon.client() as c:
        c.shell("p", "sleep 0.2; seq 1000")
    assert daemon.stop() == 0
    (session,) = daemon.sessions()
    wait_for((session / "exit.json").exists)
    daemon.start()
    with daemon.client() as c:
        assert output(c.subscribe().until_exit("p"), "p") == "".join(f"{n}\n" for n in range(1, 1001))
