"""Where things are, from the environment, and how the folders are made."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from cowork.errors import ConfigError, PolicyError
from cowork.paths import MAX_SOCKET_PATH, Paths, private_directory, resolve

UID = os.getuid()


def test_the_defaults() -> None:
    assert resolve({"HOME": "/home/u"}) == Paths(
        home=Path("/home/u"), state=Path("/home/u/.local/state/cowork"), runtime=Path(f"/tmp/cowork-{UID}"),
        sockets=Path("/tmp"), trees=Path("/home/u/.local/share/cowork/trees"),
    )  # fmt: skip


def test_what_belongs_to_sessions_from_the_shell_is_not_among_the_clients_trees() -> None:
    where = resolve({"HOME": "/home/u"})
    assert where.homes == Path("/home/u/.local/share/cowork/homes")
    assert where.worktrees == Path("/home/u/.local/share/cowork/worktrees")
    assert where.trees not in (*where.homes.parents, *where.worktrees.parents)


def test_the_xdg_folders() -> None:
    env = {"HOME": "/h", "XDG_STATE_HOME": "/st", "XDG_DATA_HOME": "/da", "XDG_RUNTIME_DIR": "/run/user/7"}
    paths = resolve(env)
    assert paths.state == Path("/st/cowork")
    assert paths.trees == Path("/da/cowork/trees")
    assert paths.runtime == Path("/run/user/7/cowork")
    assert paths.sockets == Path("/run/user/7")
    assert paths.default_service_socket == Path("/run/user/7/cowork-vm-service.sock")
    assert paths.control_socket.parent == paths.runtime
    assert paths.sessions == Path("/st/cowork/sessions")
    assert {paths.lock.parent, paths.lifecycle_log.parent} == {paths.state}


@pytest.mark.parametrize("value", ["", "relative", "./x", "~/x"])
def test_what_is_not_absolute_counts_as_unset(value: str) -> None:
    names = ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
    assert resolve({"HOME": "/h", **dict.fromkeys(names, value)}) == resolve({"HOME": "/h"})


@pytest.mark.parametrize("env", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_home_the_password_database_is_asked(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(env).home == Path(pwd.getpwuid(UID).pw_dir)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(ConfigError, match="HOME is not set"):
        resolve(env)


def test_a_long_runtime_folder_is_replaced_by_a_short_one_of_its_own() -> None:
    found = [resolve({"HOME": "/h", "XDG_RUNTIME_DIR": "/" + letter * 95}) for letter in "ab"]
    assert found[0].runtime != found[1].runtime
    for paths in found:
        assert paths.runtime.parent == Path("/tmp")
        assert str(UID) in paths.runtime.name
        assert len(str(paths.runtime / "abcdefghijkl.sock")) <= MAX_SOCKET_PATH


def test_a_session_of_any_id_has_a_socket_that_fits() -> None:
    for length in range(2, 110):
        runtime = resolve({"HOME": "/h", "XDG_RUNTIME_DIR": "/" + "x" * length}).runtime
        assert len(str(runtime / "abcdefghijkl.sock")) <= MAX_SOCKET_PATH


def test_our_folders_are_made_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        paths = resolve({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "r")})
        paths.make()
        paths.make()
    finally:
        os.umask(old)
    for folder in (paths.state, paths.sessions, paths.runtime, paths.trees):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_wider_rights_are_narrowed(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f").chmod(0o775)
    private_directory(tmp_path / "f")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("kind", "text"), [("link", "a symbolic link"), ("file", "not a folder"), ("dangling", "a symb")]
)
def test_what_is_no_folder_of_ours_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "f"
    (tmp_path / "target").mkdir(mode=0o755)
    if kind == "file":
        path.write_text("")
    else:
        path.symlink_to("target" if kind == "link" else "nowhere")
    with pytest.raises(PolicyError, match=text):
        private_directory(path)
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(UID != 0, reason="takes root to give a folder away")
def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    os.chown(tmp_path / "f", 65534, 65534)
    with pytest.raises(PolicyError, match="belongs to uid 65534"):
        private_directory(tmp_path / "f")
