"""Spawn requests as command lines and recipes for a sandbox. Nothing is started here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cowork.backends.base import Availability, Prepared, SpawnRequest
from cowork.backends.bwrap import backend as module
from cowork.backends.bwrap import probe, program, system
from cowork.backends.bwrap.backend import INHERITED, BwrapBackend, base_recipe, inherited
from cowork.errors import ConfigError, InvalidParams, PolicyError, RpcError
from cowork.holder.sandbox import FREE
from cowork.holder.spec import Sandbox
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.translate.slug import project_slug
from cowork.wire.requests import Mount
from tests.support.holding import short_folder

ROOT = "/sessions/otter"
BWRAP = program.Program("/usr/bin/bwrap", (0, 8, 0), False, program.REQUIRED | {"--disable-userns"})
ONE = (
    "--tmpfs", "--remount-ro", "--dir", "--proc", "--dev", "--chdir", "--perms", "--hostname", "--cap-drop",
    "--seccomp",
)  # fmt: skip
NOT_THERE = ("--remount-ro", "--setenv", "--chdir")
NONE = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try",
    "--disable-userns", "--die-with-parent", "--clearenv", "--new-session",
)  # fmt: skip


class Options:
    """A recipe's options, one by one."""

    def __init__(self, sandbox: Sandbox | None) -> None:
        assert sandbox is not None
        words = list(sandbox.options)
        self.all: list[tuple[str, ...]] = []
        while words:
            count = 0 if words[0] in NONE else 1 if words[0] in ONE else 2
            self.all.append(tuple(words[: 1 + count]))
            del words[: 1 + count]
        self.names = [option[0] for option in self.all]

    def of(self, name: str) -> list[tuple[str, ...]]:
        return [option[1:] for option in self.all if option[0] == name]

    def at(self, place: str) -> list[str]:
        """Names of the options that put something at a place."""
        return [option[0] for option in self.all if option[-1] == place and option[0] not in NOT_THERE]

    def index(self, *option: str) -> int:
        return self.all.index(option)

    @property
    def environment(self) -> dict[str, str]:
        return {option[1]: option[2] for option in self.all if option[0] == "--setenv"}


