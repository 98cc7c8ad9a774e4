"""Attaching to a conversation: what is said in it, and a line to type the next message in.

A line that begins with a colon is for us; Claude Code's own commands begin with a slash and are messages like any
other.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import uuid
from typing import TYPE_CHECKING

import click

from cowork.cli import output
from cowork.cli.reading import Reading
from cowork.errors import CoworkError
from cowork.sessions.follow import Follower
from cowork.supervisor import approvals, messages
from cowork.supervisor.overview import why_blocked
from cowork.supervisor.progress import Progress
from cowork.supervisor.talk import Talk
from cowork.supervisor.wording import harmless

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prompt_toolkit import PromptSession
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    from cowork.cli.keys import Key
    from cowork.paths import Paths
    from cowork.sessions.directory import SessionDirectory

HISTORY = 1024 * 1024
"""Bytes of earlier output that are shown first."""
HELP = """\
:approve [OPTION]   allow what it asks for (the number of a suggestion; the answer to a question)
:deny [MESSAGE]     forbid it
:interrupt          break off the turn (Ctrl-C)
:end                nothing will follow: it finishes its turn and ends
:detach             let go, it goes on (Ctrl-D)
::text              a message that begins with a colon
"""


def attach(
    where: Paths, directory: SessionDirectory, keys: Sequence[Key], *, read_only: bool
) -> bool:  # fmt: skip
    """Until the session has ended; False if it was let go of before."""
    with Follower(directory, where.runtime) as follower, Progress(directory) as progress:
        follower.offset = max(0, follower.head - HISTORY)
        view = View(follower, progress)
        typing = not read_only and sys.stdin.isatty() and sys.stdout.isatty()
        try:
            view.show()
            if typing and not follower.ended:
                asyncio.run(Chat(where, directory, view, keys).run())
            else:
                view.until_the_end()
        except KeyboardInterrupt:
            return False
        return follower.ended


class View:
    """What has been said, on stdout, and how it stands."""

    def __init__(self, follower: Follower, progress: Progress) -> None:
        self.follower = follower
        self._progress = progress
        self._reading = Reading(color=output.color(), midline=follower.offset > 0)

    def show(self) -> None:
        """Print what is new."""
        for run in self.follower.runs():
            sys.stdout.write(self._reading.feed(run.stream, self.follower.read(run)))
        sys.stdout.flush()
        self._progress.read(self.follower.head)

    def until_the_end(self) -> None:
        """For whom nothing can be typed."""
        while not self.follower.ended:
            self.follower.wait()
            self.show()

    def state(self) -> str:
        """One line on how it stands."""
        found = self._progress.conversation
        if found.prompts:
            return f"blocked: {why_blocked(found.prompts)} (:approve or :deny)"
        return f"{found.phase}: {found.doing}" if found.doing else found.phase

    def question(self) -> str | None:
        """The digest of the oldest question, None if nothing is asked."""
        prompts = self._progress.conversation.prompts
        return approvals.digest(next(iter(prompts.values()))) if prompts else None

    @property
    def results(self) -> int:
        """How many turns have ended."""
        return self._progress.conversation.results

    @property
    def in_turn(self) -> bool:
        """Whether there is something to interrupt."""
        return self._progress.conversation.phase in ("working", "blocked")


class Chat:
    """The view and a line to type in."""

    def __init__(self, where: Paths, directory: SessionDirectory, view: View, keys: Sequence[Key]) -> None:
        # Loaded by those alone who are shown a prompt, and not while the loop runs.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.patch_stdout import patch_stdout

        self._where = where
        self._directory = directory
        self._view = view
        self._over = False
        self._patched_stdout = patch_stdout
        self._prompt: PromptSession[str] = PromptSession(
            "> ", bottom_toolbar=lambda: harmless(self._view.state()), erase_when_done=True,
            key_bindings=self._bind(KeyBindings(), keys),
        )  # fmt: skip

    async def run(self) -> None:
        """Until the session ends, or is let go of."""
        holder = self._view.follower.holder
        if holder is None:
            return
        with Talk(self._directory, self._where.runtime) as self._talk, self._patched_stdout(raw=True):
            asyncio.get_running_loop().add_reader(holder.fileno(), self._news, holder.fileno())
            while not self._over:
                try:
                    text = await self._prompt.prompt_async()
                except (EOFError, KeyboardInterrupt):
                    break
                await self._submit(text.strip())

    def _news(self, fd: int) -> None:
        follower = self._view.follower
        follower.poll()
        self._view.show()
        if follower.ended:
            asyncio.get_running_loop().remove_reader(fd)
            self._over = True
            if self._prompt.app.is_running:
                self._prompt.app.exit(exception=EOFError)
        else:
            self._prompt.app.invalidate()

    def _bind(self, bindings: KeyBindings, keys: Sequence[Key]) -> KeyBindings:
        """Ctrl-C interrupts the turn instead of the prompt, and the keys that let go of a terminal do so here, too."""

        @bindings.add("c-c")
        def interrupt(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            elif self._view.in_turn:
                self._write(messages.interrupt(f"cowork-{uuid.uuid4()}"))
            else:
                self._say("nothing to interrupt; Ctrl-D lets go")

        @bindings.add(*(f"c-{chr(key.code)}" if key.ctrl else chr(key.code) for key in keys))
        def let_go(event: KeyPressEvent) -> None:
            event.app.exit(exception=EOFError)

        return bindings

    async def _submit(self, text: str) -> None:
        verb, _, rest = text.partition(" ")
        match verb:
            case "":
                return
            case ":approve":
                await self._answer(functools.partial(approvals.allow, option=rest.strip() or None))
            case ":deny":
                message = rest.strip() or "The user does not want this."
                await self._answer(lambda where, name: approvals.deny(where, name, message))
            case ":interrupt":
                self._write(messages.interrupt(f"cowork-{uuid.uuid4()}"))
            case ":end":
                self._talk.close_stdin()
            case ":detach":
                self._over = True
            case _ if text.startswith(":") and not text.startswith("::"):
                self._say(HELP.rstrip())
            case _:
                self._write(messages.user(text.removeprefix(":"), str(uuid.uuid4())))

    async def _answer(self, give: object) -> None:
        assert callable(give)
        digits = self._view.question()
        if digits is None:
            self._say("it asks nothing")
            return
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, give, self._where, f"{self._directory.id}-{digits}")
        except CoworkError as e:
            self._say(e.message)

    def _write(self, data: bytes) -> None:
        try:
            self._talk.write(data)
        except CoworkError as e:
            self._say(e.message)

    def _say(self, text: str) -> None:
        click.secho(text, dim=True)
