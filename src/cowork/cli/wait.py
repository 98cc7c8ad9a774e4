"""``cowork wait``: until sessions are done, blocked, idle or ended; the verb for scripts."""

from __future__ import annotations

import click

from cowork import paths
from cowork.cli import output
from cowork.cli.names import session_argument
from cowork.errors import Blocked, CoworkError, TimedOut
from cowork.supervisor.find import find_all
from cowork.supervisor.overview import SessionOverview
from cowork.supervisor.waiting import GOALS, Outcome, wait
from cowork.supervisor.wording import flat


@click.command("wait")
@session_argument(nargs=-1)
@click.option("--for", "goal", type=click.Choice(GOALS), default="done", show_default=True, help="What to wait for.")
@click.option("--timeout", type=output.Duration(), metavar="DURATION", help="Give up after that long: 90s, 15m, 2h...")
@click.option("--patient", is_flag=True, help="Wait on when one asks something: somebody may answer it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(session: tuple[str, ...], goal: str, timeout: float | None, patient: bool, as_json: bool) -> int:
    """Wait until all SESSIONs are done, or what else is waited for.

    \b
    done      its work is done: it has ended well, or is idle after a turn that
              went well, with nothing left in the background
    blocked   it asks something
    idle      it waits for the next message
    exit      it has ended, however

    Exit status: 0 all are; 1 one has ended or failed, and never will be; 5 one asks something before it can be (not
    with --patient); 124 the time is up.
    """
    where = paths.resolve()
    directories = find_all(where, session)
    with output.progress(f"waiting for {goal}"):
        found = wait(where, directories, goal, patience=timeout, through_blocks=patient)
    if as_json:
        sessions = [{"outcome": outcome.value, "session": seen} for seen, outcome in found]
        output.json_line({"v": 1, "goal": goal, "sessions": sessions})
    else:
        for seen, _ in found:
            click.echo(f"{seen.id}  {seen.name}  {seen.state}" + (f": {flat(seen.detail)}" if seen.detail else ""))
    return _status([(seen, outcome) for seen, outcome in found if outcome is not Outcome.REACHED], goal)


def _status(missing: list[tuple[SessionOverview, Outcome]], goal: str) -> int:
    """What is wrong is raised, the worst first, so that it is said and counted in one place."""
    for outcome, error in ((Outcome.NEVER, CoworkError), (Outcome.BLOCKED, Blocked), (Outcome.NOT_YET, TimedOut)):
        ones = [seen for seen, found in missing if found is outcome]
        if ones:
            names = ", ".join(f"{seen.name or seen.id} ({seen.state})" for seen in ones)
            are = "is" if len(ones) == 1 else "are"
            verb = {Outcome.NEVER: "will not be", Outcome.BLOCKED: "cannot be", Outcome.NOT_YET: f"{are} not yet"}
            hint = f"cowork approvals {ones[0].id}" if outcome is Outcome.BLOCKED else f"cowork logs {ones[0].id}"
            raise error(f"{names}: {verb[outcome]} {'ended' if goal == 'exit' else goal}", hint=hint)
    return 0
