"""A client of the service's socket as blocking calls, each with a deadline; and frames by hand."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

Message = dict[str, Any]

HEADER = struct.Struct(">I")
MAX_FRAME = 10 * 1024 * 1024
TIMEOUT = 30.0
"""Seconds after which a test that waits has failed; nothing that works comes near it."""


def frame(message: object) -> bytes:
    """A message as it goes over the wire."""
    return raw_frame(json.dumps(message, separators=(",", ":")).encode())


def raw_frame(body: bytes) -> bytes:
    """Any bytes with their length in front."""
    return HEADER.pack(len(body)) + body


def request(method: str, params: object = None, id: object = None) -> bytes:
    """A framed request; parameters and id only if they are given."""
    message: Message = {"method": method}
    if params is not None:
        message["params"] = params
    if id is not None:
        message["id"] = id
    return frame(message)


class Closed(Exception):
    """The daemon has closed the connection; ``rest`` is what was received of a frame cut short."""

    def __init__(self, rest: bytes) -> None:
        super().__init__(f"closed by the daemon, {len(rest)} bytes of a frame received")
        self.rest = rest


class Refused(Exception):
    """A reply without success."""

    def __init__(self, reply: Message) -> None:
        super().__init__(f"{reply.get('error')}")
        self.reply = reply
        self.text = str(reply.get("error"))


class Client:
    """One connection. Replies and events come in any order on the wire and are asked for separately here."""

    def __init__(self, path: Path | str, *, timeout: float = TIMEOUT, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.timeout = timeout
        # Blocking with a limit in the kernel: a connect that does not block fails when the backlog is full.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout) or 1, 0))
        try:
            self.sock.connect(str(path))
        except OSError:
            self.sock.close()
            raise
        self.sock.settimeout(timeout)
        self._buffer = bytearray()
        self._replies: dict[str, Message] = {}
        self._events: deque[Message] = deque()
        self._id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    # -- out

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.sock.sendall(data)

    def send(self, method: str, params: object = None) -> int:
        """A request with a number of its own; returns the number."""
        self._id += 1
        self.send_raw(request(method, params, self._id))
        return self._id

    def half_close(self) -> None:
        """Send no more."""
        self.sock.shutdown(socket.SHUT_WR)

    # -- in

    def recv_body(self) -> bytes:
        """The next frame's body, whatever it is.

        Raises:
            Closed: there is none.
            TimeoutError: nothing came in time.
        """
        end = time.monotonic() + self.timeout
        while True:
            if len(self._buffer) >= 4:
                (length,) = HEADER.unpack_from(self._buffer)
                if len(self._buffer) >= 4 + length:
                    body = bytes(self._buffer[4 : 4 + length])
                    del self._buffer[: 4 + length]
                    return body
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("no frame in time")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            finally:
                self.sock.settimeout(self.timeout)
            if not data:
                raise Closed(bytes(self._buffer))
            self._buffer += data

    def recv(self) -> Message:
        """The next frame, reply or event, in the order of the wire; only where nothing else was asked for before."""
        message = json.loads(self.recv_body())
        assert isinstance(message, dict)
        return message

    def until_closed(self) -> list[Message]:
        """All frames up to the daemon's hanging up."""
        out = []
        while True:
            try:
                out.append(self.recv())
            except Closed as e:
                rest = e.rest
                break
        assert rest == b"", "cut short"
        return out

    def reply(self, id: object) -> Message:
        """The reply to a request."""
        key = json.dumps(id)
        while key not in self._replies:
            self._sort(self.recv())
        return self._replies.pop(key)

    def event(self) -> Message:
        """The next event."""
        while not self._events:
            self._sort(self.recv())
        return self._events.popleft()

    def seen(self) -> list[Message]:
        """Events that were received and not asked for yet; reads nothing."""
        out = list(self._events)
        self._events.clear()
        return out

    def until(self, wanted: Callable[[Message], object]) -> list[Message]:
        """Events up to and with the first one that is wanted."""
        out = [self.event()]
        while not wanted(out[-1]):
            out.append(self.event())
        return out

    def _sort(self, message: Message) -> None:
        if "success" in message:
            self._replies[json.dumps(message.get("id"))] = message
        else:
            self._events.append(message)

    # -- both

    def call(self, method: str, params: object = None) -> Message:
        """Send a request and wait for its reply."""
        return self.reply(self.send(method, params))

    def ask(self, method: str, params: object = None) -> Message:
        """The result of a request.

        Raises:
            Refused: the reply is an error.
        """
        reply = self.call(method, params)
        if reply["success"] is not True:
            raise Refused(reply)
        result = reply["result"]
        assert isinstance(result, dict)
        return result

    def refusal(self, method: str, params: object = None) -> str:
        """The error text of a request that must be refused."""
        reply = self.call(method, params)
        assert reply["success"] is False, reply
        assert isinstance(reply["error"], str)
        assert "result" not in reply
        return reply["error"]

    def subscribe(self, name: str = "test") -> Self:
        """Subscribe as a profile."""
        assert self.ask("subscribeEvents", {"userDataName": name}) == {"subscribed": True}
        return self

    def spawn(self, id: str, *argv: str, **more: object) -> Message:
        """Start a program; the result."""
        return self.ask("spawn", spawning(id, *argv, **more))

    def shell(self, id: str, script: str, **more: object) -> Message:
        """Start ``sh -c``."""
        return self.spawn(id, "/bin/sh", "-c", script, **more)

    def until_exit(self, *ids: str) -> list[Message]:
        """Events until all of these processes have exited."""
        waiting = set(ids)

        def last(event: Message) -> bool:
            if event["type"] == "exit":
                waiting.discard(event["id"])
            return not waiting

        return self.until(last)

    def until_text(self, id: str, text: str, kind: str = "stdout") -> str:
        """What a process prints until ``text`` is in it."""
        out = ""
        while text not in out:
            event = self.event()
            assert event["type"] != "exit" or event["id"] != id, (event, out)
            if event["type"] == kind and event["id"] == id:
                out += event["data"]
        return out


def spawning(id: str, *argv: str, **more: object) -> Message:
    """Parameters of ``spawn``."""
    return {"id": id, "name": "session", "command": argv[0], "args": list(argv[1:]), "cwd": "/", "env": {}, **more}


def output(events: list[Message], id: str, kind: str = "stdout") -> str:
    """All that a process printed on one stream."""
    return "".join(e["data"] for e in events if e["type"] == kind and e["id"] == id)


def types(events: list[Message]) -> list[str]:
    """The events' types."""
    return [e["type"] for e in events]
