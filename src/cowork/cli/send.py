"""``cowork send``: a message to a session, and the proof that it has arrived."""

from __future__ import annotations

import os
import uuid

import click

from cowork import paths
from cowork.cli import output
from cowork.cli.names import session_argument
from cowork.errors import ConfigError, PolicyError
from cowork.sessions.record import SHELL
from cowork.sessions.steps import converses
from cowork.supervisor import messages, notifier
from cowork.supervisor.find import find
from cowork.supervisor.overview import view
from cowork.supervisor.talk import PATIENCE, Talk


@click.command("send")
@session_argument()
@click.argument("text", required=False)
@click.option("--raw", is_flag=True, help="Exactly these bytes, also to a claude with a prompt.")
@click.option("--end", is_flag=True, help="Nothing will follow: close its stdin behind it, so that it comes to an end.")
@click.option("--interrupt", is_flag=True, help="Break off the turn first (claude with a prompt).")
@click.option(
    "--timeout", type=output.Duration(), default=PATIENCE, metavar="DURATION", help="How long that may take; 10 s."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object (docs/json.md).")
def command(
    session: str, text: str | None, raw: bool, end: bool, interrupt: bool, timeout: float, as_json: bool
) -> int:  # fmt: skip
    """Send TEXT ("-" reads it from stdin) to SESSION.

    For a claude that was started with a prompt it is the next message, and 0 means that the message is in the session's
    stream: it is dealt with now, or when the turn at hand is over. To any other session TEXT and a line break are
    written, and 0 means that the program's stdin has taken them.

    Exit status: 7 it was delivered, and has not shown up in time.
    """
    where = paths.resolve()
    directory = find(where, session)
    asked = directory.record()
    stream = converses(asked) and not raw
    if text is None and not (end or interrupt):
        raise ConfigError("nothing to send", hint='cowork send SESSION "text", or - for stdin')
    if interrupt and not stream:
        raise ConfigError("only a claude that was started with a prompt can be interrupted", hint="cowork kill -s INT")
    if stream and asked.kind != SHELL:
        raise PolicyError(f"session {directory.id} is a conversation in Claude Desktop", hint="type it there")
    if text == "-":
        text = output.stdin()
    name = None
    with Talk(directory, where.runtime) as talk:
        if interrupt:
            request = f"cowork-{uuid.uuid4()}"
            _prove(talk, messages.interrupt(request), request, timeout)
        if text is not None and stream:
            name = str(uuid.uuid4())
            _prove(talk, messages.user(text, name), name, timeout)
        elif text is not None:
            talk.write(os.fsencode(text) + (b"" if raw or text.endswith("\n") else b"\n"))
            if not talk.drained(timeout):
                talk.ended_without_it()
        if end:
            talk.close_stdin()
    notifier.ensure(where, os.environ)
    seen = view(directory, where.runtime).overview
    if as_json:
        output.json_line({"v": 1, "id": directory.id, "delivered": True, "uuid": name, "state": seen.state})
    elif seen.state == "blocked":
        output.note(f"delivered; the session is blocked and deals with it later: {seen.detail}")
    return 0


def _prove(talk: Talk, line: bytes, name: str, timeout: float) -> None:
    """Write a line, and wait until the session says its name."""
    talk.write(line)
    if talk.until(lambda said: name.encode() in said, timeout) is None:
        talk.ended_without_it()
