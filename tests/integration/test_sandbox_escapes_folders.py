"""Ways out of the sandbox through the user's folders: what would run on the host later, links, names that are options.

See ``test_sandbox_escapes``, whose table continues here.
"""

from __future__ import annotations

import functools
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cowork.backends.bwrap import usermounts
from cowork.config import Watched
from cowork.errors import CoworkError, RpcError
from cowork.service.handlers.processes import check_spawn
from cowork.wire import requests as r
from tests.support.escape import (
    MNT,
    Escape,
    Mode,
    Scene,
    Tried,
    both,
    by_path,
    check,
    fill,
    host_tmp,
    incomplete,
    params,
    scene,
    undefended,
    with_groups,
    with_sandbox,
    without_comparison,
    without_guards,
)

pytestmark = [pytest.mark.bwrap, pytest.mark.integration, pytest.mark.usefixtures("ordinary")]


def _script_in_tmp(made: Scene) -> Tried:
    """A program that lies directly in /tmp, beside everything that others have there."""
    fd, script = tempfile.mkstemp(prefix="cw", dir="/tmp")
    made.stack.callback(os.unlink, script)
    os.write(fd, f"#!/bin/sh\ncat {made.jail.secret}\n".encode())
    os.fchmod(fd, 0o755)
    os.close(fd)
    if made.mode == "outside":
        done = subprocess.run([script], capture_output=True, text=True, check=False)
        return {"what lies beside it": "" if "secret" in done.stdout else done.stderr}
    # Home elsewhere: what home lies in is not shown anyway.
    ended = made.start(script, home=Path(pwd.getpwuid(os.getuid()).pw_dir))
    return {"what lies beside it": "" if "secret\n" in ended.out else ended.refused or ended.err}


# -- links and races

_READ = "attempt('the other folder', open, 'secret')"


def _swap(made: Scene, place: Path) -> None:
    """Put a link to the folder with the secret where ``place`` is."""
    os.rename(place, f"{place}.old")
    os.symlink(made.jail.elsewhere, place)


def _swapped(name: str, made: Scene) -> Tried:
    """A folder, or one above it, becomes a link after it has been decided that it may be mounted."""
    workspace = made.jail.workspace
    if name == "parent":
        workspace = workspace / "above" / "work"
        workspace.mkdir(parents=True)
        (made.jail.elsewhere / "work").mkdir()
        shutil.copy(made.jail.secret, made.jail.elsewhere / "work")
    swapped = workspace if name == "itself" else workspace.parent
    if made.mode == "outside":
        _swap(made, swapped)
        tried: Tried = {"the other folder": "" if (workspace / "secret").read_text() else "empty"}
        return tried
    prepared = made.prepare("/bin/cat", "secret", mounts={"proj": workspace})
    _swap(made, swapped)
    ended = made.run(prepared)
    if made.mode == "inside":
        assert str(workspace) in ended.refused, ended
    return {"the other folder": "" if "secret" in ended.out else ended.refused}


def _follow_links(made: Scene) -> None:
    without_guards(made)
    by_path(made)
    made.change(lambda prepared: with_sandbox(prepared, folders=[], covers=[]))


def _raced(with_descriptors: bool, made: Scene) -> Tried:
    """A folder becomes a link after it was opened and before bubblewrap mounts it."""
    workspace, other = made.jail.workspace, made.jail.elsewhere
    (workspace / "own").write_text("own\n")
    swap = f"mv {workspace} {workspace}.old; ln -s {other} {workspace}"
    wrapper = made.jail.root / "wrapper"
    wrapper.write_text(f'#!/bin/sh\n{swap}\nexec /usr/bin/bwrap "$@"\n')
    wrapper.chmod(0o755)
    if made.mode == "outside":
        subprocess.run(["/bin/sh", "-c", swap], check=True)
        return {"the other folder": "" if (workspace / "secret").read_text() else "empty"}
    if not with_descriptors and made.defended:
        by_path(made)
    made.change(lambda prepared: with_sandbox(prepared, program=str(wrapper)))
    ended = made.start("/bin/sh", "-c", "cat secret own")
    if with_descriptors and made.mode == "inside":
        assert ended.out == "own\n", "the folder that was opened is the one that is shown"
    elif made.mode == "inside":
        assert f"{workspace} was replaced" in ended.refused
    return {"the other folder": "" if "secret" in ended.out else ended.refused or ended.err}


def _unwatched(made: Scene) -> None:
    by_path(made)
    without_comparison(made)
    made.defended = False


