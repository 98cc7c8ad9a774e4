"""A service without a daemon around it, and holders that do what a test says."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cowork.holder import messages as m
from cowork.holder.spec import StartSpec
from cowork.paths import Paths, resolve

if TYPE_CHECKING:
    from cowork.sessions.starter import Zygote


def paths_below(root: Path) -> Paths:
    """Our folders below ``root``, made."""
    made = resolve({
        "HOME": str(root / "h"), "XDG_STATE_HOME": str(root / "s"), "XDG_DATA_HOME": str(root / "d"),
        "XDG_RUNTIME_DIR": str(root / "r"),
    })  # fmt: skip
    made.make()
    return made


class FakeHolder:
    """The other end of a channel: hears what a holder is told, and answers as the test wants."""

    def __init__(self, channel: socket.socket) -> None:
        self.sock = channel
        self.sock.setblocking(False)
        self._splitter = m.Splitter()
        self._heard: list[tuple[int, bytes]] = []

    async def hear(self, *kinds: int) -> tuple[int, bytes]:
        """The next message, or the next of these kinds."""
        async with asyncio.timeout(20):
            while True:
                while not self._heard:
                    data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20)
                    if not data:
                        raise EOFError
                    self._heard += self._splitter.feed(data)
                message = self._heard.pop(0)
                if not kinds or message[0] in kinds:
                    return message

    async def begun(self, head: int = 0) -> StartSpec:
        """Wait for BEGIN and say that it runs."""
        spec = StartSpec.decode((await self.hear(m.BEGIN))[1])
        self.status(head)
        return spec

    def say(self, kind: int, body: bytes = b"") -> None:
        """Any message."""
        self.sock.send(m.pack(kind, body))

    def status(self, head: int = 0) -> None:
        """It runs."""
        self.say(m.STATUS, json.dumps({"version": 1, "pid": 1, "holder": 2, "running": True, "head": head}).encode())

    def exit(self, code: int = 0, head: int = 0) -> None:
        """It has ended."""
        self.say(m.EXIT, json.dumps({"exitCode": code, "head": head}).encode())

    def fail(self, text: str) -> None:
        """It could not be started."""
        self.say(m.FAILED, json.dumps({"what": "exec", "errno": 2, "text": text}).encode())

    async def answer(self, kind: int, reason: str = "") -> bytes:
        """Wait for a write and answer it; what was written."""
        _, body = await self.hear(m.WRITE)
        self.say(kind, body[:8] + reason.encode())
        return body[8:]

    async def signalled(self, *, sent: bool = True) -> list[dict[str, object]]:
        """Wait for a request for signals and confirm it; its steps."""
        _, body = await self.hear(m.SIGNAL)
        request = json.loads(body)
        self.say(m.SIGNALLED, json.dumps({"token": request["token"], "sent": sent}).encode())
        steps = request["steps"]
        assert isinstance(steps, list)
        return steps

    def close(self) -> None:
        """Die."""
        self.sock.close()


class FakeZygote:
    """Hands out channels whose other ends are fake holders."""

    def __init__(self) -> None:
        self.holders: list[FakeHolder] = []
        self.error: Exception | None = None
        self.starts = 0

    @property
    def real(self) -> Zygote:
        """For the type checker."""
        return cast("Zygote", self)

    async def ready(self) -> None:
        """Count."""
        self.starts += 1

    def channel(self) -> socket.socket:
        """A channel, or the error."""
        if self.error is not None:
            raise self.error
        ours, theirs = socket.socketpair()
        self.holders.append(FakeHolder(theirs))
        return ours

    def close(self) -> None:
        """All holders are let go."""
        for holder in self.holders:
            holder.close()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until it is so; for state that nothing tells of."""
    async with asyncio.timeout(20):
        for _ in itertools.repeat(None):
            if condition():
                return
            await asyncio.sleep(0)


async def turns(count: int = 20) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)
