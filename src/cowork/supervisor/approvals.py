"""Questions that sessions wait with, and their answers.

A question is known by an id that carries a digest of all that was asked, so an answer can only reach the very question
that was looked at: one that has changed, was withdrawn or was answered has another id, or none. Pending questions are
read from the spool, so neither the daemon nor a command has to live for them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from cowork.errors import ConfigError, NotFound, PolicyError
from cowork.linux.lockfile import LockFile
from cowork.sessions.directory import list_sessions
from cowork.sessions.record import SHELL
from cowork.supervisor import find, messages, overview
from cowork.supervisor.conversation import Conversation, decoded
from cowork.supervisor.talk import Talk
from cowork.supervisor.wording import QUESTION, items, members

if TYPE_CHECKING:
    from collections.abc import Callable

    from cowork.paths import Paths
    from cowork.sessions.directory import SessionDirectory
    from cowork.supervisor.conversation import Prompt

_PERMISSION = "can_use_tool"
_DIGEST = 8


class Approval(msgspec.Struct, rename="camel", omit_defaults=True):
    """One question. ``id`` is what ``approve`` and ``deny`` take; ``subtype`` "can_use_tool" for a permission or a
    question to the user, else any other that the CLI may ask; ``asked``: seconds since the epoch, 0 if that is not
    known; ``answerable``: False for a session whose user answers in Claude Desktop."""

    id: str
    session: str
    name: str
    kind: str
    subtype: str
    tool: str
    input: msgspec.Raw
    cwd: str
    asked: float = 0.0
    description: str = ""
    reason: str = ""
    blocked_path: str = ""
    suggestions: list[Any] = []
    answerable: bool = True

    @property
    def request(self) -> dict[str, object]:
        """As the session asked it, for ``wording.asked``."""
        return {
            "subtype": self.subtype, "tool_name": self.tool, "input": decoded(self.input),
            "description": self.description, "blocked_path": self.blocked_path,
            "permission_suggestions": self.suggestions,
        }  # fmt: skip


def pending(where: Paths) -> list[Approval]:
    """All questions of all sessions that run, the longest waiting first."""
    found = [one for directory in list_sessions(where.sessions) for one in of_session(where, directory)]
    return sorted(found, key=lambda one: one.asked)


def of_session(where: Paths, directory: SessionDirectory) -> list[Approval]:
    """The questions of one session."""
    if (directory.path / "exit.json").exists():
        return []
    seen = overview.view(directory, where.runtime)
    if seen.conversation is None or not seen.overview.live:
        return []
    return [_approval(seen.overview, prompt) for prompt in seen.conversation.prompts.values()]


def digest(prompt: Prompt) -> str:
    """Eight hexadecimal digits over everything that an answer is an answer to."""
    words = (prompt.description, prompt.reason, prompt.blocked_path)
    parts = (prompt.request, prompt.subtype, prompt.tool, prompt.use, *words)
    whole = msgspec.json.encode([*parts, bytes(prompt.input).hex(), bytes(prompt.suggestions).hex()])
    return hashlib.sha256(whole).hexdigest()[:_DIGEST]


def allow(where: Paths, wanted: str, *, option: str | None = None, changed: str | None = None) -> Approval:
    """Let the tool run; returns the question once the session has shown that it took the answer.

    ``option``: the number of a suggestion (from 1), which then holds for more than this once; for a question of the
    session's its answer: the number of an option, or any text. Where it asks several, one line each, in their order.
    ``changed``: JSON of the input that the tool is run with instead.

    Raises:
        NotFound: there is no such question (any more).
        PolicyError: it may not be answered here.
        ConfigError: the option or the input makes no sense.
        NotTaken, NotRunning: see ``Talk``.
    """

    def respond(prompt: Prompt) -> bytes:
        new = None if changed is None else _changed(changed)
        if prompt.subtype != _PERMISSION:
            if new is None:
                raise ConfigError(f"{prompt.subtype} wants an answer of its own", hint="--input JSON, or cowork deny")
            return messages.answer(prompt.request, new)
        response: dict[str, object] = {"behavior": "allow", "updatedInput": prompt.input if new is None else new}
        asked = members(prompt.given) if new is None else new
        if prompt.tool == QUESTION and "answers" not in asked:
            response["updatedInput"] = {**asked, "answers": answers(asked, option)}
        elif option is not None:
            response["updatedPermissions"] = [_suggestion(prompt, option)]
        return messages.answer(prompt.request, response)

    return _answer(where, wanted, respond)


def deny(where: Paths, wanted: str, message: str, *, interrupt: bool = False) -> Approval:
    """Forbid it; ``message`` is told to the model. ``interrupt``: the whole turn ends, too. Raises as ``allow``."""

    def respond(prompt: Prompt) -> bytes:
        if prompt.subtype != _PERMISSION:
            return messages.refuse(prompt.request, message)
        ending = {"interrupt": True} if interrupt else {}
        return messages.answer(prompt.request, {"behavior": "deny", "message": message, **ending})

    return _answer(where, wanted, respond)


def answers(asked: dict[str, Any], option: str | None) -> dict[str, str]:
    """The answers to the questions of an ``AskUserQuestion``, by their texts.

    Raises:
        ConfigError: there is not one for each question.
    """
    questions = [q for q in items(asked.get("questions")) if isinstance(q, dict)]
    given = (option or "").split("\n") if len(questions) > 1 else [option or ""]
    if not questions or len(given) != len(questions) or not all(text.strip() for text in given):
        raise ConfigError(
            f"the session asks {len(questions)} question(s), and wants an answer to each",
            hint="--option with the number of an option or any text; several: one line each",
        )
    return {str(q.get("question", "")): _choice(q, text.strip()) for q, text in zip(questions, given, strict=True)}


def _choice(question: dict[str, Any], text: str) -> str:
    """The label of the option with that number, else the text; numbers with commas where several may be chosen."""
    labels = [str(o.get("label", "")) for o in items(question.get("options")) if isinstance(o, dict)]
    parts = text.split(",") if question.get("multiSelect") is True else [text]
    numbers = [_number(part.strip()) for part in parts]
    if not all(1 <= number <= len(labels) for number in numbers):
        return text
    return ", ".join(labels[number - 1] for number in numbers)


def _number(text: str) -> int:
    """The number that a person has typed; 0 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _answer(where: Paths, wanted: str, respond: Callable[[Prompt], bytes]) -> Approval:
    session, _, digits = wanted.rpartition("-")
    if not session:
        raise ConfigError(f"{wanted!r} is no id of a question", hint="cowork approvals lists them")
    directory = find.find(where, session)
    # One answer at a time: whoever comes second finds the question gone.
    lock = LockFile(directory.path / "answer.lock")
    lock.acquire_when_free()
    try:
        one, prompt = _pending(where, directory, digits)
        if not one.answerable:
            raise PolicyError(f"session {one.session} is answered in Claude Desktop, where it was started")
        line = respond(prompt)
        with Talk(directory, where.runtime) as talk:
            talk.write(line)
            shown = talk.until(lambda said: _shows_taken(said, prompt))
            if shown is None:
                talk.ended_without_it()
            elif _withdraws(shown):
                raise NotFound(f"session {one.session} has withdrawn the question before the answer came")
    finally:
        lock.release()
    return one


