"""Files, the SDK and the disks."""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cowork.errors import InvalidParams, NotFound, PolicyError, RpcError
from cowork.service.handlers import files
from cowork.service.trees import Trees
from cowork.sessions.record import SessionRecord
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.wire import replies, requests


class FakeService:
    """As much of the service as these methods use."""

    def __init__(self, root: Path) -> None:
        self.trees = Trees(root / "trees", lambda name: False)
        self.paths = SimpleNamespace(home=root / "home")
        self.real_home = os.path.realpath(root / "home")
        self.ours = (str(root / "trees"),)
        self.backend = SimpleNamespace(live_mount=self._live_mount)
        self.live: dict[str, object] | None = {}
        self.asked: list[tuple[SessionMap, MappedMount, str, tuple[str, ...]]] = []
        self.processes = SimpleNamespace(get=self._get, map_of=lambda name: self.map if name == "otter" else None)
        self.map: SessionMap | None = None
        self.sdk: str | None = None
        self.token = ""

    def _get(self, key: str) -> Any:
        if key == "process":
            return SimpleNamespace(record=SimpleNamespace(name="otter"))
        raise NotFound(key)

    def _live_mount(
        self, session: SessionMap, mount: MappedMount, *, home: str, ours: tuple[str, ...]
    ) -> dict[str, object] | None:
        self.asked.append((session, mount, home, ours))
        return self.live


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    made = FakeService(tmp_path)
    made.trees.make("otter")
    (tmp_path / "home").mkdir()
    return made


async def call(method: str, service: FakeService, /, **params: Any) -> Any:
    handler: Any = files.HANDLERS[method]
    result = handler(service, None, requests.METHODS[method](**params))
    return await result if hasattr(result, "__await__") else result


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["otter", "process"])
@pytest.mark.parametrize("path", ["f", "/sessions/otter/f", "./f", "{tree}/f"])
async def test_reading(service: FakeService, name: str, path: str) -> None:
    tree = service.trees.path("otter")
    (tree / "f").write_bytes(b"\0x")
    content = await call("readFile", service, process_name=name, file_path=path.format(tree=tree))
    assert b64decode(content.content) == b"\0x"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "path", "error"),
    [
        ("otter", "", InvalidParams), ("otter", "a\0", InvalidParams), ("", "f", InvalidParams),
        ("../otter", "f", InvalidParams), ("otter", "../f", PolicyError), ("otter", "/etc/hostname", PolicyError),
        ("otter", "/sessions/other/f", PolicyError), ("otter", "gone", NotFound), ("otter", ".", RpcError),
    ],
)  # fmt: skip
async def test_what_is_not_read(service: FakeService, name: str, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await call("readFile", service, process_name=name, file_path=path)


@pytest.mark.asyncio
async def test_the_sdk(service: FakeService, tmp_path: Path) -> None:
    claude = tmp_path / "home" / "sdk" / "1.2" / "claude"
    claude.parent.mkdir(parents=True)
    with pytest.raises(NotFound, match=r"1\.2/claude"):
        await call("installSdk", service, sdk_subpath="sdk", version="1.2")
    assert service.sdk is None
    claude.write_text("#!/bin/sh\n")
    claude.chmod(0o755)
    for subpath in ("sdk", str(tmp_path / "home" / "sdk")):
        service.sdk = None
        await call("installSdk", service, sdk_subpath=subpath, version="1.2")
        assert service.sdk == str(claude)


@pytest.mark.asyncio
@pytest.mark.parametrize(("subpath", "version"), [("x", "a/b"), ("x", ".."), ("x", "."), ("x", "a\0"), ("\0", "1")])
async def test_an_sdk_whose_version_is_a_path(service: FakeService, subpath: str, version: str) -> None:
    with pytest.raises(InvalidParams):
        await call("installSdk", service, sdk_subpath=subpath, version=version)


@pytest.mark.asyncio
async def test_a_token_is_kept_in_memory(service: FakeService) -> None:
    assert await call("addApprovedOauthToken", service, token="t", name="n") is None
    assert service.token == "t"


@pytest.mark.asyncio
async def test_disks(service: FakeService) -> None:
    (service.trees.path("otter") / "f").write_bytes(b"x" * 9)
    info = await call("getSessionsDiskInfo", service)
    assert info.sessions == [replies.SessionSize("otter", 9)]
    assert (info.total_bytes, info.free_bytes) == pytest.approx(service.trees.space(), rel=0.05)
    assert await call("deleteSessionDirs", service, names=["otter", ".."]) == replies.Deleted(
        ["otter"], {"..": "invalid session name: name must not begin with a dot"}
    )
    (service.trees.make("b.pre-stop-20200101-000000") / "f").write_bytes(b"x" * 3)
    assert await call("pruneSessionCaches", service) == replies.Pruned([], [], 0, {})
    pruned = await call("pruneSessionCaches", service, include_session_tmp=True)
    assert pruned == replies.Pruned(["b"], [], 3, {})


class FakeMounting:
    """A process that folders are mounted into."""

    def __init__(self, service: FakeService, *, real_inside: bool = False) -> None:
        self.session = SessionMap("otter", str(service.trees.path("otter")))
        self.translation: object = self
        self.real_inside = real_inside
        self.record = SessionRecord(id="abcdefghijkl", kind="cowork", name="otter")
        self.directory = SimpleNamespace(write_record=self.written)
        self.written_records: list[SessionRecord] = []
        self.told: list[dict[str, object]] = []
        self.error = ""
        service.processes.get = lambda key: self
        service.processes.remember = lambda session: setattr(service, "map", session)

    def add_mount(self, mount: MappedMount) -> None:
        self.session = SessionMap("otter", self.session.tree, [*self.session.mounts, mount])

    def mount(self, asked: dict[str, object], done: Callable[[str], None]) -> None:
        self.told.append(asked)
        asyncio.get_running_loop().call_soon(done, self.error)

    def written(self, record: SessionRecord) -> None:
        self.written_records.append(record)


@pytest.mark.asyncio
async def test_a_folder_for_a_live_session(service: FakeService) -> None:
    process = FakeMounting(service)
    folder = service.paths.home / "new"
    folder.mkdir()
    (folder / "f").write_bytes(b"x")
    told = await call("mountPath", service, process_id="p", subpath="new", mount_name="new", mode="ro")
    assert told == replies.MountPath("/sessions/otter/mnt/new")
    assert [(m.name, m.host, m.mode) for m in process.written_records[0].mounts] == [("new", str(folder), "ro")]
    assert os.readlink(service.trees.path("otter") / "mnt" / "new") == str(folder)
    content = await call("readFile", service, process_name="otter", file_path="/sessions/otter/mnt/new/f")
    assert b64decode(content.content) == b"x"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "subpath", "error"),
    [
        ("", "home", InvalidParams), ("../x", "home", InvalidParams), ("a//b", "home", InvalidParams),
        ("x", "gone", NotFound), ("x", "../../../tmp", NotFound), ("x", "file", NotFound),
    ],
)  # fmt: skip
async def test_what_is_not_mounted(service: FakeService, name: str, subpath: str, error: type[Exception]) -> None:
    process = FakeMounting(service)
    (service.paths.home / "file").write_text("")
    with pytest.raises(error):
        await call("mountPath", service, process_id="p", subpath=subpath, mount_name=name)
    assert process.written_records == []
    assert list(process.session.mounts) == []
    assert not (service.trees.path("otter") / "mnt").exists()