_LAX = """
import os
import pwd
from cowork.holder import beneath, covers
def open_path(path, root=None, strict=beneath.open_path):
    return os.open(path, os.O_PATH | os.O_CLOEXEC) if root is None else strict(path, root)
beneath.open_path = covers.open_path = open_path
"""


def _cover_through_link(made: Scene) -> Tried:
    """Placeholders are made where a link leads."""
    folder = made.jail.workspace / ".claude"
    folder.mkdir()
    there = made.jail.elsewhere / "settings.json"
    if made.mode == "outside":
        _swap(made, folder)
        (folder / "settings.json").touch()
        return {"made elsewhere": "" if there.exists() else "not there"}
    prepared = made.prepare("/bin/sh", "-c", "echo up; sleep 1000")
    _swap(made, folder)
    if made.mode == "inside":
        assert str(folder) in made.run(prepared).refused
    else:
        held = made.hold(prepared)
        held.first_line()
    return {"made elsewhere": "" if there.exists() else "not there"}


def _lax(made: Scene) -> None:
    made.patch_holder(_LAX)
    without_comparison(made)

    def change(found: list[list[str]]) -> list[list[str]]:
        return [group for group in found if not group[-1].startswith(f"{MNT}/proj/.claude")]

    made.change(lambda prepared: with_groups(prepared, change))  # bubblewrap mounts nothing on a link


def _read_only(made: Scene) -> Tried:
    folder = made.jail.home / "ro"
    folder.mkdir()
    (folder / "file").write_text("x\n")
    script = """
attempt("write", lambda: open("../ro/file", "a").write("x") and None)
attempt("create", lambda: open("../ro/new", "w").close())
attempt("mode", os.chmod, "../ro/file", 0o600)
attempt("remove", os.unlink, "../ro/file")
attempt("write behind", lambda: open("/proc/self/cwd/../ro/new", "w").close())
"""
    mounts = {"proj": made.jail.workspace, "ro": r.Mount(path=str(folder).lstrip("/"), mode="ro")}
    return made.python(script, mounts=mounts)


def _bind_writable(made: Scene) -> None:
    place = f"{MNT}/ro"

    def change(found: list[list[str]]) -> list[list[str]]:
        return [["--bind-fd", *g[1:]] if g[0] == "--ro-bind-fd" and g[2] == place else g for g in found]

    made.change(lambda prepared: with_groups(prepared, change))


_CLIMB = """
os.symlink(sys.argv[1], "way")
attempt("a link that it makes", open, "way/secret")
attempt("above the workspace", open, "../../../../../../.." + sys.argv[1] + "/secret")
"""


def _own_link(made: Scene) -> Tried:
    return made.python(_CLIMB, made.jail.elsewhere)


# -- options in what clients send


def _injected(made: Scene) -> Tried:
    """Texts that bubblewrap would take for options, in everything that a client sends."""
    host = made.jail.elsewhere
    option = f"\0--ro-bind\0{host}\0/tmp/in"
    if made.mode == "outside":
        # What bubblewrap makes of such a text when nobody looks at it.
        text = f"--setenv\0A\0B{option}\0".encode()
        reading, writing = os.pipe()
        os.write(writing, b"--ro-bind\0/\0/\0--tmpfs\0/tmp\0" + text)
        os.close(writing)
        argv = ["/usr/bin/bwrap", "--args", str(reading), "--", "/bin/cat", "/tmp/in/secret"]
        done = subprocess.run(argv, pass_fds=[reading], capture_output=True, text=True, check=False)
        os.close(reading)
        return dict.fromkeys(_INJECTIONS, "" if done.stdout else done.stderr)
    tried: Tried = {}
    for name, change in _INJECTIONS.items():
        env = change(option)
        spawn = r.Spawn(id="1", name="brave-otter", command="/bin/cat", env={**env})
        try:
            if made.defended:
                check_spawn(spawn)
            ended = made.start("/bin/cat", "/tmp/in/secret", env=env)
        except (CoworkError, ValueError) as e:
            tried[name] = str(e)
        else:
            tried[name] = "" if "secret" in ended.out else ended.refused or ended.err
    return tried


_INJECTIONS: dict[str, Callable[[str], dict[str, str]]] = {
    "a variable's value": lambda option: {"A": f"B{option}"},
    "a variable's name": lambda option: {f"A\0B{option}\0--setenv\0C": "D"},
}


# -- sockets of our own


