"""The control protocol between a holder and its clients: frames of a type byte, a length and a body.

    u8 type | u32 big-endian length | body

Sans-I/O and standard library only, since both sides use it. The version is told in the first STATUS; a client
ignores types that it does not know, so that new ones can be added.

To the holder::

    BEGIN   JSON start specification (spec.py); the first message on the channel that started it
    WRITE   u64 token + bytes for stdin -> ACCEPTED or REFUSED with that token
    CLOSE   u64 token: close stdin once the queue is empty -> ACCEPTED
    SIGNAL  JSON {"token", "steps": [{"after": s, "signal": n, "to": "leader"|"group"|"tree"}, ...]} -> SIGNALLED
    RESIZE  u16 rows, u16 columns
    TAKEN   empty: read positions have moved, look at the page
    QUERY   empty -> STATUS
    WATCH   empty: send STATUS now and NOTE from now on
    MOUNT   JSON {"token", "host", "above", "name", "writable", "guards": [[path, writable], ...], "covers": [...]}:
            show one more folder in the sandbox (mounting.py) -> MOUNTED

From the holder::

    STATUS    JSON, see control.py
    NOTE      u64: the spool ends here
    ACCEPTED  u64 token
    REFUSED   u64 token + reason (ASCII): "full", "closed" or "ended"
    SIGNALLED JSON {"token", "sent": bool}
    EXIT      JSON exit record; the last message about the session, always
    FAILED    JSON {"errno", "what", "text"}: the child could not be started
    MOUNTED   JSON {"token", "error"}: "error" is empty when it is there
"""

from __future__ import annotations

import struct

VERSION = 1
MAX_BODY = 64 * 1024 * 1024
"""Bytes; more than any argument list and environment that the kernel would take (execve(2): 6 MiB)."""

BEGIN, WRITE, CLOSE, SIGNAL, RESIZE, TAKEN, QUERY, WATCH, MOUNT = range(1, 10)
STATUS, NOTE, ACCEPTED, REFUSED, SIGNALLED, EXIT, FAILED, MOUNTED = range(65, 73)

HEADER = struct.Struct("!BI")
U64 = struct.Struct("!Q")
SIZE = struct.Struct("!HH")


def pack(kind: int, body: bytes = b"") -> bytes:
    """One message, ready to be sent."""
    return HEADER.pack(kind, len(body)) + body


class Splitter:
    """Cuts a byte stream into messages, however it was split on the way."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[int, bytes]]:
        """Add bytes; return the (type, body) pairs that are complete now.

        Raises:
            ValueError: a body over ``MAX_BODY`` is announced; the connection is of no further use.
        """
        buffer = self._buffer
        buffer += data
        out = []
        at = 0
        while len(buffer) - at >= 5:
            kind, length = HEADER.unpack_from(buffer, at)
            if length > MAX_BODY:
                raise ValueError(f"message of {length} bytes, the limit is {MAX_BODY}")
            end = at + 5 + length
            if end > len(buffer):
                break
            out.append((kind, bytes(memoryview(buffer)[at + 5 : end])))
            at = end
        if at:
            del buffer[:at]
        return out
