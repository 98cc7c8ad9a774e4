"""Names on the command line: sessions and questions, with completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

from cowork.errors import CoworkError

if TYPE_CHECKING:
    from click import Context, Parameter

F = TypeVar("F", bound=Callable[..., object])


class SessionName(click.ParamType[str]):
    """A session's id, the beginning of one, or a name. It is looked up by the command (``supervisor.find``)."""

    name = "session"

    def shell_complete(self, ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem]:
        """Names and ids that begin so; those of running sessions first."""
        from cowork import paths
        from cowork.sessions.directory import list_sessions

        running: list[CompletionItem] = []
        ended: list[CompletionItem] = []
        for directory in list_sessions(paths.resolve().sessions):
            try:
                asked = directory.record()
            except (CoworkError, OSError):
                continue
            names = [text for text in (asked.name, asked.id) if text.startswith(incomplete)]
            has_ended = (directory.path / "exit.json").exists()
            (ended if has_ended else running).extend(CompletionItem(text, help=asked.name) for text in names[:1])
        return running + ended


class ApprovalName(click.ParamType[str]):
    """A question's id, as ``cowork approvals`` lists it."""

    name = "id"

    def shell_complete(self, ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem]:
        """The questions that can be answered."""
        from cowork import paths
        from cowork.supervisor.approvals import pending

        found = [one for one in pending(paths.resolve()) if one.answerable]
        return [CompletionItem(one.id, help=one.tool) for one in found if one.id.startswith(incomplete)]


def session_argument(*, required: bool = True, nargs: int = 1) -> Callable[[F], F]:
    """The argument SESSION of a command."""
    return click.argument("session", type=SessionName(), required=required, nargs=nargs)
