"""Starting holders: through the daemon's zygote, through the one that the shell's sessions share, or plainly."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cowork.holder
from cowork.errors import HolderError
from cowork.linux.lockfile import LockFile
from cowork.linux.unixsocket import answers

if TYPE_CHECKING:
    import asyncio

    from cowork.holder.spec import StartSpec

_UP = 10.0
"""Seconds that a zygote may take to come up on a loaded machine."""
_DOWN = 1.0
"""Seconds that it may take to end once nobody speaks to it."""
_MAIN = str(Path(cowork.holder.__file__).with_name("__main__.py"))


def holder_command(role: str, fd: int, descriptors: int | None = None) -> list[str]:
    """Command line of a zygote or holder that speaks on the inherited descriptor ``fd``.

    ``descriptors``: the soft limit to go back to, if the caller has raised its own.

    Isolated (``-I``) and without site (``-S``): nothing of the user's Python can get in, and it starts in 20 ms.
    """
    limit = [] if descriptors is None else [str(descriptors)]
    return [sys.executable, "-I", "-S", _MAIN, role, str(fd), *limit]


class Zygote:
    """The daemon's fork server (holder/zygote.py); started on first use, and again when it has died.

    ``scope``: a command that runs it in a scope of its own (linux/systemd.py), or nothing. A scope that turns out to
    be refused is done without from then on. ``descriptors``: see ``holder_command``.
    """

    def __init__(self, scope: list[str] | None = None, descriptors: int | None = None) -> None:
        self._scope = scope or []
        self._descriptors = descriptors
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._coming: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its pid, None while it does not run."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it if it does not run; does not wait until it is up.

        Raises:
            HolderError: it cannot be started.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self._reset()
        ours, theirs = socket.socketpair()
        role = "scoped-zygote" if self._scope else "zygote"
        command = [*self._scope, *holder_command(role, theirs.fileno(), self._descriptors)]
        try:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], start_new_session=True, cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as e:
            ours.close()
            raise HolderError(f"cannot start {command[0]}: {e.strerror}") from e
        finally:
            theirs.close()
        self._sock = ours

    async def ready(self) -> None:
        """Wait, on the event loop, until a zygote is up; ``channel`` does not block then.

        Raises:
            HolderError: it cannot be started.
        """
        import asyncio  # the command line uses this module without it

        from cowork.linux import tasks

        if self._process is not None and self._process.poll() is not None:
            self._reset()  # it was killed
        if not self._ready:
            if self._coming is None or self._coming.done():
                # One for all who wait: a descriptor has one reader only.
                self._coming = tasks.start(self._come_up(), "zygote")
            await asyncio.shield(self._coming)

    async def _come_up(self) -> None:
        import asyncio

        while not self._ready:
            self.start()
            assert self._sock is not None
            self._sock.setblocking(False)
            try:
                data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._sock, 1), _UP)
            except OSError:
                data = b""
            self._ready = data == b"r"
            if not self._ready:
                self._reset()
                if not self._scope:
                    raise HolderError("the zygote ends as soon as it is started")
                self._scope = []

    def channel(self) -> socket.socket:
        """A channel to a new holder that waits for BEGIN on it. Waits for a zygote that is just being started.

        Raises:
            HolderError: no zygote can be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                for _ in range(3):
                    self.start()
                    if self._is_up() and self._hand_over(theirs):
                        return ours
                    self._reset()
                raise HolderError("the zygote ends as soon as it is started")
            except HolderError:
                ours.close()
                raise

    def _is_up(self) -> bool:
        assert self._sock is not None
        if not self._ready:
            self._sock.settimeout(_UP)
            try:
                self._ready = self._sock.recv(1) == b"r"
            except OSError:
                self._ready = False
            if not self._ready:
                self._scope = []
        return self._ready

    def _hand_over(self, end: socket.socket) -> bool:
        assert self._sock is not None
        try:
            socket.send_fds(self._sock, [b"x"], [end.fileno()])
        except OSError:
            return False  # it was killed: once more with a new one
        return True

    def close(self) -> None:
        """Let it end; its holders live on."""
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None
        self._reset()

    def _reset(self) -> None:
        self._ready = False
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._process is not None:
            try:
                self._process.wait(_DOWN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def shared_channel(runtime: Path, scope: list[str] | None = None) -> socket.socket:
    """A channel to a new holder from the zygote that all sessions from the shell share, so that the holders share their
    memory; it is started if there is none, and done without if it cannot be.

    ``scope``: see ``plain_channel``.

    Raises:
        HolderError: no holder can be started.
    """
    path = runtime / "zygote.sock"
    ours, theirs = socket.socketpair()
    with theirs:
        for _ in range(2):
            if _ask_for_holder(path, theirs):
                return ours
            _share_zygote(path, scope or [])
    ours.close()
    return plain_channel(scope)


def _ask_for_holder(path: Path, channel: socket.socket) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as zygote:
        zygote.settimeout(_UP)
        try:
            zygote.connect(str(path))
            socket.send_fds(zygote, [b"x"], [channel.fileno()])
            return zygote.recv(1) == b"k"
        except OSError:
            return False


def _share_zygote(path: Path, scope: list[str]) -> None:
    """Start the shared zygote unless somebody else just did. It listens from the first moment."""
    lock = LockFile(path.with_suffix(".lock"))
    lock.acquire_when_free()
    try:
        if answers(path):
            return
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            old = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(old)
            listener.listen(64)
            role = "scoped-shared-zygote" if scope else "shared-zygote"
            subprocess.run(
                [*scope, *holder_command(role, listener.fileno())], pass_fds=[listener.fileno()],
                start_new_session=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
    except OSError:
        pass  # a holder can be started without
    finally:
        lock.release()


def plain_channel(scope: list[str] | None = None) -> socket.socket:
    """A channel to a new holder without a zygote: one interpreter's start.

    ``scope``: a command that runs it in a scope of its own (linux/systemd.py), which outlives the caller's login; one
    that is refused is done without.

    Raises:
        HolderError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        commands = [[*scope, *holder_command("scoped-hold", theirs.fileno())]] if scope else []
        commands.append(holder_command("hold", theirs.fileno()))
        for command in commands:
            try:
                subprocess.run(
                    command, pass_fds=[theirs.fileno()], start_new_session=True, cwd="/",
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                )  # fmt: skip
            except (OSError, subprocess.CalledProcessError) as e:
                refused: Exception = e
            else:
                return ours
    ours.close()
    raise HolderError(f"cannot start a holder: {refused}") from refused


def begin(channel: socket.socket, spec: StartSpec) -> None:
    """Send BEGIN on a blocking channel."""
    from cowork.holder import messages

    channel.sendall(messages.pack(messages.BEGIN, spec.encode()))
