"""Sessions that Claude Code itself keeps on this host, asked of ``claude agents``; to be shown, not to be driven."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec

from cowork.backends.programs import find_program
from cowork.errors import RpcError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SINCE = (2, 1, 169)
"""The first release that lists all sessions as JSON. An older one may take the subcommand for a prompt to the model."""
MAX_OUTPUT = 8 << 20
"""Bytes after which an answer is given up."""

_VERSION = re.compile(rb"(\d{1,9})\.(\d{1,9})\.(\d{1,9}) \(Claude Code\)\s*")
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LAST_PID = 1 << 22
_LAST_MOMENT = 1 << 47
"""In milliseconds since the epoch, far away."""
_KINDS = {"background": "bg"}
# Jobs of the CLI's supervisor have a state; sessions that somebody looks at have the status of their process only.
_STATES = {state: state for state in ("working", "blocked", "done", "failed", "stopped", "idle")}
_STATES |= {"busy": "working", "waiting": "blocked"}

_log = logging.getLogger(__name__)


class Agent(msgspec.Struct, frozen=True):
    """A session of the CLI's.

    ``id``: what its subcommands take (``claude logs ID``), for others the same part of ``session``. ``pid``: 0 when
    nothing runs. ``kind``: "bg", "interactive" (headless ones as well), or what a later release may say. ``state``:
    "working", "blocked", "idle", "done", "failed", "stopped", or empty when it is not known. ``detail``: what a
    blocked one waits for. ``started``: seconds since the epoch, 0 when it is not known. Texts have no control
    characters.
    """

    id: str
    name: str = ""
    pid: int = 0
    kind: str = ""
    cwd: str = ""
    state: str = ""
    detail: str = ""
    started: float = 0.0
    session: str = ""


class _NoAnswer(Exception):
    """The CLI does not tell; the message says why."""


def listed(environ: Mapping[str, str], *, patience: float = 3.0) -> list[Agent]:
    """Sessions that the installed CLI knows of, in its order.

    Empty, with a line in the log, where no CLI of a release that has ``agents`` is installed, or when it does not
    answer within ``patience`` seconds. Never raises.
    """
    deadline = time.monotonic() + patience
    try:
        claude = find_program("claude", path=environ.get("PATH", ""), home=environ.get("HOME") or "/")
    except RpcError:
        _log.info("no sessions of Claude Code are listed: it is not installed")
        return []
    # As our own child it must not take itself for one of a session's, nor fetch a new release.
    env = {k: v for k, v in environ.items() if k not in ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT")}
    env["DISABLE_AUTOUPDATER"] = "1"
    try:
        version = _version(_ask([claude, "--version"], env, deadline))
        if version < SINCE:
            _log.info("no sessions of Claude Code are listed: %s is of release %d.%d.%d", claude, *version)
            return []
        return _agents(_ask([claude, "agents", "--json", "--all"], env, deadline))
    except (_NoAnswer, OSError, ValueError) as e:
        _log.warning("no sessions of Claude Code are listed: %s: %s", claude, e)
        return []


# -- asking


def _ask(argv: Sequence[str], env: Mapping[str, str], deadline: float) -> bytes:
    """What a program prints; whatever of its process group is left then is killed.

    Raises:
        _NoAnswer: it failed, was too slow, or printed too much.
        OSError, ValueError: it cannot be started.
    """
    process = subprocess.Popen(
        argv, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = _read(process.pid, process.stdout.fileno(), deadline)
    finally:
        # Nobody has waited for it yet, so the group's number cannot have become another's.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        status = process.wait()
        process.stdout.close()
    if status:
        raise _NoAnswer(f"{' '.join(argv[1:])} ended with status {status}")
    return said


def _read(pid: int, out: int, deadline: float) -> bytes:
    """All that a child has printed by its end; that of the pipe says nothing, as others may hold it open.

    Raises:
        _NoAnswer: it is too slow or prints too much.
    """
    said = bytearray()
    os.set_blocking(out, False)
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(out, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = {fd for fd, _ in poll.poll(left * 1000)}
            if out in ready and _drain(out, said):
                poll.unregister(out)
            if pidfd in ready:
                _drain(out, said)  # what came between the two looks
                return bytes(said)
    finally:
        os.close(pidfd)
    raise _NoAnswer("it did not answer in time")


def _drain(out: int, said: bytearray) -> bool:
    """Take what is in the pipe now; whether it has come to its end.

    Raises:
        _NoAnswer: it is too much.
    """
    try:
        while data := os.read(out, 1 << 16):
            said += data
            if len(said) > MAX_OUTPUT:
                raise _NoAnswer("it printed too much")
    except BlockingIOError:
        return False
    return True


# -- reading the answers


def _version(said: bytes) -> tuple[int, ...]:
    """The release, from what ``--version`` prints.

    Raises:
        _NoAnswer: this is not the Claude Code that we know.
    """
    found = _VERSION.fullmatch(said)
    if found is None:
        raise _NoAnswer("it does not say which release of Claude Code it is")
    return tuple(int(number) for number in found.groups())


def _agents(said: bytes) -> list[Agent]:
    """The entries of the list that make sense.

    Raises:
        _NoAnswer: it is no list.
    """
    try:
        # Not msgspec, which refuses all of it for half a character in the name of one: the CLI cuts texts.
        entries = json.loads(said)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        raise _NoAnswer("it printed no list of sessions")
    found = [_agent(entry) for entry in entries if isinstance(entry, dict)]
    return [agent for agent in found if agent.id]


def _agent(entry: dict[str, object]) -> Agent:
    """An entry; what is missing or of another type than we know is left empty."""
    pid = _number(entry, "pid", _LAST_PID)
    session = _text(entry, "sessionId")
    kind = _text(entry, "kind")
    return Agent(
        id=_text(entry, "id") or session[:8] or (str(pid) if pid else ""),
        name=_text(entry, "name"),
        pid=pid,
        kind=_KINDS.get(kind, kind),
        cwd=_text(entry, "cwd"),
        state=_STATES.get(_text(entry, "state")) or _STATES.get(_text(entry, "status"), ""),
        detail=_text(entry, "waitingFor"),
        started=_number(entry, "startedAt", _LAST_MOMENT) / 1000,
        session=session,
    )


def _text(entry: dict[str, object], name: str) -> str:
    value = entry.get(name)
    return _UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else ""


def _number(entry: dict[str, object], name: str, last: int) -> int:
    """A whole number from 1 to ``last``, else 0."""
    value = entry.get(name)
    return value if type(value) is int and 0 < value <= last else 0
