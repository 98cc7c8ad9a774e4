"""The contract of a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cowork.holder.spec import Sandbox
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.wire.requests import Mount


class SpawnRequest(msgspec.Struct, frozen=True):
    """What a client asked for, names checked. ``tree`` stands for ``/sessions/<name>`` and exists.

    ``inherited`` is the environment to begin with; ``sdk`` the ``claude`` of ``installSdk``; ``token`` the session's
    credential, if any. ``allowed_domains``: what it may reach, None when the client did not say. ``one_shot``: its home
    is thrown away with it; ``skeleton_home``: its home begins with the start files of a new user. ``ours``: real paths
    that no session may see. ``terminal``: it gets a terminal.
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
    allowed_domains: list[str] | None = None
    one_shot: bool = False
    skeleton_home: bool = False
    ours: tuple[str, ...] = ()
    terminal: bool = False

    def __repr__(self) -> str:
        # Neither the environment nor the token may get into a log by way of a repr.
        return f"SpawnRequest(name={self.name!r}, command={self.command!r})"


class Prepared(msgspec.Struct, frozen=True):
    """A command line ready to be held.

    ``failed_mounts`` names the mounts that the process will not see. ``session`` says which host path each guest path
    stands for; ``translated``: they are not real inside, so what is written to it and read from it is translated.
    ``sandbox``: what the holder starts it in. ``network``: what it can reach, in a word or two; ``weaker``: what is
    less than the backend promises, in words. ``memory`` (bytes), ``tasks``: its limits.
    """

    argv: list[str]
    executable: str
    env: dict[str, str]
    cwd: str
    failed_mounts: list[str]
    session: SessionMap
    translated: bool = True
    sandbox: Sandbox | None = None
    network: str = "host"
    weaker: list[str] = []
    memory: int | None = None
    tasks: int | None = None

    def __repr__(self) -> str:
        return f"Prepared(executable={self.executable!r}, cwd={self.cwd!r})"


class Availability(msgspec.Struct, frozen=True):
    """Whether a backend works here; ``reason`` and ``fix`` when it does not."""

    works: bool
    reason: str = ""
    fix: str = ""


class Backend(ABC):
    """Turns a spawn request into a command line for a holder. Stateless: sessions outlive it.

    ``honours``: the parameters of a spawn that it carries out; what it does not is logged.
    """

    name: str
    """As in ``--backend``."""
    isolation: str
    """What really separates a session from the host: "none", "bubblewrap" or "vm". Shown wherever sessions are."""
    honours: frozenset[str] = frozenset()

    @abstractmethod
    def probe(self) -> Availability:
        """Whether sessions can run here, found out by doing it rather than by looking for files."""

    @abstractmethod
    def prepare(self, request: SpawnRequest) -> Prepared:
        """The command line, environment and working directory of the process.

        Must not start anything, and must not remove, create or replace a file outside ``request.tree``, but for two:
        folders of the client's own that are mounted are made if they are missing (``mounts.INTERNAL``), and a
        conversation that is resumed is copied to where the CLI looks for it (``transcripts``).

        Raises:
            RpcError: the request cannot be carried out; the message names what is wrong with it.
        """

    def live_mount(
        self, session: SessionMap, mount: MappedMount, *, home: str, ours: tuple[str, ...]
    ) -> dict[str, object] | None:  # fmt: skip
        """What the holder of a running session has to do so that it sees one more folder (body of MOUNT,
        holder/messages.py); None when nothing has to be done.

        Raises:
            RpcError: it may not be mounted, or not while the session runs.
        """
        return None
