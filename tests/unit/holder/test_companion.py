"""The session's proxy as a process: it serves, comes again when it dies, and ends with whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.holder import companion as module
from cowork.holder import tree
from cowork.holder.companion import Companion
from cowork.proxy.settings import Listener, Settings
from tests.support.boxes import FORKS
from tests.support.holding import PATIENCE, wait_gone

pytestmark = [FORKS, pytest.mark.usefixtures("nothing_is_left")]

NOTHING = Settings(rules=[[]])
"""No rule, so that it reaches nothing and says so."""


class Proxy:
    """A companion with one socket, and what a client sees of it."""

    def __init__(self, folder: Path, settings: Settings = NOTHING) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.log = folder / "network.log"
        self.companion = Companion(settings, [Listener(self.sock, "proxy")], str(self.log))

    def ask(self) -> bytes:
        """What it says to a host that no rule allows."""
        with socket.create_connection(self.sock.getsockname(), PATIENCE) as sock:
            sock.sendall(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
            return sock.recv(4096)

    def kill(self) -> int:
        """End it as a crash would, and reap it as the holder does; its pid."""
        pid = self.companion.pid
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[0] == pid
        return pid


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(tmp_path)
    yield made
    if made.companion.pid and made.companion.pid in tree.children(os.getpid()):
        made.companion.stop()
    made.sock.close()


def test_it_serves(proxy: Proxy) -> None:
    assert proxy.companion.pid == 0
    proxy.companion.start()
    assert b" 403 " in proxy.ask().partition(b"\r\n")[0]
    assert "example.com" in proxy.log.read_text()


def test_nobody_has_to_wait_until_it_is_up(proxy: Proxy) -> None:
    """The socket listens already."""
    with socket.create_connection(proxy.sock.getsockname(), PATIENCE) as early:
        early.sendall(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n")
        proxy.companion.start()
        assert early.recv(4096).startswith(b"HTTP/1.1 4")


def test_what_it_is(proxy: Proxy) -> None:
    proxy.companion.start()
    proxy.ask()
    pid = proxy.companion.pid
    assert tree.children(os.getpid()).count(pid) == 1
    assert Path(f"/proc/{pid}/comm").read_text() == "cowork-proxy\n"
    assert os.getsid(pid) == os.getpgid(pid) == pid, "no signal of ours to a group reaches it"


def test_it_holds_nothing_of_its_parents_but_its_sockets(proxy: Proxy, tmp_path: Path) -> None:
    """Above all not the channel: whoever has it looks like a living holder."""
    ours, theirs = socket.socketpair()
    inheritable = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    high = os.dup2(inheritable, 700)
    with ours:
        proxy.companion.start()
        theirs.close()
        proxy.ask()
        ours.settimeout(PATIENCE)
        assert ours.recv(1) == b"", "the other end is still open somewhere"
    held = {os.readlink(f"/proc/{proxy.companion.pid}/fd/{fd}") for fd in own_fds(proxy.companion.pid)}
    parents = {link(fd) for fd in os.listdir("/proc/self/fd")} - {os.readlink(f"/proc/self/fd/{n}") for n in range(3)}
    assert held & parents == {os.readlink(f"/proc/self/fd/{proxy.sock.fileno()}")}
    os.close(inheritable)
    os.close(high)


def own_fds(pid: int) -> list[str]:
    return [fd for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2]


def link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def test_signals_are_as_they_were_at_the_beginning(proxy: Proxy) -> None:
    """The holder's handlers would keep it from ending, and its wake-up pipe is another one's."""
    old = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGHUP)}
    wake, woken = os.pipe2(os.O_NONBLOCK)
    before = signal.set_wakeup_fd(woken)
    try:
        proxy.companion.start()
        proxy.ask()
        pid = proxy.companion.pid
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        proxy.companion.pid = 0
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in old.items():
            signal.signal(number, handler)
        os.close(wake)
        os.close(woken)


def test_it_comes_again_when_it_dies(proxy: Proxy) -> None:
    proxy.companion.start()
    proxy.ask()
    dead = proxy.kill()
    assert proxy.companion.ended(dead, again=True)
    assert proxy.companion.pid not in (0, dead)
    assert b" 403 " in proxy.ask()


def test_it_does_not_come_again_when_it_is_not_wanted(proxy: Proxy) -> None:
    """The session is at its end."""
    proxy.companion.start()
    proxy.ask()
    assert proxy.companion.ended(proxy.kill(), again=False)
    assert proxy.companion.pid == 0
    proxy.companion.stop()


def test_the_end_of_another_is_none_of_its_business(proxy: Proxy) -> None:
    proxy.companion.start()
    pid = proxy.companion.pid
    assert not proxy.companion.ended(pid + 1, again=True)
    assert proxy.companion.pid == pid
    proxy.ask()


def test_what_dies_too_often_stays_dead(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RESTARTS", 3)
    proxy.companion.start()
    pids: list[int] = []
    while proxy.companion.pid and len(pids) < 9:
        pids.append(proxy.kill())
        proxy.companion.ended(pids[-1], again=True)
    assert len(pids) == len(set(pids)) == 3
    assert not proxy.companion.ended(pids[-1], again=True), "it is nobody any more"
    proxy.companion.stop()


def test_settings_that_make_no_sense_end_it(tmp_path: Path) -> None:
    """It is the holder's child that ends, not the holder."""
    proxy = Proxy(tmp_path, Settings(rules=[["https://no-rule"]]))
    proxy.companion.start()
    pid, status = os.waitpid(proxy.companion.pid, 0)
    assert pid == proxy.companion.pid
    assert os.waitstatus_to_exitcode(status) == 1
    proxy.companion.pid = 0
    proxy.companion.stop()