@pytest.mark.asyncio
async def test_a_folder_for_a_live_session_in_a_sandbox(service: FakeService) -> None:
    """The backend says how, the holder does it; a link in the tree would be none inside."""
    process = FakeMounting(service, real_inside=True)
    service.live = {"host": "x"}
    (service.paths.home / "new").mkdir()
    (service.paths.home / "file").write_text("x")
    for name in ("new", "file"):
        told = await call("mountPath", service, process_id="p", subpath=name, mount_name=name, mode="ro")
        assert told == replies.MountPath(f"/sessions/otter/mnt/{name}")
    (session, mount, home, ours), _ = service.asked
    assert (session.name, mount) == ("otter", MappedMount("new", str(service.paths.home / "new"), "ro"))
    assert (home, ours) == (service.real_home, service.ours)
    assert process.told == [{"host": "x"}] * 2
    assert [m.name for m in process.written_records[-1].mounts] == ["new", "file"]
    assert not (service.trees.path("otter") / "mnt").exists()


@pytest.mark.asyncio
async def test_a_folder_that_a_sandbox_cannot_be_given(service: FakeService) -> None:
    process = FakeMounting(service, real_inside=True)
    process.error = "move_mount: Function not implemented"
    (service.paths.home / "new").mkdir()
    with pytest.raises(RpcError, match="cannot add a folder to a sandbox that runs: move_mount") as raised:
        await call("mountPath", service, process_id="p", subpath="new", mount_name="new")
    assert "next spawn" in (raised.value.hint or "")
    service.live = None
    with pytest.raises(RpcError, match="the daemon's backend is not the session's"):
        await call("mountPath", service, process_id="p", subpath="new", mount_name="new")
    assert len(process.told) == 1
    assert process.written_records == []
    assert list(process.session.mounts) == []


@pytest.mark.asyncio
async def test_a_session_of_whose_folders_nothing_is_known(service: FakeService) -> None:
    process = FakeMounting(service)
    process.translation = None
    (service.paths.home / "x").mkdir()
    with pytest.raises(RpcError, match="mountPath"):
        await call("mountPath", service, process_id="p", subpath="x", mount_name="x")
    assert process.written_records == []


@pytest.mark.asyncio
async def test_reading_what_is_mounted(service: FakeService, tmp_path: Path) -> None:
    proj, beside = tmp_path / "proj", tmp_path / "proj2"
    for folder in (proj, beside):
        folder.mkdir()
        (folder / "f").write_bytes(folder.name.encode())
    service.map = SessionMap("otter", str(service.trees.path("otter")), [MappedMount("p", str(proj))])
    for path in ("/sessions/otter/mnt/p/f", str(proj / "f"), "/sessions/otter/mnt/./p//f"):
        assert b64decode((await call("readFile", service, process_name="otter", file_path=path)).content) == b"proj"
    (proj / "out").symlink_to(beside / "f")
    for path in (str(beside / "f"), "/sessions/otter/mnt/p/../p2/f", "/sessions/otter/mnt/p/out"):
        with pytest.raises((PolicyError, NotFound)):
            await call("readFile", service, process_name="otter", file_path=path)
