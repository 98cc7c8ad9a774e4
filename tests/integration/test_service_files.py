"""Reading files of a session's tree, the SDK, and the sizes and the removal of trees."""

from __future__ import annotations

import os
import time
from base64 import b64decode
from pathlib import Path

import pytest

from tests.support.client import MAX_FRAME, Client, output, spawning
from tests.support.daemon import RunningDaemon

pytestmark = pytest.mark.integration


@pytest.fixture
def tree(daemon: RunningDaemon) -> Path:
    """The tree of session ``otter``."""
    made = daemon.trees / "otter"
    made.mkdir()
    return made


def read(client: Client, path: object, name: str = "otter") -> bytes:
    content = client.ask("readFile", {"processName": name, "filePath": str(path)})["content"]
    assert isinstance(content, str)
    return b64decode(content, validate=True)


@pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)) * 40, "é€😀".encode()])
def test_a_file_as_base64_by_any_of_its_names(client: Client, tree: Path, data: bytes) -> None:
    """RF-1."""
    (tree / "sub").mkdir()
    (tree / "sub" / "f").write_bytes(data)
    for path in ("/sessions/otter/sub/f", tree / "sub" / "f", "sub/f", "/sessions/otter/sub/../sub/f"):
        assert read(client, path) == data


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "no such file"), ("folder", "directory"), ("fifo", "FIFO"), ("socket", "socket"),
        ("out", "outside"), ("relative-out", "outside"), ("../beside", "outside"), ("/etc/hostname", "outside"),
        ("/sessions/otter/../../etc/passwd", "outside"), ("/sessions/other/f", "outside"), ("", "filePath"),
        ("a\0b", "filePath"), ("loop", "loop"), ("/dev/zero", "outside"), ("/proc/self/environ", "outside"),
    ],
)  # fmt: skip
def test_what_is_not_read(client: Client, tree: Path, name: str, words: str) -> None:
    """RF-2, W15: at once and in words; a FIFO does not hold anything up."""
    (tree / "folder").mkdir()
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "socket", 0o140600)
    (tree / "out").symlink_to("/etc/hostname")
    (tree / "relative-out").symlink_to("../beside/f")
    (tree / "loop").symlink_to("loop")
    beside = tree.parent / "beside"
    beside.mkdir()
    (beside / "f").write_text("secret")
    text = client.refusal("readFile", {"processName": "otter", "filePath": name})
    assert words.lower() in text.lower()
    assert client.ask("isRunning") == {"running": False}


def test_a_link_inside_the_tree(client: Client, tree: Path) -> None:
    """RF-2: one that stays inside is followed."""
    (tree / "f").write_text("x")
    (tree / "link").symlink_to("f")
    assert read(client, "link") == b"x"


def test_the_largest_file_and_one_byte_more(client: Client, tree: Path) -> None:
    """RF-2, W2: the reply still fits a frame."""
    limit = (MAX_FRAME - 8192) // 4 * 3
    (tree / "f").write_bytes(b"x" * limit)
    assert len(read(client, "f")) == limit
    with open(tree / "f", "ab") as f:
        f.write(b"y")
    text = client.refusal("readFile", {"processName": "otter", "filePath": "f"})
    assert str(limit + 1) in text
    os.truncate(tree / "f", 1 << 40)
    assert str(1 << 40) in client.refusal("readFile", {"processName": "otter", "filePath": "f"})


@pytest.mark.parametrize("name", ["", "..", "a/b", "../otter", ".x"])
def test_a_name_that_is_none(client: Client, tree: Path, name: str) -> None:
    """RF-2: and no path is built from it."""
    (tree / "f").write_text("x")
    assert client.refusal("readFile", {"processName": name, "filePath": "f"}).startswith("Invalid params")


def test_the_same_guest_path_in_two_sessions(daemon: RunningDaemon, client: Client) -> None:
    """RF-5: each session's own file, by its name and by the id of its process."""
    client.subscribe()
    for name in ("one", "two", "three"):
        client.spawn(f"p-{name}", "/bin/sh", "-c", f"printf {name} > f; exec cat", name=name, cwd=f"/sessions/{name}")
    for name in ("one", "three", "two"):
        client.spawn(f"q-{name}", "/bin/true", name=name)
        client.until_exit(f"q-{name}")
        assert read(client, f"/sessions/{name}/f", name) == name.encode()
        assert read(client, f"/sessions/{name}/f", f"p-{name}") == name.encode()
        assert read(client, "f", f"p-{name}") == name.encode()
    assert "outside" in client.refusal("readFile", {"processName": "one", "filePath": "/sessions/two/f"})


