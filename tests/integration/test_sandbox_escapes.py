"""Ways out of the sandbox: the host's sockets, files and processes, what a program is handed, bubblewrap itself.

``MATRIX`` says which escapes stand for which row of the known ones (``ROWS``); each is tried outside, where it must
work, inside, where it must not, and inside without the defence, where it must work again. The table continues in
``test_sandbox_escapes_folders``, ``_kernel``, ``_later`` (what would run on the host later) and ``_network``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cowork.backends.base import Prepared
from cowork.backends.bwrap import backend, program
from cowork.holder.tree import descendants
from tests.support.escape import (
    EPILOGUE,
    PRELUDE,
    PYTHON,
    ROWS,
    Escape,
    Mode,
    Scene,
    Tried,
    check,
    host_tmp,
    incomplete,
    params,
    sandbox_of,
    scene,
    showing,
    undefended,
    with_groups,
    with_sandbox,
    without_options,
    without_sandbox,
)  # fmt: skip
from tests.support.holding import alive, wait_gone
from tests.support.sandbox import Session

pytestmark = [pytest.mark.bwrap, pytest.mark.integration, pytest.mark.usefixtures("ordinary")]


# -- what a program is handed

_VARIABLES = {
    "SSH_AUTH_SOCK": "/run/agent", "AWS_SECRET_ACCESS_KEY": "x", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/bus",
    "DISPLAY": ":0", "XAUTHORITY": "/x", "WAYLAND_DISPLAY": "wayland-0", "GITHUB_TOKEN": "x", "DOCKER_HOST": "x",
}  # fmt: skip


def _variables(made: Scene) -> Tried:
    made.jail.environ.update(_VARIABLES)
    return made.python("for n in sys.argv[1:]: attempt(n, lambda: n in os.environ)", *_VARIABLES)


def _inherit_everything(made: Scene) -> None:
    made.patch.setattr(backend, "inherited", dict)


def _descriptors(made: Scene) -> Tried:
    script = "attempt('a descriptor', lambda: any(os.readlink(f'/proc/self/fd/{n}') for n in range(3, 1000)"
    script += " if os.path.lexists(f'/proc/self/fd/{n}')))"
    fd = os.open(made.jail.secret, os.O_RDONLY)
    try:
        os.set_inheritable(fd, True)
        if made.mode == "outside":
            # Somebody's child has what its starter leaves open.
            argv = [PYTHON, "-I", "-c", "import os, sys; os.fstat(int(sys.argv[1]))", str(fd)]
            done = subprocess.run(argv, pass_fds=[fd], check=False)
            return {"a descriptor": "" if done.returncode == 0 else "closed"}
        return made.python(script)
    finally:
        os.close(fd)


def _leave_open(made: Scene) -> None:
    def change(prepared: Prepared) -> Prepared:
        return with_sandbox(prepared, files={**sandbox_of(prepared).files, 900: "secret"})

    made.change(change)


# -- sockets

_CONNECT = """
for path in sys.argv[1:]:
    attempt(path, connect, path)
if os.environ.get("XDG_RUNTIME_DIR"):
    for name in ("bus", "podman/podman.sock"):
        if f"{os.environ['XDG_RUNTIME_DIR']}/{name}" in sys.argv[1:]:
            attempt(f"$XDG_RUNTIME_DIR/{name}", connect, f"{os.environ['XDG_RUNTIME_DIR']}/{name}")
"""


def _sockets(*names: str) -> Callable[[Scene], Tried]:
    """Connect to sockets in the user's runtime folder."""

    def try_it(made: Scene) -> Tried:
        for name in names:
            path = made.jail.runtime / name
            path.parent.mkdir(exist_ok=True)
            made.socket_at(path)
        return made.python(_CONNECT, *(made.jail.runtime / name for name in names))

    return try_it


def _show_runtime(made: Scene) -> None:
    showing(made.jail.runtime)(made)


@contextmanager
def _as_root() -> Iterator[None]:
    """Root for a moment, where this test run is root's; else the user that we are."""
    root = os.getresuid()[2] == 0
    uid, gid = os.getuid(), os.getgid()
    if root:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
    try:
        yield
    finally:
        if root:
            os.setresgid(gid, gid, 0)
            os.setresuid(uid, uid, 0)


