"""``cowork logs``: what a session printed, or what it reached and did not; no daemon needed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cowork import paths
from cowork.errors import ConfigError, NotFound
from cowork.holder.spool import STDERR
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.overview import look
from cowork.sessions.spool import SpoolReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PIECE = 1 << 18


@click.command("logs")
@click.argument("session")
@click.option("--network", is_flag=True, help="What its proxy allowed and denied, instead of its output.")
def command(session: str, network: bool) -> int:
    """Print what SESSION has printed; its stderr goes to stderr.

    SESSION is an id, the beginning of one, or a name if only one session has it.
    """
    where = paths.resolve()
    directory = find(where, session)
    if network:
        for piece in network_log(directory):
            sys.stdout.buffer.write(piece)
    else:
        for stream, piece in output(directory):
            target = sys.stderr.buffer if stream == STDERR else sys.stdout.buffer
            target.write(piece)
            target.flush()
    return 0


def find(where: paths.Paths, wanted: str) -> SessionDirectory:
    """The session that is meant.

    Raises:
        NotFound: none is.
        ConfigError: several are.
    """
    every = look(where.sessions, where.runtime)
    found = [s for s in every if s.id == wanted] or [s for s in every if s.id.startswith(wanted) or s.name == wanted]
    if not found:
        raise NotFound(f"no session {wanted}", hint="cowork ps --all")
    if len(found) > 1:
        ids = ", ".join(s.id for s in found)
        raise ConfigError(f"{wanted} may be any of {ids}", hint="name one of them")
    return SessionDirectory(where.sessions, found[0].id)


def output(directory: SessionDirectory) -> Iterator[tuple[int, bytes]]:
    """All that is kept of a session's output, in order: the stream and the bytes."""
    reader = SpoolReader(directory.spool)
    buffer = memoryview(bytearray(_PIECE))
    try:
        at, end = reader.base(), reader.end()
        while at < end:
            stream, until = reader.run_at(at, end)
            count = reader.read_into(buffer[: min(_PIECE, until - at)], at)
            if not count:
                break
            yield stream, bytes(buffer[:count])
            at += count
    finally:
        reader.close()


def network_log(directory: SessionDirectory) -> Iterator[bytes]:
    """What the session's proxy wrote, the older file first."""
    newer: Path = directory.network_log
    for path in (newer.with_name(f"{newer.name}.1"), newer):
        try:
            yield path.read_bytes()
        except FileNotFoundError:
            continue