class Bench:
    """A home folder, a configuration, and a session's tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.tree = root / "data" / "trees" / "otter"
        self.ours = root / "data"
        for folder in (self.home, self.tree):
            folder.mkdir(parents=True)
        self.environ = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(root / "config"), "PATH": "/usr/bin:/bin"}

    def folder(self, *names: str) -> None:
        for name in names:
            (self.home / name).mkdir(parents=True)

    def file(self, name: str, text: str = "x") -> Path:
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def config(self, text: str) -> None:
        file = self.root / "config" / "cowork" / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)

    def prepare(self, **more: Any) -> Prepared:
        asked: dict[str, Any] = {
            "name": "otter", "command": "/bin/sh", "args": ["-c", "true"], "cwd": "", "env": {}, "mounts": {},
            "tree": self.tree, "home": self.home, "inherited": {"PATH": "/usr/bin:/bin"}, "ours": (str(self.ours),),
        }  # fmt: skip
        mounts = {name: Mount(*path.split(":")) for name, path in more.pop("mounts", {}).items()}
        return BwrapBackend(self.environ).prepare(SpawnRequest(**{**asked, **more, "mounts": mounts}))

    def options(self, **more: Any) -> Options:
        return Options(self.prepare(**more).sandbox)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(program, "find", lambda path: BWRAP)
    with short_folder() as folder:
        yield Bench(Path(os.path.realpath(folder)))


def test_what_it_is() -> None:
    assert (BwrapBackend.name, BwrapBackend.isolation) == ("bwrap", "bubblewrap")
    assert BwrapBackend.honours >= {"allowedDomains", "oneShot", "mountSkeletonHome"}


def test_whether_it_works_is_found_out_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    found = Availability(False, "no", "so")

    def look(environ: object) -> Availability:
        asked.append(environ)
        return found

    monkeypatch.setattr(probe, "probe", look)
    environ = {"HOME": "/h", "PATH": "/p"}
    assert BwrapBackend(environ).probe() is found
    assert asked == [environ]


# -- what is held


def test_a_command_line(bench: Bench) -> None:
    prepared = bench.prepare(env={"A": "b"})
    assert prepared.argv == ["/bin/sh", "-c", "true"]
    assert (prepared.executable, prepared.cwd) == ("/bin/sh", ROOT)
    assert (prepared.failed_mounts, prepared.weaker, prepared.network) == ([], [], "open, by proxy")
    assert not prepared.translated, "guest paths are real inside"
    assert prepared.session == SessionMap("otter", str(bench.tree))
    assert prepared.sandbox is not None
    assert prepared.sandbox.program == BWRAP.path


def test_a_name_is_looked_for_where_the_child_would(bench: Bench) -> None:
    tool = bench.file("bin/tool", "#!/bin/sh\n")
    tool.chmod(0o755)
    prepared = bench.prepare(command="tool", env={"PATH": str(tool.parent)})
    assert prepared.argv[0] == prepared.executable == str(tool), "the path under which it is there inside"
    assert Options(prepared.sandbox).at(str(tool.parent)) == ["--ro-bind"]
    with pytest.raises(RpcError, match="tool"):
        bench.prepare(command="tool")


def test_an_sdk_stands_for_claude(bench: Bench) -> None:
    sdk = bench.file("sdk/1.0/claude", "\x7fELF")
    sdk.chmod(0o755)
    prepared = bench.prepare(command="claude", sdk=str(sdk))
    assert prepared.executable == str(sdk)
    assert Options(prepared.sandbox).at(str(sdk)) == ["--ro-bind"]


def test_arguments_keep_their_guest_paths(bench: Bench) -> None:
    bench.folder("proj")
    args = [f"{ROOT}/mnt/proj/f", "--add-dir", f"{ROOT}/mnt/proj", "--flag=/sessions/otter/x", "/etc", "-p", "text"]
    assert bench.prepare(args=args, mounts={"proj": "proj"}).argv[1:] == args


def test_plugin_folders_as_their_roots(bench: Bench) -> None:
    """Looked for on the host, named as the guest names them."""
    bench.file("plug/.claude-plugin/plugin.json", "{}")
    bench.folder("plug/skills/one", "other/skills")
    guest = f"{ROOT}/mnt/.plug"
    args = [
        "--plugin-dir",
        f"{guest}/skills/one",
        f"--plugin-dir={guest}/skills",
        "--plugin-dir",
        f"{ROOT}/mnt/o/skills",
    ]
    prepared = bench.prepare(args=args, mounts={".plug": "plug", "o": "other"})
    assert prepared.argv[1:] == ["--plugin-dir", guest, f"--plugin-dir={guest}", "--plugin-dir", f"{ROOT}/mnt/o/skills"]


def test_attachments_are_named_by_guest_paths(bench: Bench) -> None:
    bench.folder("out")
    prepared = bench.prepare(args=["-p"], env={"CLAUDE_CODE_BRIEF": "1"}, mounts={"outputs": "out"})
    text = " ".join(prepared.argv)
    assert "--brief" in prepared.argv
    assert f"{ROOT}/mnt/outputs" in text
    assert str(bench.home) not in text


# -- the environment


def test_the_environment_is_what_was_asked_for_and_little_else(bench: Bench) -> None:
    given = {
        "PATH": "/usr/bin:/bin", "LANG": "de_DE.UTF-8", "LC_ALL": "C", "TERM": "xterm", "USER": "ana",
        "DISPLAY": ":0", "SSH_AUTH_SOCK": "/run/x", "DBUS_SESSION_BUS_ADDRESS": "unix:x", "AWS_SECRET_ACCESS_KEY": "k",
        "ANTHROPIC_API_KEY": "key", "XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/home/ana", "LD_PRELOAD": "x",
        "HTTPS_PROXY": "http://u:p@proxy:1", "GITHUB_TOKEN": "t", "NODE_OPTIONS": "--inspect",
    }  # fmt: skip
    env = bench.prepare(inherited=given, env={"MINE": "1", "GONE": None, "TERM": ""}).env
    assert {name: env[name] for name in ("LANG", "LC_ALL", "USER", "MINE")} == {
        "LANG": "de_DE.UTF-8", "LC_ALL": "C", "USER": "ana", "MINE": "1",
    }  # fmt: skip
    leaked = set(given) - INHERITED - {"LC_ALL", "HOME", "XDG_RUNTIME_DIR", "HTTPS_PROXY"}
    assert not leaked & set(env)
    assert "TERM" not in env, "the client wants it to be empty"
    assert "u:p@proxy" not in str(env)


def test_what_of_the_daemons_environment_is_passed_on() -> None:
    names = ["PATH", "LC_TIME", "LCX", "DISPLAY", "CLAUDE_CODE_OAUTH_TOKEN"]
    assert list(inherited(dict.fromkeys(names, "x"))) == ["PATH", "LC_TIME", "CLAUDE_CODE_OAUTH_TOKEN"]
    assert not {"DISPLAY", "WAYLAND_DISPLAY", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"} & INHERITED


def test_where_home_is(bench: Bench) -> None:
    """Not where the client or the daemon has it."""
    env = bench.prepare(env={"HOME": "/home/ana", "PWD": "/x", "SHELL": "/bin/zsh"}, inherited={"HOME": "/root"}).env
    assert (env["HOME"], env["PWD"]) == (ROOT, ROOT)
    assert env["XDG_RUNTIME_DIR"] == f"/run/user/{os.getuid()}"
    assert os.path.exists(env["SHELL"])


def test_the_path_inside(bench: Bench) -> None:
    own = bench.home / "bin"
    own.mkdir()
    path = bench.prepare(env={"PATH": f"{own}:/usr/games"}).env["PATH"].split(":")
    assert path[0] == "/usr/games"
    assert str(own) not in path
    assert "/usr/bin" in path


def test_env_finds_the_interpreter_that_is_shown(bench: Bench) -> None:
    """Of nvm, volta, asdf: ``#!/usr/bin/env node`` finds no node, though it is there."""
    node = bench.file("node/bin/mynode", "\x7fELF")
    script = bench.file("app/cli", "#!/usr/bin/env mynode\n")
    for file in (node, script):
        file.chmod(0o755)
    prepared = bench.prepare(command=str(script), inherited={"PATH": f"{node.parent}:/usr/bin"})
    assert Options(prepared.sandbox).at(str(node)) == ["--ro-bind"]
    assert str(node.parent) in prepared.env["PATH"].split(":")


