"""Processes of a conformance test: known, described, ended."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from cowork.testing.running import content_of, describe, end_all, has_open


def test_processes_are_ended_and_those_that_do_not_are_described() -> None:
    with subprocess.Popen(["cat", "-u"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        try:
            assert cat.stdin is not None
            assert cat.stdout is not None
            cat.stdin.write(b"up\n")
            cat.stdin.flush()
            assert cat.stdout.readline() == b"up\n"
            assert end_all([cat.pid], 0, 0.0) == describe([cat.pid]) == f"{cat.pid} (b'cat -u ')"
            assert end_all([cat.pid], signal.SIGKILL, 20.0) == ""
        finally:
            cat.kill()
    assert end_all([cat.pid], signal.SIGKILL, 0.0) == "", "one that is gone has ended"
    assert content_of(cat.pid, "cmdline") == b""


def test_what_a_process_has_open(tmp_path: Path) -> None:
    me = os.getpid()
    assert not has_open(me, str(tmp_path))
    with open(tmp_path / "file", "w"):
        assert has_open(me, str(tmp_path))
