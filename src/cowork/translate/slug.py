"""The name of the folder in which Claude Code keeps the transcripts of a working directory.

``$CLAUDE_CONFIG_DIR/projects/<slug>/<session id>.jsonl``; the rule was checked with versions 2.1.197, 327 and 328.
"""

from __future__ import annotations

import re

LONGEST = 200
"""UTF-16 units of a slug that is used as it is."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_OTHER = re.compile("[^A-Za-z0-9]")


def project_slug(real_path: str) -> str:
    """The slug of a working directory, given as the absolute path without symbolic links.

    Every UTF-16 unit but ASCII letters and digits is a dash; a longer slug is its first 200 units, a dash and a hash of
    the path.
    """
    # Bytes that are no UTF-8 reach the CLI as U+FFFD, as JavaScript decodes them.
    text = real_path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    pairs = text.encode("utf-16-le")
    units = [pairs[i] | pairs[i + 1] << 8 for i in range(0, len(pairs), 2)]
    slug = _OTHER.sub("-", "".join(map(chr, units)))
    return slug if len(slug) <= LONGEST else f"{slug[:LONGEST]}-{_hash(units)}"


def _hash(units: list[int]) -> str:
    """Base 36 of the absolute value of the 32-bit hash that Java and JavaScript use for strings."""
    value = 0
    for unit in units:
        value = (value * 31 + unit) & 0xFFFFFFFF
    value = min(value, 0x100000000 - value)  # the absolute value of the same 32 bits read as a signed number
    digits = ""
    while value:
        value, digit = divmod(value, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
