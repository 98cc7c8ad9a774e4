"""Skills that a user calls by ``/plugin:skill`` are known to the CLI as ``/skill``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecoder

_CALL = re.compile(r'"/[A-Za-z0-9_.-]+:(?=[A-Za-z0-9_.-])')
_HINT = re.compile(rb'"(?:content|text)"\s*:\s*"/[A-Za-z0-9_.-]+:')
_BLANK = re.compile(r"[ \t\r\n]*")
_decoder = JSONDecoder()


def strip_skill_prefix(line: bytes) -> bytes:
    """``line`` without the ``plugin:`` of a user's message that begins with ``/plugin:skill``.

    Only a whole JSON object of type ``user`` is edited, in its content or in the first text block of it, so that tool
    results and quoted text stay. All other bytes stay as they are; where nothing is to be done, the same object is
    returned.
    """
    if b'"/' not in line or b'"user"' not in line or not _HINT.search(line):
        return line
    text = line.decode("utf-8", "surrogateescape")
    try:
        _, end = _decoder.raw_decode(text, start := _skip(text, 0))
        place = _message_text(text, start) if _skip(text, end) == len(text) else None
    except (ValueError, RecursionError):
        return line
    call = _CALL.match(text, place) if place is not None else None
    if call is None:
        return line
    return (text[: call.start() + 2] + text[call.end() :]).encode("utf-8", "surrogateescape")


def _message_text(text: str, start: int) -> int | None:
    """Where the string with the user's words begins, by its quote; None for any other line."""
    line = _members(text, start)
    if _string(text, line.get("type")) != "user":
        return None
    content = _members(text, line["message"]).get("content") if "message" in line else line.get("content")
    if content is None or text[content] != "[":
        return content
    for block in _elements(text, content):
        members = _members(text, block)
        if _string(text, members.get("type")) == "text":
            return members.get("text")
    return None


def _string(text: str, place: int | None) -> object:
    return _decoder.raw_decode(text, place)[0] if place is not None else None


def _members(text: str, place: int) -> dict[str, int]:
    """Where the values of the object at ``place`` begin, by key; of a key that comes twice the last one counts."""
    if text[place] != "{":
        return {}
    found = {}
    for key_at in _elements(text, place):
        key, end = _decoder.raw_decode(text, key_at)
        found[key] = _skip(text, _skip(text, end) + 1)
    return found


def _elements(text: str, place: int) -> Iterator[int]:
    """Where the elements of the array, or the keys of the object, at ``place`` begin; the text is valid JSON."""
    pairs = text[place] == "{"
    at = _skip(text, place + 1)
    while text[at] not in "]}":
        yield at
        _, end = _decoder.raw_decode(text, at)
        if pairs:
            _, end = _decoder.raw_decode(text, _skip(text, _skip(text, end) + 1))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    """The first place from ``at`` on that holds no blank."""
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at
