"""``cowork logs``: what a session printed, or what it reached and did not; no daemon needed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cowork import paths
from cowork.cli import output
from cowork.cli.names import session_argument
from cowork.errors import ConfigError
from cowork.holder.spool import STDERR, STDOUT
from cowork.sessions.follow import Follower
from cowork.sessions.spool import SpoolReader
from cowork.sessions.steps import converses
from cowork.supervisor.find import find

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
@click.option("--raw", is_flag=True, help="The very bytes, also of a claude with a prompt.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each piece, with its offset (docs/json.md).")
@click.option("--network", is_flag=True, help="What its proxy allowed and denied, instead of its output.")
def command(session: str, follow: bool, since: int, raw: bool, as_json: bool, network: bool) -> int:
    """Print what SESSION has printed.

    A claude that was started with a prompt is shown as a conversation. Of anything else the bytes are printed as they
    are, stderr to stderr. SESSION is an id, the beginning of one, or a name if only one session has it.
    """
    where = paths.resolve()
    directory = find(where, session)
    if network:
        if follow or since or raw or as_json:
            raise ConfigError("--network goes with no other option", hint=f"cowork logs --network {session}")
        for piece in network_log(directory):
            click.echo(piece, nl=False)
        return 0
    with Follower(directory, where.runtime, since) as follower:
        if as_json:
            copy(follower, lambda run: _json(follower, run), follow=follow)
        elif raw or not converses(directory.record()):
            sys.stdout.flush()
            copy(follower, lambda run: follower.copy(run, 2 if run.stream == STDERR else 1), follow=follow)
        else:
            shown = _Conversation(follower, midline=_begins_midline(directory, since))
            copy(follower, shown.show, follow=follow)
            shown.end()
    if follower.lost:
        output.note(f"the first {output.size(follower.lost)} are no longer kept (background.history in config.toml)")
    return 0


def copy(follower: Follower, emit: Callable[[Run], None], *, follow: bool) -> None:
    """Hand on every run there is, and with ``follow`` those that come."""
    while True:
        for run in follower.runs():
            emit(run)
        if not follow or follower.ended:
            return
        follower.wait()


class _Conversation:
    """What is printed, as people read it."""

    def __init__(self, follower: Follower, *, midline: bool) -> None:
        from cowork.cli.reading import Reading

        self._follower = follower
        self._reading = Reading(color=output.color(), midline=midline)
        self._lost = 0

    def show(self, run: Run) -> None:
        """Print the lines that have come to their end."""
        if self._follower.lost > self._lost:
            self._lost = self._follower.lost
            self._reading.gap()
        click.echo(self._reading.feed(run.stream, self._follower.read(run)), nl=False)

    def end(self) -> None:
        """Print what will have no end."""
        if self._follower.ended:
            click.echo(self._reading.rest(), nl=False)


def _begins_midline(directory: SessionDirectory, since: int) -> bool:
    """Whether a line began before this byte, as far as is known."""
    if not since:
        return False
    reader = SpoolReader(directory.spool)
    before = bytearray(1)
    try:
        reader.run_at(since - 1, since)
        return not reader.read_into(memoryview(before), since - 1) or before != b"\n"
    except FileNotFoundError:
        return True
    finally:
        reader.close()


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
