"""Ways out of the sandbox, each tried three times: outside, inside, and inside without what holds it.

Nothing of the product is told that it is tested. A real ``Prepared`` comes from the real backend, is altered if the
scene says so, and is started through a real holder. What lies in the holder is taken away by a holder whose functions
are replaced before it begins.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import pytest

import cowork
from cowork.backends.base import Prepared, SpawnRequest
from cowork.backends.bwrap import plan, seccomp
from cowork.backends.bwrap.backend import BwrapBackend
from cowork.holder.spec import Folder, Sandbox
from cowork.wire.requests import Mount
from tests.support.holding import STDERR, STDOUT, Held, Place, short_folder

PYTHON = "/usr/bin/python3"
"""The system's, which is there inside and outside."""
NAME = "brave-otter"
ROOT = f"/sessions/{NAME}"
MNT = f"{ROOT}/mnt"
MARK = errno.EXFULL
"""An error that no call returns by itself: whoever sees it has met the filter."""
MACHINE = os.uname().machine

ROWS = (
    "TIOCSTI types into the parent terminal", "Session D-Bus socket", "X11 socket and abstract sockets", "docker.sock",
    "Supervisor's own control socket inside the jail", "Missing deny target is created by the agent",
    "Symlink write / race", "Argument injection into the wrapper", "setuid bwrap ptrace",
    "Attacker-supplied bwrap on PATH", "git as an exec vector", "Proxy allow-list bypass",
    "Sockets hidden by a later --tmpfs /tmp", "/proc/self/root, ld-linux re-exec",
    "/proc cannot be mounted in containers", "--die-with-parent kills wanted servers",
    "auto-updater recreates an unwrapped claude", "Untrusted repo weakens policy",
    "glob/trailing slash denies ignored",
)  # fmt: skip
"""The known ways out of such sandboxes, as the reference lists them."""

TARGETS = (".git/hooks", ".git/config", ".claude/settings.json", ".claude/settings.local.json", ".mcp.json")
"""What a session must not write in a folder of the user's, whether or not it is there."""

Mode: TypeAlias = Literal["outside", "inside", "without"]
MODES: tuple[Mode, ...] = ("outside", "inside", "without")
Tried: TypeAlias = dict[str, str]
"""What was tried, and why it did not work; empty where it did."""
Change: TypeAlias = Callable[[Prepared], Prepared]

_OPERANDS = {
    "--setenv": 2, "--bind": 2, "--ro-bind": 2, "--bind-fd": 2, "--ro-bind-fd": 2, "--symlink": 2, "--file": 2,
    "--ro-bind-data": 2, "--tmpfs": 1, "--perms": 1, "--proc": 1, "--dev": 1, "--dir": 1, "--cap-drop": 1,
    "--hostname": 1, "--seccomp": 1, "--chdir": 1, "--remount-ro": 1,
}  # fmt: skip
"""Of the options that the recipe uses; all others have none."""

PRELUDE = """
import ctypes, errno, json, os, socket, stat, sys
tried = {}
def attempt(name, action, *args):
    try:
        tried[name] = "" if action(*args) is not False else "no"
    except BaseException as e:
        tried[name] = f"{type(e).__name__}: {e}"[:200] or "failed"
def in_child(action, *args):
    # What it changes ends with it.
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = "" if action(*args) is not False else "no"
        except BaseException as e:
            said = f"{type(e).__name__}: {e}"
        os.write(w, said.encode())
        os._exit(0)
    os.close(w)
    said = os.read(r, 1000).decode()
    os.close(r)
    os.waitpid(pid, 0)
    if said:
        raise RuntimeError(said)
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *args):
    if function(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
def connect(address, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as s:
        s.connect(address)
"""
EPILOGUE = """
print("tried:" + json.dumps(tried), flush=True)
"""
_PATCHED = """
import sys
sys.path.insert(0, {source!r})
{patch}
from cowork.holder.zygote import main
main(sys.argv[1:])
"""


class Ended(NamedTuple):
    """How a program ended and what it printed; ``refused``: it was not started, and why."""

    code: int
    out: str
    err: str
    refused: str = ""