def _own_sockets(made: Scene) -> Tried:
    """The folder with our sockets as a client's mount: itself, what contains it, and through a link."""
    jail = made.jail
    made.socket_at(jail.runtime / "a.sock")
    (jail.home / "link").symlink_to(jail.runtime)
    (jail.home / "file.sock").symlink_to(jail.runtime / "a.sock")
    mounts = {
        "proj": jail.workspace, "run": jail.runtime, "above": jail.runtime.parent, "link": jail.home / "link",
        "socket": jail.home / "file.sock",
    }  # fmt: skip
    inside = [f"{MNT}/run/a.sock", f"{MNT}/above/r/a.sock", f"{MNT}/link/a.sock"]
    if made.mode == "outside":
        inside = [str(jail.runtime / "a.sock"), str(jail.runtime / "a.sock"), str(jail.home / "link/a.sock")]
    elif made.defended and made.mode == "inside":
        assert sorted(made.prepare("/bin/true", mounts=mounts).failed_mounts) == ["above", "link", "run", "socket"]
    script = "for number, path in enumerate(sys.argv[1:]): attempt(str(number), connect, path)"
    return made.python(script, *inside, mounts=mounts)


def _nothing_is_ours(made: Scene) -> None:
    made.request["ours"] = ()


def _configured_sockets(made: Scene) -> Tried:
    """The same, as mounts of the user's configuration, in all spellings; and keys in the home folder."""
    jail = made.jail
    made.socket_at(_made(jail.runtime / "cowork") / "a.sock")
    _made(jail.home / ".ssh")
    (jail.home / ".ssh" / "key").write_text("secret\n")
    (jail.home / "keys").symlink_to(jail.home / ".ssh")
    spellings = {
        "socket": f"{jail.runtime}/cowork", "slash": f"{jail.home}/.ssh/", "double": f"{jail.home}//.ssh//",
        "dots": f"{jail.home}/proj/../.ssh", "link": f"{jail.home}/keys", "link-slash": f"{jail.home}/keys/",
        "above": f"{jail.home}/./.ssh/.",
    }  # fmt: skip
    entries = ", ".join(f'{{src = "{src}", dst = "/mnt/{name}"}}' for name, src in spellings.items())
    jail.configure(f"[sandbox]\nro = [{entries}]\n")
    script = """
for name, src in json.loads(sys.argv[1]).items():
    folder = src if sys.argv[2] == "outside" else "/mnt/" + name
    if name == "socket":
        attempt(name, connect, folder + "/a.sock")
    else:
        attempt(name, open, folder + "/key")
"""
    return made.python(script, json.dumps(spellings), made.mode)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _no_mount_rules(made: Scene) -> None:
    made.patch.setattr(usermounts._Rules, "_source", lambda self, spelling, link: None)


# -- files of the project

_LOOSER = """
isolation = "any"
[network]
default = "open"
allow = ["*", "127.0.0.1:{port}"]
[sandbox]
protect = false
ro = [{{src = "{folder}", dst = "/mnt/looser"}}]
allow-home = true
"""


def _looser_project(made: Scene) -> Tried:
    """A repository asks for more than the user allows."""
    jail = made.jail
    fill(jail.home / "repo", "full")
    (jail.home / "repo" / ".cowork.toml").write_text(_LOOSER.format(port=1, folder=jail.elsewhere))
    script = """
folder = sys.argv[1] if sys.argv[2] == "outside" else "/mnt/looser"
attempt("a folder more", open, folder + "/secret")
attempt("without protection", lambda: open("../repo/.git/hooks/more", "w").close())
attempt("its own rules", lambda: open("../repo/.git/config", "a").close())
"""
    return made.python(script, jail.elsewhere, made.mode, mounts={"proj": jail.workspace, "repo": jail.home / "repo"})


def _project_is_obeyed(made: Scene) -> None:
    """As if a repository's file were the user's own."""
    real = Watched.current

    def current(watched: Watched) -> object:
        made.jail.configure((made.jail.home / "repo" / ".cowork.toml").read_text())
        return real(watched)

    made.patch.setattr(Watched, "current", current)


def _without_check(made: Scene) -> None:
    """The holder takes options as they are."""
    made.patch_holder("from cowork.holder import sandbox\nsandbox._check = lambda options: None")


