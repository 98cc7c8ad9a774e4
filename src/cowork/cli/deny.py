"""``cowork deny``: forbid what a session asks for."""

from __future__ import annotations

import click

from cowork import paths
from cowork.cli.approvals import answered
from cowork.cli.names import ApprovalName
from cowork.supervisor.approvals import deny


@click.command("deny")
@click.argument("id", type=ApprovalName())
@click.option("--message", "-m", default="The user does not want this.", help="Told to the model.")
@click.option("--interrupt", is_flag=True, help="End the whole turn.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(id: str, message: str, interrupt: bool, as_json: bool) -> int:
    """Forbid what the question ID is about; 0 means that the session has taken the answer."""
    where = paths.resolve()
    answered(deny(where, id, message, interrupt=interrupt), "denied", as_json=as_json, where=where)
    return 0
