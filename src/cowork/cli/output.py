"""How results look: tables by rich on a terminal, plain columns when piped, one JSON object with --json.

Results go to stdout; notes, progress and errors to stderr, so that a pipe gets results alone. In tables colours are
rich's to decide, which holds to NO_COLOR; click does not, so a text is ``styled`` here.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from cowork.errors import CoworkError

STATE_STYLES = {
    "blocked": "bold yellow", "working": "cyan", "starting": "cyan", "failed": "red", "unreadable": "red",
    "done": "green", "idle": "green", "stopped": "dim",
}  # fmt: skip
"""How the first word of a state is shown on a terminal."""
_FOLDED = ("ISOLATION", "WHAT")
"""Columns whose cells may take several lines on a terminal."""
_GIVING_WAY = ("BACKEND", "TURNS", "LAST", "COST", "AGE")
"""Columns that are left out, one after the other, where there is no room for those of several lines."""
_ROOM = 24
"""Columns of a terminal that such a cell should have."""
_GAP = 2
_SOON = 1.0
"""Seconds after which a person wants to know what is going on."""


def json_line(value: object) -> None:
    """One JSON value on one line of stdout. What is no text in a name or an argument is shown with U+FFFD."""
    try:
        line = msgspec.json.encode(value)
    except UnicodeEncodeError:
        import json

        from cowork.wire.text import repair_json

        line = repair_json(json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode())
    click.echo(line)


def note(text: str) -> None:
    """A line for the person, beside the result."""
    click.echo(f"cowork: {text}", err=True)


def reason(error: CoworkError | OSError) -> str:
    """An error as a note has it: on one line, with what to do."""
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename is not None else ""
        return f"{about}{error.strerror or error}"
    return f"{error.message} ({error.hint})" if error.hint else error.message


def hint(*commands: str) -> None:
    """What one may want to type next; only for a person who sees it."""
    if sys.stdout.isatty():
        click.echo(styled(f"  {'   '.join(commands)}", dim=True))


def color() -> bool:
    """Whether stdout takes colours: a terminal, and NO_COLOR (no-color.org) is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, **look: bool) -> str:
    """A text as ``click.style`` makes it look, where stdout takes colours."""
    return click.style(text, **look) if color() else text


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headers."""
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        console.print(rich_table(headers, rows, console.width))
    else:
        click.echo(plain_table(headers, rows), nl=False)


def plain_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns divided by two spaces or more, one line for each row."""
    widths = [max(len(line[i]) for line in [headers, *rows]) for i in range(len(headers))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in [headers, *rows]
    )


def rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table:
    """The same for a terminal of that width: what does not fit is folded or left out, states have their colours."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    out = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    shown = _fitting(headers, rows, width)
    for header in shown:
        out.add_column(
            header, overflow="fold" if header in _FOLDED else "ellipsis", no_wrap=header not in (*_FOLDED, "NAME")
        )
    for row in rows:
        cells = {header: Text(cell) for header, cell in zip(headers, row, strict=True)}
        if state := cells.get("STATE"):
            state.stylize(STATE_STYLES.get(state.plain.partition(" ")[0], ""))
        out.add_row(*(cells[header] for header in shown))
    return out


def _fitting(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Headers of the columns that there is room for."""
    from rich.cells import cell_len

    needed = {}
    for at, header in enumerate(headers):
        longest = max(cell_len(line[at]) for line in [headers, *rows])
        needed[header] = min(longest, max(len(header), _ROOM)) if header in _FOLDED else longest
    for header in _GIVING_WAY:
        if sum(needed.values()) + _GAP * len(needed) > width:
            needed.pop(header, None)
    return list(needed)


def stdin() -> str:
    """All of stdin, byte for byte: what is no UTF-8 is as in an argument (``os.fsencode`` gives the bytes back)."""
    return os.fsdecode(sys.stdin.buffer.read())


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Say what is being waited for, on a terminal and after a second, until the block is left."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(text, over), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _tell(text: str, over: threading.Event) -> None:
    if over.wait(_SOON):
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        over.wait()


def age(since: float) -> str:
    """How long ago a moment (seconds since the epoch) was, in one unit: 5s, 3m, 2h, 9d."""
    seconds = max(0, int(time.time() - since))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def size(count: int) -> str:
    """Bytes in powers of 1024: 512 B, 1.5 KiB, 20 MiB."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1023.5 or unit == "TiB":
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def duration(text: str) -> float:
    """Seconds of "90", "90s", "15m", "2h" or "7d".

    Raises:
        ValueError: it is none of these.
    """
    factor = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:], 0)
    number = float(text[:-1]) * factor if factor else float(text)
    if not 0 <= number < 1e10:
        raise ValueError(text)
    return number


class Duration(click.ParamType[float]):
    """An option that takes a ``duration``."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See ``click.ParamType``."""
        try:
            return value if isinstance(value, float) else duration(str(value))
        except ValueError:
            self.fail(f"{value!r} is no duration; such as 90, 90s, 15m, 2h, 7d", param, ctx)
