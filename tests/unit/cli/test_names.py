"""Names on the command line: what a shell is told to complete them with."""

from __future__ import annotations

from typing import Any

import click
import pytest

from cowork.cli.names import ApprovalName, SessionName, session_argument
from cowork.sessions.record import SessionRecord
from cowork.supervisor.approvals import pending
from tests.support.desk import Desk


def completed(kind: click.ParamType[Any], incomplete: str = "") -> dict[str, str | None]:
    """The texts in their order, with what is said of each."""
    context = click.Context(click.Command("x"))
    items = kind.shell_complete(context, click.Argument(["x"]), incomplete)
    assert len({item.value for item in items}) == len(items), "nothing is offered twice"
    return {item.value: item.help for item in items}


def test_sessions_complete_by_name_and_those_that_run_come_first(desk: Desk) -> None:
    desk.written(id="aaaaaaaaaaaa", name="old")
    desk.written(id="bbbbbbbbbbbb", name="new", runs=True)
    assert list(completed(SessionName())) == ["new", "old"]
    assert list(completed(SessionName(), "o")) == ["old"]
    assert completed(SessionName(), "x") == {}


def test_a_session_completes_by_id_when_that_is_what_was_begun(desk: Desk) -> None:
    desk.written(id="aaaaaaaaaaaa", name="old")
    assert completed(SessionName(), "aaa") == {"aaaaaaaaaaaa": "old"}, "with its name as an explanation"


def test_a_name_that_several_have_is_offered_once(desk: Desk) -> None:
    desk.written(id="aaaaaaaaaaaa", name="same")
    desk.written(id="bbbbbbbbbbbb", name="same")
    desk.written(id="cccccccccccc", name="same", runs=True)
    assert list(completed(SessionName())) == ["same"]


@pytest.mark.parametrize("name", ["", "two words", "$(reboot)", "a'b", "*"])
def test_a_name_that_a_shell_would_take_for_something_else_gives_way_to_the_id(desk: Desk, name: str) -> None:
    desk.written(id="aaaaaaaaaaaa", name=name)
    assert list(completed(SessionName())) == ["aaaaaaaaaaaa"]


def test_a_session_that_cannot_be_read_hides_no_other_and_can_be_removed_by_id(desk: Desk) -> None:
    broken = desk.written(id="aaaaaaaaaaaa", name="broken")
    (broken.path / "session.json").write_text("{")
    desk.written(id="bbbbbbbbbbbb", name="whole")
    assert sorted(completed(SessionName())) == ["aaaaaaaaaaaa", "whole"]


def test_questions_complete_by_id_with_the_tool_and_only_those_that_can_be_answered(desk: Desk) -> None:
    broken = desk.written(id="aaaaaaaaaaaa", name="broken", runs=True)
    (broken.path / "session.json").write_text("{")
    desk.rewrite(desk.asking(name="desktops"), kind="cowork")
    session = desk.asking()
    ours, theirs = sorted(pending(desk.where), key=lambda one: not one.answerable)
    assert (ours.session, ours.answerable, theirs.answerable) == (session, True, False)
    assert completed(ApprovalName()) == {ours.id: "Bash"}
    assert completed(ApprovalName(), session) == {ours.id: "Bash"}
    assert completed(ApprovalName(), "-") == {}


def test_nothing_completes_where_nothing_can_be_read(desk: Desk) -> None:
    assert completed(SessionName()) == completed(ApprovalName()) == {}
    desk.where.sessions.rmdir()
    assert completed(SessionName()) == completed(ApprovalName()) == {}
    desk.where.sessions.write_text("no folder")
    assert completed(SessionName()) == completed(ApprovalName()) == {}


def test_the_argument_of_a_command_may_be_one_or_several() -> None:
    @click.command
    @session_argument(required=False, nargs=-1)
    def several(session: tuple[str, ...]) -> tuple[str, ...]:
        return session

    @click.command
    @session_argument()
    def one(session: str) -> str:
        return session

    assert several.main(["a", "b"], standalone_mode=False) == ("a", "b")
    assert several.main([], standalone_mode=False) == ()
    assert one.main(["a"], standalone_mode=False) == "a"
    with pytest.raises(click.MissingParameter):
        one.main([], standalone_mode=False)


def test_a_record_of_a_newer_release_is_offered_by_id(desk: Desk) -> None:
    newer = desk.written(id="aaaaaaaaaaaa", name="n")
    newer.write_record(SessionRecord(version=99, id=newer.id, kind="shell", name="n"))
    assert list(completed(SessionName())) == ["aaaaaaaaaaaa"]
