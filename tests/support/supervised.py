"""Sessions from the shell with real holders, in folders of their own: what is looked at, answered, ended, removed.

Three kinds of children: ``scripted`` prints exactly the lines that a test writes to it, ``claude`` is
tests/children/fake_claude started as ``cowork bg`` starts the real one, and ``start`` takes any program.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cowork import paths
from cowork.holder.page import Page
from cowork.holder.spec import StartSpec
from cowork.sessions.blocking import socket_path
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import SessionRecord, new_id
from cowork.supervisor import launch
from cowork.supervisor.launch import Started, Wanted
from cowork.supervisor.overview import SessionOverview, View, view
from tests.support import daemon, holding
from tests.support.holding import CHILDREN, Held

SPEAKS = "--output-format=stream-json"
ECHOES = ["claude", "-c", "exec cat", SPEAKS]
"""A command line that counts as a ``claude``, of a program that prints what it is told and nothing else."""


class Home(holding.Place):
    """The folders of one user, a ``claude`` on the PATH, and the sessions. ``where``: their ``Paths``."""

    def __init__(self, place: daemon.Place) -> None:
        folder = place.root / "w"
        folder.mkdir()
        super().__init__(folder, "zygote")
        self.bin = place.root / "bin"
        self.bin.mkdir()
        (self.bin / "claude").symlink_to(CHILDREN / "fake_claude")
        self.environ = place.environment()
        self.environ["PATH"] = f"{self.bin}{os.pathsep}{self.environ['PATH']}"
        self.where = paths.resolve(self.environ)
        self.where.make()
        self.sessions, self.runtime = self.where.sessions, self.where.runtime
        self.config = place.home / ".config" / "cowork" / "config.toml"

    def environment(self) -> dict[str, str]:
        """Of everything that is started."""
        return dict(self.environ)

    def configure(self, text: str) -> None:
        """Write config.toml."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text)
        self.config.chmod(0o600)

    # -- starting

    def prepare(self, argv: list[str], *, record: Mapping[str, object] | None = None, **options: Any) -> Held:
        """As ``Place.prepare``; ``record``: other fields of session.json than the usual."""
        directory = SessionDirectory(self.sessions, new_id())
        fields = {"kind": "shell", "name": "test", "argv": argv, "cwd": str(self.cwd), "created": time.time()}
        page = directory.create(msgspec.convert({"id": directory.id, **fields, **(record or {})}, SessionRecord))
        usual = {"env": self.environment(), "cwd": str(self.cwd), "executable": argv[0]}
        spec = StartSpec(
            folder=str(directory.path), socket=socket_path(self.runtime, directory.id), argv=argv, **(usual | options)
        )
        return Held(self, directory, page, spec)

    def scripted(self, *lines: bytes, **record: object) -> Held:
        """A ``claude`` that has printed these lines, and prints whatever is written to it."""
        held = self.start(ECHOES, executable="/bin/sh", record=record)
        self.prints(held, *lines)
        return held

    def prints(self, held: Held, *lines: bytes) -> None:
        """Have a scripted session print these lines, and wait until it has."""
        if lines:
            before = len(held.printed())
            text = b"".join(line + b"\n" for line in lines)
            assert held.client.write(text) is None
            while len(held.printed()) < before + len(text):
                held.grown()

    def launch(self, wanted: Wanted, **environ: str) -> Held:
        """``launch.start``, with a session that goes on for a while; it ends with the place."""
        return self.adopted(launch.start(self.where, wanted, {**self.environ, **environ}))

    def claude(self, prompt: str | list[dict[str, object]] = "hello", **wanted: Any) -> Held:
        """The fake ``claude`` with a prompt, or with a turn step by step."""
        text = prompt if isinstance(prompt, str) else json.dumps(prompt)
        return self.launch(Wanted(str(self.cwd), prompt=text, **wanted))

    def adopted(self, started: Started) -> Held:
        """Hold on to a session that was started by ``launch``."""
        asked = started.record
        directory = SessionDirectory(self.sessions, asked.id)
        spec = StartSpec(
            folder=str(directory.path), socket=socket_path(self.runtime, asked.id), argv=asked.argv,
            executable=asked.executable, env={}, cwd=asked.cwd,
        )  # fmt: skip
        held = Held(self, directory, Page(directory.readers), spec)
        try:
            held.client = held.connect()
        except OSError:
            held.page.close()
            raise
        held.status = held.client.watch()
        self.adopt(held)
        return held

    # -- looking

    def view(self, held: Held) -> View:
        """See ``overview.view``."""
        return view(held.directory, self.runtime)

    def seen(self, held: Held) -> SessionOverview:
        """The overview of a session."""
        return self.view(held).overview

    def until(self, held: Held, state: str) -> SessionOverview:
        """Wait until a session that prints is in this state."""
        while (one := self.seen(held)).state != state:
            held.grown()
        return one


def gone(held: Held) -> bool:
    """Whether nothing is left of a session: neither its directory nor a process."""
    return not held.directory.path.exists() and not any(map(holding.alive, (held.pid, held.holder)))


def home(place: daemon.Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A ``Home`` that leaves neither files nor processes behind."""
    monkeypatch.setenv(daemon.TAG, place.tag)  # what is started without an environment of its own is found by it, too
    made = Home(place)
    try:
        yield made
    finally:
        made.close()


def below(folder: Path) -> list[str]:
    """Everything below a folder, by its relative path."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
