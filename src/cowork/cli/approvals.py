"""``cowork approvals``: what sessions ask, and how to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from cowork import paths
from cowork.cli import output
from cowork.cli.names import session_argument
from cowork.supervisor.approvals import Approval, of_session, pending
from cowork.supervisor.find import find
from cowork.supervisor.watch import Watch
from cowork.supervisor.wording import QUESTION, asked, flat, harmless, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cowork.paths import Paths

PERMISSION = "can_use_tool"
"""What a tool that wants to run asks, and the model that asks the user; anything else wants an answer of its own."""
_WIDTH = 200


@click.command("approvals")
@session_argument(required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
@click.option("--watch", is_flag=True, help="Go on: each question when it comes; with --json all at every change.")
def command(session: str | None, as_json: bool, watch: bool) -> int:
    """Show what SESSION (all sessions, if none is named) asks: permissions for tools, and questions.

    Each has an id that belongs to that very question: cowork approve and deny refuse it when the question has changed,
    was answered or withdrawn. What Claude Desktop answers itself is shown, too.
    """
    where = paths.resolve()
    directory = None if session is None else find(where, session)
    shown: set[str] | None = None
    with Watch(where) as changes:
        while True:
            found = pending(where) if directory is None else of_session(where, directory)
            now = {one.id for one in found}
            if as_json and now != shown:
                output.json_line({"v": 1, "approvals": found})
            elif not as_json:
                for one in found:
                    if shown is None or one.id not in shown:
                        click.echo("\n".join(lines(one)) + "\n")
            shown = now
            if not watch:
                break
            changes.wait(5.0)
    if not found and not as_json:
        output.note("nobody asks anything")
    return 0


def lines(one: Approval) -> Iterator[str]:
    """A question in words, with what may be typed."""
    waiting = f", waiting for {output.age(one.asked)}" if one.asked else ""
    yield output.styled(one.id, bold=True) + f"  {flat(one.name)}, in {flat(one.cwd)}{waiting}"
    yield from (f"  {harmless(line)}" for line in asked(one.request, _WIDTH))
    if one.reason:
        yield f"    because: {flat(one.reason)}"
    if not one.answerable:
        yield "  to be answered in Claude Desktop"
    else:
        if one.subtype != PERMISSION:
            answer = " --input JSON"
        elif one.tool == QUESTION:
            answer = " --option NUMBER-OR-TEXT"
        else:
            answer = " [--option NUMBER]" if one.suggestions else ""
        yield f"  cowork approve {one.id}{answer}   or   cowork deny {one.id}"


def answered(one: Approval, verb: str, *, as_json: bool, where: Paths) -> None:
    """Say what was answered, for ``approve`` and ``deny``; and see that somebody goes on telling."""
    import os

    from cowork.supervisor import notifier

    notifier.ensure(where, os.environ)
    if as_json:
        output.json_line({"v": 1, "id": one.id, "answer": verb, "approval": one})
    else:
        about = one.tool if one.subtype == PERMISSION else one.subtype
        click.echo(f"{verb}: {summary(about, msgspec.json.decode(one.input), _WIDTH)}")