MATRIX: dict[str, list[Escape]] = {
    "Symlink write / race": [
        Escape("swapped-after-prepare", functools.partial(_swapped, "itself"), _follow_links),
        Escape("parent-swapped-after-prepare", functools.partial(_swapped, "parent"), _follow_links),
        Escape("swapped-before-mounting", functools.partial(_raced, True), _unwatched),
        Escape("swapped-before-mounting-by-path", functools.partial(_raced, False), _unwatched),
        Escape("cover-through-link", _cover_through_link, _lax),
        Escape("own-link", _own_link, host_tmp),
    ],
    "Argument injection into the wrapper": [
        Escape("injection", _injected, both(undefended, _without_check)),
    ],
    "Supervisor's own control socket inside the jail": [
        Escape("own-sockets", _own_sockets, _nothing_is_ours),
    ],
    "Untrusted repo weakens policy": [Escape("looser-project", _looser_project, _project_is_obeyed)],
    "glob/trailing slash denies ignored": [Escape("spellings", _configured_sockets, _no_mount_rules)],
    "what a program lies beside": [Escape("script-in-tmp", _script_in_tmp, host_tmp)],
    "modes of mounts": [Escape("read-only", _read_only, _bind_writable)],
}


HOLES: dict[str, str] = {}
"""Escapes that work at present. Each is expected to, and a test fails as soon as one does not."""


@pytest.mark.parametrize(("escape", "mode"), params(MATRIX, HOLES))
def test_escape(escape: Escape, mode: Mode) -> None:
    check(escape, mode)


def test_every_row_has_its_three_parts() -> None:
    assert not incomplete(MATRIX)
    assert set(HOLES) <= {escape.name for escapes in MATRIX.values() for escape in escapes}


def test_what_looks_like_options_is_not() -> None:
    """Names and values that begin with dashes, or have line ends in them, are what they are and nothing else."""
    odd = ["--ro-bind", "/", "/tmp/in", "--", "--share-net", "a\nb", "", "-", "--args", "3"]
    domains = ["--share-net", "--ro-bind", "-"]
    env = {"--setenv": "--bind", "A": "--ro-bind / /tmp/in", "B": "a\n--unshare-all"}
    with scene("inside") as made:
        folder = _made(made.jail.home / "--bind")
        (folder / "own").write_text("own\n")
        mounts = {"--bind": folder, "a\0--bind": folder, "a\n": folder, "..": folder, "a/../..": folder}
        prepared = made.prepare(
            "/bin/sh", "-c", 'printf "%s." "$@"; cat own; pwd; ls /tmp/in; ls ..', "sh", *odd, env=env, mounts=mounts,
            cwd=f"{MNT}/--bind", allowed_domains=domains,
        )  # fmt: skip
        ended = made.run(prepared)
        with pytest.raises(RpcError):
            made.prepare("/bin/true", cwd="--chdir")
    assert sorted(prepared.failed_mounts) == ["..", "a\0--bind", "a\n", "a/../.."]
    assert ended.out == "".join(f"{text}." for text in odd) + f"own\n{MNT}/--bind\n--bind\n", ended


def test_settings_that_are_links_do_not_break_the_start() -> None:
    """It is told that they are not protected, since nothing can be mounted on a link."""
    with scene("inside") as made:
        settings = made.jail.elsewhere / "settings.json"
        settings.write_text("{}\n")
        _made(made.jail.workspace / ".claude")
        for name in (".claude/settings.json", ".mcp.json"):
            (made.jail.workspace / name).symlink_to(settings)
        (made.jail.workspace / ".git").symlink_to(made.jail.elsewhere)
        prepared = made.prepare("/bin/sh", "-c", "cat .mcp.json || echo not there")
        assert made.run(prepared).out == "not there\n"
    told = " ".join(prepared.weaker)
    for name in (".claude/settings.json", ".mcp.json", ".git"):
        assert f"proj/{name} is not protected: it is a symbolic link" in told


def test_mounts_with_trailing_slashes_and_patterns() -> None:
    """Places are normalised; a pattern is a name like any other, and a name that is not there breaks nothing."""
    with scene("inside") as made:
        shown = _made(made.jail.home / "shown")
        (shown / "file").write_text("x\n")
        made.jail.configure(
            f'[sandbox]\nro = [{{src = "{shown}//", dst = "/mnt/a/"}}, "{made.jail.home}/*", "~/shown/"]\n'
            'disable = ["/var/tmp/", "/no/such/"]\n'
        )
        ended = made.start("/bin/sh", "-c", "cat /mnt/a/file; ls /mnt")
    assert ended.out == "x\na\n", ended


def test_a_mount_below_tmp_is_not_hidden_by_the_private_one() -> None:
    with scene("inside") as made:
        made.jail.configure(f'[sandbox]\nro = ["{made.jail.elsewhere}"]\n')
        assert made.start("/bin/cat", str(made.jail.secret)).out == "secret\n"
