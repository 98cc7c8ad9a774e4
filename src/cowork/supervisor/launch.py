"""Starting a session from the shell: a holder of its own, the caller's environment and folder, no daemon.

What runs is the user's ``claude`` with stream-json for a prompt, so that its state is known exactly; an interactive
program on a terminal; or any command.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import time
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from cowork import config
from cowork.backends import project
from cowork.backends.base import Prepared, SpawnRequest
from cowork.backends.choose import choose
from cowork.backends.environment import callers_environment
from cowork.backends.programs import find_program
from cowork.errors import ConfigError, CoworkError, HolderError, PolicyError
from cowork.holder import messages as m
from cowork.holder.spec import StartSpec
from cowork.linux import systemd
from cowork.linux.lockfile import LockFile
from cowork.sessions import record
from cowork.sessions.blocking import BlockingClient, socket_path
from cowork.sessions.directory import SessionDirectory, list_sessions
from cowork.sessions.record import MountRecord, SessionRecord
from cowork.sessions.starter import shared_channel
from cowork.sessions.steps import for_signal
from cowork.supervisor import messages, worktree
from cowork.translate.sessionmap import SessionMap
from cowork.wire.requests import Mount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cowork.backends.base import Backend
    from cowork.backends.project import Project
    from cowork.config import Config
    from cowork.paths import Paths
    from cowork.sessions.record import WorktreeRecord

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME_WORDS = 4
LONGEST_PROMPT = 2 * 1024 * 1024
"""Characters; in JSON they still fit the queue before a session's stdin (holder/stdin.py), whatever they are."""
_STARTING = 60.0
"""Seconds that a holder may take to start a program on a loaded machine."""
_SHOWS_STATE = {"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"}


class Wanted(NamedTuple):
    """What was asked for. ``prompt`` or ``command`` or neither (an interactive ``claude``); ``terminal``: rows and
    columns of its terminal, None for pipes; ``arguments``: further ones for ``claude``; ``backend``: None for the
    configured."""

    folder: str
    prompt: str | None = None
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    name: str = ""
    backend: str | None = None
    worktree: bool = False
    terminal: tuple[int, int] | None = None


class Started(NamedTuple):
    """A session that runs. ``notes``: what the caller should know, in words."""

    record: SessionRecord
    notes: list[str]


def start(where: Paths, wanted: Wanted, environ: Mapping[str, str]) -> Started:
    """Start a session; returns when its program runs and has been given its prompt.

    Raises:
        CoworkError: it was not started; nothing of it is left behind.
        OSError: its folders cannot be made (a full disk).
    """
    where.make()
    settings = config.load(environ)
    folder = _folder(wanted.folder)
    if wanted.prompt is not None and len(wanted.prompt) > LONGEST_PROMPT:
        raise ConfigError(
            f"the prompt is longer than {LONGEST_PROMPT} characters", hint="put it into a file, and name the file"
        )
    directory = SessionDirectory(where.sessions, record.new_id())
    backend = _backend(wanted, settings, environ)
    tree: WorktreeRecord | None = None
    notes: list[str] = []
    with ExitStack() as undo:
        # Nobody else looks for a free name until this one's record is there.
        names = LockFile(where.state / "names.lock")
        names.acquire_when_free()
        undo.callback(names.release)
        name = _free_name(where, wanted)
        if wanted.worktree:
            tree, folder, notes = _make_worktree(where, folder, name, directory.id, backend)
            undo.callback(_unmake, tree)
        undo.callback(shutil.rmtree, where.homes / directory.id, ignore_errors=True)
        prepared = _prepare(where, wanted, settings, backend, folder, directory.id, environ)
        asked = SessionRecord(
            id=directory.id, kind=record.SHELL, name=name, argv=record.without_secrets(prepared.argv),
            executable=prepared.executable, cwd=prepared.cwd, backend=backend.name, isolation=backend.isolation,
            terminal=wanted.terminal is not None, created=time.time(), network=prepared.network,
            weaker=prepared.weaker, history=settings.background.history, worktree=tree,
            mounts=[MountRecord(*mount) for mount in prepared.session.mounts],
        )  # fmt: skip
        undo.callback(directory.remove)
        directory.create(asked).close()
        names.release()
        notes += _hold(where, directory, asked, prepared, wanted)
        undo.pop_all()
    return Started(asked, notes)


def _unmake(tree: WorktreeRecord) -> None:
    worktree.remove(tree)
    try:
        os.rmdir(os.path.dirname(tree.path))
    except OSError:
        pass  # something is in it that would have been lost


