"""``cowork logs``: which session is meant, and what is printed of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cowork.cli.logs import find, network_log, output
from cowork.errors import ConfigError, NotFound
from cowork.holder.spool import STDERR, STDOUT, SpoolWriter
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord, SessionRecord
from tests.support.service import paths_below


def make(root: Path, session_id: str, name: str) -> SessionDirectory:
    directory = SessionDirectory(paths_below(root).sessions, session_id)
    directory.create(SessionRecord(id=session_id, kind="shell", name=name)).close()
    directory.write_exit(ExitRecord(ended=1.0, exit_code=0))
    return directory


def test_a_session_is_found_by_its_id_the_beginning_of_it_and_its_name(tmp_path: Path) -> None:
    make(tmp_path, "abcdefghijkl", "one")
    make(tmp_path, "abzzzzzzzzzz", "two")
    where = paths_below(tmp_path)
    for wanted in ("abcdefghijkl", "abc", "one"):
        assert find(where, wanted).id == "abcdefghijkl"
    with pytest.raises(ConfigError, match="abcdefghijkl, abzzzzzzzzzz"):
        find(where, "ab")
    with pytest.raises(NotFound):
        find(where, "xyz")


def test_the_output_comes_in_its_order(tmp_path: Path) -> None:
    directory = make(tmp_path, "abcdefghijkl", "one")
    writer = SpoolWriter(str(directory.spool), history=1 << 20, limit=1 << 22, hold=True)
    read, write = os.pipe()
    os.set_blocking(read, False)
    for stream, text in ((STDOUT, b"out 1\n"), (STDERR, b"err\n"), (STDOUT, b"out 2\n")):
        os.write(write, text)
        writer.pull(read, stream)
    writer.close()
    os.close(read)
    os.close(write)
    assert list(output(directory)) == [(STDOUT, b"out 1\n"), (STDERR, b"err\n"), (STDOUT, b"out 2\n")]


def test_the_network_log_is_told_from_its_beginning(tmp_path: Path) -> None:
    directory = make(tmp_path, "abcdefghijkl", "one")
    assert list(network_log(directory)) == []
    directory.network_log.write_bytes(b"new\n")
    directory.network_log.with_name("network.log.1").write_bytes(b"old\n")
    assert b"".join(network_log(directory)) == b"old\nnew\n"