def _system_folder(made: Scene) -> Path:
    """A folder of the user's below /run, where the services' sockets are."""
    uid, gid = os.getuid(), os.getgid()
    if os.getresuid()[2] != 0:
        base = os.environ.get("XDG_RUNTIME_DIR", "")
        folder = tempfile.mkdtemp(prefix="cw", dir=base if os.access(base or "/none", os.W_OK) else "/tmp")
        made.stack.callback(shutil.rmtree, folder)
        return Path(folder)
    with _as_root():
        folder = tempfile.mkdtemp(prefix="cw", dir="/run")
        os.chown(folder, uid, gid)

    def remove() -> None:
        with _as_root():
            shutil.rmtree(folder)

    made.stack.callback(remove)
    return Path(folder)


def _docker(made: Scene) -> Tried:
    folder = _system_folder(made)
    made.socket_at(folder / "docker.sock")
    made.request["env"] = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
    if not made.defended:
        showing(folder)(made)
    return made.python(_CONNECT, folder / "docker.sock", env={"DOCKER_HOST": f"unix://{folder}/docker.sock"})


def _tmp_socket(made: Scene) -> Tried:
    folder = made.jail.root / ".X11-unix"
    folder.mkdir()
    made.socket_at(folder / "X7")
    return made.python(_CONNECT, folder / "X7")


def _first(made: Scene) -> Tried:
    """The host's /tmp, and the private one mounted before it instead of over it."""
    folder = made.jail.root / ".X11-unix"
    folder.mkdir()
    made.socket_at(folder / "X8")

    def change(found: list[list[str]]) -> list[list[str]]:
        host, own = ["--ro-bind", "/tmp", "/tmp"], ["--tmpfs", "/tmp"]
        at = found.index(own)
        order = [host, own] if made.defended else [own, host]
        return [*found[: at - 1], *order, *found[at + 1 :]]

    made.change(lambda prepared: with_groups(prepared, change))
    return made.python(_CONNECT, folder / "X8")


# -- files and processes of the host

_SEE = "for path in sys.argv[1:]: attempt(path, os.lstat, path)"


def _private_places(made: Scene) -> list[str]:
    ssh = made.jail.home / ".ssh"
    ssh.mkdir(exist_ok=True)
    (ssh / "id_ed25519").write_text("secret\n")
    usual = ("/root", "/home", "/etc/shadow", "/etc/ssh", "/etc/sudoers", "/var/lib", "/var/log", "/boot", "/sys")
    there = [path for path in usual if os.path.lexists(path) and not os.path.islink(path)]
    assert {"/root", "/etc/shadow", "/var/lib"} <= set(there)
    return [str(ssh / "id_ed25519"), str(made.jail.secret), *there]


def _see(made: Scene) -> Tried:
    return made.python(_SEE, *_private_places(made))


def _show_private(made: Scene) -> None:
    showing(*_private_places(made))(made)


_ROOT = """
up = "/.." * 20
first = 1 if os.access("/proc/1/root", os.R_OK) else os.getpid()
attempt("its own root", open, "/proc/self/root" + sys.argv[1])
attempt("the first process's root", open, f"/proc/{first}/root{sys.argv[1]}")
attempt("its starter's root", in_child, lambda: open(f"/proc/{os.getppid()}/root{sys.argv[1]}") and None)
attempt("above its working directory", open, f"/proc/self/cwd{up}{sys.argv[1]}")
attempt("above its root", open, up + sys.argv[1])
attempt("a thread's root", open, f"/proc/self/task/{os.getpid()}/root{sys.argv[1]}")
attempt("a descriptor", open, f"/proc/self/fd/{os.open('/', os.O_PATH)}{up}{sys.argv[1]}")
"""
_LOADER = """
import glob, subprocess
loader = next(p for f in ("/lib*", "/lib/*") for p in glob.glob(f + "/ld-*.so*"))
def run(*argv):
    if subprocess.run(argv, capture_output=True).stdout != b"ran\\n":
        raise OSError("it did not run")
attempt("by name", run, sys.argv[1], "ran")
attempt("by the loader", run, loader, sys.argv[1], "ran")
attempt("by the loader through /proc", run, loader, "/proc/self/root" + sys.argv[1], "ran")
"""
_PROCESS = """
pid = int(sys.argv[1])
attempt("its arguments", lambda: b"2000" in open(f"/proc/{pid}/cmdline", "rb").read())
attempt("a signal", os.kill, pid, 0)
attempt("a descriptor of it", os.pidfd_open, pid)
"""
_MEMORY = """
pid = int(sys.argv[1])
attempt("its environment", lambda: b"PATH" in open(f"/proc/{pid}/environ", "rb").read())
attempt("its root", open, f"/proc/{pid}/root{sys.argv[2]}")
attempt("its working directory", os.listdir, f"/proc/{pid}/cwd/")
attempt("its descriptors", os.listdir, f"/proc/{pid}/fd")
"""


