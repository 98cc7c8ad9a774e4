"""Processes: spawn, kill, stdin, and whether one runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec import UNSET

from cowork.backends.base import SpawnRequest
from cowork.errors import CoworkError, InvalidParams, NotRunning, RpcError
from cowork.service.answer import Answer
from cowork.service.trees import check_name
from cowork.sessions.steps import UnknownSignal, parse_signal
from cowork.wire import replies
from cowork.wire.events import ProcessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cowork.backends.base import Prepared
    from cowork.service.answer import Handler
    from cowork.service.connection import Connection
    from cowork.service.process import Process
    from cowork.service.service import Service
    from cowork.wire import requests as r

STDIN_FULL = -32002
"""Clients take this code as: later again."""
ID_MAX = 1000
"""Longest process id in characters."""

_log = logging.getLogger(__name__)


def spawn(service: Service, caller: Connection, p: r.Spawn) -> Answer | Awaitable[Answer]:
    """Start a process. A refusal is told twice, as the reply and as an event, so that nothing waits for the process.

    The process is known when this returns: what is pipelined behind its spawn reaches it.
    """
    if service.login is not None and not service.login.done():
        service.waiting_for_login.add(p.id)
        return _spawn_later(service, caller, p, service.login)
    key = p.id or service.processes.free_key()
    try:
        check_spawn(p)
        service.processes.check_free(key)
        warn_of_what_is_not_honoured(service, p)
        prepared = service.backend.prepare(spawn_request(service, p))
        process = service.processes.create(key, p.name, prepared, service.backend)
    except (CoworkError, OSError) as e:
        return _refusal(service, key, e)
    return _start(service, process, prepared)


async def _spawn_later(service: Service, caller: Connection, p: r.Spawn, login: asyncio.Future[None]) -> Answer:
    """The first spawn of a daemon that has just been started: its login environment is still being found out."""
    await asyncio.wait([login])
    service.waiting_for_login.discard(p.id)
    answer = spawn(service, caller, p)
    return answer if isinstance(answer, Answer) else await answer


async def _behind_login(request: Callable[[], Awaitable[None]], login: asyncio.Future[None]) -> None:
    """A request to a process whose spawn waits; those who wait for one future are woken in the order they came."""
    await asyncio.wait([login])
    await request()


async def _start(service: Service, process: Process, prepared: Prepared) -> Answer:
    key = process.key
    try:
        await service.processes.start(process, prepared)
    except (CoworkError, OSError) as e:
        return _refusal(service, key, e)
    _log.info("process %.100r is session %s (%s)", key, process.session_id, service.backend.name)
    return Answer(
        replies.Spawned(key, prepared.failed_mounts), after=lambda: service.delivery.add(process, new=True)
    )  # fmt: skip


def _refusal(service: Service, key: str, error: CoworkError | OSError) -> Answer:
    told = error if isinstance(error, CoworkError) else RpcError(str(error))
    event = ProcessError(key, told.message, fatal=True)

    def tell() -> None:
        service.delivery.publish(event)

    # A live process of that id goes on; a fatal event would end it in the client's eyes.
    taken = any(live.key == key for live in service.processes.live())
    return Answer(error=told, after=None if taken else tell)


def warn_of_what_is_not_honoured(service: Service, p: r.Spawn) -> None:
    """Say once per kind what a client asks for and does not get."""
    asked = {
        "allowedDomains": p.allowed_domains is not None,
        "oneShot": p.one_shot,
        "mountSkeletonHome": p.mount_skeleton_home,
    }
    for name in (name for name, wanted in asked.items() if wanted and name not in service.backend.honours):
        service.warn_once(f"{name} is not honoured by the {service.backend.name} backend")


def check_spawn(p: r.Spawn) -> None:
    """Refuse what no backend could carry out.

    Raises:
        InvalidParams: naming the field.
    """
    check_name(p.name)
    if len(p.id) > ID_MAX:
        raise InvalidParams(f"Invalid params: id is longer than {ID_MAX} characters", field="id")
    for field, values in (("id", [p.id]), ("command", [p.command]), ("cwd", [p.cwd]), ("args", p.args)):
        for number, value in enumerate(values):
            if "\0" in value:
                place = f"{field}[{number}]" if field == "args" else field
                raise InvalidParams(f"Invalid params: {place} must not contain NUL", field=place)
    for name, setting in p.env.items():
        if not name or "=" in name or "\0" in name or "\0" in (setting or ""):
            shown = name.replace("\0", "\\0")[:100]
            raise InvalidParams(f"Invalid params: env.{shown} is no environment variable", field=f"env.{shown}")


def spawn_request(service: Service, p: r.Spawn) -> SpawnRequest:
    """The request as backends take it; makes the session's tree."""
    return SpawnRequest(
        name=p.name, command=p.command, args=p.args, cwd=p.cwd, env=p.env, mounts=p.additional_mounts,
        tree=service.trees.make(p.name), home=service.paths.home, inherited=service.inherited,
        token=p.oauth_token or service.token, sdk=service.sdk, allowed_domains=p.allowed_domains,
        one_shot=p.one_shot, skeleton_home=p.mount_skeleton_home, ours=service.ours,
    )  # fmt: skip


def kill(service: Service, caller: Connection, p: r.Kill) -> Awaitable[None]:
    """Send a signal; the reply comes when it was sent. A process that has ended is fine as it is."""
    try:
        number = parse_signal(p.signal)
    except UnknownSignal as e:
        raise InvalidParams(f"Invalid params: signal: {e.message}", field="signal") from e
    if p.id in service.waiting_for_login and service.login is not None:
        return _behind_login(lambda: kill(service, caller, p), service.login)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    running, code = service.processes.state(p.id)
    if not running and code is not None:
        done.set_result(None)
        return done
    service.processes.get(p.id).signal(number, lambda _: _settle(done, None))
    return done


def write_stdin(service: Service, caller: Connection, p: r.WriteStdin) -> Awaitable[None]:
    """Write to a process: all of the text is taken, or nothing of it."""
    if p.id in service.waiting_for_login and service.login is not None:
        return _behind_login(lambda: write_stdin(service, caller, p), service.login)
    running, code = service.processes.state(p.id)
    if not running and code is not None:
        raise NotRunning(f"process {p.id[:200]} has exited")
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(refusal: str | None) -> None:
        if refusal is None:
            _settle(done, None)
        elif refusal == "full":
            _settle(done, RpcError(f"stdin of process {p.id[:200]} is full, try again", code=STDIN_FULL))
        elif refusal == "closed":
            _settle(done, NotRunning(f"process {p.id[:200]} has closed its stdin"))
        else:
            _settle(done, NotRunning(f"process {p.id[:200]} has exited"))

    service.processes.get(p.id).write(p.data.encode("utf-8", "replace"), answer)
    return done


def is_process_running(service: Service, caller: Connection, p: r.IsProcessRunning) -> replies.ProcessRunning:
    """Whether it runs; its exit code once it has one."""
    running, code = service.processes.state(p.id)
    running = running or p.id in service.waiting_for_login
    return replies.ProcessRunning(running, UNSET if code is None else code)


def _settle(future: asyncio.Future[None], error: CoworkError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


HANDLERS: dict[str, Handler] = {
    "spawn": spawn,
    "kill": kill,
    "writeStdin": write_stdin,
    "isProcessRunning": is_process_running,
}
