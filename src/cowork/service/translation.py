"""What is changed in one session's streams.

Clients write and read guest paths; where those are not real inside (the host backend) the session has host paths.
Requests that the virtual machine's runtime would answer are answered here in any case, through the same stdin, between
two lines of the client's.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from cowork.service import present
from cowork.service.stdin import StdinFilter
from cowork.sessions.steps import speaks_stream_json
from cowork.translate.matcher import GuestToHost, HostToGuest
from cowork.translate.sessionmap import MappedMount, SessionMap

if TYPE_CHECKING:
    from cowork.sessions.record import SessionRecord

SILENCE = 0.05
"""Seconds after which the end of an unfinished line is passed on although a path in it may be cut."""

Done: TypeAlias = Callable[[str | None], None]
Write: TypeAlias = Callable[[bytes, Done], None]


class Translation:
    """State of one session's translation; survives a daemon only as what session.json says of the mounts.

    ``real_inside``: the session sees guest paths as the client does, so paths are left alone.
    """

    def __init__(self, session: SessionMap, *, stream_json: bool, remote: bool, real_inside: bool = False) -> None:
        self.session = session
        self.real_inside = real_inside
        self._to_guest = None if real_inside else HostToGuest(session)
        self._stdin = self._filter(stream_json)
        self._stream_json = stream_json
        self._remote = remote
        self._answered = 0
        self._at_line_start = True
        self._unsettled = 0
        self._answers: list[bytes] = []
        self._silence: asyncio.TimerHandle | None = None
        self._out: Write | None = None

    @classmethod
    def of(cls, record: SessionRecord, tree: str) -> Translation:
        """The translation of a recorded session."""
        mounts = tuple(MappedMount(m.name, m.host, m.mode) for m in record.mounts)
        session = SessionMap(record.name, tree, mounts)
        stream_json = speaks_stream_json(record.argv)
        return cls(session, stream_json=stream_json, remote=record.remote, real_inside=not record.translated)

    def add_mount(self, mount: MappedMount) -> None:
        """One more folder from now on; one of the same name is replaced."""
        others = [m for m in self.session.mounts if m.name != mount.name]
        self.session = SessionMap(self.session.name, self.session.tree, (*others, mount))
        if self.real_inside:
            return
        self._to_guest = HostToGuest(self.session)
        held, self._stdin = self._stdin.held, self._filter(self._stream_json)
        self._stdin.held = held

    def _filter(self, stream_json: bool) -> StdinFilter:
        return StdinFilter(None if self.real_inside else GuestToHost(self.session), skills=stream_json)

    # -- to the session

    def write(self, data: bytes, done: Done, out: Write) -> None:
        """Pass a client's write on by ``out``; ``done`` as for ``HolderLink.write``."""
        self._out = out
        before = self._stdin.held
        mapped = self._stdin.feed(data)
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._stdin.held:
            self._silence = asyncio.get_running_loop().call_later(SILENCE, self._flush)
        if not mapped:
            done(None)
            return

        left = self._stdin.held

        def finished(refusal: str | None) -> None:
            if refusal is not None and self._stdin.held == left:
                self._stdin.held = before  # nothing of it was taken: none of it is lost, or comes twice with the retry
            done(refusal)

        self._send(mapped, finished, out)

    def _send(self, data: bytes, done: Done, out: Write) -> None:
        def settled(refusal: str | None) -> None:
            self._unsettled -= 1
            if refusal is None:
                self._at_line_start = data.endswith(b"\n")
            done(refusal)
            self._send_answers(out)

        self._unsettled += 1
        out(data, settled)

    def _flush(self) -> None:
        self._silence = None
        raw = self._stdin.held
        if self._out is None or not (data := self._stdin.flush()):
            return

        def settled(refusal: str | None) -> None:
            if refusal == "full":
                # The client was told that this was taken, so it is kept until it is.
                self._stdin.held = raw + self._stdin.held
                if self._silence is None:
                    self._silence = asyncio.get_running_loop().call_later(SILENCE, self._flush)

        self._send(data, settled, self._out)

    # -- from the session

    @property
    def needles(self) -> tuple[bytes, ...]:
        """See ``sessions.cutter.Transform``, which this is for the session's output."""
        return () if self._to_guest is None else self._to_guest.needles

    def __call__(self, data: bytes) -> bytes:
        """Bytes of output as the client must see them."""
        return data if self._to_guest is None else self._to_guest(data, json=data[:1] == b"{")

    def intercept(self, text: str, end: int, out: Write) -> str:
        """``text`` of stdout without the requests that are answered here.

        Several subscribers see the same output; ``end``, its offset, tells what has been answered already.
        """
        if not self._stream_json or present.NEEDLE not in text:
            return text
        new = end > self._answered
        self._answered = max(self._answered, end)
        kept = []
        for line in io.StringIO(text, newline="\n"):  # no other character ends a line
            seen = self.session.to_guest if self.real_inside else None
            reply = present.answer(line, self.session.to_host, remote=self._remote, to_seen=seen)
            if reply is None:
                kept.append(line)
            elif new:
                self._answer(reply, out)
        return "".join(kept)

    def _answer(self, reply: bytes, out: Write) -> None:
        self._answers.append(reply)
        self._send_answers(out)

    def _send_answers(self, out: Write) -> None:
        """Send what waits to be answered, unless the client is in the middle of a line, or may be."""
        if not self._at_line_start or self._unsettled or self._stdin.held:
            return
        answers, self._answers = self._answers, []
        for answer in answers:
            out(answer, self._answered_or_again(answer, out))

    def _answered_or_again(self, answer: bytes, out: Write) -> Done:
        def settled(refusal: str | None) -> None:
            if refusal == "full":  # the session waits for this answer
                asyncio.get_running_loop().call_later(SILENCE, self._answer, answer, out)

        return settled

    def close(self) -> None:
        """Stop the timer."""
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
