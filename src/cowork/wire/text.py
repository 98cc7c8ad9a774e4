"""Bytes that may not be UTF-8, turned into text by fixed rules.

The rule for every byte that is no part of a valid character is one U+FFFD for that one byte, as the
predecessor daemons did, so that a reader sees how much was lost. Python's own ``errors="replace"`` gives one
for a whole truncated sequence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    Bytes: TypeAlias = bytes | bytearray | memoryview

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")

# A run of backslashes, then the rest of an escape in the surrogate range, then maybe the low half of a pair.
# The lookbehind and the possessive run keep a payload full of backslashes from taking quadratic time.
_SURROGATE_ESCAPE = re.compile(r"(?<!\\)(\\++)(u[dD][89abABc-fC-F][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})?")
_REPLACEMENT_ESCAPE = "\\ufffd"

# What may follow the first byte of a character (RFC 3629 section 4): surrogates, overlong forms and
# everything above U+10FFFF are cut off by the range of the second byte.
_SECOND_BYTE = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}


def decode_output(data: Bytes) -> str:
    """Return `data` as text; each byte that is no part of a valid character becomes one U+FFFD."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        # surrogateescape marks bad bytes one by one in C. An error handler of our own would be called for
        # each bad range, three times as slow on binary output, and the event loop waits for this.
        return _ESCAPED_BYTE.sub(REPLACEMENT, str(data, "utf-8", "surrogateescape"))


def complete_prefix(data: Bytes, end: int) -> int:
    """Return how many of the first `end` bytes can be decoded now without cutting a character.

    That is `end`, or up to 3 less when the last bytes before `end` begin a character that later bytes may
    still complete. Bytes that can no longer become a character do not hold anything back.
    """
    for size in range(1, min(3, end) + 1):
        lead = data[end - size]
        if 0x80 <= lead <= 0xBF:
            continue
        incomplete = size < _character_size(lead) and (size == 1 or _may_follow(lead, data[end - size + 1]))
        return end - size if incomplete else end
    return end


def _character_size(lead: int) -> int:
    """Bytes of the character that begins with `lead`; 1 for one that begins none."""
    if 0xC2 <= lead <= 0xDF:
        return 2
    if 0xE0 <= lead <= 0xEF:
        return 3
    return 4 if 0xF0 <= lead <= 0xF4 else 1


def _may_follow(lead: int, second: int) -> bool:
    low, high = _SECOND_BYTE.get(lead, (0x80, 0xBF))
    return low <= second <= high


def repair_json(payload: Bytes) -> bytes:
    r"""Return JSON text that a strict decoder takes, or the same text when nothing was to be repaired.

    Bytes that are no UTF-8 become one U+FFFD each, and so does the escape of half a surrogate pair
    (``\ud800`` with no low half behind it). All else stays as it was written, the digits of numbers above
    all; text that is not JSON stays not JSON.
    """
    return _SURROGATE_ESCAPE.sub(_repair_escape, decode_output(payload)).encode()


def _repair_escape(match: re.Match[str]) -> str:
    backslashes, first, low_half = match.groups()
    if len(backslashes) % 2 == 0:  # they escape each other, `first` is plain text
        return backslashes + first + (_REPLACEMENT_ESCAPE if low_half else "")
    if low_half and first[2] in "89abAB":
        return match[0]
    return backslashes[1:] + _REPLACEMENT_ESCAPE + (_REPLACEMENT_ESCAPE if low_half else "")
