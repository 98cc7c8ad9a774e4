"""``cowork.cli.prune``: which sessions go, and what is said of them."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord
from cowork.supervisor import removal
from cowork.supervisor.removal import Removed
from tests.support.desk import Desk


def ended(
    desk: Desk, name: str, *, ago: float = 0.0, code: int = 0, signal: str = "", **asked: Any
) -> SessionDirectory:  # fmt: skip
    how = ExitRecord(ended=time.time() - ago, exit_code=code, signal=signal)
    return desk.written(name=name, ended=how, created=time.time() - ago - 1, **asked)


def left(desk: Desk) -> set[str]:
    """Names of the sessions that are still there."""
    return {desk.directory(one).record().name for one in os.listdir(desk.where.sessions)}


def test_all_from_the_shell_that_have_ended_go(desk: Desk) -> None:
    done, failed = ended(desk, "done", ago=9), ended(desk, "failed", code=3, ago=5)
    stopped = ended(desk, "stopped", code=-1, signal="SIGTERM")
    ended(desk, "desktop's", kind="cowork")
    running = desk.bg("--name", "runs", "--", "sleep", "60")
    said = desk.run("prune")
    assert (said.status, said.out) == (0, f"{done.id}\n{failed.id}\n{stopped.id}\n"), "the oldest first"
    assert said.err.startswith("cowork: 3 removed, ")
    assert said.err.endswith(" freed\n")
    assert left(desk) == {"desktop's", "runs"}
    assert desk.seen(running).live


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (["--older-than", "1h"], {"old"}),
        (["--older-than", "1d"], set()),
        (["--state", "failed"], {"failed"}),
        (["--state", "failed", "--state", "done"], {"failed", "old"}),
        (["--state", "failed", "--older-than", "1h"], set()),
    ],
)
def test_it_can_be_said_which(desk: Desk, options: list[str], gone: set[str]) -> None:
    ended(desk, "old", ago=7200)
    ended(desk, "failed", code=1)
    ended(desk, "stopped", code=-1, signal="SIGINT")
    before = left(desk)
    would = desk.json("prune", "-n", *options)
    assert {desk.directory(one).record().name for one in would["wouldRemove"]} == gone
    assert left(desk) == before, "-n removes nothing"
    assert len(desk.json("prune", *options)["removed"]) == len(gone)
    assert before - left(desk) == gone


def test_a_dry_run_tells_names_and_states(desk: Desk) -> None:
    old, new = ended(desk, "old", ago=9, code=3), ended(desk, "new")
    assert desk.run("prune", "-n") == (0, f"{old.id}  old  failed\n{new.id}  new  done\n", "")


def test_json_has_the_shape_of_rm(desk: Desk) -> None:
    one = ended(desk, "one")
    told = desk.json("prune")
    assert told["removed"].pop().pop("freed") > 0
    assert desk.json("prune", "-n") == {"v": 1, "wouldRemove": []}
    assert desk.json("prune") == {"v": 1, "removed": []}
    assert not one.path.exists()


def test_what_a_start_has_left_half_made_goes_too(desk: Desk) -> None:
    half, fresh = desk.where.sessions / "aaaaaaaaaaaa", desk.where.sessions / "bbbbbbbbbbbb"
    for folder in (half, fresh):
        folder.mkdir()
        (folder / "readers").write_bytes(b"x" * 5000)
    os.utime(half, (1, 1))
    assert desk.run("prune") == (0, "", "cowork: 0 removed, 4.9 KiB freed\n")
    assert (half.exists(), fresh.exists()) == (False, True)


def test_one_that_cannot_be_removed_keeps_no_other_from_going(desk: Desk) -> None:
    def remove(where: object, directory: Any) -> Removed:
        if directory.id == stuck.id:
            raise PermissionError(13, "Permission denied", "/x")
        return removal.remove(desk.where, directory)

    desk.patch.setattr("cowork.cli.prune.remove", remove)
    stuck, one = ended(desk, "stuck", ago=9), ended(desk, "one")
    said = desk.run("prune")
    assert (said.status, said.out) == (1, f"{one.id}\n")
    assert said.err.splitlines()[0] == "cowork: /x: Permission denied"
    assert "1 removed" in said.err


@pytest.mark.parametrize("arguments", [["--state", "working"], ["--older-than", "long"], ["name"]])
def test_what_makes_no_sense_removes_nothing(desk: Desk, arguments: list[str]) -> None:
    ended(desk, "name")
    assert desk.run("prune", *arguments).status == 2
    assert left(desk) == {"name"}
