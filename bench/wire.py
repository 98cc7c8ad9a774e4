"""Frames of the protocol: a u32 big-endian length, then JSON without blanks."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

HEADER = struct.Struct(">I")
FRAME_LIMIT = 10 * 1024 * 1024
"""Largest frame either side may send, in bytes, without the header."""

FIRST_ID = 100_000
"""First id of prepared requests: ids of one width make frames of one size."""

Message = dict[str, Any]


def frame(message: Message) -> bytes:
    """One message as it goes over the socket."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return HEADER.pack(len(body)) + body


def requests(count: int, method: str = "isRunning") -> list[bytes]:
    """`count` prepared requests without parameters, ids from FIRST_ID; all of one size below 900,000."""
    return [frame({"method": method, "id": FIRST_ID + i}) for i in range(count)]


def messages(raw: bytes) -> Iterator[tuple[int, Message]]:
    """(length of the body, message) of each complete frame; a cut-off frame at the end is left out."""
    at = 0
    while at + HEADER.size <= len(raw):
        size = HEADER.unpack_from(raw, at)[0]
        if at + HEADER.size + size > len(raw):
            return
        yield size, json.loads(raw[at + HEADER.size : at + HEADER.size + size])
        at += HEADER.size + size
