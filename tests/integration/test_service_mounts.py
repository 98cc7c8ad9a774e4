"""Mounts, working directories, arguments and streams as a session of the host backend really gets them.

What a child got is written to a file outside its session, since what it prints would be translated back.
"""

from __future__ import annotations

import json
import os
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cowork.translate.slug import project_slug
from tests.support.client import Client, Message, output
from tests.support.daemon import RunningDaemon, wait_for

pytestmark = pytest.mark.integration

VM = "/sessions/otter"
TELL = """
import json, os, sys
told = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}
with open(os.environ["TOLD"], "w") as f:
    json.dump(told, f)
"""
CLAUDE = """
import os, sys
given = os.environ
sys.stdin.buffer.read(int(given.get("READ_FIRST", "0")))
with open(given["ASKS"], "rb") as f:
    sys.stdout.buffer.write(f.read())
sys.stdout.flush()
with open(given["GOT"], "wb") as f:
    for _ in range(int(given["WANT"])):
        f.write(sys.stdin.buffer.readline())
"""


def listing(folder: Path) -> dict[str, tuple[int, ...]]:
    """What a folder holds: every path with its inode, mode, size and time of change."""
    found: dict[str, tuple[int, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        info = path.lstat()
        found[str(path)] = (info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns)
    return found


class World:
    """A daemon with a client, and folders of a user that nobody may change."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self.daemon = daemon
        self.root, self.home = daemon.place.root, daemon.place.home
        self.client: Client
        self._watched: dict[Path, dict[str, tuple[int, ...]]] = {}
        self._count = 0
        self.tell = self.program("tell", TELL)

    @property
    def tree(self) -> Path:
        return self.daemon.trees / "otter"

    def program(self, name: str, text: str) -> Path:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)
        return path

    def start(self) -> World:
        self.daemon.environment["PATH"] = f"{self.root}/bin:{self.daemon.environment['PATH']}"
        self.daemon.start()
        self.client = self.daemon.client().subscribe()
        return self

    def watch(self, folder: Path) -> None:
        """It belongs to the user."""
        self._watched[folder] = listing(folder)

    def check(self) -> None:
        """Nothing of the user's was changed."""
        for folder, before in self._watched.items():
            assert listing(folder) == before

    def folders(self, *names: str) -> dict[str, dict[str, str]]:
        """Make folders of the user's in the home folder, each with a file; the mounts of them."""
        for name in names:
            (self.home / name).mkdir(parents=True)
            (self.home / name / "f").write_text(name)
        for name in names:
            self.watch(self.home / name)
        return {name: {"path": name, "mode": "rw"} for name in names}

    def told(self, *args: str, **more: Any) -> dict[str, Any]:
        """What a child of session otter is given, with the reply to its spawn as ``reply``."""
        self._count += 1
        id, file = f"tell-{self._count}", self.root / f"told-{self._count}"
        more = {"name": "otter", "cwd": "", **more, "env": {**more.get("env", {}), "TOLD": str(file)}}
        reply = self.client.spawn(id, str(self.tell), *args, **more)
        assert self.client.until_exit(id)[-1].get("exitCode") == 0
        said = json.loads(file.read_text())
        assert isinstance(said, dict)
        return {**said, "failed": reply["failedMounts"]}

    def args(self, *args: str, **more: Any) -> list[str]:
        """The arguments as a child gets them."""
        argv = self.told(*args, **more)["argv"]
        assert isinstance(argv, list)
        return argv

    def cwd(self, *args: str, **more: Any) -> str:
        """Where a child works."""
        return str(self.told(*args, **more)["cwd"])

    def read(self, path: object, name: str = "otter") -> str:
        """``readFile``."""
        asked = {"processName": name, "filePath": str(path)}
        return b64decode(str(self.client.ask("readFile", asked)["content"])).decode()

    def written(self, *writes: str, lines: int | None = None, command: str = "/bin/sh", **more: Any) -> bytes:
        """What a child reads when a client writes this."""
        self._count += 1
        id, file = f"in-{self._count}", self.root / f"in-{self._count}"
        lines = "".join(writes).count("\n") if lines is None else lines
        self.client.spawn(id, command, "-c", f"head -n {lines} > {file}", name="otter", cwd="", **more)
        for text in writes:
            assert self.client.ask("writeStdin", {"id": id, "data": text}) == {}
        self.client.until_exit(id)
        return file.read_bytes()

    def claude(self, *lines: str | Message, want: int, env: dict[str, str] | None = None, **more: Any) -> Path:
        """Start a ``claude`` that prints lines and then keeps ``want`` lines of its stdin in the file returned."""
        self.program("claude", CLAUDE)
        asks, got = self.root / "asks", self.root / "got"
        asks.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
        given = {"ASKS": str(asks), "GOT": str(got), "WANT": str(want), **(env or {})}
        options = ("--output-format", "stream-json")
        self.client.spawn("claude", "claude", *options, **{"name": "otter", "cwd": "", "env": given, **more})
        return got

    def presented(self, *lines: str | Message, **more: Any) -> tuple[list[Message], list[Message]]:
        """The events of a ``claude`` that prints ``lines``, and what it reads."""
        got = self.claude(*lines, **more)
        events = self.client.until_exit("claude")
        return events, [json.loads(line) for line in got.read_text().split("\n")[:-1]]


@pytest.fixture
def unstarted(stopped: RunningDaemon) -> Iterator[World]:
    made = World(stopped)
    yield made
    if hasattr(made, "client"):
        made.client.close()
    made.check()


@pytest.fixture
def world(unstarted: World) -> World:
    return unstarted.start()


# -- mounts


def test_a_mount_is_a_link_and_the_working_directory(world: World) -> None:
    """MNT-1."""
    world.folders("proj")
    told = world.told(additionalMounts={"proj": {"path": str(world.home / "proj")[1:], "mode": "rw"}})
    assert told["failed"] == []
    assert told["cwd"] == told["env"]["PWD"] == str(world.home / "proj")
    assert os.readlink(world.tree / "mnt" / "proj") == str(world.home / "proj")


@pytest.mark.parametrize("form", ["{rel}", "./{rel}", "{abs}", "{root}", "{abs}/", ""])
def test_all_forms_of_a_path(world: World, form: str) -> None:
    """MNT-2. The home folder itself is accepted: without isolation there is nothing to keep from the session."""
    world.folders("a b/proj")
    folder = world.home / "a b" / "proj" if form else world.home
    path = form.format(rel="a b/proj", abs=folder, root=str(folder)[1:])
    mounts = {"m": {"path": path, "mode": "rw"}}
    told = world.told(additionalMounts=mounts)
    assert told["failed"] == []
    assert told["cwd"] == str(folder)


@pytest.mark.parametrize("spelling", ["real", "link", "relative"])
@pytest.mark.parametrize("home", ["real", "link"])
def test_a_home_reached_through_a_link(unstarted: World, home: str, spelling: str) -> None:
    """MNT-3, ARG-9, CWD-12: both spellings mean the same folder, also where the client's own is still to be made."""
    link = unstarted.root / "link"
    link.symlink_to(unstarted.home)
    unstarted.daemon.environment["HOME"] = str(link if home == "link" else unstarted.home)
    world = unstarted.start()
    world.folders("proj")
    real = world.home / "proj"
    base = {"real": str(world.home)[1:] + "/", "link": str(link)[1:] + "/", "relative": ""}[spelling]
    mounts = {"proj": {"path": f"{base}proj", "mode": "rw"}, ".claude": {"path": f"{base}.config/c", "mode": "rw"}}
    told = world.told(f"{VM}/mnt/proj/f", f"{VM}/mnt/.claude/x", additionalMounts=mounts)
    assert told["failed"] == []
    assert told["cwd"] == str(real)
    assert told["argv"] == [f"{real}/f", f"{world.home}/.config/c/x"]
    assert sorted(path.name for path in world.home.iterdir()) == [".config", "proj"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_outside_home(world: World, slash: str) -> None:
    """MNT-4, G19."""
    folder = world.root / "srv" / "data"
    folder.mkdir(parents=True)
    world.watch(world.home)
    told = world.told(additionalMounts={"data": {"path": slash + str(folder)[1:], "mode": "rw"}})
    assert told["failed"] == []
    assert told["cwd"] == str(folder)


def test_a_file_is_left_out_and_no_failure(world: World) -> None:
    """MNT-5."""
    mounts = world.folders("proj")
    told = world.told(additionalMounts={"app.asar": {"path": "proj/f", "mode": "ro"}, **mounts})
    assert told["failed"] == []
    assert told["cwd"] == str(world.home / "proj")
    assert not os.path.lexists(world.tree / "mnt" / "app.asar")


def test_only_the_clients_own_folders_are_made(world: World) -> None:
    """MNT-6, G59, N36."""
    own = [".claude", "outputs", "uploads", ".auto-memory"]
    mounts = {name: {"path": f".config/App/{name}", "mode": "rw"} for name in own}
    gone = {"proj": {"path": "gone/proj", "mode": "rw"}, "notes.txt": {"path": "notes.txt", "mode": "rw"}}
    outside = {"outputs": {"path": str(world.root / "not-made"), "mode": "rw"}}
    assert sorted(world.told(additionalMounts={**mounts, **gone})["failed"]) == ["notes.txt", "proj"]
    assert sorted(path.name for path in world.home.iterdir()) == [".config"]
    for name in own:
        assert (world.home / ".config/App" / name).stat().st_mode & 0o777 == 0o700
    assert world.told(additionalMounts=outside)["failed"] == ["outputs"]
    assert not (world.root / "not-made").exists()


def test_nested_mounts_in_any_order(world: World) -> None:
    """MNT-7, G21."""
    world.folders("skills")
    (world.home / "conf").mkdir()
    (world.home / "conf" / "own").write_text("own")
    mounts = {".claude": {"path": "conf", "mode": "rw"}, ".claude/skills": {"path": "skills", "mode": "ro"}}
    for number in range(20):
        name = f"fresh-{number}"
        ordered = dict(sorted(mounts.items(), reverse=bool(number % 2)))
        spawned = world.client.spawn(name, "/bin/true", name=name, cwd="", additionalMounts=ordered)
        assert spawned["failedMounts"] == []
        world.client.until_exit(name)
        assert world.read(f"/sessions/{name}/mnt/.claude/own", name) == "own"
        assert world.read(f"/sessions/{name}/mnt/.claude/skills/f", name) == "skills"
    assert sorted(path.name for path in (world.home / "conf").iterdir()) == ["own"]


@pytest.mark.parametrize("child", ["victim.txt", "emptydir", "absent", "sub/deep", "f/below-a-file"])
@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_nothing_is_made_or_removed_in_a_mounted_folder(world: World, child: str, mode: str) -> None:
    """MNT-8, MNT-9, MNT-10, G5, N21: the nested mount is reachable inside the session only."""
    (world.home / "proj" / "emptydir").mkdir(parents=True)
    (world.home / "proj" / "victim.txt").write_text("precious")
    (world.home / "proj" / "f").write_text("f")
    world.watch(world.home / "proj")
    mounts = {"proj": {"path": "proj", "mode": mode}, **world.folders("cache")}
    mounts[f"proj/{child}"] = mounts.pop("cache")
    told = world.told(f"{VM}/mnt/proj/{child}/f", additionalMounts=mounts)
    assert told["failed"] == []
    assert told["argv"] == [str(world.home / "cache" / "f")]
    assert world.read(f"{VM}/mnt/proj/{child}/f") == "cache"
    assert (world.home / "proj" / "victim.txt").read_text() == "precious"


def test_a_child_that_is_where_its_parent_shows_it(unstarted: World) -> None:
    """MNT-11, G20: no link to itself."""
    link = unstarted.root / "link"
    link.symlink_to(unstarted.home)
    unstarted.daemon.environment["HOME"] = str(link)
    cache = unstarted.home / ".config" / "rp" / "42" / ".mcpb-cache"
    cache.mkdir(parents=True)
    (cache / "f").write_text("cached")
    unstarted.watch(unstarted.home)
    world = unstarted.start()
    mounts = {
        ".remote-plugins": {"path": f"{link}/.config/rp"[1:], "mode": "rw"},
        ".remote-plugins/42/.mcpb-cache": {"path": str(cache), "mode": "rw"},
    }
    for _ in range(2):
        assert world.told(additionalMounts=mounts)["failed"] == []
        seen = world.tree / "mnt" / ".remote-plugins" / "42" / ".mcpb-cache"
        assert os.listdir(seen) == ["f"]
        assert world.read(f"{VM}/mnt/.remote-plugins/42/.mcpb-cache/f") == "cached"


@pytest.mark.parametrize(
    "name",
    ["../../x", "../../../etc", "a/../../b", "", "a\0b", "a\nb", "x" * 300, ".", "..", "/abs", "a//b", "a/", "é" * 128],
)
def test_names_that_lead_elsewhere(world: World, name: str) -> None:
    """MNT-12, G17: refused, and the other mounts hold."""
    mounts = world.folders("proj")
    before = sorted(world.home.rglob("*"))
    told = world.told(additionalMounts={name: {"path": "proj", "mode": "rw"}, **mounts})
    assert told["failed"] == [name]
    assert told["cwd"] == str(world.home / "proj")
    assert os.listdir(world.tree) == ["mnt"]
    assert os.listdir(world.tree / "mnt") == ["proj"]
    assert os.listdir(world.daemon.trees) == ["otter"]
    assert sorted(world.home.rglob("*")) == before


def test_each_session_has_its_own_nested_mounts(world: World) -> None:
    """MNT-13, G22."""
    mounts = world.folders("proj", "one", "two")
    for _ in range(2):
        for name in ("one", "two"):
            asked = {"proj": mounts["proj"], "proj/cache": mounts[name]}
            world.client.spawn(name, "/bin/true", name=name, cwd="", additionalMounts=asked)
            world.client.until_exit(name)
    for name in ("one", "two"):
        assert world.read(f"/sessions/{name}/mnt/proj/cache/f", name) == name


def test_modes_cannot_be_enforced_and_that_is_said(world: World) -> None:
    """MNT-14: one warning; an unknown mode is taken as ro, with another."""
    mounts = world.folders("a", "b", "c")
    (world.home / "own").mkdir()
    mounts["c"]["mode"] = "rwd"
    assert world.told(additionalMounts=mounts)["failed"] == []
    assert "read-only" not in world.daemon.stderr()
    mounts["a"]["mode"] = mounts["b"]["mode"] = "ro"
    assert world.told(additionalMounts=mounts)["failed"] == []
    assert world.daemon.stderr().count("read-only mounts can be written to") == 1
    odd = {"a": {"path": "a", "mode": "rwx"}, "own": {"path": "own", "mode": "rw"}}
    assert world.told(additionalMounts=odd)["failed"] == []
    assert world.daemon.stderr().count("unknown mode 'rwx', taken as ro") == 1
    assert world.daemon.stderr().count("read-only mounts can be written to") == 2
    world.client.shell("w", "echo x > made && rm made", name="w", cwd="", additionalMounts={"own": odd["own"]})
    assert world.client.until_exit("w")[-1].get("exitCode") == 0


def test_sources_that_are_refused(world: World) -> None:
    """MNT-15, N10: and the others are mounted still."""
    mounts = world.folders("proj")
    os.mkfifo(world.home / "fifo")
    (world.home / "loop").symlink_to("loop")
    paths = {
        "up": "../../etc",
        "up2": "/home/../etc",
        "fifo": "fifo",
        "loop": "loop",
        "nul": "a\0b",
        "dev": "/dev/null",
    }
    bad = {name: {"path": path, "mode": "rw"} for name, path in paths.items()}
    told = world.told(additionalMounts={**bad, **mounts})
    assert sorted(told["failed"]) == sorted(paths)
    assert told["cwd"] == str(world.home / "proj")


def test_links_of_earlier_spawns_are_renewed(world: World) -> None:
    """G22: what is no longer mounted, or elsewhere, is not shown; what the session itself made stays."""
    mounts = world.folders("a", "b", "c")
    world.told(additionalMounts=mounts)
    (world.tree / "mnt" / "own").mkdir()
    (world.tree / "mnt" / "own" / "f").write_text("x")
    world.told(additionalMounts={"a": mounts["b"]})
    links = {path.name: os.readlink(path) for path in (world.tree / "mnt").iterdir() if path.is_symlink()}
    assert links == {"a": str(world.home / "b")}
    assert (world.tree / "mnt" / "own" / "f").read_text() == "x"


def test_a_session_that_replaced_its_folder_of_mounts_by_a_link(world: World) -> None:
    """Links are neither made nor removed through it."""
    mounts = world.folders("a")
    (world.home / "mine").mkdir()
    (world.home / "mine" / "link").symlink_to("/etc")
    world.watch(world.home / "mine")
    world.tree.mkdir()
    (world.tree / "mnt").symlink_to(world.home / "mine")
    assert world.told(additionalMounts=mounts)["failed"] == []
    world.check()
    assert os.readlink(world.tree / "mnt" / "a") == str(world.home / "a")


# -- working directory


def test_without_a_folder_of_the_users(world: World) -> None:
    """CWD-1, CWD-5."""
    mounts = world.folders("outputs", "uploads", ".x")
    assert world.cwd() == str(world.tree)
    assert world.cwd(additionalMounts=mounts) == str(world.tree)
    assert world.cwd(additionalMounts=mounts, cwd=VM) == str(world.tree)
    assert world.cwd(additionalMounts=mounts, cwd=f"{VM}/mnt/outputs") == str(world.home / "outputs")


def test_the_first_by_name_or_by_the_clients_order(world: World) -> None:
    """CWD-2, CWD-3, CWD-4, N22, G58."""
    mounts = world.folders("zeta", "2024", "beta", "outputs", "beta/nested")
    mounts["beta/nested"] = mounts.pop("beta/nested")
    key = "CLAUDE_CODE_WORKSPACE_HOST_PATHS"
    for _ in range(5):
        assert world.cwd(additionalMounts=mounts) == str(world.home / "beta")
        mounts = dict(reversed(mounts.items()))
    for hint, expected in (
        (f"{world.home}/zeta|{world.home}/beta", "zeta"), (f"/nowhere| {world.home}/2024 |", "2024"),
        ("zeta", "zeta"), (f"{str(world.home)[1:]}/2024", "2024"), ("||", "beta"), (f"{world.home}/outputs", "beta"),
    ):  # fmt: skip
        assert world.cwd(additionalMounts=mounts, env={key: hint}) == str(world.home / expected)
    few = {"zeta": mounts["zeta"], "2024": mounts["2024"], "outputs": mounts["outputs"]}
    assert world.cwd(additionalMounts=few) == str(world.home / "zeta")


def test_a_folder_that_the_client_names(world: World) -> None:
    """CWD-6."""
    (world.home / "w" / "sub").mkdir(parents=True)
    mounts = {"w": {"path": "w", "mode": "rw"}, **world.folders("a")}
    assert world.cwd(additionalMounts=mounts, cwd=f"{VM}/mnt/w/sub") == str(world.home / "w" / "sub")
    assert world.cwd(additionalMounts=mounts, cwd=str(world.home / "w" / "sub")) == str(world.home / "w" / "sub")
    assert world.cwd(additionalMounts=mounts, cwd=f"{VM}/mnt/w/gone") == str(world.home / "a")


@pytest.mark.parametrize("cwd", ["/nonexist/zz", "/sessions/beaver/mnt/x", "relative", f"{VM}/../beaver"])
def test_a_folder_that_is_not_there(world: World, cwd: str) -> None:
    """CWD-7: by its name, and not as a program that is not there."""
    text = world.client.refusal("spawn", {"name": "otter", "id": "p", "command": "/bin/true", "args": [], "cwd": cwd})
    assert cwd in text
    assert "directory" in text
    assert world.client.event()["fatal"] is True


class Resume:
    """A session's configuration folder with transcripts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.config = world.home / "conf"
        self.mounts = {**world.folders("alpha", "gamma"), ".claude": {"path": "conf", "mode": "rw"}}

    def put(self, slug: str, id: str = "id-1", text: str = "old", age: int = 100, companion: str = "") -> Path:
        path = self.config / "projects" / slug / f"{id}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
        if companion:
            path.with_suffix("").mkdir()
            (path.with_suffix("") / companion).write_text(companion)
        return path

    def cwd(self, *args: str, **more: Any) -> str:
        """Where a session that resumes works."""
        return self.world.cwd(*(args or ("--resume", "id-1")), **{"additionalMounts": self.mounts, **more})

    def all(self) -> list[str]:
        """Everything below projects."""
        root = self.config / "projects"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


@pytest.fixture
def resume(world: World) -> Resume:
    return Resume(world)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["--resume", "id-1"], True), (["--resume=id-1"], True), (["-p", "--resume", "id-1", "--resume", "z"], True),
        (["--resume"], False), (["--resume", "z", "--resume=id-1"], False), (["--", "--resume", "id-1"], False),
    ],
)  # fmt: skip
def test_the_folder_that_has_the_conversation(resume: Resume, args: list[str], found: bool) -> None:
    """CWD-8, CWD-9, N22."""
    resume.put(project_slug(str(resume.world.home / "gamma")))
    assert resume.cwd(*args) == str(resume.world.home / ("gamma" if found else "alpha"))
    assert len(resume.all()) == 1


def test_a_conversation_of_another_folder_is_copied(resume: Resume) -> None:
    """CWD-10."""
    original = resume.put("-elsewhere", text="conversation")
    before = original.stat()
    assert resume.cwd() == str(resume.world.home / "alpha")
    slug = project_slug(str(resume.world.home / "alpha"))
    assert resume.all() == sorted(["-elsewhere/id-1.jsonl", f"{slug}/id-1.jsonl"])
    copy = resume.config / "projects" / slug / "id-1.jsonl"
    assert copy.read_text() == "conversation"
    assert (original.stat().st_ino, original.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    copy.write_text("went on")
    resume.put("-elsewhere", text="other", age=-100)
    assert resume.cwd() == str(resume.world.home / "alpha")
    assert copy.read_text() == "went on"


def test_the_newest_is_copied_with_what_belongs_to_it(resume: Resume) -> None:
    """CWD-11, G57."""
    resume.put("-a-first", text="old", age=500)
    resume.put("-z-last", text="new", age=5, companion="tool.json")
    resume.cwd()
    slug = project_slug(str(resume.world.home / "alpha"))
    assert (resume.config / "projects" / slug / "id-1.jsonl").read_text() == "new"
    assert (resume.config / "projects" / slug / "id-1" / "tool.json").read_text() == "tool.json"


def test_a_conversation_of_the_virtual_machine(resume: Resume) -> None:
    """CWD-13: without a folder of the user's, the session works in its tree and finds it there."""
    resume.put("-sessions-otter", text="from the vm")
    resume.mounts = {".claude": resume.mounts[".claude"]}
    assert resume.cwd() == str(resume.world.tree)
    slug = project_slug(os.path.realpath(resume.world.tree))
    assert (resume.config / "projects" / slug / "id-1.jsonl").read_text() == "from the vm"


@pytest.mark.parametrize("id", ["../x", "a/b", "..", ".", "", "/etc/passwd", "a\\b", "a\nb"])
def test_ids_that_are_paths(resume: Resume, id: str) -> None:
    """CWD-14: nothing is looked up or copied."""
    resume.put("-elsewhere")
    (resume.config / "projects" / "x.jsonl").write_text("outside")
    before = resume.all()
    assert resume.cwd("--resume", id) == str(resume.world.home / "alpha")
    assert resume.all() == before


def test_which_configuration_folder(resume: Resume) -> None:
    """CWD-15: the mount, or the variable, or none."""
    slug = project_slug(str(resume.world.home / "gamma"))
    resume.put(slug)
    other = resume.world.home / "other"
    other.mkdir()
    env = {"CLAUDE_CONFIG_DIR": str(other)}
    alpha, gamma = str(resume.world.home / "alpha"), str(resume.world.home / "gamma")
    assert resume.cwd(env=env) == gamma
    mounts = dict(resume.mounts)
    del mounts[".claude"]
    assert resume.cwd(additionalMounts=mounts, env=env) == alpha
    assert resume.cwd(additionalMounts=mounts, env={"CLAUDE_CONFIG_DIR": str(resume.config)}) == gamma
    assert resume.cwd(additionalMounts=mounts) == alpha
    guest = {"outputs": {"path": "conf", "mode": "rw"}, **mounts}
    assert resume.cwd(additionalMounts=guest, env={"CLAUDE_CONFIG_DIR": f"{VM}/mnt/outputs"}) == gamma
    empty = {**mounts, ".claude": {"path": "", "mode": "rw"}}
    assert resume.cwd(additionalMounts=empty, env={"CLAUDE_CONFIG_DIR": str(resume.config)}) == gamma
    assert not (resume.world.home / "projects").exists()


# -- arguments and environment


def test_paths_in_arguments_and_variables(world: World) -> None:
    """ARG-1, ARG-2, G24, G31, G73: wherever they stand, with a host path as working directory too."""
    mounts = world.folders("proj", 'q"uote')
    quoted = json.dumps(f'{world.home}/q"uote/y')
    mounts["quote"] = mounts.pop('q"uote')
    proj = str(world.home / "proj")
    pairs = {
        f"{VM}/x": f"{world.tree}/x", VM: str(world.tree), f"--plugin-dir={VM}/mnt/proj": f"--plugin-dir={proj}",
        f"a:{VM}/mnt/proj/b:{VM}": f"a:{proj}/b:{world.tree}", "/sessions/otter2/x": "/sessions/otter2/x",
        "/sessions/beaver/x": "/sessions/beaver/x", f"/home/me{VM}/x": f"/home/me{VM}/x",
        f'{{"x": "{VM}/mnt/quote/y"}}': f'{{"x": {quoted}}}', "plain": "plain", "": "",
    }  # fmt: skip
    env = {f"V{n}": value for n, value in enumerate(pairs) if value and not value.startswith(("/sessions/b", VM + "2"))}
    for cwd in ("", "/", str(world.home), f"{VM}/mnt/proj"):
        told = world.told(*pairs, cwd=cwd, env=env, additionalMounts=mounts)
        assert told["argv"] == list(pairs.values())
        for name, value in env.items():
            assert told["env"][name] == pairs[value]


def test_guest_paths_of_folders(world: World) -> None:
    """ARG-3: also with a dot too many or too few; another session's is no path of this one."""
    mounts = {**world.folders("proj", ".skills")}
    expected = {
        f"{VM}/mnt/proj/src/a.py": "proj/src/a.py", f"{VM}/mnt/skills/pdf": ".skills/pdf", f"{VM}/mnt/proj": "proj",
        f"{VM}/mnt/.proj/x": "proj/x", f"{VM}/mnt/proj/./x/../y": "proj/y",
        f"{VM}/mnt/proj/../../etc/passwd": None, "/sessions/beaver/mnt/proj": None,
    }  # fmt: skip
    for guest, host in expected.items():
        args = world.args("-p", "--add-dir", guest, additionalMounts=mounts)
        assert args == (["-p", "--add-dir", str(world.home / host)] if host else ["-p"])


def test_folders_and_tool_lists(world: World) -> None:
    """ARG-4, ARG-5, ARG-6."""
    mounts = world.folders("a", "b")
    a, b = str(world.home / "a"), str(world.home / "b")
    given = ["--add-dir", f"{VM}/mnt/a", f"{VM}/mnt/b", "/usr", f"--add-dir={VM}/mnt/a", "--verbose"]
    assert world.args(*given, additionalMounts=mounts) == ["--add-dir", a, b, "/usr", f"--add-dir={a}", "--verbose"]
    tools = f"Edit(/{VM}/mnt/a/**),Bash(f(x, y) {VM}/mnt/b/z),Read"
    mapped = f"Edit(/{a}/**),Bash(f(x, y) {b}/z),Read"
    for form in (["--allowedTools", tools], [f"--allowedTools={tools}"]):
        assert world.args(*form, "-p", additionalMounts=mounts) == [*(t.replace(tools, mapped) for t in form), "-p"]
    foreign = "Edit(//sessions/beaver/mnt/a/**)"
    assert world.args("--allowedTools", foreign, "-p", additionalMounts=mounts) == ["-p"]
    assert world.args("--allowedTools", f"Read,{foreign}", "-p") == ["--allowedTools", "Read", "-p"]


def test_a_configuration_folder_of_another_session(world: World) -> None:
    """ARG-7, N24: no variable at all, and a warning."""
    told = world.told(env={"CLAUDE_CONFIG_DIR": "/sessions/beaver/mnt/.claude", "A": "b"})
    assert "CLAUDE_CONFIG_DIR" not in told["env"]
    assert told["env"]["A"] == "b"
    assert world.daemon.stderr().count("CLAUDE_CONFIG_DIR") == 1


def test_tools_that_the_client_answers_for(world: World) -> None:
    """ARG-10, ARG-11, G29."""
    ask, present = "AskUserQuestion", "mcp__cowork__present_files"

    def args(*given: str, tags: str = "lam_session_type:chat") -> list[str]:
        return world.args(*given, "-p", env={"CLAUDE_CODE_TAGS": tags})

    assert args("--disallowedTools", f"{ask},{present}") == ["-p"]
    assert args("--disallowedTools", f"{ask},{present},WebFetch") == ["--disallowedTools", "WebFetch", "-p"]
    assert args(f"--disallowedTools={ask},Bash") == ["--disallowedTools=Bash", "-p"]
    assert args("--disallowedTools", ask, "--disallowedTools", f"Bash,{present}") == ["--disallowedTools", "Bash", "-p"]
    scheduled = args("--disallowedTools", f"{ask},{present}", tags="lam_session_type:scheduled")
    assert scheduled == ["--disallowedTools", ask, "-p"]
    assert args("--disallowedTools", f"{ask},{present}", tags="radar") == [
        "--disallowedTools",
        f"{ask},{present}",
        "-p",
    ]


def test_a_user_who_is_not_at_the_computer(world: World) -> None:
    """ARG-12, ARG-13, G30."""
    mounts = world.folders("outputs")
    on = {"CLAUDE_CODE_BRIEF": "1"}
    args = world.args("-p", "--brief", "--append-system-prompt", "Mine.", env=on, additionalMounts=mounts)
    assert args.count("--brief") == args.count("--append-system-prompt") == 1
    prompt = args[args.index("--append-system-prompt") + 1]
    assert prompt.startswith("Mine.")
    assert "attachments" in prompt
    assert str(world.home / "outputs") in prompt
    plain = world.args("-p", env=on)
    assert "attachments" in plain[plain.index("--append-system-prompt") + 1]
    assert str(world.home) not in " ".join(plain)
    for env in ({}, {"CLAUDE_CODE_BRIEF": "0"}, {"CLAUDE_CODE_BRIEF": "true"}):
        assert world.args("-p", env=env) == ["-p"]


def test_the_servers_configuration_is_left_alone(world: World) -> None:
    """ARG-14."""
    config = f'{{"mcpServers":  {{"cowork": {{"type":"sdk","cwd":"{VM}/mnt/x"}}}}, "é": "\\u00e9"}}'
    for form in (["--mcp-config", config], [f"--mcp-config={config}"]):
        assert world.args(*form) == form


# -- what is written


def test_paths_on_stdin(world: World) -> None:
    """IN-2, IN-4, IN-5, G6, G23, G24: one pass, whole names, the longest first."""
    mounts = world.folders("p", "pp", "skills", "back\\slash", 'q"uote')
    mounts[".claude/skills"] = mounts.pop("skills")
    mounts[".claude"] = {"path": "p", "mode": "rw"}
    mounts["back"], mounts["quote"] = mounts.pop("back\\slash"), mounts.pop('q"uote')
    home, tree = world.home, world.tree
    pairs = {
        f"{VM}/mnt/p/f": f"{home}/p/f", f"{VM}/mnt/pp/f": f"{home}/pp/f", f"{VM}/other": f"{tree}/other",
        f"{VM}XY/z": f"{VM}XY/z", f"{VM}/mnt/.claude/skills/x": f"{home}/skills/x", f"{tree}/real": f"{tree}/real",
        f"{home}/p{VM}/x": f"{home}/p{VM}/x", "/sessions/beaver/x": "/sessions/beaver/x",
        f'{{"a":"{VM}/mnt/quote/f"}}': json.dumps({"a": f'{home}/q"uote/f'}, separators=(",", ":")),
        f'{{"a":"{VM}/mnt/back/f"}}': json.dumps({"a": f"{home}/back\\slash/f"}, separators=(",", ":")),
    }  # fmt: skip
    for _ in range(3):
        got = world.written(*(f"{line}\n" for line in pairs), additionalMounts=mounts)
        assert got.decode().splitlines() == list(pairs.values())


def test_a_path_cut_by_two_writes(world: World) -> None:
    """IN-2: each place where a client may cut it."""
    mounts = world.folders("proj")
    text = f"see {VM}/mnt/proj/f now\n"
    for cut in range(3, len(text)):
        got = world.written(text[:cut], text[cut:], additionalMounts=mounts)
        assert got.decode() == f"see {world.home}/proj/f now\n"


def test_an_unfinished_line_is_passed_on(world: World) -> None:
    """A prompt of a program that reads without waiting for the line's end."""
    mounts = world.folders("proj")
    world.client.spawn("p", "/bin/sh", "-c", "head -c 3", name="otter", additionalMounts=mounts)
    world.client.ask("writeStdin", {"id": "p", "data": "/se"})
    assert output(world.client.until_exit("p"), "p") == "/se"


def user(content: object) -> str:
    """A user's message as clients write it."""
    return json.dumps({"type": "user", "message": {"role": "user", "content": content}}, separators=(",", ":")) + "\n"


def test_skills_by_their_own_name(world: World) -> None:
    """IN-6, IN-7, G41: of a user's words, nothing else; control responses byte by byte."""
    response = '{"type":"control_response",  "response": {"x": "\\u00e9\\/", "content":"/a:b", "type":"user"}}\n'
    result = [{"type": "tool_result", "content": "/a:b"}]
    pairs = {
        user("/document-skills:pdf x"): user("/pdf x"), user("/a.b:c.d"): user("/c.d"),
        user([{"type": "text", "text": "/p:s"}, {"type": "text", "text": "/p:s"}]):
            user([{"type": "text", "text": "/s"}, {"type": "text", "text": "/p:s"}]),
        user(result): user(result), user("say /a:b"): user("say /a:b"), response: response,
    }  # fmt: skip
    got = world.claude(want=len(pairs))
    for line in pairs:
        world.client.ask("writeStdin", {"id": "claude", "data": line})
    world.client.until_exit("claude")
    assert got.read_text() == "".join(pairs.values())


def test_skills_are_nothing_to_other_programs(world: World) -> None:
    """IN-6: what a shell reads is data."""
    assert world.written(user("/a:b")).decode() == user("/a:b")


# -- what is printed


def test_host_paths_in_the_output(world: World) -> None:
    """OUT-10, G35: whole names only; what the session does not see stays."""
    mounts = world.folders("proj", "proj2", "out")
    del mounts["proj2"]
    mounts["outputs"] = mounts.pop("out")
    home = world.home
    pairs = {
        f"{home}/proj/x": f"{VM}/mnt/proj/x", f"{home}/proj": f"{VM}/mnt/proj", f"{home}/proj2/x": f"{home}/proj2/x",
        f"{home}/outx": f"{home}/outx", f"{home}/out/x,": f"{VM}/mnt/outputs/x,", f"{world.tree}/a": f"{VM}/a",
        f"{world.tree}2": f"{world.tree}2", f"{home}": f"{home}",
        f'{{"p":"{home}/proj/x","q":"{home}/projx"}}': f'{{"p":"{VM}/mnt/proj/x","q":"{home}/projx"}}',
    }  # fmt: skip
    (world.root / "lines").write_text("".join(f"{line}\n" for line in pairs))
    expected = "".join(f"{line}\n" for line in pairs.values())
    for kind, script in (("stdout", "cat {}"), ("stderr", "grep -v { {} >&2")):
        script = script.replace("{}", str(world.root / "lines"))
        world.client.shell("p", script, name="otter", cwd="", additionalMounts=mounts)
        shown = output(world.client.until_exit("p"), "p", kind)
        assert shown == "".join(line for line in expected.splitlines(True) if kind == "stdout" or line[0] != "{")


def test_a_very_long_line_with_many_paths(world: World) -> None:
    """OUT-10: a line that comes in several events."""
    mounts = world.folders("proj")
    (world.root / "line").write_text(f'"{world.home}/proj/f" ' * 20_000 + "\n")
    world.client.shell("p", f"cat {world.root}/line", name="otter", cwd="", additionalMounts=mounts)
    assert output(world.client.until_exit("p"), "p") == f'"{VM}/mnt/proj/f" ' * 20_000 + "\n"


def test_the_working_directory_of_a_session_below_a_linked_home(unstarted: World) -> None:
    """OUT-10: its real path is the one that programs print."""
    link = unstarted.root / "link"
    link.symlink_to(unstarted.home)
    unstarted.daemon.environment.update({"HOME": str(link), "XDG_DATA_HOME": str(link / "data")})
    world = unstarted.start()
    world.client.spawn("p", "/bin/pwd", "-P", name="otter", cwd="")
    assert output(world.client.until_exit("p"), "p") == f"{VM}\n"


# -- present_files


def asking(*paths: str, id: object = 17, request_id: str = "R1", **more: Any) -> Message:
    """A request as the CLI prints it."""
    call = {"name": more.pop("tool", "present_files"), "arguments": {"files": [{"file_path": p} for p in paths]}}
    message = {"jsonrpc": "2.0", "id": id, "method": more.pop("method", "tools/call"), "params": call}
    request = {"subtype": "mcp_message", "server_name": "cowork", "message": message, **more}
    return {"type": "control_request", "request_id": request_id, "request": request}


def answering(*texts: str, id: object = 17, request_id: str = "R1", error: bool = False) -> Message:
    """The answer that belongs to it."""
    result = {"content": [{"type": "text", "text": text} for text in texts], "isError": error}
    reply = {"jsonrpc": "2.0", "id": id, "result": result}
    response = {"subtype": "success", "request_id": request_id, "response": {"mcp_response": reply}}
    return {"type": "control_response", "response": response}


def test_one_file_is_presented_and_the_client_told_nothing(world: World) -> None:
    """PF-1, PF-2, PF-5, PF-11: by its host path, whatever name it was given; ids are echoed."""
    mounts = world.folders("outputs")
    (world.tree).mkdir()
    (world.tree / "own").write_text("x")
    file = str(world.home / "outputs" / "f")
    asks = [
        asking(file), asking(f"{VM}/mnt/outputs/f", id="a-b", request_id="R2"), asking(f"{VM}/own", id=None),
        asking(str(world.tree / "own")),
    ]  # fmt: skip
    pretty = json.dumps(asking(file, id=0), separators=(" ,  ", " : ")) + "\n"
    events, got = world.presented(*asks, pretty, want=5, additionalMounts=mounts)
    own = str(world.tree / "own")
    assert got == [
        answering(file), answering(file, id="a-b", request_id="R2"), answering(own, id=None), answering(own),
        answering(file, id=0),
    ]  # fmt: skip
    assert [event["type"] for event in events] == ["exit"]


def test_files_that_are_not_there(world: World) -> None:
    """PF-3, PF-4, G39: those that are there are presented still."""
    mounts = world.folders("outputs")
    file, gone = str(world.home / "outputs" / "f"), f"{VM}/mnt/outputs/gone"
    bad = [file + "2", str(world.home / "outputs"), "relative", "/sessions/beaver/mnt/outputs/f", "/dev/null", "a\0b"]
    _, got = world.presented(asking(gone, file), asking(), asking(*bad), want=3, additionalMounts=mounts)
    result = got[0]["response"]["response"]["mcp_response"]["result"]
    assert result["isError"] is True
    assert result["content"][0] == {"type": "text", "text": file}
    assert str(world.home / "outputs" / "gone") in result["content"][1]["text"]
    assert got[1] == answering()
    result = got[2]["response"]["response"]["mcp_response"]["result"]
    assert result["isError"] is True
    assert len(result["content"]) == 1
    assert all(path in result["content"][0]["text"] for path in bad)


def test_what_is_the_clients_to_answer(world: World) -> None:
    """PF-6, PF-7, G39."""
    mounts = world.folders("outputs")
    file = str(world.home / "outputs" / "f")
    others: list[str | Message] = [
        asking(file, server_name="other"), asking(file, method="tools/list"), asking(file, tool="create_artifact"),
        asking(file, subtype="other"), {"type": "assistant", "text": json.dumps(asking(file))}, "present_files\n",
        {**asking(file), "type": "control_response"}, '{"type":"control_request", "present_files"\n',
    ]  # fmt: skip
    events, got = world.presented(*others, asking(file, id=1), want=1, additionalMounts=mounts)
    assert got == [answering(file, id=1)]
    printed = output(events, "claude").splitlines()
    guest = [json.dumps(line) + "\n" if not isinstance(line, str) else line for line in others]
    assert printed == [line.rstrip("\n").replace(str(world.home / "outputs"), f"{VM}/mnt/outputs") for line in guest]


def test_a_line_with_a_separator_that_is_no_end(world: World) -> None:
    """PF-5: U+2028 and its kind stand in JSON as they are."""
    (world.home / "outputs").mkdir()
    file = world.home / "outputs" / "a\u2028b\u0085c"
    file.write_text("x")
    mounts = {"outputs": {"path": "outputs", "mode": "rw"}}
    line = json.dumps(asking(str(file)), ensure_ascii=False) + "\n"
    events, got = world.presented(line, want=1, additionalMounts=mounts)
    assert got == [answering(str(file))]
    assert output(events, "claude") == ""


def test_only_claude_is_answered(world: World) -> None:
    """PF-6: another program's output is its own."""
    file = world.root / "asks"
    file.write_text(json.dumps(asking("/etc/passwd")) + "\n")
    world.client.shell("p", f"cat {file}", name="otter")
    assert output(world.client.until_exit("p"), "p") == file.read_text()


@pytest.mark.parametrize("remote", [True, False])
def test_a_reminder_for_a_user_who_is_away(world: World, remote: bool) -> None:
    """PF-8."""
    mounts = world.folders("outputs")
    file = str(world.home / "outputs" / "f")
    env = {"CLAUDE_CODE_BRIEF": "1"} if remote else {}
    _, got = world.presented(asking(file), want=1, env=env, additionalMounts=mounts)
    content = got[0]["response"]["response"]["mcp_response"]["result"]["content"]
    assert content[0]["text"] == file
    assert len(content) == 1 + remote
    assert not remote or (file in content[1]["text"] and "SendUserMessage" in content[1]["text"])


def test_both_pipes_are_full(world: World) -> None:
    """PF-9: the answers come all the same, behind what was written before."""
    mounts = world.folders("outputs")
    file = str(world.home / "outputs" / "f")
    count = 3000
    asks = [asking(file, id=number) for number in range(count)]
    written, line = 0, "x" * 99_999 + "\n"
    got = world.claude(*asks, "end\n", want=count + 40, env={"READ_FIRST": "100000"}, additionalMounts=mounts)
    for _ in range(41):
        if world.client.call("writeStdin", {"id": "claude", "data": line})["success"] is not True:
            break
        written += 1
    assert written == 41
    events = world.client.until_exit("claude")
    assert output(events, "claude") == "end\n"
    lines = got.read_text().splitlines()
    assert [json.loads(text)["response"]["response"]["mcp_response"]["id"] for text in lines if text[0] == "{"] == list(
        range(count)
    )


def test_an_answer_is_not_lost_when_stdin_is_full(world: World) -> None:
    """PF-9: a tool call whose answer were dropped would never end."""
    mounts = world.folders("outputs")
    file = str(world.home / "outputs" / "f")
    gate = world.root / "gate"
    os.mkfifo(gate)
    world.program(
        "claude",
        f"""
import sys
print("up", flush=True)
open({str(gate)!r}).read()
print({json.dumps(json.dumps(asking(file)))}, "asked", sep="\\n", flush=True)
open({str(gate)!r}).read()
for line in sys.stdin:
    if line.startswith("{{"):
        print("answered", flush=True)
        break
""",
    )
    options = ("--output-format", "stream-json")
    world.client.spawn("claude", "claude", *options, name="otter", cwd="", additionalMounts=mounts)
    world.client.until_text("claude", "up\n")
    for size in (1_000_000, 10_000, 100, 1):
        line = "x" * (size - 1) + "\n"
        while world.client.call("writeStdin", {"id": "claude", "data": line})["success"] is True:
            pass
    gate.write_text("ask")
    world.client.until_text("claude", "asked\n")
    gate.write_text("read")
    assert world.client.until_text("claude", "answered\n")


def test_an_answer_never_stands_inside_a_line(world: World) -> None:
    """PF-10, G39."""
    mounts = world.folders("outputs")
    file = str(world.home / "outputs" / "f")
    env = {"READ_FIRST": "5"}
    got = world.claude(asking(file), "asked\n", want=2, env=env, additionalMounts=mounts)
    world.client.ask("writeStdin", {"id": "claude", "data": "first half, "})
    world.client.until_text("claude", "asked\n")
    world.client.ask("writeStdin", {"id": "claude", "data": "second half\n"})
    world.client.until_exit("claude")
    first, second = got.read_text().splitlines()
    assert first == " half, second half"
    assert json.loads(second) == answering(file)


def test_two_clients_see_one_request(world: World) -> None:
    """PF-1: it is answered once."""
    mounts = world.folders("outputs")
    file = str(world.home / "outputs" / "f")
    with world.daemon.client() as other:
        other.subscribe("other")
        got = world.claude(asking(file), "end\n", want=2, additionalMounts=mounts)
        for client in (world.client, other):
            assert client.until_text("claude", "end\n") == "end\n"
        world.client.ask("writeStdin", {"id": "claude", "data": "last\n"})
        world.client.until_exit("claude")
    assert [line[:1] for line in got.read_text().splitlines()] == ["{", "l"]


# -- readFile, and another daemon


def test_files_of_mounts(world: World) -> None:
    """RF-4, RF-5, N11: each session's own, after spawns in any order, and when it has ended."""
    mounts = world.folders("one", "two")
    for name in ("one", "two", "one", "two", "one"):
        asked = {"outputs": mounts[name]}
        world.client.spawn(f"p-{name}", "/bin/true", name=name, cwd="", additionalMounts=asked)
        world.client.until_exit(f"p-{name}")
    for name in ("one", "two"):
        assert world.read(f"/sessions/{name}/mnt/outputs/f", name) == name
        assert world.read(world.home / name / "f", name) == name
    for path in ("/sessions/two/mnt/outputs/f", str(world.home / "two" / "f"), "/sessions/one/mnt/outputs/../../f"):
        assert world.client.refusal("readFile", {"processName": "one", "filePath": path})


def test_a_killed_daemon_forgets_no_mapping(world: World) -> None:
    """The next one maps stdin, stdout and readFile of the same session; answers requests; and begins none anew."""
    mounts = world.folders("proj", "outputs")
    seen = world.root / "seen"
    world.client.shell("p", f"exec tee -a {seen}", name="otter", cwd="", additionalMounts=mounts)
    line = f"{VM}/mnt/proj/f {VM}/x\n"
    for number in range(3):
        world.client.ask("writeStdin", {"id": "p", "data": line})
        assert world.client.until_text("p", "\n") == line
        # tee writes to its output first, and to the file behind that.
        wait_for(lambda: seen.read_text() == f"{world.home}/proj/f {world.tree}/x\n" * (number + 1))  # noqa: B023
        assert world.read(f"{VM}/mnt/outputs/f") == "outputs"
        world.client.close()
        world.daemon.restart()
        world.client = world.daemon.client().subscribe()


def test_a_killed_daemon_and_a_request_behind_it(world: World) -> None:
    """PF-1: what the session asks while no daemon runs is answered by the next one, once; and nothing again."""
    mounts = world.folders("outputs")
    file = str(world.home / "outputs" / "f")
    gates = [world.root / "gate-0", world.root / "gate-1"]
    for gate in gates:
        os.mkfifo(gate)
    got = world.root / "got"
    ask = json.dumps(json.dumps(asking(file)))
    world.program(
        "claude",
        f"""
import sys
for gate in {[str(gate) for gate in gates]!r}:
    print("up", flush=True)
    open(gate).read()
    print({ask}, "asked", sep="\\n", flush=True)
with open({str(got)!r}, "w") as f:
    for _ in range(3):
        f.write(sys.stdin.readline())
        f.flush()
""",
    )
    options = ("--output-format", "stream-json")
    env = {"CLAUDE_CODE_BRIEF": "1"}
    world.client.spawn("claude", "claude", *options, name="otter", cwd="", env=env, additionalMounts=mounts)
    world.client.until_text("claude", "up\n")
    gates[0].write_text("go")
    world.client.until_text("claude", "asked\nup\n")
    world.client.ask("isRunning")  # by now the event counts as taken
    world.client.close()
    world.daemon.kill()
    gates[1].write_text("go")
    world.daemon.start()
    world.client = world.daemon.client().subscribe()
    world.client.until_text("claude", "asked\n")
    world.client.ask("writeStdin", {"id": "claude", "data": "last\n"})
    world.client.until_exit("claude")
    lines = got.read_text().splitlines()
    assert [line[:1] for line in lines] == ["{", "{", "l"]
    assert all("SendUserMessage" in line for line in lines[:2])
