"""spawn, kill, stdin and their refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import UNSET

from cowork.backends.base import Prepared
from cowork.errors import InvalidParams, NotFound, NotRunning, RpcError
from cowork.service.answer import Answer
from cowork.service.handlers import processes
from cowork.service.handlers.processes import ID_MAX, STDIN_FULL, check_spawn
from cowork.translate.sessionmap import SessionMap
from cowork.wire import replies
from cowork.wire.events import ProcessError
from cowork.wire.requests import IsProcessRunning, Kill, Spawn, WriteStdin

GOOD = {"id": "p", "name": "n", "command": "c"}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": ""}, "name"), ({"name": "../x"}, "name"), ({"id": "x" * (ID_MAX + 1)}, "id"), ({"id": "a\0"}, "id"),
        ({"command": "a\0"}, "command"), ({"cwd": "\0"}, "cwd"), ({"args": ["a", "b\0"]}, "args[1]"),
        ({"env": {"A": "\0"}}, "env.A"), ({"env": {"A=": "x"}}, "env.A="), ({"env": {"": "x"}}, "env."),
        ({"env": {"A\0": None}}, "env.A\\0"),
    ],
)  # fmt: skip
def test_what_no_backend_could_carry_out(more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidParams, match=r"^Invalid params: ") as raised:
        check_spawn(Spawn(**{**GOOD, **more}))
    assert raised.value.field == field


def test_a_value_of_the_environment_is_never_in_a_refusal() -> None:
    with pytest.raises(InvalidParams) as raised:
        check_spawn(Spawn(**{**GOOD, "env": {"TOKEN": "SECRET\0"}}))  # type: ignore[arg-type]
    assert "SECRET" not in raised.value.message


def test_what_is_fine() -> None:
    check_spawn(Spawn(**{**GOOD, "id": "x" * ID_MAX, "env": {"A": None, "B": "", "C": "c=d"}, "args": [""]}))  # type: ignore[arg-type]


class FakeProcess:
    """Answers at once."""

    def __init__(self, key: str = "p") -> None:
        self.key = key
        self.session_id = "s"
        self.written: list[bytes] = []
        self.signals: list[int] = []
        self.refusal: str | None = None

    def write(self, data: bytes, done: Callable[[str | None], None]) -> None:
        self.written.append(data)
        done(self.refusal)

    def signal(self, number: int, done: Callable[[bool], None]) -> None:
        self.signals.append(number)
        done(True)


class FakeService:
    """As much of the service as these methods use."""

    def __init__(self, tmp_path: Path | None = None) -> None:
        self.process = FakeProcess()
        self.told: tuple[bool, int | None] = (True, None)
        self.published: list[object] = []
        self.added: list[tuple[object, bool]] = []
        self.prepare_error: Exception | None = None
        self.start_error: Exception | None = None
        self.live: list[FakeProcess] = []
        self.login: asyncio.Future[None] | None = None
        self.waiting_for_login: set[str] = set()
        self.warned: list[str] = []
        self.warn_once = self.warned.append
        self.requests: list[Any] = []
        self.processes = SimpleNamespace(
            state=lambda key: self.told, get=self._get, free_key=lambda: "proc-1", check_free=lambda key: None,
            create=lambda key, name, prepared, backend: FakeProcess(key), start=self._start,
            live=lambda: iter(self.live),
        )  # fmt: skip
        self.backend = SimpleNamespace(name="fake", prepare=self._prepare, honours=frozenset())
        self.delivery = SimpleNamespace(
            publish=self.published.append, add=lambda process, new: self.added.append((process, new))
        )
        self.trees = SimpleNamespace(make=lambda name: Path("/t") / name)
        self.paths = SimpleNamespace(home=Path("/h"))
        self.inherited = {"I": "1"}
        self.ours = ("/state", "/runtime")
        self.token = "approved"
        self.sdk = None

    def _get(self, key: str) -> FakeProcess:
        if key != "p":
            raise NotFound(f"process {key} not found")
        return self.process

    def _prepare(self, request: Any) -> Prepared:
        self.requests.append(request)
        if self.prepare_error is not None:
            raise self.prepare_error
        return Prepared(["c"], "/c", {}, "/", ["m"], SessionMap("n", "/t/n"))

    async def _start(self, process: object, prepared: Prepared) -> None:
        if self.start_error is not None:
            raise self.start_error


async def spawn(service: FakeService, **more: Any) -> Answer:
    result = processes.spawn(service, None, Spawn(**{**GOOD, **more}))  # type: ignore[arg-type]
    return result if isinstance(result, Answer) else await result


@pytest.mark.asyncio
async def test_a_spawn_is_delivered_behind_its_reply() -> None:
    service = FakeService()
    answer = await spawn(service)
    assert answer.result == replies.Spawned("p", ["m"])
    assert answer.error is None
    assert service.added == []
    assert answer.after is not None
    answer.after()
    ((process, new),) = service.added
    assert isinstance(process, FakeProcess)
    assert (process.key, new) == ("p", True)


@pytest.mark.asyncio
async def test_an_id_is_made_and_the_own_token_comes_first() -> None:
    service = FakeService()
    assert (await spawn(service, id="")).result == replies.Spawned("proc-1", ["m"])
    await spawn(service, oauth_token="own")
    assert [request.token for request in service.requests] == ["approved", "own"]
    assert service.requests[0].tree == Path("/t/n")
    assert service.requests[0].inherited == {"I": "1"}


@pytest.mark.asyncio
@pytest.mark.parametrize("where", ["prepare_error", "start_error"])
@pytest.mark.parametrize("error", [RpcError("no"), OSError(28, "No space left on device")])
async def test_a_refusal_is_told_twice(where: str, error: Exception) -> None:
    service = FakeService()
    setattr(service, where, error)
    answer = await spawn(service)
    assert answer.result is None
    assert answer.error is not None
    assert str(error) in answer.error.message
    assert service.published == []
    assert answer.after is not None
    answer.after()
    assert service.published == [ProcessError("p", answer.error.message, fatal=True)]


@pytest.mark.asyncio
async def test_a_live_process_of_that_id_is_not_told_dead() -> None:
    service = FakeService()
    service.live = [FakeProcess("p")]
    service.prepare_error = RpcError("already running")
    answer = await spawn(service)
    assert answer.error is not None
    assert answer.after is None


async def write(service: FakeService, **params: str) -> None:
    await processes.write_stdin(service, None, WriteStdin(**{"id": "p", **params}))  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_write_is_utf8() -> None:
    service = FakeService()
    await write(service, data="é\0\r\n")
    await write(service, data="a\ud800b")
    assert service.process.written == ["é\0\r\n".encode(), b"a?b"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("refusal", "words", "code"), [("full", "full", STDIN_FULL), ("closed", "closed", None), ("ended", "exited", None)]
)
async def test_refused_writes(refusal: str, words: str, code: int | None) -> None:
    service = FakeService()
    service.process.refusal = refusal
    with pytest.raises((RpcError, NotRunning), match=words) as raised:
        await write(service, data="x")
    assert getattr(raised.value, "code", None) == code


@pytest.mark.asyncio
async def test_writes_to_nobody() -> None:
    service = FakeService()
    service.told = (False, 3)
    with pytest.raises(NotRunning, match="exited"):
        await write(service, data="x")
    service.told = (False, None)
    with pytest.raises(NotFound):
        await write(service, id="other", data="x")
    assert service.process.written == []


async def kill(service: FakeService, **params: Any) -> None:
    await processes.kill(service, None, Kill(**{"id": "p", **params}))  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_signals() -> None:
    service = FakeService()
    for given in ("", "KILL", "sigint", 1, "3"):
        await kill(service, signal=given)
    assert service.process.signals == [15, 9, 2, 1, 3]
    with pytest.raises(InvalidParams, match="signal") as raised:
        await kill(service, signal="SIGFOO")
    assert raised.value.field == "signal"
    service.told = (False, 0)
    await kill(service)
    assert len(service.process.signals) == 5, "an ended process is left in peace"
    service.told = (False, None)
    with pytest.raises(NotFound):
        await kill(service, id="other")


def test_whether_it_runs() -> None:
    service = FakeService()
    asked = IsProcessRunning(id="p")
    for told, expected in (
        ((True, None), replies.ProcessRunning(True, UNSET)), ((False, 7), replies.ProcessRunning(False, 7)),
        ((False, None), replies.ProcessRunning(False, UNSET)),
    ):  # fmt: skip
        service.told = told
        assert processes.is_process_running(service, None, asked) == expected  # type: ignore[arg-type]
    assert asyncio.iscoroutinefunction(spawn)


@pytest.mark.asyncio
async def test_what_is_asked_for_and_not_given_is_said() -> None:
    service = FakeService()
    await spawn(service, allowed_domains=[], one_shot=True)
    assert service.warned == [f"{name} is not honoured by the fake backend" for name in ("allowedDomains", "oneShot")]


@pytest.mark.asyncio
async def test_what_is_honoured_is_not_complained_of() -> None:
    service = FakeService()
    service.backend.honours = frozenset({"allowedDomains", "mountSkeletonHome"})
    await spawn(service, allowed_domains=["pypi.org"], one_shot=True, mount_skeleton_home=True)
    assert service.warned == ["oneShot is not honoured by the fake backend"]
    service.warned.clear()
    await spawn(service, allowed_domains=None)
    assert service.warned == []


@pytest.mark.asyncio
@pytest.mark.parametrize("domains", [None, [], ["pypi.org"]])
@pytest.mark.parametrize("flag", [False, True])
async def test_the_backend_is_told_all_of_it(domains: list[str] | None, flag: bool) -> None:
    """No domains are something else than none named."""
    service = FakeService()
    await spawn(service, allowed_domains=domains, one_shot=flag, mount_skeleton_home=not flag)
    (request,) = service.requests
    assert request.allowed_domains == domains
    assert (request.one_shot, request.skeleton_home) == (flag, not flag)
    assert request.ours == ("/state", "/runtime")
    assert not request.terminal
