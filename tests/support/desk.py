"""The ``cowork`` command called in this process, in folders of its own; its sessions are real ones, or written by hand.

Finer and cheaper than ``shell.Shell``, which starts a process for each command.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from cowork import __main__ as entry
from cowork import paths
from cowork.holder.spool import STDERR, STDOUT, SpoolWriter
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.follow import Follower
from cowork.sessions.record import ExitRecord, SessionRecord, new_id
from cowork.supervisor.overview import SessionOverview, view
from cowork.supervisor.watch import Watch
from tests.support import stream
from tests.support.daemon import Place
from tests.support.holding import CHILDREN

PATIENCE = 30.0
"""Seconds after which a test gives up on something that has to happen."""
SCRIPTED = """\
#!/bin/sh
# Takes what it is told first (initialize, the prompt), prints the scene, and from then on says again what it is told.
read -r ready; read -r prompt
printf '%s\\n' "$prompt"
cat "$SCENE"
exec cat
"""
TURN = (stream.init(), stream.said("hello"), stream.result("hello", turns=2, cost=0.5))
"""A turn that went well: after it the session is idle."""


class Said(NamedTuple):
    """What became of a command. Bytes that are no UTF-8 are surrogates (``os.fsencode``)."""

    status: int
    out: str
    err: str


class Desk:
    """A person at work. ``where``: their folders; ``work``: the folder that they are in."""

    def __init__(self, place: Place, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]) -> None:
        for name in set(os.environ) - {"PYTEST_CURRENT_TEST"}:
            patch.delenv(name)
        for name, value in place.environment().items():
            patch.setenv(name, value)
        self.place = place
        self.patch = patch
        self.where = paths.resolve()
        self.where.make()
        self.work = place.root / "work"
        self.work.mkdir()
        patch.chdir(self.work)
        self._capture = capture
        self._bin = place.root / "bin"
        self._scenes = 0

    # -- commands

    def call(self, *arguments: str | Path, stdin: bytes = b"") -> int:
        """Run a command to its end; its status. What it prints goes wherever that goes now."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["cowork", *map(str, arguments)])
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            return entry.main()

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> Said:
        """Run a command to its end, whatever its status."""
        self._capture.readouterr()
        status = self.call(*arguments, stdin=stdin)
        out, err = self._capture.readouterr()
        return Said(status, os.fsdecode(out), os.fsdecode(err))

    def ok(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """Run a command that has to succeed; what it prints."""
        said = self.run(*arguments, stdin=stdin)
        assert said.status == 0, f"cowork {' '.join(map(str, arguments))}: {said}"
        return said.out

    def json(self, verb: str, *arguments: str | Path, stdin: bytes = b"") -> Any:
        """The one object that a command prints with --json."""
        return json.loads(self.ok(verb, "--json", *arguments, stdin=stdin))

    def popen(self, *arguments: str | Path, warnings: str = "error", **options: Any) -> subprocess.Popen[bytes]:
        """Start a command as a process of its own.

        ``warnings``: "ignore" for one that is interrupted wherever it is, since it leaves open what it had just opened.
        """
        return subprocess.Popen([sys.executable, "-W", warnings, "-m", "cowork", *map(str, arguments)], **options)

    # -- sessions that run

    def bg(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """Start a session; its id."""
        return self.ok("bg", "-q", *arguments, stdin=stdin).strip()

    def program(self, name: str, text: str = "") -> Path:
        """Put a program into the first folder of PATH; without a text make room for one."""
        self._bin.mkdir(exist_ok=True)
        path = self._bin / name
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text)
            path.chmod(0o755)
        if not os.environ["PATH"].startswith(f"{self._bin}:"):
            self.patch.setenv("PATH", f"{self._bin}:{os.environ['PATH']}")
        return path

    def claude(self, *steps: dict[str, Any], name: str = "talk", until: str = "idle") -> str:
        """Start tests/children/fake_claude with a prompt: a turn of these steps, or "hello"; its id, once it is in that
        state."""
        self.program("claude").symlink_to(CHILDREN / "fake_claude")
        session = self.bg("--name", name, json.dumps(steps) if steps else "hello")
        self.until(session, until)
        return session

    def asking(self, *steps: dict[str, Any], name: str = "talk") -> str:
        """A ``claude`` that asks something: whether it may ``touch a``, or what the first of these steps asks."""
        return self.claude(*(steps or [{"ask": ["Bash", {"command": "touch a"}]}]), name=name, until="blocked")

    def scripted(self, *lines: bytes, name: str = "talk") -> str:
        """Start a ``claude`` with a prompt that prints these lines of stream-json, whatever it is told; its id, once it
        has."""
        self.program("claude", SCRIPTED)
        self._scenes += 1
        scene = self.place.root / f"scene{self._scenes}"
        mark = b'{"type":"keep_alive","scene":%d}\n' % self._scenes
        scene.write_bytes(b"".join(line + b"\n" for line in lines) + mark)
        self.patch.setenv("SCENE", str(scene))
        session = self.bg("--name", name, "hello")
        self.printed(session, mark)
        return session

    def rewrite(self, session: str, **asked: Any) -> None:
        """Have a session's record say something else, such as ``kind="cowork"``: that Claude Desktop started it."""
        directory = self.directory(session)
        directory.write_record(msgspec.structs.replace(directory.record(), **asked))

    def directory(self, session: str) -> SessionDirectory:
        """The session's directory."""
        return SessionDirectory(self.where.sessions, session)

    def seen(self, session: str) -> SessionOverview:
        """How a session is now."""
        return view(self.directory(session), self.where.runtime).overview

    def until(self, session: str, *states: str) -> SessionOverview:
        """Wait until a session is in one of these states."""
        with Watch(self.where, [session]) as watch:
            while (seen := self.seen(session)).state not in states:
                assert watch.wait(PATIENCE), f"session {session} is {seen}"
        return seen

    def printed(self, session: str, text: bytes) -> bytes:
        """Wait until a session has printed a text; all that it has printed then."""
        return self._followed(session, lambda said, ended: text in said)

    def ended(self, session: str) -> bytes:
        """Wait until a session has ended; all that it has printed."""
        return self._followed(session, lambda said, ended: ended)

    def _followed(self, session: str, enough: Callable[[bytes, bool], bool]) -> bytes:
        said = b""
        with Follower(self.directory(session), self.where.runtime) as follower:
            while True:
                over = follower.ended
                said += b"".join(follower.read(run) for run in follower.runs())
                if enough(said, over):
                    return said
                assert not over, f"session {session} has ended: {said!r}"
                assert follower.wait(PATIENCE), f"session {session} says nothing more: {said!r}"

    # -- sessions that are written by hand

    def written(
        self, *pieces: bytes | tuple[int, bytes], ended: ExitRecord | None = None, runs: bool = False,
        history: int = 1 << 30, **asked: Any,
    ) -> SessionDirectory:  # fmt: skip
        """A session that nobody holds: it has ended well unless it is said how, or with ``runs`` seems to start.

        ``pieces``: what it has printed, on stdout unless the stream is said; ``asked``: members of its record.
        """
        directory = SessionDirectory(self.where.sessions, asked.pop("id", None) or new_id())
        whole = {"kind": "shell", "name": "written", "created": time.time(), **asked}
        directory.create(SessionRecord(id=directory.id, **whole)).close()
        head = write_spool(directory.spool, pieces, history)
        if not runs:
            directory.write_exit(ended or ExitRecord(ended=time.time(), exit_code=0, head=head))
        return directory

    def spoken(self, *lines: bytes, **asked: Any) -> SessionDirectory:
        """A ``claude`` with a prompt that is written by hand, and has printed these lines."""
        pieces = [line + b"\n" for line in lines]
        return self.written(*pieces, argv=["claude", "--output-format=stream-json"], **asked)


def write_spool(folder: Path, pieces: tuple[bytes | tuple[int, bytes], ...] | list[bytes], history: int) -> int:
    """A spool in which these pieces have arrived one after the other; where it ends."""
    writer = SpoolWriter(str(folder), history=history, limit=1 << 30, hold=False)
    for piece in pieces:
        number, rest = piece if isinstance(piece, tuple) else (STDOUT, piece)
        while rest:
            source, sink = os.pipe()
            os.set_blocking(sink, False)
            rest = rest[os.write(sink, rest) :]
            os.close(sink)
            while writer.pull(source, number):
                pass
            os.close(source)
        writer.recycle(0)
    writer.close()
    return writer.head


class Terminal:
    """A terminal of which all that is shown is taken down; a context manager. Sizes are rows and columns."""

    def __init__(self, rows: int = 24, columns: int = 80) -> None:
        self._master, self.slave = os.openpty()
        termios.tcsetwinsize(self.slave, (rows, columns))
        self._shown = bytearray()
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._hang_up()
        os.close(self._master)

    @contextmanager
    def instead_of(self, *descriptors: int) -> Iterator[None]:
        """Let it be this process's stdin (0), stdout (1), stderr (2)."""
        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for number in descriptors:
                saved = os.dup(number)
                stack.callback(os.close, saved)
                stack.callback(os.dup2, saved, number)
                os.dup2(self.slave, number)
                if number != 0:
                    file = stack.enter_context(open(number, "w", encoding="utf-8", closefd=False))
                    patch.setattr("sys.stdout" if number == 1 else "sys.stderr", file)
            yield

    def whole(self) -> str:
        """All that it showed; nothing follows."""
        self._hang_up()
        return self.shown()

    def until(self, text: str, *, since: int = 0) -> int:
        """Wait until it shows a text (behind the first ``since`` characters); how much it has shown then."""
        with self._news:
            assert self._news.wait_for(lambda: text in self.shown()[since:], PATIENCE), f"no {text!r}: {self.shown()}"
            return len(self.shown())

    def shown(self) -> str:
        """What it has shown so far."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def _hang_up(self) -> None:
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), "somebody still has the terminal"

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return  # EIO: nobody has the other end any more
            with self._news:
                self._shown += data
                self._news.notify_all()


__all__ = ["PATIENCE", "STDERR", "STDOUT", "TURN", "Desk", "Said", "Terminal", "write_spool"]
