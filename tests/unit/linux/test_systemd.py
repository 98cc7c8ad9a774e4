"""What the service manager is told, on a real datagram socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cowork.linux.systemd import notify, scope_command


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@{folder}/notify" if abstract else f"{folder}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1\nSTATUS=é")
        assert manager.recv(100) == "READY=1\nSTATUS=é".encode()


@pytest.mark.parametrize("name", [None, "", "relative", "/nonexistent/socket", "vsock:2:1"])
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if name is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
    notify("READY=1")


def test_a_scope_is_asked_for_where_a_user_manager_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert scope_command() == []
    (folder / "systemd").mkdir()
    with socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(folder / "systemd" / "private"))
        assert scope_command() == []
        manager.listen()
        command = scope_command()
    assert command[:3] == ["systemd-run", "--user", "--scope"]
    assert command[-1] == "--"
    assert scope_command() == []
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert scope_command() == []
