"""``cowork.cli.rm``: what goes, what stays, and what is said of both."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from cowork.supervisor import removal
from cowork.supervisor.removal import Removed
from tests.support.desk import Desk


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def worktree(desk: Desk, *, changed: bool) -> tuple[str, Path]:
    """A session that has ended, with a worktree; its id and that."""
    if not (desk.work / ".git").exists():
        git("init", "-q")
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    session = desk.bg("--worktree", "--", *(["touch", "new"] if changed else ["true"]))
    desk.ended(session)
    tree = desk.directory(session).record().worktree
    assert tree is not None
    return session, Path(tree.path)


def test_what_has_ended_goes_and_its_id_is_told(desk: Desk) -> None:
    one, other = desk.written(b"x", name="one"), desk.written(name="two")
    kept = desk.written(name="kept")
    assert desk.run("rm", "one", other.id) == (0, f"{one.id}\n{other.id}\n", "")
    assert [path.name for path in desk.where.sessions.iterdir()] == [kept.id]


def test_what_runs_stays_and_keeps_no_other_from_going(desk: Desk) -> None:
    running, ended = desk.bg("--name", "runs", "--", "sleep", "60"), desk.written(name="one")
    said = desk.run("rm", "runs", "one")
    assert (said.status, said.out) == (6, f"{ended.id}\n")
    assert said.err == f"cowork: session {running} runs (cowork kill {running}, or rm --force)\n"
    assert desk.seen(running).live


def test_force_ends_it_first(desk: Desk) -> None:
    running, ended = desk.bg("--", "sleep", "60"), desk.written(name="one")
    assert desk.run("rm", "-f", running, "one") == (0, f"{running}\n{ended.id}\n", "")
    assert list(desk.where.sessions.iterdir()) == []


def test_what_claude_desktop_has_not_been_told_stays_unless_it_is_discarded(desk: Desk) -> None:
    one = desk.written(b"news", name="one", kind="cowork")
    said = desk.run("rm", "one")
    assert (said.status, said.out) == (6, "")
    assert "Claude Desktop has not been told yet" in said.err
    assert "(start Claude Desktop, or rm --discard)" in said.err
    assert desk.ok("rm", "--discard", "one") == f"{one.id}\n"
    assert not one.path.exists()


def test_a_worktree_goes_unless_something_in_it_would_be_lost(desk: Desk) -> None:
    clean, gone = worktree(desk, changed=False)
    changed, kept = worktree(desk, changed=True)
    said = desk.run("rm", clean, changed)
    assert (said.status, said.out) == (0, f"{clean}\n{changed}\n")
    assert said.err == (
        f'cowork: its worktree is kept: untracked: "new" (git -C {kept} worktree remove --force {kept})\n'
    )  # fmt: skip
    assert (gone.exists(), kept.exists()) == (False, True)
    git(*said.err.partition("(git ")[2].rstrip(")\n").split())
    assert not kept.exists(), "what it says to do does it"


def test_a_worktree_can_be_discarded(desk: Desk) -> None:
    session, tree = worktree(desk, changed=True)
    assert desk.run("rm", "--discard", session) == (0, f"{session}\n", "")
    assert not tree.exists()


def test_json_tells_what_was_freed_and_what_is_kept_and_why(desk: Desk) -> None:
    plain = desk.written(b"x" * 1000, name="one")
    session, tree = worktree(desk, changed=True)
    told = desk.json("rm", "one", session)
    first, second = told["removed"]
    assert told["v"] == 1
    assert first.pop("freed") > 1000
    assert first == {"id": plain.id, "kept": "", "reasons": []}
    assert second.pop("freed") > 0
    assert second == {"id": session, "kept": str(tree), "reasons": ['untracked: "new"']}


@pytest.mark.parametrize("others", [True, False])
def test_one_that_cannot_be_removed_keeps_no_other_from_going(desk: Desk, others: bool) -> None:
    def remove(where: object, directory: Any, *, discard: bool) -> Removed:
        if directory.id == stuck.id:
            raise PermissionError(13, "Permission denied", "/x")
        return removal.remove(desk.where, directory, discard=discard)

    desk.patch.setattr("cowork.cli.rm.remove", remove)
    stuck = desk.written(name="stuck")
    names = ["stuck", *(["one"] if others else [])]
    one = desk.written(name="one")
    said = desk.run("rm", *names)
    assert said == (1, f"{one.id}\n" if others else "", "cowork: /x: Permission denied\n")


def test_nothing_goes_when_one_is_not_there(desk: Desk) -> None:
    one = desk.written(name="one")
    said = desk.run("rm", "one", "none")
    assert (said.status, said.out) == (4, "")
    assert one.path.exists()


def test_one_that_cannot_be_read_can_be_removed(desk: Desk) -> None:
    one = desk.written(name="one")
    (one.path / "session.json").write_text("{")
    assert desk.ok("rm", one.id) == f"{one.id}\n"
    assert not one.path.exists()