def _pending(where: Paths, directory: SessionDirectory, digits: str) -> tuple[Approval, Prompt]:
    seen = overview.view(directory, where.runtime)
    prompts = seen.conversation.prompts if seen.conversation is not None and seen.overview.live else {}
    for prompt in prompts.values():
        if digest(prompt) == digits:
            return _approval(seen.overview, prompt), prompt
    others = ", ".join(f"{directory.id}-{digest(prompt)}" for prompt in prompts.values())
    raise NotFound(
        f"session {directory.id} does not wait with that question: it was answered, withdrawn or changed",
        hint=f"it asks now: {others}" if others else "cowork approvals lists what waits",
    )


def _shows_taken(line: bytes, prompt: Prompt) -> bool:
    """Whether a line says that the question is no longer open, be it answered or withdrawn."""
    if prompt.request.encode() not in line and not (prompt.use and prompt.use.encode() in line):
        return False
    left = Conversation(prompts={prompt.request: prompt})
    left.feed(line)
    return not left.prompts


def _withdraws(line: bytes) -> bool:
    try:
        return members(msgspec.json.decode(line)).get("type") == "control_cancel_request"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _approval(seen: overview.SessionOverview, prompt: Prompt) -> Approval:
    return Approval(
        f"{seen.id}-{digest(prompt)}", seen.id, seen.name, seen.kind, prompt.subtype, prompt.tool, prompt.input,
        seen.cwd, prompt.asked,
        prompt.description, prompt.reason, prompt.blocked_path,
        items(decoded(prompt.suggestions)), seen.kind == SHELL,
    )  # fmt: skip


def _suggestion(prompt: Prompt, option: str) -> object:
    offered = items(decoded(prompt.suggestions))
    number, count = _number(option), len(offered)
    if not 1 <= number <= count:
        raise ConfigError(
            f"--option {option}: " + (f"a number from 1 to {count}" if count else "there are no suggestions"),
            hint="cowork approvals shows the suggestions",
        )
    return offered[number - 1]


def _changed(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError) as e:
        raise ConfigError(f"--input: {e}", hint="a JSON object, as cowork approvals --json shows it") from None
