"""Numbered lines that children print, and the comparison of what arrived with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LINE = 120
"""Bytes of a numbered line, newline included."""

END = "bench-end-of-output"
"""The line every streaming child prints last; it holds no character that JSON escapes."""


def numbered(child: int, number: int) -> str:
    """One line of LINE bytes: a small JSON object like those of a stream-json child."""
    text = f'{{"type":"assistant","child":{child},"seq":"{number:010d}","message":{{"role":"assistant","content":"'
    return text + "x" * (LINE - 4 - len(text)) + '"}}\n'


def printf_format(child: int) -> str:
    """The same line as a format of printf(1), the number being its argument."""
    return numbered(child, 0).replace("0000000000", "%010d").replace("\n", "\\n")


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
        counts = {
            "missing": self.missing,
            "duplicated": self.duplicated,
            "altered": self.altered,
            "out of order": self.out_of_order,
        }
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


def repeated(before: Sequence[bytes], after: bytes, window: int = 4 << 20) -> tuple[int, int]:
    """How much of the start of `after` is the end of the pieces `before` come again: (pieces, bytes).

    Overlaps of less than two lines are not looked for: runs of equal characters would pass for them.
    """
    tail, head = b"".join(before)[-window:], after[: 2 * LINE]
    at = tail.find(head) if len(head) == 2 * LINE else -1
    while at >= 0 and not after.startswith(tail[at:]):
        at = tail.find(head, at + 1)
    if at < 0:
        return 0, 0
    overlap = len(tail) - at
    pieces = covered = 0
    while covered < overlap:
        pieces += 1
        covered += len(before[-pieces])
    return pieces, overlap