def _root_links(made: Scene) -> Tried:
    return made.python(_ROOT, made.jail.secret)


def _loader(made: Scene) -> Tried:
    tool = made.jail.elsewhere / "tool"
    shutil.copy(shutil.which("echo", path="/usr/bin:/bin") or "/bin/echo", tool)
    return made.python(_LOADER, tool)


def _processes(made: Scene) -> Tried:
    return made.python(_PROCESS, made.victim("sleep", "1000", "2000").pid)


def _sleeper(made: Scene) -> int:
    """A process of the user's whose program runs."""
    victim = made.victim("/bin/sh", "-c", "echo up; exec sleep 1000")
    assert victim.stdout is not None
    victim.stdout.readline()
    return victim.pid


def _memory(made: Scene) -> Tried:
    return made.python(_MEMORY, _sleeper(made), made.jail.secret)


# -- the program, its end, and where the sandbox cannot be made


def _updated(made: Scene) -> Tried:
    """The program is replaced on the host, between two starts, by one that looks around."""
    folder = made.jail.home / "bin"
    folder.mkdir()
    claude = folder / "claude"
    claude.write_text(f"#!{PYTHON}\n")
    claude.chmod(0o755)
    prepared = made.prepare(str(claude))
    new = folder / "new"
    new.write_text(f"#!{PYTHON}\nprint(open({str(made.jail.secret)!r}).read())\n")
    new.chmod(0o755)
    os.replace(new, claude)
    if made.mode == "outside":
        done = subprocess.run([str(claude)], capture_output=True, text=True, check=False, env=made.jail.environ)
        said = done.stdout
    else:
        said = made.run(prepared).out
    return {"the new program is free": "" if "secret" in said else "it saw nothing"}


_REWRITE = """
own = sys.argv[1]
def replace():
    open(own + ".new", "w").close()
    os.rename(own + ".new", own)
attempt("append", lambda: open(own, "a").write("#"))
attempt("beside it", lambda: open(os.path.join(os.path.dirname(own), "other"), "w").close())
attempt("make it writable", os.chmod, own, 0o777)
attempt("replace", replace)
attempt("remove", os.unlink, own)
"""


def _rewrites_itself(made: Scene) -> Tried:
    folder = made.jail.home / "bin"
    folder.mkdir()
    claude = folder / "claude"
    claude.write_text(f"#!{PYTHON}\nimport sys\nsys.argv.pop(1)\nexec(sys.argv.pop(1))\n")
    claude.chmod(0o755)
    # As the session's own command: a script is shown with its folder.
    if made.mode == "outside":
        return made.python(_REWRITE, claude)
    script = PRELUDE + _REWRITE + EPILOGUE
    ended = made.start(str(claude), "-", script, str(claude))
    tried: Tried = json.loads(ended.out.partition("tried:")[2])
    assert claude.exists() or made.mode == "without"
    return tried


def _show_program_writable(made: Scene) -> None:
    folder = str(made.jail.home / "bin")

    def change(found: list[list[str]]) -> list[list[str]]:
        assert any(group[0] == "--ro-bind-fd" and group[2] == folder for group in found)
        return [["--bind-fd", *group[1:]] if group[-1] == folder else group for group in found]

    made.change(lambda prepared: with_groups(prepared, change))


