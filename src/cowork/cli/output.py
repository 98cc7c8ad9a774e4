"""How results look: tables by rich on a terminal, plain columns when piped, one JSON object with --json."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


def json_line(value: object) -> None:
    """One JSON value on one line of stdout."""
    click.echo(msgspec.json.encode(value))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headers."""
    if sys.stdout.isatty():
        _rich_table(headers, rows)
        return
    widths = [max(len(line[i]) for line in [headers, *rows]) for i in range(len(headers))]
    for line in [headers, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    out = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        out.add_column(header, overflow="fold", no_wrap=header in ("ID", "STATE", "AGE"))
    for row in rows:
        out.add_row(*map(escape, row))
    Console().print(out)


def age(since: float) -> str:
    """How long ago a moment (seconds since the epoch) was, in one unit: 5s, 3m, 2h, 9d."""
    seconds = max(0, int(time.time() - since))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