def _folder(given: str) -> str:
    path = os.path.abspath(given)
    if not os.path.isdir(path):
        raise ConfigError(f"{path} is no folder", hint="--dir names the folder that the session works in")
    return path


def _free_name(where: Paths, wanted: Wanted) -> str:
    """The name that was asked for, or one made of what is run; no two sessions that run have the same."""
    taken = set()
    for directory in list_sessions(where.sessions):
        try:
            if not (directory.path / "exit.json").exists():
                taken.add(directory.record().name)
        except (CoworkError, OSError):
            continue
    if wanted.name:
        if not _NAME.fullmatch(wanted.name):
            raise ConfigError(
                f"the name {wanted.name!r} cannot be used",
                hint="up to 64 letters, digits, dots, dashes and underscores, a letter or digit first",
            )
        if wanted.name in taken:
            raise ConfigError(f"a session named {wanted.name} runs already", hint=f"cowork attach {wanted.name}")
        return wanted.name
    base = name_for(wanted)
    return next(n for n in (base, *(f"{base}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def name_for(wanted: Wanted) -> str:
    """A short name for a session: the first words of its prompt, or its command."""
    if wanted.prompt is not None:
        words = re.findall(r"[a-z0-9]+", wanted.prompt.lower())[:_NAME_WORDS]
    else:
        words = re.findall(r"[A-Za-z0-9._-]+", os.path.basename(wanted.command[0] if wanted.command else "claude"))
    return "-".join(words)[:32].strip("-._") or "session"


def _backend(wanted: Wanted, settings: Config, environ: Mapping[str, str]) -> Backend:
    """The backend that was named, or the configured one; the strongest there is where the host alone is not allowed."""
    kind = wanted.backend or settings.background.backend
    if wanted.backend is None and kind == "host" and settings.isolation == "required":
        kind = "auto"
    backend, _ = choose(kind, environ)
    return backend


def _make_worktree(
    where: Paths, folder: str, name: str, session_id: str, backend: Backend
) -> tuple[WorktreeRecord, str, list[str]]:  # fmt: skip
    if backend.name != "host":
        raise ConfigError(
            "a worktree needs its repository, which the sandbox does not show",
            hint="leave out --worktree, or add --backend host",
        )
    # The file need not be committed, so that the worktree may have none.
    _project(folder)
    notes = []
    if worktree.uncommitted(folder):
        notes.append("what is not committed in this folder is not in the worktree")
    place = where.worktrees / session_id / os.path.basename(folder)
    tree, inside = worktree.create(folder, place, f"cowork/{name}-{session_id[:6]}")
    return tree, inside, notes


def _prepare(
    where: Paths, wanted: Wanted, settings: Config, backend: Backend, folder: str, session_id: str,
    environ: Mapping[str, str],
) -> Prepared:  # fmt: skip
    env = callers_environment(environ)
    command, *arguments = _command(wanted, folder)
    if wanted.prompt is not None and wanted.terminal is None:
        env |= _SHOWS_STATE
    if wanted.terminal is not None and env.get("TERM", "dumb") == "dumb":
        env["TERM"] = "xterm-256color"
    env["COWORK_SESSION"] = session_id
    prepare = _on_host if backend.name == "host" else _sandboxed
    return prepare(where, Asked(command, arguments, folder, env, session_id, wanted), settings, backend)


class Asked(NamedTuple):
    """A command line before it is made ready for a backend."""

    command: str
    arguments: list[str]
    folder: str
    env: dict[str, str]
    id: str
    wanted: Wanted


def _command(wanted: Wanted, folder: str) -> list[str]:
    """The command line, as it would be typed in ``folder``."""
    if wanted.command:
        first, *rest = wanted.command
        return [os.path.abspath(os.path.join(folder, first)) if "/" in first else first, *rest]
    if wanted.terminal is None:
        return ["claude", *messages.STREAM_JSON, *wanted.arguments]
    return ["claude", *wanted.arguments, *([] if wanted.prompt is None else [wanted.prompt])]


def _on_host(where: Paths, asked: Asked, settings: Config, backend: Backend) -> Prepared:
    """As the user, with the user's files: nothing is translated, since the caller knows of no guest's paths."""
    limits = project.tighten(settings.limits, _project(asked.folder))
    executable = find_program(asked.command, path=asked.env.get("PATH", ""), home=str(where.home))
    session = SessionMap(asked.id, str(where.homes / asked.id), ())
    return Prepared(
        argv=[asked.command, *asked.arguments], executable=executable, env={**asked.env, "PWD": asked.folder},
        cwd=asked.folder, failed_mounts=[], session=session, translated=False,
        memory=limits.memory, tasks=limits.tasks,
    )  # fmt: skip


def _project(folder: str) -> Project:
    """The project file of a folder that the host is to serve.

    Raises:
        RpcError: it is not understood.
        PolicyError: it wants more than the host gives.
    """
    file = project.load(folder)
    project.insist(file, folder)
    if file.required:
        raise PolicyError(
            f'{folder}/{project.FILE} says isolation = "required", and the host backend isolates nothing',
            hint="cowork bg --backend bwrap ...",
        )
    return file


def _sandboxed(where: Paths, asked: Asked, settings: Config, backend: Backend) -> Prepared:
    """With the folder and Claude Code's configuration mounted, under the paths that any Cowork session has."""
    tree = where.homes / asked.id
    tree.mkdir(mode=0o700, parents=True)
    own = os.path.basename(asked.folder) or "root"
    conf = asked.env.get("CLAUDE_CONFIG_DIR") or str(where.home / ".claude")
    if own == ".claude" and os.path.realpath(asked.folder) != os.path.realpath(conf):
        own = "claude"  # a project's, whose place is the user's
    mounts = {own: Mount(asked.folder, "rw")}
    env: dict[str, str | None] = {k: v for k, v in asked.env.items() if k.startswith(("ANTHROPIC_", "CLAUDE_CODE_"))}
    env |= {name: asked.env[name] for name in ("COWORK_SESSION", "TERM") if name in asked.env}
    if os.path.isdir(conf) and not asked.wanted.command:
        mounts[".claude"] = Mount(conf, "rwd")
        env["CLAUDE_CONFIG_DIR"] = f"/sessions/{asked.id}/mnt/.claude"
    request = SpawnRequest(
        name=asked.id, command=asked.command, args=asked.arguments, cwd=f"/sessions/{asked.id}/mnt/{own}",
        env=env, mounts=mounts, tree=tree, home=where.home, inherited=asked.env,
        ours=tuple(str(path) for path in (where.state, where.runtime, where.trees, where.homes)),
        terminal=asked.wanted.terminal is not None,
    )  # fmt: skip
    return backend.prepare(request)


def _hold(
    where: Paths, directory: SessionDirectory, asked: SessionRecord, prepared: Prepared, wanted: Wanted
) -> list[str]:  # fmt: skip
    """Start the holder, and hand it the prompt behind the start; notes for the caller."""
    spec = StartSpec(
        folder=str(directory.path), socket=socket_path(where.runtime, directory.id), argv=prepared.argv,
        executable=prepared.executable, env=prepared.env, cwd=prepared.cwd, terminal=wanted.terminal,
        history=asked.history, hold=False, umask=_umask(), sandbox=prepared.sandbox, memory=prepared.memory,
        tasks=prepared.tasks, rlimits=_rlimits(),
    )  # fmt: skip
    with BlockingClient(shared_channel(where.runtime, systemd.scope_command()), timeout=_STARTING) as holder:
        holder.send(m.BEGIN, spec.encode())
        try:
            holder.started()
            refused = None if wanted.prompt is None or wanted.terminal is not None else _tell(holder, wanted.prompt)
        except KeyboardInterrupt:
            _end(holder)
            raise
    # What it said about that is worth more than the session's absence.
    return [] if refused is None else [f"it did not take its prompt ({refused}): cowork logs {directory.id}"]


def _end(holder: BlockingClient) -> None:
    """It is held whether or not anybody is there to hear so, and its directory is about to go."""
    try:
        holder.signal(for_signal(signal.SIGKILL))
        holder.wait()
    except (HolderError, OSError):
        pass  # it was not started, or is over


def _tell(holder: BlockingClient, prompt: str) -> str | None:
    """Hand over the prompt; why it was not taken, None if it was."""
    try:
        return holder.write(messages.initialize() + messages.user(prompt, str(uuid.uuid4())))
    except (HolderError, OSError):
        return "ended"


def _rlimits() -> list[tuple[int, int, int]]:
    """The caller's, which need not be those of whoever started the zygote."""
    numbers = [value for name, value in vars(resource).items() if name.startswith("RLIMIT_")]
    return [(number, *resource.getrlimit(number)) for number in sorted(set(numbers))]


def _umask() -> int:
    """The caller's; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