class Escape(NamedTuple):
    """One way out.

    ``attempt`` tries it in a scene; ``without`` takes from a scene what holds it. ``still``: what may be taken away
    alone, because something else holds it as well.
    """

    name: str
    attempt: Callable[[Scene], Tried]
    without: Callable[[Scene], None]
    still: tuple[Callable[[Scene], None], ...] = ()


class Escaped(AssertionError):
    """It worked where it must not."""


class Jail:
    """A user with a home folder, a workspace, settings, and a way to start holders; all of it below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home, self.tree, self.runtime, self.settings, self.elsewhere = (
            root / name for name in ("h", "t", "u/r", "c", "e")
        )
        self.workspace = self.home / "proj"
        self.runtime.parent.mkdir()
        for folder in (self.home, self.workspace, self.tree, self.runtime, self.settings, self.elsewhere, root / "p"):
            folder.mkdir(mode=0o700)
        self.ours = tuple(str(folder) for folder in (self.runtime, self.settings, root / "p", root / "s", root / "d"))
        self.secret = self.elsewhere / "secret"
        self.secret.write_text("secret\n")
        self.place = _Place(root / "p")
        self.environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8",
            "XDG_CONFIG_HOME": str(self.settings), "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(root / "s"), "XDG_DATA_HOME": str(root / "d"),
        }  # fmt: skip

    def configure(self, text: str) -> None:
        """Write config.toml."""
        folder = self.settings / "cowork"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(text)

    def request(self, command: str, args: Sequence[str], **changes: Any) -> SpawnRequest:
        """A client's request: the workspace is mounted as ``proj`` and nothing may be reached."""
        asked: dict[str, Any] = {
            "name": NAME, "command": command, "args": list(args), "cwd": "", "env": {},
            "mounts": {"proj": self.workspace}, "tree": self.tree, "home": self.home, "inherited": self.environ,
            "allowed_domains": [], "ours": self.ours, **changes,
        }  # fmt: skip
        asked["mounts"] = {
            name: path if isinstance(path, Mount) else Mount(path=str(path).lstrip("/"), mode="rw")
            for name, path in asked["mounts"].items()
        }
        return SpawnRequest(**asked)

    def prepare(self, request: SpawnRequest) -> Prepared:
        """What the backend makes of it."""
        return BwrapBackend(self.environ).prepare(request)


