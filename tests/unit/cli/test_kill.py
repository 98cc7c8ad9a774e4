"""``cowork kill``: which sessions are meant, and what is said of each."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pyte
import pytest

from cowork.cli import output
from cowork.cli.kill import command
from cowork.supervisor import ending
from tests.support.desk import Desk, Terminal
from tests.support.holding import child


def test_the_end_is_waited_for_and_the_ids_are_told(desk: Desk) -> None:
    one, other = desk.bg("--name", "one", "--", "sleep", "60"), desk.bg("--", *child("polite"))
    desk.printed(other, b"ready\n")
    said = desk.run("kill", "one", other)
    assert (said.status, sorted(said.out.split()), said.err) == (0, sorted([one, other]), "")
    assert [desk.seen(each).state for each in (one, other)] == ["stopped", "stopped"]
    assert desk.seen(other).exit_code == 7, "it was asked to, and has ended in its own way"


@pytest.mark.parametrize("name", ["USR1", "sigusr1", str(int(signal.SIGUSR1))])
def test_another_signal_is_sent_and_not_waited_for(desk: Desk, name: str) -> None:
    session = desk.bg("--", *child("has_children"))
    desk.printed(session, b"ready")
    assert desk.ok("kill", "-s", name, session) == f"{session}\n"
    desk.printed(session, b"leader\n")
    assert desk.seen(session).live


def test_all_are_those_from_the_shell(desk: Desk) -> None:
    ours, theirs = desk.bg("--", "sleep", "60"), desk.bg("--", "sleep", "60")
    ended = desk.bg("--", "true")
    desk.ended(ended)
    desk.rewrite(theirs, kind="cowork")
    assert desk.ok("kill", "--all") == f"{ours}\n"
    assert desk.seen(theirs).live, "Claude Desktop's is not touched"
    assert desk.ok("kill", theirs) == f"{theirs}\n", "unless it is named"
    assert desk.run("kill", "--all") == (0, "", ""), "none is left"


def test_one_that_has_ended_keeps_no_other_from_its_end(desk: Desk) -> None:
    ended, running = desk.bg("--", "true"), desk.bg("--", "sleep", "60")
    desk.ended(ended)
    said = desk.run("kill", ended, running)
    assert (said.status, said.out) == (1, f"{running}\n")
    assert said.err == (
        f"cowork: session {ended} has ended already\n"
        "cowork: 1 of 2 could not be signalled\n"
        "  hint: cowork ps\n"
    )  # fmt: skip
    assert not desk.seen(running).live


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "name the sessions, or use --all"),
        (["--all", "talk"], 2, "name the sessions, or use --all"),
        (["talk", "none"], 4, "no session none"),
        (["-s", "NONE", "talk"], 1, "unknown signal: NONE"),
        (["-s", "0", "talk"], 1, "unknown signal: 0"),
    ],
)
def test_nothing_is_signalled_unless_all_is_clear(
    desk: Desk, arguments: list[str], status: int, says: str
) -> None:  # fmt: skip
    session = desk.bg("--name", "talk", "--", "sleep", "60")
    said = desk.run("kill", *arguments)
    assert (said.status, said.out) == (status, "")
    assert says in said.err
    assert desk.seen(session).live


def test_an_id_stands_on_a_line_of_its_own_also_when_the_end_took_a_while(desk: Desk, terminal: Terminal) -> None:
    session = desk.bg("--", "sleep", "60")

    def later(*arguments: Any) -> Iterator[Any]:
        terminal.until("waiting for the end")
        yield from send_all(*arguments)

    send_all = ending.send_all
    desk.patch.setattr(ending, "send_all", later)
    desk.patch.setattr(output, "_SOON", 0.0)
    with terminal.instead_of(1, 2):
        assert desk.call("kill", session) == 0
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(terminal.whole().replace("\n", "\r\n"))
    assert [line.strip() for line in screen.display if line.strip()] == [session]


def test_help_names_the_signal_that_is_sent_by_default() -> None:
    assert "[default: TERM]" in command.get_help(command.make_context("kill", [], resilient_parsing=True))