def test_the_sdk(daemon: RunningDaemon, client: Client) -> None:
    """RF-6: a missing one is an error; a good one stands for ``claude`` and nothing else."""
    folder = daemon.place.home / ".config" / "sdk"
    for version in ("1.0", "..", "a/b", ""):
        assert client.refusal("installSdk", {"sdkSubpath": ".config/sdk", "version": version})
    (folder / "1.0").mkdir(parents=True)
    claude = folder / "1.0" / "claude"
    claude.write_text("#!/bin/sh\necho sdk\n")
    assert "no such program" in client.refusal("installSdk", {"sdkSubpath": ".config/sdk", "version": "1.0"})
    claude.chmod(0o755)
    for subpath in (".config/sdk", str(folder), str(folder)[1:]):
        assert client.ask("installSdk", {"sdkSubpath": subpath, "version": "1.0"}) == {}
    client.subscribe()
    for command, said in (("/usr/local/bin/claude", "sdk\n"), ("claude", "sdk\n"), ("echo", "\n")):
        client.spawn("p", command)
        assert output(client.until_exit("p"), "p") == said


def test_an_empty_home_has_a_disk(daemon: RunningDaemon, client: Client) -> None:
    """RF-7."""
    info = os.statvfs(daemon.place.data)
    told = client.ask("getSessionsDiskInfo", {"lowWaterBytes": 1})
    assert told["totalBytes"] == info.f_frsize * info.f_blocks
    assert abs(told["freeBytes"] - info.f_frsize * info.f_bavail) < 1 << 30
    assert told["freeBytes"] > 0
    assert told["sessions"] == []


def some_trees(daemon: RunningDaemon) -> None:
    for name, size in (("alpha", 1000), ("alpha.pre-stop-20200101-000000", 500), ("beta", 200)):
        folder = daemon.trees / name / "deep"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * size)
    (daemon.trees / "beta" / "link").symlink_to("/usr")
    (daemon.trees / "not a folder").write_bytes(b"x" * 7)


def test_sizes_of_trees(daemon: RunningDaemon, client: Client) -> None:
    """RF-8: backups count to their owner, links are not followed, sorted."""
    some_trees(daemon)
    told = client.ask("getSessionsDiskInfo")
    assert told["sessions"] == [{"name": "alpha", "sizeBytes": 1500}, {"name": "beta", "sizeBytes": 200}]


def test_deleting_trees(daemon: RunningDaemon, client: Client) -> None:
    """RF-9: nothing but what was named, never through a link, never a running session's."""
    some_trees(daemon)
    precious = daemon.place.home / "project"
    precious.mkdir()
    (precious / "file").write_text("precious")
    (daemon.trees / "alpha" / "mnt").symlink_to(precious)
    evil = daemon.place.data / "cowork" / "evil"
    evil.mkdir()
    client.subscribe()
    client.spawn("p", "/bin/cat", name="beta")
    names = ["alpha", "../evil", "", ".x", "beta", "a/b", ".", ".."]
    told = client.ask("deleteSessionDirs", {"names": names})
    assert told["deleted"] == ["alpha"]
    assert set(told["errors"]) == set(names) - {"alpha"}
    assert "running" in told["errors"]["beta"]
    assert (precious / "file").read_text() == "precious"
    assert evil.exists()
    assert sorted(p.name for p in daemon.trees.iterdir()) == ["beta", "not a folder"]
    client.ask("kill", {"id": "p", "signal": "KILL"})
    client.until_exit("p")
    assert client.ask("deleteSessionDirs", {"names": ["beta"]}) == {"deleted": ["beta"], "errors": {}}


def test_a_tree_that_is_a_link(daemon: RunningDaemon, client: Client) -> None:
    """RF-9: what it points to is the user's."""
    target = daemon.place.home / "target"
    target.mkdir()
    (target / "file").write_text("precious")
    (daemon.trees / "gamma").symlink_to(target)
    assert client.ask("getSessionsDiskInfo")["sessions"] == []
    client.ask("deleteSessionDirs", {"names": ["gamma"]})
    assert (target / "file").read_text() == "precious"


