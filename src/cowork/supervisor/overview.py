"""What can be said of every session without a daemon: its records, its holder's answer, and where its stream stands."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cowork.errors import CoworkError
from cowork.holder.spool import SEGMENT, log_name
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.directory import SessionDirectory, list_sessions
from cowork.sessions.leftovers import bury, holder_lives
from cowork.sessions.record import SHELL, WorktreeRecord
from cowork.sessions.spool import SpoolReader
from cowork.sessions.steps import converses
from cowork.supervisor.progress import Progress
from cowork.supervisor.wording import summary

if TYPE_CHECKING:
    from pathlib import Path

    from cowork.sessions.record import ExitRecord, SessionRecord, StopRecord
    from cowork.sessions.status import HolderStatus
    from cowork.supervisor.conversation import Conversation, Prompt

STATES = ("starting", "working", "blocked", "idle", "done", "failed", "stopped", "unreadable")
ENDED = frozenset({"done", "failed", "stopped"})
STARTING_UP = 60.0
"""Seconds from a session's record to its holder; after that nothing will come of it any more."""
_ASKING_TO_END = frozenset({"SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"})
_WIDTH = 100


class SessionOverview(msgspec.Struct, rename="camel", omit_defaults=True):
    """One line of ``cowork ps``.

    ``state``: one of ``STATES``; ``detail`` why, or what it is doing, in words. ``output``: "full" when nobody takes
    what it prints. ``head``: bytes printed so far. ``created``, ``last_event``, ``ended``: seconds since the epoch.
    ``unenforced``: names of mounts that were asked for read-only and can be written to. ``network``: what it may
    reach, in words. ``weaker``: what is less than its isolation promises, in words. ``prompts``: how many questions
    wait for an answer; ``tasks``: what goes on in its background; ``failure``: why its last turn failed; ``results``,
    ``turns``, ``cost`` (US dollars), ``model`` and ``conversation`` (Claude Code's id of it) come from the stream.
    """

    id: str
    state: str
    detail: str = ""
    name: str = ""
    kind: str = ""
    process: str = ""
    argv: list[str] = []
    cwd: str = ""
    backend: str = ""
    isolation: str = ""
    unenforced: list[str] = []
    network: str = ""
    weaker: list[str] = []
    terminal: bool = False
    created: float = 0.0
    last_event: float = 0.0
    pid: int = 0
    head: int = 0
    output: str = ""
    prompts: int = 0
    tasks: list[str] = []
    results: int = 0
    failure: str = ""
    turns: int = 0
    cost: float | None = None
    model: str = ""
    conversation: str = ""
    ended: float = 0.0
    exit_code: int | None = None
    signal: str = ""
    lost: bool = False
    worktree: WorktreeRecord | None = None

    @property
    def live(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self.state not in ENDED and self.state != "unreadable"

    @property
    def settled(self) -> bool:
        """Whether its work is done: it has ended well, or is idle behind a good turn with nothing in its background."""
        idle = self.state == "idle" and self.results > 0 and not self.tasks
        return self.state == "done" or (idle and not self.failure)


class View(NamedTuple):
    """A session looked at: the overview, and what its stream tells (None if it speaks no stream-json)."""

    overview: SessionOverview
    conversation: Conversation | None


def look(root: Path, runtime: Path) -> list[SessionOverview]:
    """All sessions, oldest first. ``root`` and ``runtime`` are those of ``Paths``."""
    found = [view(directory, runtime).overview for directory in list_sessions(root)]
    return sorted(found, key=lambda s: s.created)


def view(directory: SessionDirectory, runtime: Path) -> View:
    """Look at one session. What cannot be read is said in the overview, and never raised."""
    try:
        return _view(directory, directory.record(), runtime)
    except (CoworkError, OSError, ValueError) as e:
        return View(SessionOverview(directory.id, "unreadable", detail=str(e)), None)


def ended_state(ended: ExitRecord, stop: StopRecord | None) -> tuple[str, str]:
    """The state of a session that has ended, and why."""
    code, name = ended.exit_code, ended.signal
    if ended.lost:
        return "failed", "its holder was killed, and its end was not seen"
    if stop is not None:
        return "stopped", f"asked to, by {stop.signal}"
    if ended.oom_kill_count:
        return "failed", "out of memory"
    if name:
        return ("stopped" if name in _ASKING_TO_END else "failed"), name
    if code > 128 and (asked := _signal_name(code - 128)) in _ASKING_TO_END:
        return "stopped", f"{asked}, exit status {code}"
    return ("done", "") if code == 0 else ("failed", f"exit status {code}")


def why_blocked(prompts: dict[str, Prompt]) -> str:
    """The oldest question, in words, and how many there are beside it."""
    first = next(iter(prompts.values()))
    known = first.subtype == "can_use_tool"
    text = summary(first.tool, first.given, _WIDTH) if known else f"asks: {first.subtype}"
    return text if len(prompts) == 1 else f"{text} (and {len(prompts) - 1} more)"


def _view(directory: SessionDirectory, asked: SessionRecord, runtime: Path) -> View:
    out = SessionOverview(
        asked.id, "starting", name=asked.name, kind=asked.kind, process=asked.process, argv=asked.argv,
        cwd=asked.cwd, backend=asked.backend, isolation=asked.isolation,
        unenforced=[m.name for m in asked.mounts if m.mode == "ro" and asked.translated], network=asked.network,
        weaker=asked.weaker, terminal=asked.terminal, created=asked.created, last_event=asked.created,
        worktree=asked.worktree,
    )  # fmt: skip
    ended = directory.exit()
    status = None
    if ended is None:
        status, ended = _ask(directory, asked, runtime)
    if ended is not None:
        out.ended, out.exit_code, out.signal, out.lost = ended.ended, ended.exit_code, ended.signal, ended.lost
        # Nobody has written down how far one got whose holder was killed.
        out.head = SpoolReader(directory.spool).end() if ended.head is None else ended.head
    elif status is not None:
        out.pid, out.head, out.output = status.pid, status.head, status.output
    out.last_event = _last_event(directory, out.head) or out.last_event
    conversation = _conversation(directory, asked, out, None if ended is not None else out.head)
    if ended is not None:
        out.state, out.detail = ended_state(ended, directory.stop())
        if out.state == "failed" and out.failure:
            out.detail = f"{out.detail}: {out.failure}"
        out.prompts, out.tasks = 0, []
    elif conversation is not None:
        out.state, out.detail = _running_state(conversation)
    else:
        out.state = "working" if status is not None or holder_lives(directory) else "starting"
    if out.output in ("full", "disk full"):
        out.detail = f"held back: {'nobody reads' if out.output == 'full' else out.output}"
    return View(out, conversation)


def _conversation(
    directory: SessionDirectory, asked: SessionRecord, out: SessionOverview, head: int | None
) -> Conversation | None:  # fmt: skip
    if not converses(asked):
        return None
    with Progress(directory) as progress:
        found = progress.read(head)
    out.prompts, out.tasks, out.results, out.failure = len(found.prompts), found.tasks, found.results, found.failure
    out.turns, out.cost, out.model, out.conversation = found.turns, found.cost, found.model, found.session
    return found


def _running_state(found: Conversation) -> tuple[str, str]:
    match found.phase:
        case "blocked":
            return "blocked", why_blocked(found.prompts)
        case "working":
            return "working", found.doing
        case "idle" if found.failure:
            return "idle", f"the last turn failed: {found.failure}"
        case "idle" if found.tasks:
            return "idle", f"in the background: {', '.join(found.tasks)}"
        case "idle":
            return "idle", found.said
        case phase:
            return phase, ""


def _ask(
    directory: SessionDirectory, asked: SessionRecord, runtime: Path
) -> tuple[HolderStatus | None, ExitRecord | None]:  # fmt: skip
    """Have the holder tell. Nobody answers for a session whose holder was killed: one from the shell, which no daemon
    looks after, is buried then."""
    try:
        with BlockingClient.connect(socket_path(runtime, directory.id), timeout=1.0) as holder:
            status = holder.status()
            return status, status.exit
    except (OSError, CoworkError):
        pass
    if (ended := directory.exit()) is not None:
        return None, ended
    # A holder that is stopped or very busy does not answer in time, but holds.
    if holder_lives(directory) or (directory.child() is None and time.time() - asked.created < STARTING_UP):
        return None, None
    from cowork.sessions.record import ExitRecord

    return None, bury(directory) if asked.kind == SHELL else ExitRecord(ended=0.0, lost=True)


def _last_event(directory: SessionDirectory, head: int) -> float:
    if not head:
        return 0.0
    try:
        return os.stat(directory.spool / log_name((head - 1) // SEGMENT * SEGMENT)).st_mtime
    except OSError:
        return 0.0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