def test_the_sandbox_gets_the_very_environment(bench: Bench) -> None:
    prepared = bench.prepare(env={"A": "b=c", "EMPTY": ""}, token="secret")
    options = Options(prepared.sandbox)
    assert options.environment == prepared.env
    assert prepared.env["CLAUDE_CODE_OAUTH_TOKEN"] == "secret"
    assert options.names.index("--clearenv") < options.names.index("--setenv")


def test_no_secret_is_where_anybody_can_see_it(bench: Bench) -> None:
    """The command line is everybody's, and the record is written to the disk; what is in ``options`` is neither."""
    prepared = bench.prepare(env={"ANTHROPIC_API_KEY": "SECRET"}, token="SECRET")
    public = [prepared.argv, prepared.executable, prepared.cwd, prepared.network, prepared.weaker, prepared.session]
    assert "SECRET" not in str(public)
    assert "SECRET" not in repr(prepared)
    assert prepared.sandbox is not None
    assert "SECRET" not in str([prepared.sandbox.covers, prepared.sandbox.folders, prepared.sandbox.proxy])


# -- the sandbox


def test_what_every_sandbox_is(bench: Bench) -> None:
    options = bench.options()
    for name in ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--clearenv",
                 "--die-with-parent", "--new-session", "--disable-userns"):  # fmt: skip
        assert name in options.names
    assert options.of("--cap-drop") == [("ALL",)]
    assert options.of("--hostname") == [("cowork",)]
    assert len(options.of("--seccomp")) == 1
    assert options.of("--bind") == [(str(bench.tree), ROOT)], "nothing else can be written"
    assert "--share-net" not in options.names
    assert not [option for option in options.all if "/" in option[1:2] and option[0] != "--remount-ro"]


