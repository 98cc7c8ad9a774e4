"""DNS messages: one question in, one short answer out. Strict, without sockets, and it never raises.

Compression pointers have no place in the one question of a query, so none is ever followed.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

TYPE_A = 1
TYPE_ANY = 255
TTL = 30
"""Seconds an answer may be kept."""

_HEADER = struct.Struct("!6H")
_CLASS_IN = 1

FORMERR = 1
SERVFAIL = 2
NXDOMAIN = 3
NOTIMP = 4


class Query(NamedTuple):
    """A well-formed question of the class IN. ``name``: the labels joined by dots, in no way checked."""

    id: int
    recursion: bool
    name: bytes
    type: int
    question: bytes


def parse_query(data: bytes) -> Query | bytes:
    """The question, or the reply to what is none (empty: no reply)."""
    if len(data) < _HEADER.size:
        return b""
    ident, flags, questions, answers, authorities, _ = _HEADER.unpack_from(data)
    if flags & 0x8000:
        return b""  # an answer; answering it could go on for ever
    if flags & 0x7800:
        return _message(ident, flags, NOTIMP)
    parsed = _question(data) if (questions, answers, authorities) == (1, 0, 0) else None
    if parsed is None:
        return _message(ident, flags, FORMERR)
    name, end = parsed
    kind, klass = struct.unpack_from("!HH", data, end)
    question = data[_HEADER.size : end + 4]
    if klass != _CLASS_IN:
        return _message(ident, flags, NOTIMP, question)
    return Query(ident, bool(flags & 0x0100), name, kind, question)


def _question(data: bytes) -> tuple[bytes, int] | None:
    """The name and where it ends; None if it is malformed."""
    at = _HEADER.size
    labels = []
    while True:
        if at >= len(data):
            return None
        size = data[at]
        at += 1
        if size == 0:
            break
        label = data[at : at + size]
        # More than 63 is a compression pointer or another invention; a dot in a label would read as two labels.
        if size > 63 or len(label) < size or b"." in label:
            return None
        labels.append(label)
        at += size
        if at - _HEADER.size > 254:
            return None
    return (b".".join(labels), at) if at + 4 <= len(data) else None


def answer(query: Query, address: str | None) -> bytes:
    """The name exists; ``address`` (IPv4) goes into the answer where that is what was asked for."""
    flags = 0x0100 if query.recursion else 0
    if address is None or query.type not in (TYPE_A, TYPE_ANY):
        return _message(query.id, flags, 0, query.question)
    # 0xC00C: the name that stands in the question
    record = struct.pack("!HHHIH4s", 0xC00C, TYPE_A, _CLASS_IN, TTL, 4, socket.inet_aton(address))
    return _message(query.id, flags, 0, query.question, record)


def error(query: Query, code: int) -> bytes:
    """No answer, for the reason ``code``."""
    return _message(query.id, 0x0100 if query.recursion else 0, code, query.question)


def _message(ident: int, flags: int, code: int, question: bytes = b"", record: bytes = b"") -> bytes:
    # An answer (QR), the opcode and RD as they were asked, recursion available (RA).
    flags = 0x8000 | (flags & 0x7900) | 0x0080 | code
    return _HEADER.pack(ident, flags, 1 if question else 0, 1 if record else 0, 0, 0) + question + record