_DETACH = """
import subprocess
subprocess.Popen(["sleep", "1000"], start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
attempt("it is up", lambda: True)
print("tried:" + json.dumps(tried), flush=True)
import signal
signal.pause()
"""


def _outlives(made: Scene) -> Tried:
    """What a session has started goes on when everything that watches it is killed at once."""
    argv = [PYTHON, "-I", "-c", PRELUDE + _DETACH]
    if made.mode == "outside":
        starter = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
        with starter:
            assert starter.stdout is not None
            starter.stdout.readline()
            left = descendants(starter.pid)
            starter.kill()
    else:
        held = made.hold(made.prepare(*argv))
        held.until(b"tried:")
        left = descendants(held.pid)
        held.kill_holder()
    if made.mode == "inside":
        for pid in left:
            wait_gone(pid)
    survivors = [pid for pid in left if alive(pid)]
    for pid in survivors:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended in this moment
    assert left
    return {"outlives its holder": "" if survivors else "gone"}


_PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from cowork.backends.bwrap import backend, probe
if sys.argv[2] == "drop":
    real = backend.base_recipe
    def base_recipe(*args, **kwargs):
        recipe = real(*args, **kwargs)
        at = recipe.options.index("--proc")
        recipe.options[at : at + 2] = ["--bind", "/proc", "/proc"]
        recipe.options.remove("--unshare-pid")
        return recipe
    backend.base_recipe = base_recipe
found = probe.probe({"PATH": "/usr/bin:/bin"})
print(json.dumps([found.works, found.reason, found.fix]))
"""


def _masked_proc(made: Scene) -> Tried:
    """A container whose /proc is masked in parts, as docker and podman do it: no other can be mounted."""
    source = str(Path(backend.__file__).parents[3])
    mask = ["--dev-bind", "/", "/", "--tmpfs", "/proc/fs"] if made.mode != "outside" else ["--dev-bind", "/", "/"]
    mode = "keep" if made.defended else "drop"
    done = subprocess.run(
        ["/usr/bin/bwrap", *mask, "--", sys.executable, "-c", _PROBE, source, mode], capture_output=True, text=True,
        check=False, env={"PATH": "/usr/bin:/bin", "HOME": str(made.jail.home)}, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    works, reason, fix = json.loads(done.stdout)
    if made.mode == "inside":
        assert "/proc" in reason, reason
        assert "unmask=ALL" in fix, fix
    return {"sessions are started": "" if works else reason}


# -- bubblewrap itself


def _attackers(made: Scene) -> Tried:
    """A bwrap of the user's, first on PATH, that lets everything out."""
    folder = made.jail.elsewhere / "bin"
    folder.mkdir()
    ran = made.jail.elsewhere / "ran"
    mine = folder / "bwrap"
    mine.write_text(f'#!/bin/sh\ntouch {ran}\nexec /usr/bin/bwrap "$@"\n')
    mine.chmod(0o755)
    made.jail.environ["PATH"] = f"{folder}:{made.jail.environ['PATH']}"
    if made.mode == "outside":
        subprocess.run(["bwrap", "--version"], env=made.jail.environ, capture_output=True, check=True)
    else:
        assert made.start("/bin/true").code == 0
    return {"it has run": "" if ran.exists() else "no"}


class _Setuid(program.Host):
    """A machine whose bubblewrap is setuid and has the hole."""

    def stat(self, path: str) -> os.stat_result:
        found = super().stat(path)
        if os.path.basename(path) != "bwrap":
            return found
        return os.stat_result([found.st_mode | 0o4000, *found[1:]])

    def answers(self, path: str) -> tuple[str, str]:
        return "bubblewrap 0.11.1\n", super().answers(path)[1]


def _setuid(made: Scene) -> Tried:
    path = made.jail.environ["PATH"]
    if made.mode == "outside":
        return {"it is used": "" if shutil.which("bwrap", path=path) else "none"}
    try:
        found = program.find(path, _Setuid())
    except program.NoProgram as e:
        return {"it is used": e.message if "CVE-2026-41163" in e.message else ""}
    return {"it is used": "" if found.setuid else "not setuid"}


def _trust_everybody(made: Scene) -> None:
    made.patch.setattr(program, "_unsound", lambda real, host: None)


