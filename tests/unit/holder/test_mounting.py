"""One more folder for a sandbox that runs: tried on a bare mount namespace."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.holder.mounting import LiveMount, mount_inside
from cowork.holder.namespace import NamespaceError
from tests.support.holding import short_folder
from tests.support.ordinary import ordinary_user

pytestmark = pytest.mark.bwrap


@pytest.fixture
def folder() -> Iterator[Path]:
    with ordinary_user(), short_folder() as made:
        yield made


@pytest.fixture
def sandbox(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A sandbox whose program runs what it is told; ``pid`` of its first process is the child of bwrap."""
    (folder / "inside").mkdir()
    read, write = os.pipe()
    argv = [
        "bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
        "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev",
        "--tmpfs", "/mnt", "--remount-ro", "/mnt", "--die-with-parent", "--info-fd", str(write), "sh",
    ]  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[write]) as process:
        os.close(write)
        said = b""
        while b"child-pid" not in said or b"}" not in said:
            said += os.read(read, 4096)
        os.close(read)
        process.init = int(said.partition(b":")[2].partition(b",")[0].strip(b" \n}"))  # type: ignore[attr-defined]
        assert tell(process, "echo up") == "up"
        yield process
        process.kill()


def tell(process: subprocess.Popen[bytes], command: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{command} 2>&1; echo .\n".encode())
    process.stdin.flush()
    said = b""
    while not said.endswith(b".\n"):
        assert select.select([process.stdout], [], [], 20)[0], said
        said += os.read(process.stdout.fileno(), 4096)
    return said[:-2].decode().strip()


def init_of(process: subprocess.Popen[bytes]) -> int:
    found: int = process.init  # type: ignore[attr-defined]
    return found


def test_a_folder_appears_as_writable_as_it_should_be(folder: Path, sandbox: subprocess.Popen[bytes]) -> None:
    for name, writable in (("rw", True), ("ro", False)):
        (folder / name).mkdir()
        (folder / name / "file").write_text(name)
        mount_inside(init_of(sandbox), LiveMount(str(folder / name), "/mnt", name, writable))
        assert tell(sandbox, f"cat /mnt/{name}/file") == name
        tell(sandbox, f"echo x >/mnt/{name}/new")
        assert (folder / name / "new").exists() == writable
    assert "Read-only" in tell(sandbox, "mkdir /mnt/else")


def test_guards_hold(folder: Path, sandbox: subprocess.Popen[bytes]) -> None:
    (folder / "proj/.git/hooks").mkdir(parents=True)
    guards = [(".git", True), (".git/hooks", False)]
    mount_inside(init_of(sandbox), LiveMount(str(folder / "proj"), "/mnt", "proj", True, guards))
    assert "Read-only" in tell(sandbox, "touch /mnt/proj/.git/hooks/pre-commit")
    assert "busy" in tell(sandbox, "mv /mnt/proj/.git /mnt/proj/moved").lower()
    assert tell(sandbox, "touch /mnt/proj/.git/file") == ""


def test_a_file_can_be_mounted(folder: Path, sandbox: subprocess.Popen[bytes]) -> None:
    (folder / "one").write_text("one")
    mount_inside(init_of(sandbox), LiveMount(str(folder / "one"), "/mnt", "one", False))
    assert tell(sandbox, "cat /mnt/one") == "one"


def test_what_goes_wrong_is_told(folder: Path, sandbox: subprocess.Popen[bytes]) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    with pytest.raises(OSError, match="link"):
        mount_inside(init_of(sandbox), LiveMount(str(folder / "link"), "/mnt", "x", True))
    with pytest.raises(NamespaceError, match="/nowhere"):
        mount_inside(init_of(sandbox), LiveMount(str(folder / "real"), "/nowhere", "x", True))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(NamespaceError, match="/proc"):
        mount_inside(gone.pid, LiveMount(str(folder / "real"), "/mnt", "x", True))
