"""``cowork approve``: let a session do what it asks for."""

from __future__ import annotations

import click

from cowork import paths
from cowork.cli.approvals import answered
from cowork.cli.names import ApprovalName
from cowork.supervisor.approvals import allow


@click.command("approve")
@click.argument("id", type=ApprovalName())
@click.option("--option", metavar="NUMBER|TEXT", help="Number of a suggestion, or the answer to a question.")
@click.option("--input", "changed", metavar="JSON", help="Run the tool with this input instead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(id: str, option: str | None, changed: str | None, as_json: bool) -> int:
    """Allow what a session asks for. ID is the question's, as cowork approvals shows it.

    --option with the number of a suggestion allows more than this once. Where it is the user who is asked something,
    --option is the answer: the number of one of the options, or any text.

    Exit status: 0 the session has taken the answer; 4 it asks this no more; 6 it is answered in Claude Desktop.
    """
    where = paths.resolve()
    answered(allow(where, id, option=option, changed=changed), "approved", as_json=as_json, where=where)
    return 0
