"""The folders that a working directory is chosen among, and a conversation that is where it is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowork.backends import workdir
from cowork.backends.base import SpawnRequest
from cowork.errors import RpcError
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.translate.slug import project_slug

CONVERSATION = "0b8a5f0e-6d3a-4a53-9a64-3a7c4f4b3f11"


def asked(tmp_path: Path, cwd: str = "", *arguments: str, **env: str | None) -> SpawnRequest:
    return SpawnRequest(
        name="otter", command="claude", args=list(arguments), cwd=cwd, env=env, mounts={}, tree=tmp_path / "t",
        home=tmp_path, inherited={},
    )  # fmt: skip


@pytest.fixture
def session(tmp_path: Path) -> SessionMap:
    for name in ("a", "b", "t"):
        (tmp_path / name).mkdir()
    mounts = tuple(MappedMount(name, str(tmp_path / name), "rw") for name in ("a", "b"))
    return SessionMap("otter", str(tmp_path / "t"), mounts)


@pytest.mark.parametrize(
    ("cwd", "why"), [("relative", "must be an absolute path"), ("/sessions/badger/mnt/a", "no folder of this session")]
)
def test_what_is_refused(tmp_path: Path, session: SessionMap, cwd: str, why: str) -> None:
    with pytest.raises(RpcError, match=why):
        workdir.choose(asked(tmp_path, cwd), session, "")


def test_the_client_chooses_among_the_folders(tmp_path: Path, session: SessionMap) -> None:
    assert workdir.choose(asked(tmp_path), session, "").path == str(tmp_path / "a")
    assert workdir.choose(asked(tmp_path, "/sessions/otter/mnt/b"), session, "").path == str(tmp_path / "b")
    hinted = asked(tmp_path, CLAUDE_CODE_WORKSPACE_HOST_PATHS=str(tmp_path / "b"))
    assert workdir.choose(hinted, session, "").path == str(tmp_path / "b")


def test_a_conversation_draws_its_session_to_where_it_lies(tmp_path: Path, session: SessionMap) -> None:
    config = tmp_path / "config"
    request = asked(tmp_path, "", "--resume", CONVERSATION)
    for inside in (lambda path: path, session.to_guest):
        slug = project_slug(inside(str(tmp_path / "b")) or "")
        folder = config / "projects" / slug
        folder.mkdir(parents=True)
        (folder / f"{CONVERSATION}.jsonl").write_text("{}\n")
        assert workdir.choose(request, session, str(config), inside).path == str(tmp_path / "b")
        (folder / f"{CONVERSATION}.jsonl").unlink()
        assert workdir.choose(request, session, str(config), inside).path == str(tmp_path / "a")


def test_a_conversation_is_copied_to_where_it_is_looked_for(tmp_path: Path, session: SessionMap) -> None:
    config = tmp_path / "config"
    old = config / "projects" / "-elsewhere"
    old.mkdir(parents=True)
    (old / f"{CONVERSATION}.jsonl").write_text("{}\n")
    workdir.heal(asked(tmp_path), str(config), "/seen")
    workdir.heal(asked(tmp_path, "", "--resume", CONVERSATION), "", "/seen")
    assert [path.name for path in (config / "projects").iterdir()] == ["-elsewhere"]
    workdir.heal(asked(tmp_path, "", "--resume", CONVERSATION), str(config), "/seen")
    assert (config / "projects" / "-seen" / f"{CONVERSATION}.jsonl").read_text() == "{}\n"


def test_a_folder_without_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "file").write_text("")
    assert workdir.real_folder(str(tmp_path / "link")) == str(tmp_path / "a")
    assert workdir.real_folder(str(tmp_path / "file")) is None
    assert workdir.real_folder(str(tmp_path / "none")) is None