class _Place(Place):
    """Starts holders some functions of which are replaced: ``patch`` is Python that runs before the holder does."""

    patch = ""

    def channel(self) -> socket.socket:
        if not self.patch:
            return super().channel()
        source = str(Path(cowork.__file__).parents[1])
        code = _PATCHED.format(source=source, patch=self.patch)
        ours, theirs = socket.socketpair()
        with theirs:
            subprocess.run(
                [sys.executable, "-I", "-S", "-c", code, "hold", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                start_new_session=True, cwd="/", check=True,
            )  # fmt: skip
        return ours


class Scene:
    """One try of one escape, in a jail of its own. An attempt does the same in every mode."""

    def __init__(self, mode: Mode, jail: Jail, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self.mode = mode
        self.jail = jail
        self.patch = patch
        """For what ``prepare`` does, which is done in this process."""
        self.stack = stack
        """For what has to be undone after the try."""
        self.rules: tuple[seccomp.Rule, ...] = seccomp.RULES
        self.request: dict[str, Any] = {}
        """Changes of the client's request."""
        self.defended = True
        """For attempts that take away themselves what holds them, because only they know it."""
        self.last: Path | None = None
        """The folder of the session that was run last."""
        self._changes: list[Change] = []

    # -- what is taken away or changed

    def change(self, change: Change) -> None:
        """Alter what was prepared."""
        self._changes.append(change)

    def patch_holder(self, code: str) -> None:
        """Run Python in the holder before it begins."""
        self.jail.place.patch += code + "\n"

    # -- running programs

    def python(
        self, script: str, *args: object, env: Mapping[str, str] | None = None, terminal: bool = False, **request: Any
    ) -> Tried:
        """What a script has tried. It has ``attempt`` and the workspace as its working directory."""
        argv = ["-I", "-c", PRELUDE + script + EPILOGUE, *map(str, args)]
        if self.mode == "outside":
            ended = self._outside([PYTHON, *argv], {**self.jail.environ, **(env or {})}, terminal)
        else:
            ended = self.start(PYTHON, *argv, env=env, terminal=terminal, **request)
        found = re.search(r"tried:(\{.*\})", ended.out)
        if found is None:
            assert ended.refused, ended
            return {"start": ended.refused}
        tried: Tried = json.loads(found[1])
        return tried

    def start(
        self, command: str, *args: str, env: Mapping[str, str] | None = None, terminal: bool = False, **request: Any
    ) -> Ended:
        """Run a program inside to its end."""
        prepared = self.prepare(command, *args, env=env or {}, terminal=terminal, **request)
        return self.run(prepared, terminal=terminal)

    def prepare(self, command: str, *args: str, **request: Any) -> Prepared:
        """What the backend makes of a request, altered as this scene wants it."""
        prepared = self.jail.prepare(self.jail.request(command, args, **{**self.request, **request}))
        if self.rules is not seccomp.RULES:
            prepared = with_filter(prepared, self.rules)
        for change in self._changes:
            prepared = change(prepared)
        return prepared

    def run(self, prepared: Prepared, *, terminal: bool = False) -> Ended:
        """Have a holder start it; returns when the holder, too, has ended."""
        from cowork.errors import HolderError

        try:
            held = self.hold(prepared, terminal=terminal)
        except HolderError as e:
            return Ended(-1, "", "", str(e))
        record = held.wait()
        self.last = held.directory.path
        out, err = (held.printed(stream).decode("utf-8", "replace") for stream in (STDOUT, STDERR))
        return Ended(record.exit_code, out, err)

    def hold(self, prepared: Prepared, *, terminal: bool = False) -> Held:
        """Have a holder start it."""
        return self.jail.place.start(
            prepared.argv, executable=prepared.executable, env=prepared.env,
            cwd=prepared.cwd if prepared.sandbox is None else "/", sandbox=prepared.sandbox,
            terminal=(24, 80) if terminal else None,
        )  # fmt: skip

    def network_log(self) -> str:
        """What the proxy of the session that was run last has decided."""
        assert self.last is not None
        return (self.last / "network.log").read_text()

    def _outside(self, argv: list[str], env: Mapping[str, str], terminal: bool) -> Ended:
        if terminal:
            return _on_a_terminal(argv, env, self.jail.workspace)
        done = subprocess.run(
            argv, env=env, cwd=self.jail.workspace, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=30,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    # -- things on the host

    def socket_at(self, address: Path | bytes, kind: int = socket.SOCK_STREAM) -> None:
        """A Unix socket that listens for as long as the scene lasts."""
        sock = self.stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        sock.bind(str(address) if isinstance(address, Path) else address)
        if kind == socket.SOCK_STREAM:
            sock.listen()

    def victim(self, *argv: str) -> subprocess.Popen[bytes]:
        """A process on the host."""
        made = self.stack.enter_context(
            subprocess.Popen([*argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=self.jail.environ)
        )
        self.stack.callback(made.kill)
        return made


def _on_a_terminal(argv: list[str], env: Mapping[str, str], cwd: Path) -> Ended:
    """Run a program whose controlling terminal is a new one."""
    pid, master = pty.fork()
    if pid == 0:
        try:
            os.chdir(cwd)
            os.execve(argv[0], argv, dict(env))
        finally:
            os._exit(127)
    said = b""
    try:
        while more := os.read(master, 65536):
            said += more
    except OSError:
        pass  # EIO: nobody has it open any more
    os.close(master)
    _, status = os.waitpid(pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), said.decode("utf-8", "replace"), "")


@contextmanager
def scene(mode: Mode) -> Iterator[Scene]:
    """A scene that leaves nothing behind."""
    with short_folder() as root, pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        jail = Jail(root)
        try:
            yield Scene(mode, jail, patch, stack)
        finally:
            jail.place.close()
            _make_removable(root)


def fill(folder: Path, state: str) -> None:
    """A project of the user's: "bare", "partial" (the folders are there) or "full" (everything to be guarded is)."""
    folder.mkdir()
    (folder / "a.txt").write_text("text\n")
    if state != "bare":
        (folder / ".git").mkdir()
        (folder / ".claude").mkdir()
    if state == "full":
        (folder / ".git" / "hooks").mkdir()
        (folder / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\n")
        for path in TARGETS[1:]:
            (folder / path).write_text("{}\n")


def _make_removable(root: Path) -> None:
    for folder, names, _ in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)


# -- the three parts of a row


def check(escape: Escape, mode: Mode) -> None:
    """Outside it works; inside it does not; without the defence it does again."""
    with scene(mode) as made:
        if mode == "without":
            escape.without(made)
        tried = escape.attempt(made)
    assert tried
    if mode == "inside":
        _assert_held(escape, tried)
    else:
        assert not any(tried.values()), f"{escape.name}: {mode} it does not work: {tried}"


def check_still_held(escape: Escape, taken: Callable[[Scene], None]) -> None:
    """One of several defences is missing, and the others hold."""
    with scene("inside") as made:
        taken(made)
        tried = escape.attempt(made)
    assert tried
    _assert_held(escape, tried)


def _assert_held(escape: Escape, tried: Tried) -> None:
    done = [name for name, why in tried.items() if not why]
    if done:
        raise Escaped(f"{escape.name}: done inside: {done}")


def incomplete(matrix: Mapping[str, Sequence[Escape]]) -> list[str]:
    """The rows of a matrix that lack one of the three parts."""
    parts = {
        row: {(param.values[0].name, param.values[1]) for param in params({row: escapes})}
        for row, escapes in matrix.items()
    }
    return [
        row
        for row, escapes in matrix.items()
        if not escapes or parts[row] != {(escape.name, mode) for escape in escapes for mode in MODES}
    ]


def params(matrix: Mapping[str, Sequence[Escape]], holes: Mapping[str, str] | None = None) -> list[Any]:
    """Every escape of a matrix in every mode. ``holes``: those that nothing holds yet, and why."""
    return [
        pytest.param(
            escape, mode, id=f"{escape.name}-{mode}",
            marks=pytest.mark.xfail(raises=Escaped, strict=True, reason=f"hole: {holes[escape.name]}")
            if mode == "inside" and holes and escape.name in holes else (),
        )
        for escapes in matrix.values() for escape in escapes for mode in MODES
    ]  # fmt: skip


def still_params(matrix: Mapping[str, Sequence[Escape]]) -> list[Any]:
    """Every escape that more than one thing holds, with one of them."""
    return [
        pytest.param(escape, taken, id=f"{escape.name}-{number}")
        for escapes in matrix.values()
        for escape in escapes
        for number, taken in enumerate(escape.still)
    ]


# -- altering what was prepared


def groups(options: Sequence[str]) -> list[list[str]]:
    """bubblewrap's options, each with its operands."""
    found: list[list[str]] = []
    at = 0
    while at < len(options):
        end = at + 1 + _OPERANDS.get(options[at], 0)
        found.append(list(options[at:end]))
        at = end
    return found


def with_sandbox(prepared: Prepared, **changes: Any) -> Prepared:
    """With some fields of the sandbox replaced."""
    assert prepared.sandbox is not None
    return msgspec.structs.replace(prepared, sandbox=prepared.sandbox._replace(**changes))


def sandbox_of(prepared: Prepared) -> Sandbox:
    """What the holder starts it in."""
    assert prepared.sandbox is not None
    return prepared.sandbox


def with_groups(prepared: Prepared, change: Callable[[list[list[str]]], list[list[str]]]) -> Prepared:
    """With other options."""
    changed = change(groups(sandbox_of(prepared).options))
    return with_sandbox(prepared, options=[word for group in changed for word in group])


def with_filter(prepared: Prepared, rules: Sequence[seccomp.Rule]) -> Prepared:
    """With another system call filter."""
    made = sandbox_of(prepared)
    number = int(made.options[made.options.index("--seccomp") + 1])
    text = seccomp.filter_for(MACHINE, rules).decode("latin-1")
    return with_sandbox(prepared, files={**made.files, number: text})


def without_options(*dropped: str) -> Callable[[Scene], None]:
    """Leave out options; each is a name, or a name with its first operands (``--tmpfs /tmp``)."""
    wanted = [words.split() for words in dropped]

    def change(prepared: Prepared) -> Prepared:
        found = groups(sandbox_of(prepared).options)
        for words in wanted:
            assert any(group[: len(words)] == words for group in found), f"the recipe has no {words}"
        kept = [group for group in found if not any(group[: len(words)] == words for words in wanted)]
        return with_sandbox(prepared, options=[word for group in kept for word in group])

    return lambda made: made.change(change)


def without_rules(*names: str) -> Callable[[Scene], None]:
    """Let system calls through."""

    def change(made: Scene) -> None:
        made.rules = tuple(rule for rule in made.rules if rule.name not in names)

    return change


def without_filter(made: Scene) -> None:
    """Let every system call through."""
    made.rules = ()


def marked(made: Scene) -> None:
    """Have the filter refuse with ``MARK``."""
    made.rules = tuple(dataclasses.replace(rule, errno=MARK) for rule in made.rules)


def without_network_namespace(made: Scene) -> None:
    """Leave it in the host's network; there is nobody's socket inside then."""
    without_options("--unshare-net")(made)
    made.change(lambda prepared: with_sandbox(prepared, listen=[], proxy=None))


def without_sandbox(made: Scene) -> None:
    """Start the program as it is, beside the user's own."""
    made.change(
        lambda prepared: msgspec.structs.replace(
            prepared, sandbox=None, cwd=str(made.jail.workspace), env={**made.jail.environ}
        )
    )


def showing(*paths: str | Path) -> Callable[[Scene], None]:
    """Show further paths of the host at their own places."""

    def change(prepared: Prepared) -> Prepared:
        binds = [["--bind", str(path), str(path)] for path in paths]
        return with_groups(prepared, lambda found: _before_the_end(found, binds))

    return lambda made: made.change(change)


def showing_elsewhere(made: Scene) -> None:
    """Show the folder with the secret."""
    showing(made.jail.elsewhere)(made)


def _before_the_end(found: list[list[str]], more: list[list[str]]) -> list[list[str]]:
    """Before the folders in which nothing is made any more are closed."""
    end = next(i for i, group in enumerate(found) if group[0] == "--remount-ro" and group[1] in (MNT, "/"))
    return [*found[:end], *more, *found[end:]]


def host_tmp(made: Scene) -> None:
    """Show the host's /tmp instead of one of its own."""

    def change(found: list[list[str]]) -> list[list[str]]:
        at = found.index(["--tmpfs", "/tmp"])
        assert found[at - 1][0] == "--perms"
        return [*found[: at - 1], ["--bind", "/tmp", "/tmp"], *found[at + 1 :]]

    made.change(lambda prepared: with_groups(prepared, change))


def by_path(made: Scene) -> None:
    """Have bubblewrap look its folders up itself, as those releases do that take no descriptors."""

    def change(prepared: Prepared) -> Prepared:
        paths = {str(folder.fd): folder.path for folder in sandbox_of(prepared).folders}
        return with_groups(
            prepared,
            lambda found: [
                [group[0].removesuffix("-fd"), paths[group[1]], group[2]] if group[0].endswith("bind-fd") else group
                for group in found
            ],
        )

    made.change(change)


def without_comparison(made: Scene) -> None:
    """Have nobody compare what is mounted with what was meant."""
    made.change(
        lambda prepared: with_sandbox(
            prepared, folders=[Folder(f.fd, f.path, "") for f in sandbox_of(prepared).folders]
        )
    )


def undefended(made: Scene) -> None:
    """Leave it to the attempt."""
    made.defended = False


def without_guards(made: Scene) -> None:
    """Leave the user's folders as they are."""
    made.patch.setattr(plan, "guards", lambda folder, *, home: [])


def both(*changes: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """All of these."""

    def change(made: Scene) -> None:
        for one in changes:
            one(made)

    return change