def test_settings_that_make_no_sense_are_told(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, Settings(rules=[["https://no-rule"]]))
    proxy.companion.start()
    os.waitpid(proxy.companion.pid, 0)
    proxy.companion.pid = 0
    proxy.companion.stop()
    assert "no-rule" in proxy.log.read_text()


def test_it_is_stopped_with_its_sockets(proxy: Proxy) -> None:
    proxy.companion.start()
    proxy.ask()
    pid, place = proxy.companion.pid, proxy.sock.getsockname()
    proxy.companion.stop()
    assert proxy.companion.pid == 0
    assert pid not in tree.children(os.getpid()), "reaped, too"
    assert proxy.sock.fileno() == -1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place, PATIENCE)
    proxy.companion.stop()


def test_one_that_has_died_is_stopped_like_any_other(proxy: Proxy) -> None:
    proxy.companion.start()
    os.kill(proxy.companion.pid, signal.SIGKILL)
    wait_gone(proxy.companion.pid)
    proxy.companion.stop()
    assert proxy.companion.pid == 0


def test_one_that_somebody_else_has_reaped_is_no_failure(proxy: Proxy) -> None:
    """The holder reaps whatever has ended while the session is cleaned up."""
    proxy.companion.start()
    proxy.ask()
    proxy.kill()
    proxy.companion.stop()
    assert proxy.companion.pid == 0


def test_its_log_is_set_aside_when_it_grows_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT", 10)
    proxy = Proxy(tmp_path)
    proxy.companion.start()
    proxy.ask()
    assert "example.com" in (tmp_path / "network.log.1").read_text()
    proxy.companion.stop()


HOLDER = """
import os, signal, socket, sys
from cowork.holder.companion import Companion
from cowork.proxy.settings import Listener, Settings
sock = socket.socket(fileno=int(sys.argv[1]))
proxy = Companion(Settings(rules=[[]]), [Listener(sock, "proxy")], sys.argv[2])
proxy.start()
print(proxy.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None])
def test_it_ends_with_the_holder(tmp_path: Path, number: int | None) -> None:
    """Killed, or ended without a word."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        argv = [sys.executable, "-c", HOLDER, str(sock.fileno()), str(tmp_path / "log")]
        with subprocess.Popen(argv, stdin=-1, stdout=-1, pass_fds=[sock.fileno()]) as holder:
            assert holder.stdout is not None
            pid = int(holder.stdout.readline())
            with socket.create_connection(sock.getsockname(), PATIENCE) as client:
                client.sendall(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n")
                assert client.recv(4096)
            if number is None:
                holder.communicate(timeout=PATIENCE)
            else:
                holder.send_signal(number)
            holder.wait()
            wait_gone(pid)