def _forget_the_hole(made: Scene) -> None:
    made.patch.setattr(program, "SETUID_SINCE", (0,))


MATRIX: dict[str, list[Escape]] = {
    "Session D-Bus socket": [Escape("session-bus", _sockets("bus", "systemd/private"), _show_runtime)],
    "X11 socket and abstract sockets": [
        Escape("X11", _tmp_socket, host_tmp), Escape("Wayland", _sockets("wayland-0"), _show_runtime)
    ],
    "docker.sock": [
        Escape("docker", _docker, undefended),
        Escape("podman", _sockets("podman/podman.sock"), _show_runtime),
    ],
    "setuid bwrap ptrace": [Escape("setuid-bwrap", _setuid, _forget_the_hole)],
    "Attacker-supplied bwrap on PATH": [Escape("bwrap-on-PATH", _attackers, _trust_everybody)],
    "Sockets hidden by a later --tmpfs /tmp": [Escape("mount-order", _first, undefended)],
    "/proc/self/root, ld-linux re-exec": [
        Escape("root-links", _root_links, host_tmp),
        Escape("loader", _loader, host_tmp),
        Escape("host-processes", _processes, without_options("--unshare-pid")),
        Escape("host-memory", _memory, without_sandbox),
    ],
    "/proc cannot be mounted in containers": [Escape("masked-proc", _masked_proc, undefended)],
    "--die-with-parent kills wanted servers": [
        Escape("outlives-its-holder", _outlives, without_options("--die-with-parent"))
    ],
    "auto-updater recreates an unwrapped claude": [
        Escape("updated-program", _updated, without_sandbox),
        Escape("rewrites-itself", _rewrites_itself, _show_program_writable),
    ],
    "SBX-2: nobody else's files": [Escape("private-places", _see, _show_private)],
    "the environment": [Escape("variables", _variables, _inherit_everything)],
    "leaked descriptors": [Escape("descriptors", _descriptors, _leave_open)],
}  # fmt: skip
"""Rows of the reference (and what else a session must not have) with the escapes that stand for them."""


@pytest.mark.parametrize(("escape", "mode"), params(MATRIX))
def test_escape(escape: Escape, mode: Mode) -> None:
    check(escape, mode)


def test_every_row_of_the_reference_has_its_three_parts() -> None:
    from tests.integration import test_sandbox_escapes_folders as folders
    from tests.integration import test_sandbox_escapes_kernel as kernel
    from tests.integration import test_sandbox_escapes_later as later
    from tests.integration import test_sandbox_escapes_network as network

    assert not incomplete(MATRIX)
    tables = (MATRIX, folders.MATRIX, kernel.MATRIX, later.MATRIX, network.MATRIX)
    assert [row for row in ROWS if not any(row in table for table in tables)] == []
    names = [escape.name for table in tables for escapes in table.values() for escape in escapes]
    assert len(names) == len(set(names))


def test_nothing_but_the_three_streams_is_open() -> None:
    script = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    for terminal in (False, True):
        with scene("inside") as made:
            prepared = made.prepare(PYTHON, "-I", "-c", script, terminal=terminal)
            assert made.run(prepared, terminal=terminal).out.strip() == "[0, 1, 2, 3]"


def test_the_proxy_is_there_before_the_program() -> None:
    """The first thing that a program does may be to connect."""
    script = "attempt('connect', lambda: socket.create_connection(('127.0.0.1', 3128), 5) and None)"
    with scene("inside") as made:
        assert made.python(script) == {"connect": ""}
    with scene("inside") as made:
        made.change(lambda prepared: with_sandbox(prepared, listen=[], proxy=None))
        assert "refused" in made.python(script)["connect"]


def test_the_end_of_the_daemon_is_not_that_of_the_session(session: Session) -> None:
    id = session.spawn("/bin/sh", "-c", "echo up; read line; echo $line")
    session.client.until(lambda e: e["type"] == "stdout")
    session.daemon.restart()
    with session.daemon.client() as client:
        assert client.ask("isProcessRunning", {"id": id})["running"] is True
        client.subscribe()
        client.ask("writeStdin", {"id": id, "data": "on\n"})
        assert [e["exitCode"] for e in client.until_exit(id) if e["type"] == "exit"] == [0]
