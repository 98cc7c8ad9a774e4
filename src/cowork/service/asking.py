"""The other side of the control socket: asking a running daemon, lending it a listener. Blocking."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import msgspec

from cowork.errors import NotRunning, PolicyError
from cowork.service.control import ControlRequest, DaemonStatus

if TYPE_CHECKING:
    from pathlib import Path


class _Reply(msgspec.Struct):
    ok: bool = False
    error: str = ""


def connect(path: Path, *, timeout: float | None = 5.0) -> socket.socket:
    """A connection to the control socket.

    Raises:
        NotRunning: nobody answers.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(str(path))
    except OSError as e:
        sock.close()
        raise NotRunning("no daemon is running", hint="cowork serve") from e
    return sock


def status(path: Path) -> DaemonStatus:
    """State of the running daemon.

    Raises:
        NotRunning: there is none, or it does not answer in time.
    """
    with connect(path) as sock:
        sock.sendall(msgspec.json.encode(ControlRequest("status")) + b"\n")
        try:
            return msgspec.json.decode(_line(sock), type=DaemonStatus)
        except (OSError, msgspec.MsgspecError) as e:
            raise NotRunning(f"the daemon does not answer: {e}") from e


def lend(control: socket.socket, listener: socket.socket, path: Path) -> None:
    """Hand a listening socket to the daemon; it serves it as long as ``control`` stays open.

    Raises:
        PolicyError: the daemon refuses.
        NotRunning: the daemon went away.
    """
    request = msgspec.json.encode(ControlRequest("listen", path=str(path))) + b"\n"
    try:
        socket.send_fds(control, [request], [listener.fileno()])
        reply = msgspec.json.decode(_line(control), type=_Reply)
    except (OSError, msgspec.MsgspecError) as e:
        raise NotRunning(f"the daemon does not answer: {e}") from e
    if not reply.ok:
        raise PolicyError(reply.error)


def _line(sock: socket.socket) -> bytes:
    data = bytearray()
    while b"\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise ConnectionResetError("closed")
        data += more
    return bytes(data)
