"""``cowork deny``: forbid what a session asks for."""

from __future__ import annotations

import click

from cowork import paths
from cowork.cli.approvals import answered
from cowork.cli.names import ApprovalName
from cowork.supervisor.approvals import deny


@click.command("deny")
@click.argument("id", type=ApprovalName())
@click.option("-m", "--message", default="The user does not want this.", show_default=True, help="Told to the model.")
@click.option("--interrupt", is_flag=True, help="End the whole turn, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(id: str, message: str, interrupt: bool, as_json: bool) -> int:
    """Forbid what a session asks for. ID is the question's, as cowork approvals shows it.

    Exit status: 0 the session has taken the answer; 4 it asks this no more; 6 it is answered in Claude Desktop.
    """
    where = paths.resolve()
    answered(deny(where, id, message, interrupt=interrupt), "denied", as_json=as_json, where=where)
    return 0
