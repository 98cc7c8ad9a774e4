"""``cowork logs``: what a session printed, or what it reached and did not; no daemon needed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cowork import paths
from cowork.cli import output
from cowork.cli.names import session_argument
from cowork.holder.spool import STDERR, STDOUT
from cowork.sessions.follow import Follower
from cowork.supervisor.find import find
from cowork.supervisor.overview import speaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cowork.sessions.directory import SessionDirectory
    from cowork.sessions.follow import Run

_NAMES = {STDOUT: "stdout", STDERR: "stderr"}


@click.command("logs")
@session_argument()
@click.option("-f", "--follow", is_flag=True, help="Go on with what it prints, until it has ended.")
@click.option("--since", type=click.IntRange(min=0), default=0, metavar="OFFSET", help="Begin at this byte.")
@click.option("--raw", is_flag=True, help="The very bytes, also of a claude that speaks stream-json.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each piece, with its offset (docs/json.md).")
@click.option("--network", is_flag=True, help="What its proxy allowed and denied, instead of its output.")
def command(session: str, follow: bool, since: int, raw: bool, as_json: bool, network: bool) -> int:
    """Print what SESSION has printed.

    A claude that was started with a prompt is shown as a conversation. Of anything else the bytes are printed as they
    are, stderr to stderr. SESSION is an id, the beginning of one, or a name if only one session has it.
    """
    where = paths.resolve()
    directory = find(where, session)
    sys.stdout.flush()
    if network:
        for piece in network_log(directory):
            sys.stdout.buffer.write(piece)
        return 0
    with Follower(directory, where.runtime, since) as follower:
        emit = _emitter(follower, directory, raw=raw, as_json=as_json)
        copy(follower, emit, follow=follow)
    if follower.lost:
        output.note(f"the first {output.size(follower.lost)} are no longer kept (background.history in config.toml)")
    return 0


def copy(follower: Follower, emit: Callable[[Run], None], *, follow: bool) -> None:
    """Hand on every run there is, and with ``follow`` those that come."""
    while True:
        for run in follower.runs():
            emit(run)
        if not follow or follower.ended:
            # The end and the last output come together, so once more.
            for run in follower.runs():
                emit(run)
            return
        follower.wait()


def _emitter(
    follower: Follower, directory: SessionDirectory, *, raw: bool, as_json: bool
) -> Callable[[Run], None]:  # fmt: skip
    """What is done with a run: copied, put into JSON, or shown as a conversation."""
    if as_json:
        return lambda run: _json(follower, run)
    if raw or not speaks(directory.record()):
        return lambda run: follower.copy(run, 2 if run.stream == STDERR else 1)
    from cowork.cli.reading import Reading

    shown = Reading(color=output.color())

    def show(run: Run) -> None:
        click.echo(shown.feed(run.stream, follower.read(run)), nl=False)

    return show


def _json(follower: Follower, run: Run) -> None:
    """One object: text where the bytes are UTF-8, else Base64."""
    data = follower.read(run)
    piece: dict[str, object] = {"v": 1, "offset": run.start, "next": run.end, "stream": _NAMES[run.stream]}
    try:
        piece["text"] = data.decode()
    except UnicodeDecodeError:
        piece["base64"] = data  # msgspec writes bytes so
    output.json_line(piece)


def network_log(directory: SessionDirectory) -> Iterator[bytes]:
    """What the session's proxy wrote, the older file first."""
    newer: Path = directory.network_log
    for path in (newer.with_name(f"{newer.name}.1"), newer):
        try:
            yield path.read_bytes()
        except FileNotFoundError:
            continue
