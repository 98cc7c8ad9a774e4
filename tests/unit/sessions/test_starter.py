"""Starting holders: the command line, and what happens when nothing starts. Sessions: tests/integration."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from cowork.errors import HolderError
from cowork.holder import messages as m
from cowork.holder.spec import StartSpec
from cowork.sessions import starter
from tests.support.holding import wait_gone


def test_the_interpreter_is_isolated() -> None:
    command = starter.holder_command("zygote", 7)
    assert command[:3] == [sys.executable, "-I", "-S"]
    assert Path(command[3]).parts[-3:] == ("cowork", "holder", "__main__.py")
    assert Path(command[3]).is_file()
    assert command[4:] == ["zygote", "7"]


def test_a_zygote_is_started_once_and_ends_when_it_is_let_go() -> None:
    zygote = starter.Zygote()
    assert zygote.pid is None
    zygote.start()
    first = zygote.pid
    zygote.start()
    assert zygote.pid == first is not None
    zygote.close()
    assert zygote.pid is None
    wait_gone(first)
    zygote.close()


def test_a_zygote_that_was_killed_is_started_again() -> None:
    zygote = starter.Zygote()
    zygote.channel().close()
    first = zygote.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_gone(first)
    zygote.channel().close()
    assert zygote.pid not in (None, first)
    zygote.close()


@pytest.mark.parametrize("executable", ["/nonexistent/python", "/bin/false"])
def test_no_interpreter_is_an_error(monkeypatch: pytest.MonkeyPatch, executable: str) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    before = set(os.listdir("/proc/self/fd"))
    zygote = starter.Zygote()
    with pytest.raises(HolderError):
        zygote.channel()
    with pytest.raises(HolderError, match="cannot start a holder"):
        starter.plain_channel()
    zygote.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_scope_that_is_refused_is_done_without() -> None:
    zygote = starter.Zygote(["/bin/false"])
    with zygote.channel() as channel:
        assert channel.fileno() >= 0
    assert zygote.pid is not None
    zygote.close()


def test_begin_on_the_wire() -> None:
    spec = StartSpec(folder="/f", socket="/s", argv=["a"], executable="/a", env={}, cwd="/")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        starter.begin(ours, spec)
        ((kind, body),) = m.Splitter().feed(theirs.recv(1 << 16))
    assert kind == m.BEGIN
    assert StartSpec.decode(body) == spec


@pytest.mark.asyncio
async def test_everybody_waits_for_the_same_zygote() -> None:
    zygote = starter.Zygote()
    try:
        await asyncio.gather(*(zygote.ready() for _ in range(5)))
        first = zygote.pid
        assert first is not None
        for _ in range(3):
            zygote.channel().close()
        os.kill(first, signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, first, os.WEXITED | os.WNOWAIT)
        await asyncio.gather(*(zygote.ready() for _ in range(5)))
        assert zygote.pid not in (None, first)
        zygote.channel().close()
    finally:
        zygote.close()


@pytest.mark.asyncio
async def test_a_scope_that_is_refused_is_done_without_on_the_loop_too() -> None:
    zygote = starter.Zygote(["/bin/false"])
    try:
        await zygote.ready()
        zygote.channel().close()
    finally:
        zygote.close()


@pytest.mark.parametrize("scope", [["/bin/false"], ["/nonexistent"], []])
def test_without_a_shared_zygote_a_holder_is_started_plainly(folder: Path, scope: list[str]) -> None:
    (folder / "zygote.sock").mkdir()  # nothing can listen there
    with starter.shared_channel(folder, scope) as channel:
        starter.begin(channel, StartSpec(folder="/none", socket="/s", argv=["a"], executable="/a", env={}, cwd="/"))
        assert channel.recv(1) == b"", "a holder was there, and has found no session"
