"""What every backend has to guarantee, as tests that whoever writes one can run.

::

    from cowork.testing.backend_conformance import BackendConformance

    class TestMine(BackendConformance):
        def make_backend(self) -> Backend:
            return Mine()

Each ``test_*`` method is one guarantee, told by its docstring. They run under pytest as they are, and under whatever
calls ``setup_method``, one test and ``teardown_method`` on a new instance. What ``prepare`` returns is started by
a real holder, in folders made for the test; nothing is left of either. A guarantee that only a backend which claims it
can give (``honours``, ``isolation``) holds without a look at one that does not.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cowork
from cowork.backends.base import SpawnRequest
from cowork.errors import CoworkError, HolderError, RpcError
from cowork.holder.spec import StartSpec
from cowork.holder.spool import STDOUT
from cowork.holder.tree import children
from cowork.sessions.blocking import socket_path
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.leftovers import bury
from cowork.sessions.record import MountRecord, SessionRecord, new_id, without_secrets
from cowork.testing import programs
from cowork.testing.folders import NAME, difference, guest, listing, seen
from cowork.testing.running import PATIENCE, Ended, Running, content_of, describe, end_all, has_open
from cowork.wire.requests import Mount

if TYPE_CHECKING:
    from cowork.backends.base import Backend, Prepared

FAR = 3600.0
"""Seconds that no test lives."""
TAG = "COWORK_CONFORMANCE"
"""A variable by which everything that a test has started is known."""
TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"
HONOURABLE = frozenset({"allowedDomains", "oneShot", "mountSkeletonHome", "ro"})
ISOLATIONS = ("none", "bubblewrap", "vm")


class BackendConformance:
    """The suite. A subclass makes the backend; it may bring its own surroundings, requests and programs."""

    shell = "/bin/sh"
    """A POSIX shell, as programs in a session find it."""
    python = "/usr/bin/python3"
    """Python 3, as programs in a session find it."""

    # -- what a backend's author provides

    def make_backend(self) -> Backend:
        """The backend, new each time: it keeps nothing, sessions outlive it."""
        raise NotImplementedError("make_backend: return the backend that is to be tested")

    @contextmanager
    def surroundings(self) -> Iterator[Path]:
        """What one test runs in; yields an empty folder of its own, whose path is short and without links."""
        folder = Path(tempfile.mkdtemp(prefix="cw", dir="/tmp"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def make_request(self, **changes: Any) -> SpawnRequest:
        """A request with these fields, in the test's folders. Each session ``name`` has a tree of its own."""
        name = changes.get("name", NAME)
        tree = self.trees / name
        tree.mkdir(mode=0o700, exist_ok=True)
        given: dict[str, Any] = {
            "name": name, "command": self.shell, "args": ["-c", ":"], "cwd": "", "mounts": {}, "tree": tree,
            "home": self.home, "inherited": self.inherited(), "ours": (str(self.sessions), str(self.runtime)),
        }  # fmt: skip
        given.update(changes)
        given["env"] = {TAG: self._tag, **changes.get("env", {})}
        return SpawnRequest(**given)

    def inherited(self, **more: str) -> dict[str, str]:
        """The environment to begin with."""
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8", **more}

    # -- before and after each test

    def setup_method(self) -> None:
        """Make the folders."""
        self._tag = uuid.uuid4().hex
        with ExitStack() as stack:
            self.folder = Path(os.path.realpath(stack.enter_context(self.surroundings())))
            self.home, self.trees, self.sessions, self.runtime = (self.folder / name for name in "htsr")
            for path in (self.home, self.trees, self.sessions, self.runtime):
                path.mkdir(mode=0o700)
            stack.callback(lambda: end_all(self.started_here(), signal.SIGKILL, PATIENCE))
            self.backend = self.make_backend()
            self._stack = stack.pop_all()

    def teardown_method(self) -> None:
        """End what still runs and remove the folders."""
        self._stack.close()

    def started_here(self) -> list[int]:
        """Every process, wherever it has gone, that has this test's variable, or something in its folder open."""
        mark, below = f"{TAG}={self._tag}".encode(), f"{self.folder}/"
        pids = (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
        return [pid for pid in pids if mark in content_of(pid, "environ").split(b"\0") or has_open(pid, below)]

    # -- steps of tests

    def have(self, folder: str, **files: str) -> Path:
        """A folder of the user's with files; a dot in a file's name is spelled ``_``."""
        made = self.home / folder
        made.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (made / name.replace("_", ".")).write_text(text)
        return made

    def mount(self, folder: str, mode: str = "rw") -> Mount:
        """A mount of something in the user's home, as clients spell it."""
        return Mount(str(self.home / folder).lstrip("/"), mode)

    def sh(self, script: str, *args: str, **changes: Any) -> SpawnRequest:
        """A request for a shell script; ``args`` are ``$1`` and so on."""
        return self.make_request(command=self.shell, args=["-c", script, "sh", *args], **changes)

    def py(self, script: str, *args: str, **changes: Any) -> SpawnRequest:
        """A request for a Python program."""
        return self.make_request(command=self.python, args=["-I", "-S", "-c", script, *args], **changes)

    def held(self, request: SpawnRequest, **options: Any) -> Running:
        """A session that is ready to be started. ``options``: fields of the ``StartSpec``."""
        prepared = self.backend.prepare(request)
        directory = SessionDirectory(self.sessions, new_id())
        asked = SessionRecord(
            id=directory.id, kind="cowork", name=request.name, argv=without_secrets(prepared.argv),
            executable=prepared.executable, cwd=prepared.cwd, backend=self.backend.name,
            isolation=self.backend.isolation, mounts=[MountRecord(*mount) for mount in prepared.session.mounts],
            translated=prepared.translated, network=prepared.network, weaker=prepared.weaker,
        )  # fmt: skip
        page = directory.create(asked)
        given: dict[str, Any] = {
            "folder": str(directory.path), "socket": socket_path(self.runtime, directory.id), "argv": prepared.argv,
            "executable": prepared.executable, "env": prepared.env, "cwd": prepared.cwd,
            "sandbox": prepared.sandbox, "memory": prepared.memory, "tasks": prepared.tasks,
        }  # fmt: skip
        made = Running(directory, page, StartSpec(**{**given, **options}), prepared)
        self._stack.callback(made.close)
        return made

    def start(self, request: SpawnRequest, **options: Any) -> Running:
        """Prepare and start; see ``held``."""
        running = self.held(request, **options)
        running.start()
        return running

    def run(self, request: SpawnRequest, **options: Any) -> Ended:
        """Prepare, start and wait for the end."""
        return self.start(request, **options).finish()

    def succeed(self, request: SpawnRequest) -> bytes:
        """The same for a program that has to end with 0; what it prints on stdout."""
        ended = self.run(request)
        assert ended.code == 0, ended
        return ended.out

    def refusal(self, request: SpawnRequest) -> str:
        """What is said about a request that must not be carried out."""
        try:
            running = self.held(request)
        except RpcError as e:
            return e.message
        return self.failure(running)

    def failure(self, running: Running) -> str:
        """What is said about a session that must not come to be started."""
        try:
            running.start()
        except HolderError as e:
            left = end_all(self.started_here(), 0, 1.0)
            assert not left, f"it was not started, and something of it runs: {left}"
            return e.message
        raise AssertionError(f"not refused: {running.finish()}")

    def environment(self, **changes: Any) -> dict[str, str]:
        """The environment of a program as the kernel has it."""
        told = self.succeed(self.py(programs.ENVIRONMENT, **changes))
        pairs = (os.fsdecode(entry).partition("=") for entry in told.split(b"\0") if entry)
        return {name: value for name, _, value in pairs}

    # -- what it says of itself

    def test_it_says_what_it_is(self) -> None:
        """A backend has a name, tells an isolation that is known, and claims parameters that exist."""
        assert self.backend.name
        assert self.backend.isolation in ISOLATIONS, self.backend.isolation
        assert self.backend.honours <= HONOURABLE, self.backend.honours - HONOURABLE

    def test_the_probe_tells_the_truth(self) -> None:
        """A program runs if and only if the probe says so; if it does not, there is a reason and a fix."""
        found = self.backend.probe()
        if found.works:
            assert self.run(self.make_request()).code == 0
            return
        assert found.reason, "it does not work, and does not say why"
        assert found.fix, f"it does not say what to do about: {found.reason}"
        try:
            ended = self.run(self.make_request())
        except (CoworkError, OSError):
            return
        raise AssertionError(f"{found.reason!r}, but a program ran: {ended}")

    # -- preparing

    def test_preparing_only_looks(self) -> None:
        """prepare() starts nothing, and touches nothing outside the session's tree."""
        self.have("proj", a_txt="mine").joinpath("sub").mkdir()
        self.have("cache")
        request = self.sh(
            'touch "$1/ran"', guest("proj"), cwd=guest("proj"), token="t",
            mounts={"proj": self.mount("proj"), "proj/sub/new": self.mount("cache"), "gone": self.mount("gone")},
        )  # fmt: skip
        before, others = listing(self.folder, without=request.tree, times=True), children(os.getpid())
        self.backend.prepare(request)
        changed = difference(before, listing(self.folder, without=request.tree, times=True))
        assert not changed, f"prepare() has touched {changed}"
        assert children(os.getpid()) == others, "prepare() has started something"
        assert not self.started_here(), "prepare() has started something"

    def test_preparing_follows_no_link_that_the_session_has_made(self) -> None:
        """A session that puts a link in its tree does not thereby have the next one change what is behind it."""
        self.have("proj")
        self.have("precious", a_txt="mine").joinpath("proj").symlink_to("elsewhere")
        (self.trees / NAME).mkdir()
        (self.trees / NAME / "mnt").symlink_to(self.home / "precious")
        before = listing(self.home, times=True)
        for number in range(2):
            try:
                self.backend.prepare(self.make_request(mounts={"proj": self.mount("proj")}, one_shot=bool(number)))
            except (RpcError, OSError):
                pass
        assert not difference(before, listing(self.home, times=True))

    def test_preparing_depends_on_nothing_but_the_request(self) -> None:
        """Another backend object decides the same, and so does the same one again."""
        self.have("a")
        self.have("b")
        mounts = {"b": self.mount("b"), "a": self.mount("a", "ro"), "gone": self.mount("gone")}
        told = []
        for backend in (self.backend, self.backend, self.make_backend()):
            made = backend.prepare(self.make_request(mounts=mounts, env={"A": "1"}, args=["-c", "x"]))
            told.append((made.argv, made.env, made.cwd, made.failed_mounts, made.session, made.translated))
        assert told[0] == told[1] == told[2]

    def test_secrets_are_nowhere_to_be_read(self) -> None:
        """Neither a token nor a variable's value is in a command line, a representation or a file of the session."""
        secrets = {name: uuid.uuid4().hex for name in ("token", "variable", "inherited")}
        request = self.sh(
            "echo ready; read line", token=secrets["token"], env={"SOME_KEY": secrets["variable"]},
            inherited=self.inherited(OTHER_KEY=secrets["inherited"]),
        )  # fmt: skip
        running = self.start(request)
        prepared = running.prepared
        running.until(b"ready")
        texts = {"request": repr(request), "prepared": repr(prepared), "argv": "\n".join(prepared.argv)}
        for pid in (running.holder, *running.watch()):
            texts[f"cmdline of {pid}"] = content_of(pid, "cmdline").decode(errors="replace")
        running.client.close_stdin()
        running.finish()
        for path in (p for p in running.directory.path.rglob("*") if p.is_file()):
            texts[path.name] = path.read_bytes().decode(errors="replace")
        for where, text in texts.items():
            found = [name for name, secret in secrets.items() if secret in text]
            assert not found, f"{found} can be read in {where}"

    # -- mounts

    def test_a_mount_is_at_its_guest_path(self) -> None:
        """A folder is where the guest path of its mount leads the program, however its own path was spelled."""
        self.have("My Project é", a_txt="one")
        self.have(".conformance/x", a_txt="two")
        self.have("three", a_txt="three")
        mounts = {
            "My Project é": self.mount("My Project é"),
            ".x": Mount(".conformance/x"),
            "t": Mount(str(self.home / "three")),
        }
        request = self.sh('cat "$1/a.txt" "$2/a.txt" "$3/a.txt"', *(guest(name) for name in mounts), mounts=mounts)
        running = self.start(request)
        assert running.prepared.failed_mounts == []
        ended = running.finish()
        assert (ended.code, ended.out) == (0, b"onetwothree"), ended

    def test_what_is_written_is_the_users(self) -> None:
        """What a program writes, makes and removes in a mount happens in the user's folder, and is the user's own."""
        proj = self.have("proj", old_txt="old", kept_txt="kept")
        script = 'cd "$1" && echo new >new.txt && mkdir sub && echo in >sub/in.txt && rm old.txt && echo + >>kept.txt'
        self.succeed(self.sh(script, guest("proj"), mounts={"proj": self.mount("proj", "rwd")}))
        found = {str(p.relative_to(proj)): p.read_text() for p in proj.rglob("*") if p.is_file()}
        assert found == {"new.txt": "new\n", "sub/in.txt": "in\n", "kept.txt": "kept+\n"}
        assert {p.stat().st_uid for p in proj.rglob("*")} == {os.geteuid()}

    def test_nested_mounts(self) -> None:
        """A mount in a mount is in its place, named before or after its parent, whether the parent has it or not."""
        proj = self.have("proj", a_txt="parent")
        proj.joinpath("there").mkdir()
        self.have("one", b_txt="one")
        self.have("two", c_txt="two")
        names = {"proj": "proj", "proj/there": "one", "proj/new/deep": "two"}
        script = 'cat "$1/a.txt" "$2/b.txt" "$3/c.txt" && echo x >"$2/made" && echo y >"$3/made"'
        for order in (list(names), list(reversed(names))):
            mounts = {name: self.mount(names[name]) for name in order}
            running = self.start(self.sh(script, *(guest(name) for name in names), mounts=mounts))
            ended = running.finish()
            assert (running.prepared.failed_mounts, ended.code) == ([], 0), ended
            assert ended.out == b"parentonetwo"
            assert [(self.home / f / "made").read_text() for f in ("one", "two")] == ["x\n", "y\n"]
        assert sorted(os.listdir(proj)) == ["a.txt", "there"]
        assert os.listdir(proj / "there") == []

    def test_a_mount_nested_in_a_read_only_one(self) -> None:
        """A mount in a read-only mount is seen, and can be written to, though the parent has no such folder."""
        proj = self.have("proj", a_txt="parent")
        proj.joinpath("sub").mkdir()
        self.have("one")
        mounts = {"proj": self.mount("proj", "ro"), "proj/new": self.mount("one")}
        out = self.succeed(
            self.sh('cat "$1/a.txt" && ls "$1" && echo x >"$2/made"', guest("proj"), guest("proj/new"), mounts=mounts)
        )
        assert out.startswith(b"parent")
        assert {b"a.txt", b"sub"} <= {*out.removeprefix(b"parent").splitlines()}
        assert (self.home / "one" / "made").read_text() == "x\n"
        assert sorted(os.listdir(proj)) == ["a.txt", "sub"]

    def test_a_missing_folder_is_told_and_not_made(self) -> None:
        """A mount whose folder is not there is among failed_mounts, is not made, and the others are there."""
        self.have("proj", a_txt="here")
        mounts = {"gone": self.mount("no/such/folder"), "proj": self.mount("proj")}
        running = self.start(self.sh('cat "$1/a.txt"', guest("proj"), mounts=mounts))
        assert running.prepared.failed_mounts == ["gone"]
        assert "gone" not in [mount.name for mount in running.prepared.session.mounts]
        assert running.finish().out == b"here"
        assert os.listdir(self.home) == ["proj"]

    def test_the_clients_own_folders_are_made(self) -> None:
        """Folders that are the client's own (.claude, outputs, uploads) are made if missing, and open to nobody."""
        names = (".claude", "outputs", "uploads")
        mounts = {name: self.mount(f".config/client/{name}") for name in names}
        running = self.start(self.sh('for f; do echo x >"$f/made"; done', *map(guest, names), mounts=mounts))
        assert running.prepared.failed_mounts == []
        assert running.finish().code == 0
        for name in names:
            made = self.home / ".config/client" / name
            assert (made / "made").read_text() == "x\n"
            assert made.stat().st_mode & 0o077 == 0, f"{name} is open to others"

    def test_bad_names_and_sources_fail_alone(self) -> None:
        """A mount whose name leads elsewhere, or whose source is no folder, is refused or fails; nothing is made."""
        proj = self.have("proj", a_txt="here")
        os.mkfifo(proj / "fifo")
        names = ("", ".", "..", "../../x", "a/../../b", "/etc", "a//b", "nul\0", "x" * 300)
        sources = {"fifo": self.mount("proj/fifo"), "up": self.mount("proj/../../x"), "null": Mount("/dev/null")}
        good = {"proj": self.mount("proj")}
        before = listing(self.folder, without=self.trees / NAME)
        kept = dict(sources)
        for name in names:
            try:
                made = self.backend.prepare(self.make_request(mounts={name: self.mount("proj"), **good}))
            except RpcError:
                continue
            assert made.failed_mounts == [name], f"{name!r}: {made.failed_mounts}"
            assert [mount.name for mount in made.session.mounts] == ["proj"]
            kept[name] = self.mount("proj")
        running = self.start(self.sh('cat "$1/a.txt"', guest("proj"), mounts={**kept, **good}))
        assert sorted(running.prepared.failed_mounts) == sorted(kept)
        assert running.finish().out == b"here"
        (self.runtime / "x").unlink(missing_ok=True)
        left = [p for p in difference(before, listing(self.folder, without=self.trees / NAME)) if p[0] not in "sr"]
        assert not left, f"made or changed: {left}"

    def test_read_only(self) -> None:
        """A mount asked for as read-only, or in an unknown mode, is told as that, and is that where it is claimed."""
        proj = self.have("proj", a_txt="mine")
        for mode in ("ro", "banana"):
            request = self.sh(
                'cat "$1/a.txt"; echo x >"$1/new"', guest("proj"), mounts={"proj": self.mount("proj", mode)}
            )
            running = self.start(request)
            assert [mount.mode for mount in running.prepared.session.mounts] == ["ro"]
            ended = running.finish()
            assert ended.out == b"mine", ended
            if "ro" in self.backend.honours:
                assert (ended.code != 0, os.listdir(proj)) == (True, ["a.txt"]), f"mode {mode} can be written to"

    def test_a_file_as_a_mount(self) -> None:
        """A mount that is a file prevents nothing, is no failure, and is there if it is told to be."""
        self.have("docs", note_txt="text")
        self.have("proj")
        mounts = {"note.txt": self.mount("docs/note.txt"), "proj": self.mount("proj")}
        running = self.start(self.sh('cat "$1" || exit 9', guest("note.txt"), mounts=mounts))
        there = any(mount.name == "note.txt" for mount in running.prepared.session.mounts)
        ended = running.finish()
        assert running.prepared.failed_mounts == []
        assert not there or (ended.code, ended.out) == (0, b"text"), ended

    def test_two_sessions_of_one_folder(self) -> None:
        """Two sessions that run at once with the same folder, and something else nested in it, each see their own."""
        self.have("proj", a_txt="both")
        sessions = {}
        for name in ("one", "two"):
            self.have(name, who_txt=name)
            mounts = {"proj": self.mount("proj"), "proj/sub": self.mount(name)}
            script = 'cat "$1/a.txt" "$2/who.txt" && echo " ready" && read line && echo x >"$2/$line"'
            args = guest("proj", name), guest("proj/sub", name)
            sessions[name] = self.start(self.sh(script, *args, name=name, mounts=mounts))
        for name, running in sessions.items():
            assert running.until(b"ready\n") == f"both{name} ready\n".encode()
        for name, running in sessions.items():
            running.write(f"by-{name}\n".encode())
            assert running.finish().code == 0
        assert [sorted(os.listdir(self.home / name)) for name in sessions] == [
            ["by-one", "who.txt"], ["by-two", "who.txt"],
        ]  # fmt: skip

    def test_many_mounts(self) -> None:
        """Many mounts are mounted, two hundred as well as forty."""
        names = [f"m{number:03}" for number in range(200)]
        for name in names:
            self.have(f"all/{name}", a_txt=f"{name}\n")
        mounts = {name: self.mount(f"all/{name}") for name in names}
        for count in (40, 200):
            wanted = names[:count]
            request = self.sh(
                'for f; do cat "$f/a.txt"; done', *map(guest, wanted), mounts={name: mounts[name] for name in wanted}
            )
            assert self.succeed(request).decode().split() == wanted

    def test_the_users_folders_stay_as_they_were(self) -> None:
        """After a session that changes nothing the user's folders are byte for byte as before, however it has ended."""
        repository = self.have("proj/.git", config="[core]\n")
        repository.joinpath("hooks").mkdir()
        self.have("plain", a_txt="a", b_txt="b").joinpath("link").symlink_to("a.txt")
        self.have("nested")
        tool = self.have("bin") / "tool"
        shutil.copy("/bin/true", tool)
        mounts = {
            "proj": self.mount("proj"), "plain": self.mount("plain"), "plain/new/deep": self.mount("nested"),
            "again": self.mount("plain", "ro"), "again/x": self.mount("nested"),
        }  # fmt: skip
        before = listing(self.home)
        assert self.run(self.sh("exit 3", mounts=mounts)).code == 3
        killed = self.start(self.sh(programs.WAITS, mounts=mounts))
        killed.until(b"ready")
        killed.send((0, signal.SIGKILL, "tree"))
        killed.finish()
        assert difference(before, listing(self.home)) == []
        never = self.held(self.make_request(command=str(tool), args=[], mounts=mounts))
        tool.unlink()
        said = self.failure(never)
        assert str(tool) in said, said
        assert [p for p in difference(before, listing(self.home)) if p != "bin/tool"] == []

    def test_isolation_shows_no_more_than_what_was_given(self) -> None:
        """Where sessions are isolated, one sees nothing of the home folder but what it was given, nothing of ours."""
        if self.backend.isolation == "none":
            return
        self.have("proj")
        secret = self.have("other", key_txt="secret") / "key.txt"
        mounts = {"proj": self.mount("proj"), "ours": Mount(str(self.sessions)), "above": Mount(str(self.folder))}
        request = self.sh(f"cat {secret} {self.home}/other/*; ls -A {self.sessions} {self.runtime}", mounts=mounts)
        running = self.start(request)
        assert sorted(running.prepared.failed_mounts) == ["above", "ours"]
        assert running.finish().out == b""

    # -- the working directory

    def where(self, **changes: Any) -> tuple[str, Prepared]:
        """The working directory of a program, which ``PWD`` has to name as well."""
        running = self.start(self.py(programs.FOLDER, **changes))
        named, _, real = running.finish().out.decode().partition("\0")
        assert named == real, f"PWD is {named}, and it works in {real}"
        return real, running.prepared

    def test_the_clients_working_directory(self) -> None:
        """A working directory in one of the session's folders is honoured."""
        self.have("proj/sub dir")
        self.have("alpha")
        mounts = {"proj": self.mount("proj"), "alpha": self.mount("alpha")}
        found, prepared = self.where(cwd=guest("proj/sub dir"), mounts=mounts)
        assert found == seen(prepared, guest("proj/sub dir"))

    def test_the_first_workspace(self) -> None:
        """Without a working directory it is the first folder of the user's, by the client's hint or else by name."""
        names = ("outputs", "zeta", "2024", "alpha", ".hidden")
        for name in names:
            self.have(name)
        for order in (names, tuple(reversed(names))):
            found, prepared = self.where(mounts={name: self.mount(name) for name in order})
            assert found == seen(prepared, guest("alpha"))
        hint = f"/no/such/folder|{self.home / 'zeta'}|{self.home / 'alpha'}"
        mounts = {name: self.mount(name) for name in names}
        found, prepared = self.where(mounts=mounts, env={"CLAUDE_CODE_WORKSPACE_HOST_PATHS": hint})
        assert found == seen(prepared, guest("zeta"))

    def test_without_a_workspace(self) -> None:
        """A session without a folder of the user's works in its own."""
        found, prepared = self.where(mounts={"outputs": self.mount("out")})
        assert found == seen(prepared, guest())

    def test_a_working_directory_that_is_none(self) -> None:
        """A working directory that cannot be had is refused by prepare(), which names it."""
        for cwd in ("a/relative/one", "/sessions/another/mnt/proj", "/no/such/folder"):
            said = ""
            try:
                self.backend.prepare(self.make_request(cwd=cwd))
            except RpcError as e:
                said = e.message
            assert cwd in said, f"{cwd} is refused without its name: {said}" if said else f"{cwd} is not refused"

    def test_a_working_directory_that_vanished(self) -> None:
        """A working directory that is removed before the start is a failure that names it."""
        gone = self.have("proj/sub")
        running = self.held(self.make_request(cwd=guest("proj/sub"), mounts={"proj": self.mount("proj")}))
        gone.rmdir()
        said = self.failure(running)
        assert seen(running.prepared, guest("proj/sub")) in said, said

    # -- the environment

    def test_variables_arrive(self) -> None:
        """Variables that were asked for arrive as they are, guest paths in them as the program spells them."""
        self.have("proj")
        wanted = {
            "BLANKS": "  a  b ", "LINES": "a\nb\r\n", "SIGNS": "a=b;$(c)`d`\"'\\", "UNICODE": "é€😀", "lower_1": "--",
            "LONG": "x" * 50_000, "FOLDER": guest("proj/x"),
        }  # fmt: skip
        request = {"env": wanted, "mounts": {"proj": self.mount("proj")}}
        found = self.environment(**request)
        wanted["FOLDER"] = seen(self.backend.prepare(self.make_request(**request)), wanted["FOLDER"])
        assert {name: found.get(name) for name in wanted} == wanted

    def test_empty_means_unset(self) -> None:
        """A variable that was asked for with an empty value or null is not there, even if it was inherited."""
        found = self.environment(env={"LANG": "", "TERM": None, "EMPTY": "", "NOTHING": None})
        assert not {"LANG", "TERM", "EMPTY", "NOTHING"} & {*found}

    def test_the_token(self) -> None:
        """The token is there unless the client gave another credential or said that it must not be."""
        key, url = "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"
        cases: tuple[tuple[str, dict[str, str], str, str | None], ...] = (
            ("given", {}, "", "given"), ("given", {url: "https://api.example.com"}, "", "given"),
            ("given", {key: "k"}, "", None), ("given", {TOKEN: ""}, "above", None), ("", {}, "above", "above"),
            ("given", {TOKEN: "own"}, "", "own"), ("", {}, "", None),
        )  # fmt: skip
        for token, env, above, expected in cases:
            found = self.environment(
                token=token, env=env, inherited=self.inherited(**({TOKEN: above} if above else {}))
            )
            assert found.get(TOKEN) == expected, f"token {token!r} with {env}, inherited {above!r}"
            assert found.get(key) == env.get(key)

    def test_nothing_of_what_is_around_us(self) -> None:
        """Variables that speak of the daemon, its Python, or a Claude Code around it are not the program's."""
        theirs = {
            "CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_CODE_SSE_PORT": "1",
            "ELECTRON_RUN_AS_NODE": "1", "NOTIFY_SOCKET": "/n", "LD_LIBRARY_PATH": "/l", "PYTHONPATH": "/p",
        }  # fmt: skip
        found = self.environment(inherited=self.inherited(**theirs), env={"CLAUDE_CODE_ENTRYPOINT": "desk"})
        assert {name: found[name] for name in theirs if name in found} == {"CLAUDE_CODE_ENTRYPOINT": "desk"}
        assert {"PATH", "HOME", "TERM", "PWD"} <= {*found}

    def test_home(self) -> None:
        """HOME is a folder in which the program can make files."""
        assert self.succeed(self.sh('cd "$HOME" && echo x >made && cat made')) == b"x\n"

    # -- the program

    def test_arguments_survive(self) -> None:
        """Arguments arrive byte for byte: blanks, quotes, newlines, leading dashes, no text at all."""
        given = [
            "", " ", "two  blanks ", "'single' \"double\"", "back\\slash", "line\nbreak\r\n", "--help", "-x", "--",
            "--key=value", "$HOME `id` $(id) ; | & > < * ?", "é€😀", "\udcff\udc80.", "a" * 100_000,
        ]  # fmt: skip
        told = self.succeed(self.py(programs.ARGUMENTS, *given))
        assert told.split(b"\0")[-len(given) - 1 : -1] == [os.fsencode(argument) for argument in given]

    def test_programs_of_the_user(self) -> None:
        """A program that the user has installed runs, by its path or by its name in PATH, through a link as well."""
        tool = self.have("lib/package") / "tool"
        tool.write_text("#!/bin/sh\necho ran\n")
        tool.chmod(0o755)
        (self.have(".local/bin") / "tool").symlink_to(tool)
        path = f"{self.home}/.local/bin:/usr/bin:/bin"
        for command in (str(tool), f"{self.home}/.local/bin/tool", "tool"):
            request = self.make_request(command=command, args=[], inherited=self.inherited(PATH=path))
            assert self.succeed(request) == b"ran\n", command

    def test_it_begins_with_nothing_but_its_streams(self) -> None:
        """A program begins with three descriptors, and with no signal ignored or blocked."""
        script = 'for fd in /proc/self/fd/*; do [ -e "$fd" ] && echo "fd: $fd"; done; cat /proc/self/status'
        lines = self.succeed(self.sh(script)).decode().splitlines()
        assert [line for line in lines if line.startswith("fd:")] == [f"fd: /proc/self/fd/{n}" for n in range(3)]
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        # 32 and 33 are the C library's own, and nobody can set them; GNU make has them ignored.
        masks = [int(status[name], 16) & ~(3 << 31) for name in ("SigIgn", "SigBlk")]
        assert masks == [0, 0]

    def test_a_starter_with_many_files(self) -> None:
        """A starter that has a hundred files open starts sessions as well as any other, and hands none of them on."""
        with ExitStack() as files:
            opened = 0
            while opened < 103:
                opened = os.open(os.devnull, os.O_RDONLY)
                files.callback(os.close, opened)
                os.set_inheritable(opened, True)
            script = 'for fd in /proc/self/fd/*; do [ -e "$fd" ] && echo "${fd##*/}"; done; exit 6'
            assert self.run(self.sh(script)) == (6, "", b"0\n1\n2\n", b"")

    def test_a_terminal(self) -> None:
        """A program that is given a terminal has one, of the size that was asked for, and it is its own."""
        ended = self.run(self.py(programs.TERMINAL, terminal=True), terminal=(33, 77))
        assert (ended.code, ended.out) == (0, b"[True, True, True] 33 77\r\n"), ended

    def test_its_place_is_kept(self) -> None:
        """/sessions/<name> is the same in the next spawn, unless it was for one time only where that is honoured."""
        self.succeed(self.sh('echo kept >"$1/file"', guest()))
        assert self.succeed(self.sh('cat "$1/file"', guest())) == b"kept\n"
        if "oneShot" in self.backend.honours:
            before = listing(self.trees / NAME)
            once = self.sh('ls "$1"; echo x >"$1/once" && cat "$1/once"', guest(), one_shot=True)
            assert self.succeed(once) == b"mnt\nx\n"
            assert difference(before, listing(self.trees / NAME)) == []

    def test_what_is_not_honoured_is_no_failure(self) -> None:
        """Parameters that a backend does not carry out, and limits that cannot be set, never prevent the start."""
        request = self.make_request(allowed_domains=[], one_shot=True, skeleton_home=True)
        assert self.run(request, memory=512 * 1024 * 1024, tasks=200).code == 0

    # -- programs that cannot be started

    def test_a_program_that_is_not_there(self) -> None:
        """A program that does not exist or cannot be executed is refused, by its name."""
        plain = self.have("bin", plain="x") / "plain"
        for command in ("/no/such/program", "no-such-program", str(plain), str(self.home)):
            said = self.refusal(self.make_request(command=command, args=[]))
            assert command in said, f"{command} is refused without its name: {said}"

    def test_a_bad_interpreter(self) -> None:
        """A script whose interpreter does not exist is refused, by its name."""
        script = self.have("bin") / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        said = self.refusal(self.make_request(command=str(script), args=[]))
        assert str(script) in said, said

    # -- output and input

    def test_output_is_intact(self) -> None:
        """8 MiB of lines with characters cut in two, NUL and CR, and without a last newline, come out unchanged."""
        size = 8 * 1024 * 1024 - 3
        out = self.succeed(self.py(programs.PRINTS, str(size)))
        expected = b"".join(programs.LINE % number for number in range(size // 20))[:size]
        assert len(out) == len(expected)
        assert out == expected, "the output is not what was printed"

    def test_both_streams_are_in_order(self) -> None:
        """What a program prints on stdout and on stderr in turns is in order on each."""
        ended = self.run(self.py(programs.ALTERNATES))
        assert [*map(int, ended.out.split())] == [*range(0, 4000, 2)]
        assert [*map(int, ended.err.split())] == [*range(1, 4000, 2)]

    def test_input_is_intact(self) -> None:
        """What is written to a program arrives whole and in order, and then the end of it."""
        text = b"".join(programs.LINE % number for number in range(80_000))
        running = self.start(self.sh("exec cat"))
        for at in range(0, len(text), 40_001):
            running.write(text[at : at + 40_001])
        running.client.close_stdin()
        ended = running.finish()
        assert (ended.code, len(ended.out)) == (0, len(text))
        assert ended.out == text, "the input is not what was written"

    # -- signals and ends

    def test_exit_codes(self) -> None:
        """An exit code comes out as it is, also one that a shell would use to tell of a signal."""
        codes = (0, 1, 7, 127, 128, 143, 255)
        running = [self.start(self.sh(f"exit {code}")) for code in codes]
        assert [each.finish()[:2] for each in running] == [(code, "") for code in codes]

    def test_deadly_signals(self) -> None:
        """A program that a signal ends has the exit code -1 and the signal's name."""
        names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGKILL", "SIGUSR1")
        running = [self.start(self.sh(f"ulimit -c 0; {programs.WAITS}")) for _ in names]
        for name, each in zip(names, running, strict=True):
            each.until(b"ready")
            each.send((0, signal.Signals[name], "group"))
        assert [each.finish()[:2] for each in running] == [(-1, name) for name in names]
        own = [self.start(self.sh(f"ulimit -c 0; kill -{name} $$")) for name in ("SEGV", "ABRT", "KILL")]
        assert [each.finish()[:2] for each in own] == [(-1, f"SIG{name}") for name in ("SEGV", "ABRT", "KILL")]

    def test_a_programs_own_traps(self) -> None:
        """A signal reaches the program, whose trap runs, prints and decides on the exit code; nothing follows it."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        running = [self.start(self.py(programs.TRAPS, str(int(number)))) for number in numbers]
        for number, each in zip(numbers, running, strict=True):
            each.until(b"ready")
            each.send((0, number, "group"), (FAR, signal.SIGKILL, "tree"))
            assert each.finish() == (7, "", b"ready\ntrapped\n", b"")

    def test_the_ladder(self) -> None:
        """A program that ignores the polite signal is killed by the next one."""
        running = self.start(self.sh(f"trap '' TERM INT; {programs.WAITS}"))
        running.until(b"ready")
        running.send((0, signal.SIGINT, "leader"), (0.1, signal.SIGTERM, "group"), (0.1, signal.SIGKILL, "tree"))
        assert running.finish()[:2] == (-1, "SIGKILL")

    def test_a_kill_is_always_told(self) -> None:
        """However soon after its start a program is killed, its end is told, and by what."""
        for _ in range(8):
            running = self.start(self.sh("sleep 3600 & exec sleep 3600"))
            running.send((0, signal.SIGKILL, "tree"))
            assert running.finish()[:2] == (-1, "SIGKILL")

    def test_stopped_programs_end(self) -> None:
        """A stopped program can be ended politely, and one that it has left stopped is ended, too."""
        running = self.start(self.sh(programs.WAITS))
        running.until(b"ready")
        running.send((0, signal.SIGSTOP, "group"))
        running.send((0, signal.SIGTERM, "group"))
        assert running.finish()[:2] == (-1, "SIGTERM")
        running = self.start(self.sh("sleep 3600 & kill -STOP $!; echo ready; read line; exit 5"))
        running.until(b"ready")
        running.client.close_stdin()
        assert running.finish()[:2] == (5, "")
        assert not self.started_here()

    def test_nothing_outlives_a_session(self) -> None:
        """When a program has ended or was killed, everything that it started is gone: children, sessions, daemons."""
        for end in ("exit", "kill"):
            running = self.start(self.py(programs.LEAVES_OTHERS))
            running.until(b"ready")
            assert len(running.watch()) >= 4 or self.backend.isolation == "vm"
            if end == "exit":
                running.write(b"x")
                assert running.finish()[:2] == (3, "")
            else:
                running.send((0, signal.SIGKILL, "tree"))
                assert running.finish()[:2] == (-1, "SIGKILL")
            left = self.started_here()
            assert not left, f"still there after the end: {describe(left)}"

    def test_the_end_of_the_starter_is_not_the_sessions(self) -> None:
        """A session whose starter is killed with all its group goes on: it reads, prints, and ends when it wants to."""
        running = self.held(self.sh("read line; echo got $line; exit 4"))
        source = str(Path(cowork.__file__).parent.parent)
        starter = subprocess.Popen(
            [sys.executable, "-c", programs.STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True, env={**os.environ, "PYTHONPATH": source}, cwd="/",
        )  # fmt: skip
        with starter:
            assert starter.stdin is not None
            assert starter.stdout is not None
            starter.stdin.write(running.spec.encode())
            starter.stdin.close()
            assert starter.stdout.readline() == b"started\n"
            os.killpg(starter.pid, signal.SIGKILL)
        running.connect()
        running.write(b"it\n")
        assert running.finish() == (4, "", b"got it\n", b"")

    def test_the_end_of_the_holder_is_the_sessions(self) -> None:
        """Once a session whose holder was killed is buried, nothing of it runs and the user's folders are as before."""
        self.have("proj", a_txt="a")
        self.have("nested")
        mounts = {"proj": self.mount("proj"), "proj/new": self.mount("nested")}
        before = listing(self.home)
        script = "sleep 3600 & echo ready; read line" if self.backend.isolation == "none" else ""
        request = self.sh(script, mounts=mounts) if script else self.py(programs.LEAVES_OTHERS, mounts=mounts)
        running = self.start(request)
        running.until(b"ready")
        running.kill_holder()
        assert bury(running.directory).lost
        running.wait_gone()
        assert not self.started_here()
        assert difference(before, listing(self.home)) == []
        assert b"ready\n" in running.printed(STDOUT), "what was printed is lost"
