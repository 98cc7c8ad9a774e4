"""One connection to a daemon: a blocking socket whose time limits the kernel keeps."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from time import perf_counter
from types import TracebackType

from bench.wire import HEADER, Message, frame


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


class Client:
    """Sends requests and reads frames, one system call per receive.

    Raises TimeoutError when nothing came in time and ConnectionError when the daemon closed the connection.
    """

    def __init__(self, path: str, timeout: float = 10.0) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.buffer = bytearray()
        self._timeout = 0.0
        self._last_id = 0
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(20))
        self.set_timeout(timeout)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def set_timeout(self, seconds: float) -> None:
        """Limit of one receive in seconds."""
        seconds = max(seconds, 0.001)
        if seconds != self._timeout:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
            self._timeout = seconds

    def send(self, method: str, params: Message | None = None) -> int:
        """Send a request without waiting; returns its id."""
        self._last_id += 1
        message: Message = {"method": method, "id": self._last_id}
        if params is not None:
            message["params"] = params
        self.sock.sendall(frame(message))
        return self._last_id

    def receive(self, timeout: float) -> Message:
        """The next message, whatever it is."""
        self.set_timeout(timeout)
        buffer = self.buffer
        while True:
            if len(buffer) >= HEADER.size:
                end = HEADER.size + HEADER.unpack_from(buffer)[0]
                if len(buffer) >= end:
                    message: Message = json.loads(buffer[HEADER.size : end])
                    del buffer[:end]
                    return message
            try:
                data = self.sock.recv(1 << 18)
            except BlockingIOError:
                raise TimeoutError("no message in time") from None
            if not data:
                raise ConnectionResetError("closed by the daemon")
            buffer += data

    def until(self, want: Callable[[Message], bool], timeout: float = 10.0) -> Message:
        """The next message that `want` accepts; the others are dropped."""
        end = perf_counter() + timeout
        while True:
            left = end - perf_counter()
            if left <= 0:
                raise TimeoutError("the awaited message did not come")
            message = self.receive(left)
            if want(message):
                return message

    def call(self, method: str, params: Message | None = None, timeout: float = 10.0) -> Message:
        """Send a request and return its whole reply; messages that come before it are dropped."""
        return self.until(reply_to(self.send(method, params)), timeout)

    def drain(self, quiet: float = 0.05) -> None:
        """Drop what comes until nothing came for `quiet` seconds."""
        try:
            while True:
                self.receive(quiet)
        except TimeoutError:
            pass


def subscriber(path: str) -> Client:
    """A connection that gets all events from now on; earlier ones that were kept for it are dropped."""
    client = Client(path)
    client.call("subscribeEvents", {"userDataName": "bench"})
    client.drain()
    return client


def reply_to(number: int) -> Callable[[Message], bool]:
    """Accepts the reply of one request."""
    return lambda m: m.get("id") == number and "success" in m


def exit_of(session: str) -> Callable[[Message], bool]:
    """Accepts the exit event of one session."""
    return lambda m: m.get("type") == "exit" and m.get("id") == session
