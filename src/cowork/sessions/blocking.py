"""A holder's client without an event loop: what the command line uses, daemon or not."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Self

import msgspec

from cowork.errors import HolderError
from cowork.holder import messages as m
from cowork.sessions.record import ExitRecord
from cowork.sessions.status import HolderStatus, StartFailure

if TYPE_CHECKING:
    from cowork.sessions.steps import Steps


class BlockingClient:
    """One connection to a holder; a context manager. Times are in seconds."""

    def __init__(self, sock: socket.socket, *, timeout: float | None = 5.0) -> None:
        self._sock = sock
        self._timeout = timeout
        self._sock.settimeout(timeout)
        self._splitter = m.Splitter()
        self._received: list[tuple[int, bytes]] = []
        self._token = 0
        self._exit: bytes | None = None

    @classmethod
    def connect(cls, path: str, *, timeout: float | None = 5.0) -> BlockingClient:
        """Connect to a running holder.

        Raises:
            OSError: nobody listens there.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(path)
        except BaseException:
            sock.close()
            raise
        return cls(sock, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go; the session lives on."""
        self._sock.close()

    def fileno(self) -> int:
        """For select and poll."""
        return self._sock.fileno()

    def send(self, kind: int, body: bytes = b"") -> None:
        """Send one message."""
        self._sock.sendall(m.pack(kind, body))

    def receive(self, patience: float | None = None) -> tuple[int, bytes] | None:
        """The next message, None when the holder has closed. ``patience``: seconds to wait instead of the usual.

        Raises:
            TimeoutError: nothing came in time.
        """
        while not self._received:
            if patience is not None:
                self._sock.settimeout(patience)
            try:
                data = self._sock.recv(1 << 18)
            except ConnectionResetError:
                # The holder ended with a message of ours unread; everything it said has been received.
                return None
            except BlockingIOError:
                raise TimeoutError from None  # a patience of 0
            finally:
                if patience is not None:
                    self._sock.settimeout(self._timeout)
            if not data:
                return None
            self._received = self._splitter.feed(data)
        return self._received.pop(0)

    def expect(self, *kinds: int) -> tuple[int, bytes]:
        """Skip messages up to one of ``kinds``.

        Raises:
            HolderError: the holder closed first.
        """
        while (message := self.receive()) is not None:
            if message[0] in kinds:
                return message
            if message[0] == m.EXIT:
                self._exit = message[1]  # said once only, so it is kept for whoever waits for it later
        raise HolderError("the session's holder has gone away")

    def started(self) -> HolderStatus:
        """After BEGIN: wait for the start.

        Raises:
            HolderError: the program could not be started; the message says why.
        """
        kind, body = self.expect(m.STATUS, m.FAILED)
        if kind == m.FAILED:
            raise HolderError(msgspec.json.decode(body, type=StartFailure).text)
        return msgspec.json.decode(body, type=HolderStatus)

    def status(self) -> HolderStatus:
        """Ask how it is."""
        self.send(m.QUERY)
        return msgspec.json.decode(self.expect(m.STATUS)[1], type=HolderStatus)

    def write(self, data: bytes) -> str | None:
        """Offer bytes for stdin: None when all were taken, else "full", "closed" or "ended"."""
        self._token += 1
        self.send(m.WRITE, m.U64.pack(self._token) + data)
        kind, body = self.expect(m.ACCEPTED, m.REFUSED)
        return None if kind == m.ACCEPTED else body[8:].decode()

    def close_stdin(self) -> None:
        """Close stdin behind what was written."""
        self._token += 1
        self.send(m.CLOSE, m.U64.pack(self._token))
        self.expect(m.ACCEPTED)

    def signal(self, steps: Steps) -> bool:
        """Ask for a ladder of signals; whether the first one reached somebody."""
        self._token += 1
        self.send(m.SIGNAL, json.dumps({"token": self._token, "steps": steps}).encode())
        return bool(json.loads(self.expect(m.SIGNALLED)[1])["sent"])

    def resize(self, rows: int, columns: int) -> None:
        """The terminal has another size now."""
        self.send(m.RESIZE, m.SIZE.pack(rows, columns))

    def watch(self) -> HolderStatus:
        """Be told of growth and of the end from now on."""
        self.send(m.WATCH)
        return msgspec.json.decode(self.expect(m.STATUS)[1], type=HolderStatus)

    def wait(self) -> ExitRecord:
        """Wait for the end; only after ``watch`` or on the channel of the start."""
        body = self.expect(m.EXIT)[1] if self._exit is None else self._exit
        return msgspec.json.decode(body, type=ExitRecord)


def socket_path(runtime: os.PathLike[str] | str, session_id: str) -> str:
    """Where a session's holder listens: short, since sun_path holds 107 bytes."""
    return os.path.join(runtime, f"{session_id}.sock")
