"""Names on the command line: sessions and questions, with completion."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

from cowork.errors import CoworkError

if TYPE_CHECKING:
    from click import Context, Parameter

    from cowork.sessions.directory import SessionDirectory

F = TypeVar("F", bound=Callable[..., object])


class SessionName(click.ParamType[str]):
    """A session's id, the beginning of one, or a name. It is looked up by the command (``supervisor.find``)."""

    name = "session"

    def shell_complete(self, ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that begin so, else ids; those of running sessions first. Nothing where nothing can be read."""
        from cowork import paths
        from cowork.sessions.directory import list_sessions

        running: dict[str, str] = {}
        ended: dict[str, str] = {}
        try:
            for directory in list_sessions(paths.resolve().sessions):
                name = _name(directory)
                # A name that would have to be quoted is not completed, since no shell is told how.
                texts = [name, directory.id] if shlex.quote(name) == name else [directory.id]
                has_ended = (directory.path / "exit.json").exists()
                for text in [text for text in texts if text.startswith(incomplete)][:1]:
                    (ended if has_ended else running)[text] = name
        except (CoworkError, OSError):
            pass
        texts = [*running, *(text for text in ended if text not in running)]
        names = ended | running
        return [CompletionItem(text, help=names[text] if names[text] != text else None) for text in texts]


class ApprovalName(click.ParamType[str]):
    """A question's id, as ``cowork approvals`` lists it."""

    name = "id"

    def shell_complete(self, ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem]:
        """The questions that can be answered; none where nothing can be read."""
        from cowork import paths
        from cowork.supervisor.approvals import pending

        try:
            found = [one for one in pending(paths.resolve()) if one.answerable]
        except (CoworkError, OSError):
            return []
        return [CompletionItem(one.id, help=one.tool) for one in found if one.id.startswith(incomplete)]


def _name(directory: SessionDirectory) -> str:
    try:
        return directory.record().name
    except (CoworkError, OSError):
        return ""


def session_argument(*, required: bool = True, nargs: int = 1) -> Callable[[F], F]:
    """The argument SESSION of a command."""
    return click.argument("session", type=SessionName(), required=required, nargs=nargs)
