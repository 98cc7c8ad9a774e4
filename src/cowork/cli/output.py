"""How results look: tables by rich on a terminal, plain columns when piped, one JSON object with --json.

Results go to stdout; notes, progress and errors to stderr, so that a pipe gets results alone. Colours are rich's and
click's to decide, and both hold to NO_COLOR.
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

STATE_STYLES = {
    "blocked": "bold yellow", "working": "cyan", "starting": "cyan", "failed": "red", "unreadable": "red",
    "done": "green", "idle": "green", "stopped": "dim",
}  # fmt: skip
"""How the first word of a state is shown on a terminal."""
_NARROW = ("ID", "NAME", "STATE", "AGE", "LAST")
_SOON = 1.0
"""Seconds after which a person wants to know what is going on."""


def json_line(value: object) -> None:
    """One JSON value on one line of stdout."""
    click.echo(msgspec.json.encode(value))


def note(text: str) -> None:
    """A line for the person, beside the result."""
    click.echo(f"cowork: {text}", err=True)


def hint(*commands: str) -> None:
    """What one may want to type next; only for a person who sees it."""
    if sys.stdout.isatty():
        click.secho(f"  {'   '.join(commands)}", dim=True)


def color() -> bool:
    """Whether stdout takes colours: a terminal, and NO_COLOR (no-color.org) is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headers."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(rich_table(headers, rows))
    else:
        click.echo(plain_table(headers, rows), nl=False)


def plain_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns divided by two spaces or more, one line for each row."""
    widths = [max(len(line[i]) for line in [headers, *rows]) for i in range(len(headers))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in [headers, *rows]
    )


def rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The same for a terminal: folded to its width, states in their colours."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    out = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        out.add_column(header, overflow="fold", no_wrap=header in _NARROW)
    for row in rows:
        cells = [Text(cell) for cell in row]
        for header, cell in zip(headers, cells, strict=True):
            if header == "STATE":
                cell.stylize(STATE_STYLES.get(cell.plain.partition(" ")[0], ""))
        out.add_row(*cells)
    return out


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
        if value < 1024 or unit == "TiB":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


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
