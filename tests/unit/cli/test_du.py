"""``cowork du``: what is on the disk of each session."""

from __future__ import annotations

from cowork.cli import output
from cowork.cli.du import command
from tests.support.desk import Desk
from tests.unit.cli.test_rm import worktree


def test_sessions_are_listed_by_size_with_a_sum(desk: Desk) -> None:
    small, large = desk.written(name="small"), desk.written(b"x" * 300_000, name="large")
    said = desk.run("du")
    assert said.status == 0
    header, first, second = (line.split() for line in said.out.splitlines())
    assert header == ["ID", "NAME", "STATE", "OUTPUT", "HOME", "WORKTREE", "ALL"]
    assert first[:4] == [large.id, "large", "done", "297"]
    assert second[:3] == [small.id, "small", "done"]
    assert said.err.endswith(" in 2 sessions\n")


def test_json_has_bytes(desk: Desk) -> None:
    one = desk.written(b"x" * 5000, name="one")
    home = desk.where.homes / one.id
    (home / "deep").mkdir(parents=True)
    (home / "deep" / "file").write_bytes(b"y" * 700)
    assert desk.json("du") == {
        "v": 1, "total": one.size() + 700,
        "sessions": [
            {"id": one.id, "name": "one", "state": "done", "records": one.size(), "home": 700, "worktree": 0}
        ],
    }  # fmt: skip
    assert one.size() > 5000


def test_only_those_that_are_named_count(desk: Desk) -> None:
    one, other = desk.written(b"x" * 2000, name="one"), desk.written(b"y" * 1000, name="two")
    desk.written(name="three")
    told = desk.json("du", "one", other.id, "one")
    assert [each["id"] for each in told["sessions"]] == [one.id, other.id]
    assert told["total"] == one.size() + other.size()
    assert desk.run("du", "one").err.endswith(" in 1 session\n")
    assert desk.run("du", "none").status == 4


def test_one_that_cannot_be_read_counts(desk: Desk) -> None:
    broken = desk.written(b"x" * 2000, name="one")
    (broken.path / "session.json").write_text("{")
    (one,) = desk.json("du")["sessions"]
    assert (one["id"], one["state"], one["records"]) == (broken.id, "unreadable", broken.size())


def test_nothing_takes_nothing(desk: Desk) -> None:
    said = desk.run("du")
    assert (said.status, len(said.out.splitlines()), said.err) == (0, 1, "cowork: 0 B in 0 sessions\n")
    assert desk.json("du") == {"v": 1, "total": 0, "sessions": []}


def test_a_worktree_counts(desk: Desk) -> None:
    session, tree = worktree(desk, changed=True)
    (tree / "new").write_bytes(b"z" * 4000)
    (one,) = desk.json("du", session)["sessions"]
    assert one["worktree"] >= 4000
    assert output.size(one["worktree"]) in desk.ok("du", session)


def test_help_says_what_is_shown_if_none_is_named() -> None:
    assert "all, if none is named" in (command.help or "")