def test_pruning(daemon: RunningDaemon, client: Client) -> None:
    """RF-10: only backups, only when asked, only old ones, not those of a running session."""
    nothing = {"prunedSessions": [], "skippedSessions": [], "freedBytes": 0, "errors": {}}
    some_trees(daemon)
    fresh = daemon.trees / ("beta.pre-stop-" + time.strftime("%Y%m%d-%H%M%S"))
    fresh.mkdir()
    (fresh / "f").write_bytes(b"x" * 30)
    odd = daemon.trees / "beta.pre-stop-odd"
    odd.mkdir()

    def prune(below: int, tmp: bool, age: int) -> object:
        return client.ask(
            "pruneSessionCaches",
            {"onlyIfFreeBytesBelow": below, "includeSessionTmp": tmp, "sessionTmpOlderThanSeconds": age},
        )

    assert prune(0, False, 0) == nothing
    assert prune(1, True, 0) == nothing
    client.subscribe()
    client.spawn("p", "/bin/cat", name="alpha")
    assert prune(0, True, 3600) == {**nothing, "skippedSessions": ["alpha", "beta"]}
    client.ask("kill", {"id": "p", "signal": "KILL"})
    client.until_exit("p")
    assert prune(0, True, 3600) == {
        **nothing,
        "prunedSessions": ["alpha"],
        "skippedSessions": ["beta"],
        "freedBytes": 500,
    }
    assert (daemon.trees / "alpha" / "deep" / "file").exists()
    assert fresh.exists()
    assert prune(0, True, 0) == {**nothing, "prunedSessions": ["beta"], "freedBytes": 30}
    assert not odd.exists()
    assert prune(0, True, 10**30) == nothing


def test_mounting_into_a_live_session(daemon: RunningDaemon, client: Client) -> None:
    """MNT-17, N7: for this session from now on, also behind a restart of the daemon; for no other."""
    home = daemon.place.home
    for name in ("new", "other"):
        (home / name).mkdir()
        (home / name / "f").write_text(name)
    client.subscribe()
    client.spawn("p", "/bin/cat", name="otter")
    client.spawn("q", "/bin/cat", name="beaver")
    asked = {"processId": "p", "subpath": "new", "mountName": "new", "mode": "rw"}
    assert client.ask("mountPath", asked) == {"guestPath": "/sessions/otter/mnt/new"}
    client.ask("writeStdin", {"id": "p", "data": "/sessions/otter/mnt/new/f\n"})
    assert client.until_text("p", "\n") == "/sessions/otter/mnt/new/f\n"
    assert read(client, "/sessions/otter/mnt/new/f") == b"new"
    assert client.refusal("readFile", {"processName": "beaver", "filePath": "/sessions/otter/mnt/new/f"})
    assert client.refusal("readFile", {"processName": "beaver", "filePath": str(home / "new" / "f")})
    for wrong in ({"mountName": "../x"}, {"mountName": ""}, {"subpath": "../../../tmp"}, {"processId": "z"}):
        assert client.refusal("mountPath", {**asked, **wrong})
    client.ask("mountPath", {**asked, "subpath": "other", "mountName": "other"})
    daemon.restart()
    with daemon.client() as again:
        assert read(again, "/sessions/otter/mnt/new/f") == b"new"
        assert read(again, "/sessions/otter/mnt/other/f") == b"other"


def test_a_later_spawn_has_no_folder_that_was_added_to_an_earlier_one(daemon: RunningDaemon, client: Client) -> None:
    """N7: a folder is added to one process, for as long as it is the session's."""
    (daemon.place.home / "new").mkdir()
    (daemon.place.home / "new" / "f").write_text("new")
    client.subscribe()
    client.spawn("p", "/bin/cat", name="otter")
    client.ask("mountPath", {"processId": "p", "subpath": "new", "mountName": "new", "mode": "rw"})
    assert (daemon.trees / "otter" / "mnt" / "new").is_symlink()
    client.spawn("q", "/bin/cat", name="otter")
    assert client.refusal("readFile", {"processName": "otter", "filePath": "/sessions/otter/mnt/new/f"})
    assert not (daemon.trees / "otter" / "mnt" / "new").exists()
    assert (daemon.place.home / "new" / "f").read_text() == "new"


def test_a_mount_that_the_process_will_not_see_is_reported(daemon: RunningDaemon, client: Client) -> None:
    """W16: a file as source is left out without being a failure."""
    (daemon.place.home / "file").write_text("x")
    mounts = {"f": {"path": "file", "mode": "ro"}, "gone": {"path": "no/such", "mode": "rw"}}
    told = client.ask("spawn", spawning("p", "/bin/true", additionalMounts=mounts))
    assert "gone" in told["failedMounts"]
    assert "f" not in told["failedMounts"]