def test_its_own_places(bench: Bench) -> None:
    options = bench.options()
    for place in ("/tmp", "/var/tmp"):
        assert options.all[options.index("--tmpfs", place) - 1] == ("--perms", "1777")
    assert options.all[options.index("--dir", f"/run/user/{os.getuid()}") - 1] == ("--perms", "0700")
    assert options.index("--tmpfs", "/run") < options.index("--dir", f"/run/user/{os.getuid()}")


def test_what_is_done_last(bench: Bench) -> None:
    """No place that is not meant to be written to can be written to; a clear error is better than what is lost."""
    options = bench.options()
    assert options.of("--remount-ro")[-2:] == [(f"{ROOT}/mnt",), ("/",)]
    after = options.all[options.index("--remount-ro", "/") + 1 :]
    assert {option[0] for option in after} == {"--setenv", "--chdir"}
    assert options.all[-1] == ("--chdir", ROOT)


def test_a_terminal_is_the_sessions_own(bench: Bench) -> None:
    assert "--new-session" not in bench.options(terminal=True).names


def test_what_an_old_release_does_not_know(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    old = program.Program("/b", (0, 7), False, program.REQUIRED)
    names = [word for word in base_recipe(old, terminal=False, without=[]).options if word.startswith("--")]
    assert not {"--disable-userns", "--unshare-cgroup-try", "--bind-fd"} & set(names)


def test_a_new_release_is_given_folders_by_descriptor(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    new = program.Program("/b", (0, 11), False, BWRAP.features | {"--bind-fd", "--ro-bind-fd"})
    monkeypatch.setattr(program, "find", lambda path: new)
    bench.folder("proj")
    prepared = bench.prepare(mounts={"proj": "proj"})
    assert prepared.sandbox is not None
    (proj,) = (folder for folder in prepared.sandbox.folders if folder.place == f"{ROOT}/mnt/proj")
    assert (str(proj.fd), proj.place) in Options(prepared.sandbox).of("--bind-fd")
    assert str(bench.home / "proj") not in prepared.sandbox.options


def test_the_systems_parts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "parts", lambda without: iter([
        system.Part("bind", "/usr", "/usr"), system.Part("link", "usr/bin", "/bin"),
    ]))  # fmt: skip
    options = bench.options()
    assert options.index("--ro-bind", "/usr", "/usr") < options.index("--symlink", "usr/bin", "/bin")


def test_the_way_to_the_programs_of_nixos(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    link = system.Part("link", "/nix/store/x-system", "/run/current-system")
    monkeypatch.setattr(system, "parts", lambda without: iter([link]))
    options = bench.options()
    assert options.index("--tmpfs", "/run") < options.index("--symlink", link.source, link.place)


def test_files_that_are_made_for_it(bench: Bench) -> None:
    prepared = bench.prepare()
    assert prepared.sandbox is not None
    data = {place: int(fd) for fd, place in Options(prepared.sandbox).of("--file")}
    assert set(data) >= {"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"}
    assert ROOT in prepared.sandbox.files[data["/etc/passwd"]]
    assert str(bench.home) not in prepared.sandbox.files[data["/etc/passwd"]]
    numbers = [*prepared.sandbox.files, *prepared.sandbox.copies, *(folder.fd for folder in prepared.sandbox.folders)]
    assert sorted(numbers) == list(range(FREE, FREE + len(numbers)))


# -- the session's home


def test_home_is_kept_between_spawns(bench: Bench) -> None:
    options = bench.options()
    assert options.at(ROOT) == ["--bind"]
    assert options.index("--bind", str(bench.tree), ROOT) < options.index("--tmpfs", f"{ROOT}/mnt")
    assert (bench.tree / "mnt").is_dir()
    assert (bench.tree / "mnt").stat().st_mode & 0o777 == 0o700


def test_home_for_once(bench: Bench) -> None:
    options = bench.options(one_shot=True)
    assert options.at(ROOT) == ["--tmpfs"]
    assert options.of("--bind") == []
    assert os.listdir(bench.tree) == []


@pytest.mark.parametrize("there", ["link", "file", "folder"])
def test_what_the_session_made_of_its_mounts_folder(bench: Bench, there: str) -> None:
    """A link would lead out of the tree."""
    mnt, victim = bench.tree / "mnt", bench.home / "victim"
    victim.mkdir()
    if there == "link":
        mnt.symlink_to(victim)
    elif there == "file":
        mnt.write_text("x")
    else:
        (mnt / "own").mkdir(parents=True)
    bench.prepare(skeleton_home=True)
    assert mnt.is_dir()
    assert not mnt.is_symlink()
    assert os.listdir(victim) == []
    assert os.listdir(mnt) == (["own"] if there == "folder" else [])


@pytest.fixture
def skeleton(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    made = {".bashrc": b"# new\n", ".profile": b"\xff"}
    monkeypatch.setattr(module, "_skeleton", lambda: made)
    return made


def test_a_skeleton_is_laid_down_once(bench: Bench, skeleton: dict[str, bytes]) -> None:
    bench.prepare()
    assert not (bench.tree / ".bashrc").exists()
    bench.prepare(skeleton_home=True)
    assert {name: (bench.tree / name).read_bytes() for name in skeleton} == skeleton
    (bench.tree / ".bashrc").write_text("mine")
    (bench.tree / ".profile").unlink()
    (bench.tree / ".profile").symlink_to(bench.home / "target")
    bench.prepare(skeleton_home=True)
    assert (bench.tree / ".bashrc").read_text() == "mine"
    assert not (bench.home / "target").exists(), "not through the session's links"


def test_a_skeleton_for_once(bench: Bench, skeleton: dict[str, bytes]) -> None:
    prepared = bench.prepare(skeleton_home=True, one_shot=True)
    assert prepared.sandbox is not None
    made = {place: int(fd) for fd, place in Options(prepared.sandbox).of("--file") if not place.startswith("/etc/")}
    files = {place: prepared.sandbox.files[number] for place, number in made.items()}
    assert files == {f"{ROOT}/{name}": content.decode("latin-1") for name, content in skeleton.items()}
    assert os.listdir(bench.tree) == []


def test_the_skeleton_of_this_system() -> None:
    made = module._skeleton()
    assert all("/" not in name and isinstance(content, bytes) for name, content in made.items())
    if os.path.exists("/etc/skel/.bashrc"):
        assert made[".bashrc"] == Path("/etc/skel/.bashrc").read_bytes()


# -- mounts


def test_mounts(bench: Bench) -> None:
    bench.folder("proj", "ref")
    bench.file("f")
    prepared = bench.prepare(mounts={"proj": "proj:rw", "ref": "ref:ro", "f": "f:ro"})
    options = Options(prepared.sandbox)
    assert options.at(f"{ROOT}/mnt/proj") == ["--bind"]
    assert options.at(f"{ROOT}/mnt/ref") == options.at(f"{ROOT}/mnt/f") == ["--ro-bind"]
    assert {m.name: m.host for m in prepared.session.mounts} == {
        "proj": str(bench.home / "proj"), "ref": str(bench.home / "ref"), "f": str(bench.home / "f"),
    }  # fmt: skip


def test_mounts_that_are_not_there(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """In the order in which they were asked for; the reason is in the log."""
    bench.folder("proj")
    os.mkfifo(bench.home / "fifo")
    mounts = {"z": "gone", "home": str(bench.home), "proj": "proj", "own": str(bench.ours), "a": "fifo", "etc": "/etc"}
    prepared = bench.prepare(mounts=mounts)
    assert prepared.failed_mounts == ["z", "home", "own", "a", "etc"]
    assert [mount.name for mount in prepared.session.mounts] == ["proj"]
    for name, reason in (("home", "the home folder"), ("own", "Cowork's own files"), ("etc", "part of the system")):
        assert any(f"mount '{name}'" in message and reason in message for message in caplog.messages), name


def test_the_home_folder_where_the_configuration_allows_it(bench: Bench) -> None:
    mounts = {"home": str(bench.home)}
    assert bench.prepare(mounts=mounts).failed_mounts == ["home"]
    bench.config("[sandbox]\nallow-home = true\n")
    assert bench.prepare(mounts=mounts).failed_mounts == []
    bench.folder("x")
    prepared = bench.prepare(mounts=mounts, ours=(str(bench.home / "x"),))
    assert prepared.failed_mounts == []
    assert prepared.sandbox is not None
    assert (f"{ROOT}/mnt/home/x",) in Options(prepared.sandbox).of("--tmpfs"), "what is ours is hidden"


def test_what_is_weaker_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.folder("proj", "elsewhere")
    (bench.home / "proj" / ".mcp.json").symlink_to("../elsewhere/x")
    prepared = bench.prepare(mounts={"proj": "proj"})
    assert prepared.weaker == ["proj/.mcp.json is not protected: it is a symbolic link"]
    assert prepared.weaker[0] in caplog.text


def test_protection_can_be_switched_off(bench: Bench) -> None:
    bench.folder("proj")
    prepared = bench.prepare(mounts={"proj": "proj"})
    assert prepared.sandbox is not None
    assert prepared.sandbox.covers
    bench.config("[sandbox]\nprotect = false\n")
    prepared = bench.prepare(mounts={"proj": "proj"})
    assert prepared.sandbox is not None
    assert prepared.sandbox.covers == []


def test_mounts_of_the_configuration(bench: Bench) -> None:
    bench.folder("tools", "cache")
    tools, cache = bench.home / "tools", bench.home / "cache"
    bench.config(f'[sandbox]\nro = ["{tools}"]\nrw = [{{src = "{cache}", dst = "/opt/cache"}}]\n')
    options = bench.options(inherited={"PATH": f"{tools}/bin:/usr/bin"}, env={"PATH": f"{tools}:/usr/bin"})
    assert options.at(str(tools)) == ["--ro-bind"]
    assert options.at("/opt/cache") == ["--bind"]
    assert options.environment["PATH"].split(":")[0] == str(tools), "it is there inside"


def test_a_mount_of_the_configuration_that_is_refused(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.config('[sandbox]\nro = ["/run", "/no/such/place"]\n')
    prepared = bench.prepare()
    assert Options(prepared.sandbox).at("/no/such/place") == []
    assert caplog.text.count("is left out") == 2
    assert "/no/such/place" in caplog.text


def test_a_default_that_the_user_does_without(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    place = next(part.place for part in system.parts() if part.place.startswith("/etc/"))
    assert bench.options().at(place)
    bench.config(f'[sandbox]\ndisable = ["{place}"]\n')
    assert not bench.options().at(place), caplog.text


@pytest.mark.parametrize("text", ["nonsense", '[network]\nallow = "pypi.org"\n', "[sandbox]\nro = [1]\n"])
def test_a_configuration_that_makes_no_sense_starts_nothing(bench: Bench, text: str) -> None:
    bench.config(text)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        bench.prepare()


def test_no_bubblewrap_starts_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was there when the daemon began."""

    def find(path: str) -> program.Program:
        raise PolicyError(f"no bubblewrap in {path}")

    monkeypatch.setattr(program, "find", find)
    with pytest.raises(PolicyError, match="no bubblewrap in /usr/bin:/bin"):
        bench.prepare()


# -- the working directory


@pytest.mark.parametrize(
    ("cwd", "expected"),
    [
        ("", f"{ROOT}/mnt/alpha"), (ROOT, f"{ROOT}/mnt/alpha"), (f"{ROOT}/mnt/beta", f"{ROOT}/mnt/beta"),
        (f"{ROOT}/mnt/beta/sub", f"{ROOT}/mnt/beta/sub"), (f"{ROOT}/mnt/gone", f"{ROOT}/mnt/alpha"),
        ("{home}/beta/sub", f"{ROOT}/mnt/beta/sub"), ("/somewhere/else", f"{ROOT}/mnt/alpha"),
    ],
)  # fmt: skip
def test_where_it_works(bench: Bench, cwd: str, expected: str) -> None:
    """A guest path, whatever the client has sent."""
    bench.folder("alpha", "beta/sub")
    prepared = bench.prepare(cwd=cwd.format(home=bench.home), mounts={"alpha": "alpha", "beta": "beta"})
    assert (prepared.cwd, prepared.env["PWD"]) == (expected, expected)
    assert Options(prepared.sandbox).all[-1] == ("--chdir", expected)


@pytest.mark.parametrize(
    "cwd", ["relative", "/sessions/beaver", "/sessions/otter/../../etc", "/nowhere", "/etc", "/etc/ssl"]
)
def test_where_it_cannot_work(bench: Bench, cwd: str) -> None:
    with pytest.raises(RpcError, match="working directory"):
        bench.prepare(cwd=cwd)


@pytest.mark.parametrize("cwd", ["/", "/tmp", "/usr/lib"])
def test_where_every_sandbox_has_a_folder(bench: Bench, cwd: str) -> None:
    """By the host's own path, which is the same inside; only without a workspace."""
    assert bench.prepare(cwd=cwd).cwd == cwd
    bench.folder("alpha")
    assert bench.prepare(cwd=cwd, mounts={"alpha": "alpha"}).cwd == f"{ROOT}/mnt/alpha"


def test_not_where_a_link_of_the_session_leads(bench: Bench) -> None:
    (bench.tree / "out").symlink_to("/etc")
    with pytest.raises(RpcError, match="working directory"):
        bench.prepare(cwd=f"{ROOT}/out")


def test_the_hint_decides_between_workspaces(bench: Bench) -> None:
    bench.folder("alpha", "beta")
    env = {"CLAUDE_CODE_WORKSPACE_HOST_PATHS": f"{bench.home}/beta|{bench.home}/alpha"}
    assert bench.prepare(env=env, mounts={"alpha": "alpha", "beta": "beta"}).cwd == f"{ROOT}/mnt/beta"


def transcript(bench: Bench, guest: str, text: str = "x") -> Path:
    """A conversation, filed as the CLI does it from that folder."""
    return bench.file(f"conf/projects/{project_slug(guest)}/id.jsonl", text)


def test_a_conversation_is_resumed_where_it_was_had(bench: Bench) -> None:
    """Under the guest's path, which is what the CLI saw."""
    bench.folder("alpha", "beta")
    transcript(bench, f"{ROOT}/mnt/beta")
    asked: dict[str, Any] = {"mounts": {"alpha": "alpha", "beta": "beta", ".claude": "conf"}}
    assert bench.prepare(args=["--resume", "id"], **asked).cwd == f"{ROOT}/mnt/beta"
    assert bench.prepare(args=["--resume", "other"], **asked).cwd == f"{ROOT}/mnt/alpha"


def test_a_conversation_from_elsewhere_is_brought_along(bench: Bench) -> None:
    """From the host backend, for one, which files it under the host's path."""
    bench.folder("alpha")
    transcript(bench, str(bench.home / "alpha"), "talk")
    env = {"CLAUDE_CONFIG_DIR": f"{ROOT}/mnt/.claude"}
    bench.prepare(args=["--resume", "id"], env=env, mounts={"alpha": "alpha", ".claude": "conf"})
    copied = bench.home / "conf" / "projects" / project_slug(f"{ROOT}/mnt/alpha") / "id.jsonl"
    assert copied.read_text() == "talk"


# -- the network


def test_the_domains_of_the_client(bench: Bench) -> None:
    prepared = bench.prepare(allowed_domains=["pypi.org"])
    assert prepared.network == "1 rules, by proxy"
    assert prepared.sandbox is not None
    assert prepared.sandbox.proxy is not None
    assert prepared.sandbox.proxy["rules"] == [["pypi.org", "api.anthropic.com:443"]]
    assert {entry.role for entry in prepared.sandbox.listen} == {"proxy", "dns", "direct"}
    assert prepared.env["HTTPS_PROXY"] == "http://127.0.0.1:3128"


@pytest.mark.parametrize("domains", [None, []])
def test_no_domains_are_not_the_same_as_none_named(bench: Bench, domains: list[str] | None) -> None:
    assert bench.prepare(allowed_domains=domains).network == ("open, by proxy" if domains is None else "model API only")


def test_a_domain_that_is_none(bench: Bench) -> None:
    with pytest.raises(InvalidParams) as caught:
        bench.prepare(allowed_domains=["pypi.org", "http://x"])
    assert caught.value.field == "allowedDomains[1]"


def test_the_network_of_the_configuration(bench: Bench) -> None:
    bench.config('[network]\ndefault = "api"\n')
    assert bench.prepare().network == "model API only"
    bench.config('[network]\nallow = ["pypi.org", "*.debian.org"]\n')
    assert bench.prepare().network == "2 rules, by proxy"


def test_a_model_elsewhere(bench: Bench) -> None:
    prepared = bench.prepare(env={"ANTHROPIC_BASE_URL": "http://127.0.0.1:8080"}, allowed_domains=[])
    assert prepared.sandbox is not None
    assert [e.target for e in prepared.sandbox.listen if e.role == "forward"] == [("127.0.0.1", 8080)]


def test_the_companys_proxy_is_the_proxys_business(bench: Bench) -> None:
    prepared = bench.prepare(inherited={"PATH": "/usr/bin", "HTTPS_PROXY": "http://corp:3128"})
    assert prepared.sandbox is not None
    assert prepared.sandbox.proxy is not None
    assert prepared.sandbox.proxy["upstream"] == "http://corp:3128"
    assert "corp:3128" not in str(prepared.env)


# -- limits, and what projects want


def test_limits(bench: Bench) -> None:
    assert (bench.prepare().memory, bench.prepare().tasks) == (None, None)
    bench.config('[limits]\nmemory = "2G"\ntasks = 50\n')
    prepared = bench.prepare()
    assert (prepared.memory, prepared.tasks) == (2 << 30, 50)


def test_a_project_may_only_tighten(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.config('[limits]\nmemory = "2G"\ntasks = 50\n')
    bench.file("a/.cowork.toml", '[limits]\nmemory = "1G"\ntasks = 70\n[network]\nallow = ["a.com"]\n')
    bench.file("b/.cowork.toml", "[limits]\ntasks = 20\n[sandbox]\nallow-home = true\n")
    prepared = bench.prepare(mounts={"a": "a", "b": "b"}, allowed_domains=["a.com", "b.com"])
    assert (prepared.memory, prepared.tasks) == (1 << 30, 20)
    assert prepared.sandbox is not None
    assert prepared.sandbox.proxy is not None
    api = "api.anthropic.com:443"
    assert prepared.sandbox.proxy["rules"] == [["a.com", "b.com", api], ["a.com", api]]
    assert "allow-home" in caplog.text
    assert "is not honoured" in caplog.text


def test_paths_that_a_project_wants_to_be_read_only(bench: Bench) -> None:
    bench.file("p/.cowork.toml", '[sandbox]\nread-only = ["docs", "later"]\n')
    bench.folder("p/docs")
    prepared = bench.prepare(mounts={"p": "p"})
    options = Options(prepared.sandbox)
    assert options.index("--bind", str(bench.home / "p"), f"{ROOT}/mnt/p") < options.index(
        "--ro-bind", str(bench.home / "p/docs"), f"{ROOT}/mnt/p/docs"
    )
    assert prepared.sandbox is not None
    assert "later" in [cover.path for cover in prepared.sandbox.covers]


def test_nothing_of_the_users_is_changed(bench: Bench) -> None:
    bench.folder("proj/.git", "ref")
    bench.file("proj/src/a")

    def state() -> list[tuple[str, int]]:
        return sorted((str(p), p.lstat().st_ctime_ns) for p in [bench.home, *bench.home.rglob("*")])

    before = state()
    bench.prepare(mounts={"proj": "proj", "ref": "ref:ro", "ref/new": "proj", "proj/x/y": "ref"}, skeleton_home=True)
    assert state() == before


# -- one more folder for a session that runs


def live(bench: Bench, name: str = "new", host: str = "new") -> dict[str, object]:
    session = SessionMap("otter", str(bench.tree))
    mount = MappedMount(name, os.path.normpath(bench.home / host))
    return BwrapBackend(bench.environ).live_mount(session, mount, home=str(bench.home), ours=(str(bench.ours),))


def test_a_live_mount(bench: Bench) -> None:
    bench.folder("new")
    asked = live(bench)
    assert (asked["host"], asked["above"], asked["name"]) == (str(bench.home / "new"), f"{ROOT}/mnt", "new")
    assert asked["guards"]
    bench.config("[sandbox]\nprotect = false\n")
    assert live(bench)["guards"] == []


@pytest.mark.parametrize(("name", "host"), [("a/b", "new"), ("home", "."), ("own", "../data")])
def test_a_live_mount_that_is_refused(bench: Bench, name: str, host: str) -> None:
    bench.folder("new")
    with pytest.raises(RpcError, match=f"mount {name}: "):
        live(bench, name, host)
