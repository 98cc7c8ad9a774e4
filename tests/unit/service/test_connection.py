"""One connection over a socket pair, with methods made up for the test."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cowork.errors import InvalidParams, NotRunning, RpcError
from cowork.linux.credentials import Peer
from cowork.service import connection as module
from cowork.service.answer import Answer
from cowork.service.connection import HIGH_WATER, IN_FLIGHT, Connection
from cowork.service.methods import Method
from cowork.wire import replies
from cowork.wire.codec import result_suffix
from cowork.wire.requests import GetNetworkDrives, Params, WriteStdin
from tests.support.client import HEADER, frame, raw_frame
from tests.support.service import until


class Text(msgspec.Struct):
    """Any reply."""

    text: str


class FakeSubscriber:
    """Counts."""

    def __init__(self) -> None:
        self.drains = 0

    def drained(self) -> None:
        self.drains += 1


class FakeDelivery:
    """Hands out one subscriber."""

    def __init__(self) -> None:
        self.subscriber = FakeSubscriber()
        self.gone = 0

    def subscribe(self, sink: object, profile: int) -> FakeSubscriber:
        return self.subscriber

    def unsubscribe(self, subscriber: FakeSubscriber) -> None:
        self.gone += 1


class Bench:
    """A connection at one end of a socket pair, and a client at the other."""

    def __init__(self, dialect: str = "helper") -> None:
        self.warnings: list[str] = []
        self.delivery = FakeDelivery()
        self.service = SimpleNamespace(
            methods={},
            uid=os.getuid(),
            debug_requests=False,
            connections=set(),
            delivery=self.delivery,
            warn_once=self.warnings.append,
        )
        self.dialect = dialect

    def method(self, name: str, call: Callable[[], Any], kind: type[Params] = GetNetworkDrives) -> None:
        """Add one."""
        self.service.methods[name] = Method(kind, kind(), lambda service, caller, p: call())

    async def __aenter__(self) -> Bench:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        self.connection = Connection(self.service, self.dialect)  # type: ignore[arg-type]
        await loop.connect_accepted_socket(lambda: self.connection, ours)
        self.reader, self.writer = await asyncio.open_connection(sock=theirs, limit=1 << 26)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass
        self.connection.close()
        for _ in range(5):
            await asyncio.sleep(0)

    def send(self, method: str, id: object = None) -> None:
        """A request."""
        self.writer.write(frame({"method": method, "id": id}))

    async def recv(self) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(20):
            (length,) = HEADER.unpack(await self.reader.readexactly(4))
            message = json.loads(await self.reader.readexactly(length))
        assert isinstance(message, dict)
        return message


@pytest.mark.asyncio
async def test_every_kind_of_result() -> None:
    bench = Bench()
    later: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def coroutine() -> Any:
        return Text("co")

    bench.method("nothing", lambda: None)
    bench.method("struct", lambda: Text("s"))
    bench.method("bytes", lambda: result_suffix(replies.Running(True)))
    bench.method("answer", lambda: Answer(replies.DownloadStatus("a")))
    bench.method("future", lambda: later)
    bench.method("coroutine", coroutine)
    async with bench:
        for n, name in enumerate(("future", "coroutine", "nothing", "struct", "bytes", "answer")):
            bench.send(name, n)
        got = [await bench.recv() for _ in range(5)]
        assert {g["id"]: g["result"] for g in got} == {
            1: {"text": "co"}, 2: {}, 3: {"text": "s"}, 4: {"running": True}, 5: {"status": "a"},
        }  # fmt: skip
        later.set_result(result_suffix(replies.Running(False)))
        assert await bench.recv() == {"id": 0, "success": True, "result": {"running": False}}


def raises(error: Exception) -> Callable[[], Any]:
    def call() -> Any:
        raise error

    return call


def raises_later(error: Exception) -> Callable[[], Awaitable[Any]]:
    async def call() -> Any:
        raise error

    return call


def fails_later(error: Exception) -> Callable[[], Awaitable[Any]]:
    def call() -> Awaitable[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(error)
        return future

    return call


@pytest.mark.asyncio
@pytest.mark.parametrize("how", [raises, raises_later, fails_later, lambda e: lambda: Answer(error=e)])
@pytest.mark.parametrize(
    ("error", "expected", "level"),
    [
        (RpcError("no", code=-5), {"error": "no", "code": -5}, logging.INFO),
        (RpcError("no", hint="try"), {"error": "no (try)"}, logging.INFO),
        (NotRunning("gone"), {"error": "gone"}, logging.INFO),
        (InvalidParams("Invalid params: x", field="x"), {"error": "Invalid params: x"}, None),
        (OSError(28, "No space left on device"), {"error": "[Errno 28] No space left on device"}, logging.WARNING),
        (ZeroDivisionError("secret"), {"error": "Internal error: ZeroDivisionError"}, logging.ERROR),
    ],
)
async def test_every_kind_of_error(
    how: Any, error: Exception, expected: dict[str, object], level: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """One reply, one log line at most, and the connection lives."""
    bench = Bench()
    bench.method("fails", how(error))
    bench.method("works", lambda: None)
    caplog.set_level(logging.INFO)
    async with bench:
        bench.send("fails", 1)
        reply = await bench.recv()
        assert reply.pop("success") is False
        assert reply.pop("id") == 1
        if "code" in expected:
            assert str(expected["code"]) in reply["error"]
            assert reply["code"] == expected["code"]
        else:
            assert reply == expected
        bench.send("works", 2)
        assert (await bench.recv())["success"] is True
    levels = [r.levelno for r in caplog.records if r.name.startswith("cowork")]
    assert levels == ([level] if level is not None else [])


@pytest.mark.asyncio
async def test_what_follows_a_reply_happens_behind_it() -> None:
    bench = Bench()
    order: list[str] = []

    def follow() -> None:
        bench.connection.write_event(frame({"type": "event"}))

    bench.method("go", lambda: Answer(after=follow))
    async with bench:
        bench.send("go", 1)
        bench.send("go", 2)
        for _ in range(4):
            message = await bench.recv()
            order.append(message.get("type") or f"reply {message['id']}")
    assert order.index("reply 1") < order.index("event")
    assert sorted(order) == ["event", "event", "reply 1", "reply 2"]


@pytest.mark.asyncio
@pytest.mark.parametrize("dialect", ["helper", "service"])
async def test_an_unknown_method(dialect: str) -> None:
    async with Bench(dialect) as bench:
        bench.send("x" * 5000, 1)
        reply = await bench.recv()
        assert reply["success"] is (dialect == "service")
        assert len(bench.warnings) == 1
        assert len(bench.warnings[0]) < 200
        if dialect == "helper":
            assert reply["error"] == "Unknown method: " + "x" * 1000


@pytest.mark.asyncio
async def test_a_reply_that_is_too_large_is_an_error() -> None:
    bench = Bench()
    bench.method("big", lambda: Text("x" * (11 << 20)))
    async with bench:
        bench.send("big", 1)
        reply = await bench.recv()
        assert reply["success"] is False
        assert "too large" in reply["error"]


@pytest.mark.asyncio
async def test_a_bad_frame_gets_its_error_behind_the_replies_and_ends_it() -> None:
    bench = Bench()
    bench.method("works", lambda: None)
    async with bench:
        bench.writer.write(frame({"method": "works", "id": 1}) + raw_frame(b"{") + b"\0\0\0\0")
        assert [(await bench.recv())["success"] for _ in range(3)] == [True, False, False]
        async with asyncio.timeout(20):
            assert await bench.reader.read() == b""
    assert bench.service.connections == set()


@pytest.mark.asyncio
async def test_a_half_closed_client_gets_what_it_is_owed() -> None:
    bench = Bench()
    later: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    bench.method("later", lambda: later)
    async with bench:
        bench.send("later", 1)
        bench.writer.write_eof()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(bench.service.connections) == 1
        later.set_result(None)
        assert (await bench.recv())["id"] == 1
        async with asyncio.timeout(20):
            assert await bench.reader.read() == b""
        for _ in range(5):
            await asyncio.sleep(0)
        assert bench.service.connections == set()


@pytest.mark.asyncio
async def test_a_client_that_left_before_its_reply() -> None:
    bench = Bench()
    later: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    bench.method("later", lambda: later)
    async with bench:
        bench.send("later", 1)
        for _ in range(5):
            await asyncio.sleep(0)
        bench.connection._transport.abort()
        for _ in range(5):
            await asyncio.sleep(0)
        later.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)
    assert bench.service.connections == set()


@pytest.mark.asyncio
async def test_too_many_waiting_requests_are_left_in_the_socket() -> None:
    bench = Bench()
    waiting: list[asyncio.Future[Any]] = []

    def call() -> asyncio.Future[Any]:
        waiting.append(asyncio.get_running_loop().create_future())
        return waiting[-1]

    bench.method("later", call)
    async with bench:
        transport = bench.connection._transport
        for n in range(IN_FLIGHT):
            bench.send("later", n)
        await until(lambda: len(waiting) == IN_FLIGHT)
        assert not transport.is_reading()
        bench.send("later", "more")
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(waiting) == IN_FLIGHT
        waiting[0].set_result(None)
        assert (await bench.recv())["id"] == 0
        await until(lambda: len(waiting) > IN_FLIGHT)
        for future in waiting[1:]:
            future.set_result(None)
        ids = [(await bench.recv())["id"] for _ in range(IN_FLIGHT)]
        assert ids[-1] == "more"


@pytest.mark.asyncio
async def test_replies_that_nobody_reads_stop_the_reading() -> None:
    bench = Bench()
    bench.method("big", lambda: Text("x" * (HIGH_WATER // 2)))
    async with bench:
        bench.writer.transport.pause_reading()  # type: ignore[attr-defined]
        transport = bench.connection._transport
        for n in range(8):
            bench.send("big", n)
            for _ in range(5):
                await asyncio.sleep(0)
        assert not transport.is_reading()
        assert transport.get_write_buffer_size() < 5 * HIGH_WATER
        bench.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert [(await bench.recv())["id"] for _ in range(8)] == list(range(8))


@pytest.mark.asyncio
async def test_it_is_a_sink_that_tells_when_the_kernel_has_taken_the_rest() -> None:
    async with Bench() as bench:
        bench.connection.subscribe(1)
        bench.connection.subscribe(1)
        assert bench.connection.writable
        assert bench.connection.write_event(frame({"type": "a"}))
        bench.writer.transport.pause_reading()  # type: ignore[attr-defined]
        big = frame({"type": "b" * (4 << 20)})
        assert not bench.connection.write_event(big)
        assert not bench.connection.writable
        assert bench.delivery.subscriber.drains == 0
        bench.writer.transport.resume_reading()
        assert (await bench.recv())["type"] == "a"
        assert len((await bench.recv())["type"]) == 4 << 20
        await until(lambda: bench.delivery.subscriber.drains)
        assert bench.connection.writable
    assert bench.delivery.gone == 1


@pytest.mark.asyncio
async def test_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "peer_of", lambda sock: Peer(1, os.getuid() + 1, 0))
    async with Bench() as bench:
        async with asyncio.timeout(20):
            assert await bench.reader.read() == b""
        assert bench.service.connections == set()
    assert f"uid {os.getuid() + 1}" in caplog.text


@pytest.mark.asyncio
async def test_requests_are_logged_when_asked_for_without_what_is_secret(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.service.debug_requests = True
    bench.method("write", lambda: None, WriteStdin)
    caplog.set_level(logging.DEBUG)
    async with bench:
        bench.writer.write(frame({"method": "write", "id": 1, "params": {"id": "p", "data": "SECRET"}}))
        assert (await bench.recv())["success"] is True
    assert "write" in caplog.text
    assert "'p'" in caplog.text
    assert "SECRET" not in caplog.text
