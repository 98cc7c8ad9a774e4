"""Where things are: XDG folders of this user, and how they are made safely.

Nothing here reads or writes content. Sources: XDG Base Directory Specification 0.8; unix(7) for the length of a
socket path.
"""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cowork.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SOCKET_PATH = 107
"""Longest path, in bytes, that fits ``sun_path`` with its final NUL (unix(7))."""

_SOCKET_NAME = len("/abcdefghijkl.sock")
SERVICE_SOCKET = "cowork-vm-service.sock"
"""Name of the socket that clients 2.x dial."""


class Paths(NamedTuple):
    """The folders of one user. ``runtime`` and ``state`` belong to us; ``sockets`` is shared with other programs."""

    home: Path
    state: Path
    runtime: Path
    sockets: Path
    trees: Path

    @property
    def sessions(self) -> Path:
        """One folder per session (``sessions.directory``)."""
        return self.state / "sessions"

    @property
    def homes(self) -> Path:
        """Private homes of sandboxed sessions from the shell, by session id.

        Not among the trees, which are Claude Desktop's to list and to delete.
        """
        return self.trees.parent / "homes"

    @property
    def worktrees(self) -> Path:
        """Git worktrees that were made for sessions, by session id."""
        return self.trees.parent / "worktrees"

    @property
    def lifecycle_log(self) -> Path:
        """What the daemon went through: start, signals, errors, end."""
        return self.state / "lifecycle.log"

    @property
    def lock(self) -> Path:
        """Held (flock) by the one daemon that serves this state folder."""
        return self.state / "daemon.lock"

    @property
    def control_socket(self) -> Path:
        """Where the daemon answers our own commands and takes over listeners."""
        return self.runtime / "control.sock"

    @property
    def default_service_socket(self) -> Path:
        """Where clients 2.x look for the service."""
        return self.sockets / SERVICE_SOCKET

    def make(self) -> None:
        """Create our own folders, 0700, and check that they are ours.

        Raises:
            PolicyError: a folder is a symbolic link, belongs to somebody else or can be written by others.
        """
        for folder in (self.state, self.sessions, self.runtime):
            private_directory(folder)
        # The guests' files are the user's own data, so an existing folder is taken as it is.
        self.trees.mkdir(mode=0o700, parents=True, exist_ok=True)


def resolve(environ: Mapping[str, str] | None = None) -> Paths:
    """Work out the folders from the environment; creates nothing.

    ``XDG_*`` values that are empty or relative count as unset, as the specification asks. Without
    ``XDG_RUNTIME_DIR`` the runtime folder is ``/tmp/cowork-UID`` and the sockets are in ``/tmp``.

    Raises:
        ConfigError: neither ``HOME`` nor the password database tells a home folder.
    """
    env = os.environ if environ is None else environ
    home = _home(env)
    state = _xdg(env, "XDG_STATE_HOME", home / ".local" / "state")
    data = _xdg(env, "XDG_DATA_HOME", home / ".local" / "share")
    runtime_root = env.get("XDG_RUNTIME_DIR", "")
    if runtime_root.startswith("/"):
        sockets = Path(runtime_root)
        runtime = sockets / "cowork"
        if len(os.fsencode(runtime)) + _SOCKET_NAME > MAX_SOCKET_PATH:
            # Too long for any socket of ours; a short folder of the same user serves as well.
            runtime = Path(f"/tmp/cowork-{os.getuid()}-{zlib.crc32(os.fsencode(runtime)):08x}")
    else:
        sockets = Path("/tmp")
        runtime = sockets / f"cowork-{os.getuid()}"
    # Never ".../sessions/<name>": a guest path must not be found inside a host path (faults.md, G6).
    return Paths(home=home, state=state / "cowork", runtime=runtime, sockets=sockets, trees=data / "cowork" / "trees")


def _home(env: Mapping[str, str]) -> Path:
    value = env.get("HOME", "")
    if not value.startswith("/"):
        import pwd

        try:
            value = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            raise ConfigError("HOME is not set", hint="export HOME=/path/to/your/home") from None
    return Path(value)


def _xdg(env: Mapping[str, str], name: str, default: Path) -> Path:
    value = env.get(name, "")
    return Path(value) if value.startswith("/") else default


def private_directory(path: Path) -> None:
    """Make ``path`` (and its parents) if missing, then insist that it is a real folder of ours with mode 0700.

    A folder of ours with wider rights is narrowed, since an older umask is no attack.

    Raises:
        PolicyError: it is a symbolic link, not a folder, or another user's.
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "not a folder"
        raise PolicyError(f"{path} is {kind}", hint="move it away; a folder of your own is needed there")
    if info.st_uid != os.getuid():
        raise PolicyError(f"{path} belongs to uid {info.st_uid}", hint="set XDG_RUNTIME_DIR to a folder of your own")
    if info.st_mode & 0o077:
        path.chmod(0o700)
