"""Claude Desktop as far as a session is concerned: what it sends for one, and what the session says to it."""

from __future__ import annotations

from pathlib import Path

from tests.support.claude import STREAM, Conversation, cli_environment, over_daemon
from tests.support.client import Client
from tests.support.daemon import TAG, RunningDaemon
from tests.support.mock_api import MockApi

NAME = "brave-otter"
GUEST = f"/sessions/{NAME}/mnt"


class Desktop:
    """What the app does: one connection per session that is subscribed and sends requests.

    ``sandboxed``: guest paths are real for the CLI, and it may reach nothing but its API.
    """

    def __init__(self, daemon: RunningDaemon, binary: Path, api: MockApi, *, sandboxed: bool = False) -> None:
        self.daemon = daemon
        self.place = daemon.place
        self._binary = binary
        self._api = api
        self._sandboxed = sandboxed
        self.folders = {name: self.place.home / name for name in ("proj", "other", "outputs", "config")}
        for folder in (*self.folders.values(), self.place.root / "t"):
            folder.mkdir()
        self.mounts = {"proj": "proj", "outputs": "outputs", ".claude": "config"}

    def seen(self, name: str) -> str:
        """The path that the CLI has for one of the folders."""
        return f"{GUEST}/{name}" if self._sandboxed else str(self.folders[name])

    def spawn(
        self, client: Client, id: str = "p", *args: str, mounts: dict[str, str] | None = None, **env: str
    ) -> Conversation:  # fmt: skip
        """Spawn a session with guest paths in cwd, environment and arguments."""
        chosen = mounts or self.mounts
        tmp = Path("/tmp/t") if self._sandboxed else self.place.root / "t"
        environment = {
            **cli_environment(self.place.home, self._api.url, tmp), TAG: self.place.tag,
            "CLAUDE_CONFIG_DIR": f"{GUEST}/.claude", "CLAUDE_CODE_TAGS": "lam_session_type:chat", **env,
        }  # fmt: skip
        arguments = [*STREAM, *args]
        for name in chosen:
            if not name.startswith("."):
                arguments += ["--add-dir", f"{GUEST}/{name}"]
        listing = {
            name: {"path": str(self.folders[folder]).lstrip("/"), "mode": "rw"} for name, folder in chosen.items()
        }  # fmt: skip
        params = {
            "id": id, "name": NAME, "command": str(self._binary), "args": arguments, "cwd": f"/sessions/{NAME}",
            "env": environment, "additionalMounts": listing,
        }  # fmt: skip
        if self._sandboxed:
            params["allowedDomains"] = []
        reply = client.ask("spawn", params)
        assert reply == {"id": id, "failedMounts": []}
        return over_daemon(client, id)
