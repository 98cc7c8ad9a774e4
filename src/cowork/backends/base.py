"""The contract of a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cowork.translate.sessionmap import SessionMap
from cowork.wire.requests import Mount


class SpawnRequest(msgspec.Struct, frozen=True):
    """What a client asked for, names checked. ``tree`` stands for ``/sessions/<name>`` and exists.

    ``inherited`` is the environment to begin with; ``sdk`` the ``claude`` of ``installSdk``; ``token`` the session's
    credential, if any.
    """

    name: str
    command: str
    args: list[str]
    cwd: str
    env: Mapping[str, str | None]
    mounts: Mapping[str, Mount]
    tree: Path
    home: Path
    inherited: Mapping[str, str]
    token: str = ""
    sdk: str | None = None

    def __repr__(self) -> str:
        # Neither the environment nor the token may get into a log by way of a repr.
        return f"SpawnRequest(name={self.name!r}, command={self.command!r})"


class Prepared(msgspec.Struct, frozen=True):
    """A command line ready to be held.

    ``failed_mounts`` names the mounts that the process will not see. ``session`` is how guest paths are translated
    in what is written to it and read from it; None where they are real inside.
    """

    argv: list[str]
    executable: str
    env: dict[str, str]
    cwd: str
    failed_mounts: list[str]
    session: SessionMap | None = None

    def __repr__(self) -> str:
        return f"Prepared(executable={self.executable!r}, cwd={self.cwd!r})"


class Availability(msgspec.Struct, frozen=True):
    """Whether a backend works here; ``reason`` and ``fix`` when it does not."""

    works: bool
    reason: str = ""
    fix: str = ""


class Backend(ABC):
    """Turns a spawn request into a command line for a holder. Stateless: sessions outlive it."""

    name: str
    """As in ``--backend``."""
    isolation: str
    """What really separates a session from the host: "none", "bubblewrap" or "vm". Shown wherever sessions are."""

    @abstractmethod
    def probe(self) -> Availability:
        """Whether sessions can run here, found out by doing it rather than by looking for files."""

    @abstractmethod
    def prepare(self, request: SpawnRequest) -> Prepared:
        """The command line, environment and working directory of the process.

        Must not start anything, and must not remove, create or replace a file outside ``request.tree``.

        Raises:
            RpcError: the request cannot be carried out; the message names what is wrong with it.
        """
