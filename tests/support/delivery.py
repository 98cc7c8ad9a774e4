"""What the delivery works with, without sockets and processes: a spool by hand, and a sink that takes when told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cowork.holder.page import Page
from cowork.holder.spool import STDERR, STDOUT, SpoolWriter
from cowork.sessions.record import ExitRecord
from tests.support.client import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from cowork.service.delivery import Delivery, Subscriber
    from cowork.service.process import Process
    from cowork.service.translation import Translation

PIPE = 32 * 1024


class FakeProcess:
    """Stands for a ``Process``: its output is printed by ``out`` and ``err``."""

    def __init__(self, folder: Path, key: str = "p", session: str = "s") -> None:
        self.key = key
        self.session_id = session
        self.path = folder / session
        self.path.mkdir()
        self.directory = self
        self.spool = self.path / "spool"
        self.page: Page | None = Page(self.path / "readers", create=True)
        self.head = 0
        self.exit: ExitRecord | None = None
        self.told = 0
        self.delivery: Delivery | None = None
        self.translation: Translation | None = None
        self.written: list[bytes] = []
        self._writer = SpoolWriter(str(self.spool), history=0, limit=1 << 40, hold=True)

    @property
    def real(self) -> Process:
        """For the type checker."""
        return cast("Process", self)

    def write_now(self, data: bytes, done: Callable[[str | None], None]) -> None:
        """Keep what is written to stdin."""
        self.written.append(data)
        done(None)

    def _print(self, data: bytes, stream: int) -> None:
        reading, writing = os.pipe()
        try:
            for at in range(0, len(data), PIPE):
                part = data[at : at + PIPE]
                os.write(writing, part)
                moved = 0
                while moved < len(part):
                    moved += self._writer.pull(reading, stream)
        finally:
            os.close(reading)
            os.close(writing)
        self.head = self._writer.head
        self._changed()

    def out(self, data: bytes) -> None:
        """Print on stdout."""
        self._print(data, STDOUT)

    def err(self, data: bytes) -> None:
        """Print on stderr."""
        self._print(data, STDERR)

    def end(self, code: int = 0) -> None:
        """Exit."""
        self.exit = ExitRecord(exit_code=code, head=self.head)
        self._writer.close()
        self._changed()

    def _changed(self) -> None:
        if self.delivery is not None:
            self.delivery.changed(self.real)

    def taken(self) -> None:
        """Called when positions have moved by a segment."""
        self.told += 1

    def positions(self, slot: int) -> tuple[int, int]:
        """What a slot has taken of stdout and stderr."""
        assert self.page is not None
        return self.page.position(slot, STDOUT), self.page.position(slot, STDERR)

    def close(self) -> None:
        """Close the files."""
        self._writer.close()
        if self.page is not None:
            self.page.close()
            self.page = None


class FakeSink:
    """A connection. ``fast``: the kernel takes all at once; otherwise each frame waits for ``drain``."""

    def __init__(self, *, fast: bool = True) -> None:
        self.fast = fast
        self.frames: list[dict[str, Any]] = []
        self.waiting = False
        self.subscriber: Subscriber | None = None

    @property
    def writable(self) -> bool:
        """Whether the last frame was taken."""
        return not self.waiting

    def write_event(self, frame: bytearray | bytes) -> bool:
        """Take a frame."""
        assert not self.waiting, "written while the one before was not taken"
        (length,) = HEADER.unpack_from(frame)
        assert length == len(frame) - HEADER.size
        self.frames.append(json.loads(frame[HEADER.size :]))
        self.waiting = not self.fast
        return self.fast

    def drain(self) -> None:
        """The kernel has taken the frame."""
        assert self.waiting
        self.waiting = False
        assert self.subscriber is not None
        self.subscriber.drained()

    def text(self, id: str = "p", kind: str = "stdout") -> str:
        """All that was told of a process's stream."""
        return "".join(f["data"] for f in self.frames if f["type"] == kind and f["id"] == id)

    def types(self) -> list[str]:
        """The kinds of events."""
        return [f["type"] for f in self.frames]
