"""Numbered lines that children print, and the comparison of what arrived with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LINE = 120
"""Bytes of a numbered line, newline included."""

END = "bench-end-of-output"
"""The line every streaming child prints last; it holds no character that JSON escapes."""


def numbered(child: int, number: int | str) -> str:
    """One line of LINE bytes: a small JSON object like those of a stream-json child."""
    text = '{"type":"assistant","child":%d,"seq":' % child
    text += number if isinstance(number, str) else f"{number:010d}"
    text += ',"message":{"role":"assistant","content":"'
    width = len(text) + (8 if isinstance(number, str) else 0)  # "%d" stands for ten digits
    return text + "x" * (LINE - 4 - width) + '"}}\n'


def lines_file(directory: Path, size: int, child: int = 0) -> Path:
    """A file of `size` bytes of numbered lines (rounded down to whole lines), written once."""
    count = size // LINE
    path = directory / f"lines-{count}-{child}"
    if not path.exists() or path.stat().st_size != count * LINE:
        with open(path, "w") as f:
            for first in range(0, count, 50_000):
                f.write("".join(numbered(child, i) for i in range(first, min(count, first + 50_000))))
    return path


def stdin_chunks(count: int, size: int = 65_536) -> Iterator[str]:
    """`count` pieces of `size` bytes of numbered 64-byte lines; no two lines are equal."""
    per = size // 64
    for i in range(count):
        yield "".join(f"{i * per + k:012d} {'s' * 50}\n" for k in range(per))


@dataclass(frozen=True)
class LineCheck:
    """How delivered bytes differ from the wanted ones, counted in lines."""

    intact: bool
    missing: int = 0
    duplicated: int = 0
    altered: int = 0
    out_of_order: int = 0

    def __str__(self) -> str:
        if self.intact:
            return "intact"
        counts = {"missing": self.missing, "duplicated": self.duplicated, "altered": self.altered,
                  "out of order": self.out_of_order}
        named = ", ".join(f"{n:,} lines {what}" for what, n in counts.items() if n)
        return named or "line ends differ"


def check(got: bytes, want: bytes) -> LineCheck:
    """Compare byte by byte; when they differ, tell loss, duplication, alteration and reordering apart.

    The lines of `want` must differ from each other. A line counts as out of order when it stands behind one
    that should follow it.
    """
    if got == want:
        return LineCheck(True)
    place = {line: i for i, line in enumerate(want.removesuffix(b"\n").split(b"\n"))}
    seen = bytearray(len(place))
    duplicated = altered = out_of_order = 0
    last = -1
    for line in got.removesuffix(b"\n").split(b"\n") if got else []:
        at = place.get(line)
        if at is None:
            altered += 1
            continue
        duplicated += seen[at]
        out_of_order += at < last and not seen[at]
        seen[at] = 1
        last = max(last, at)
    return LineCheck(False, len(place) - sum(seen), duplicated, altered, out_of_order)


def repeats(before: list[str], after: list[str], most: int = 64) -> int:
    """How many events at the start of `after` are those at the end of `before`, come again.

    The longest such run of at most `most` events; events are compared by a digest of their data.
    """
    digest = [[hashlib.sha256(t.encode("utf-8", "surrogatepass")).digest() for t in part]
              for part in (before[-most:], after[:most])]
    for count in range(min(map(len, digest)), 0, -1):
        if digest[0][-count:] == digest[1][:count]:
            return count
    return 0
