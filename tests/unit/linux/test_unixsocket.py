"""Binding a socket without stealing, without wide rights, and without leaving it behind."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cowork.errors import ConfigError, PolicyError
from cowork.linux import unixsocket
from cowork.linux.unixsocket import answers, bind, inode_of, unlink_own
from cowork.paths import MAX_SOCKET_PATH

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to give files away")


def test_it_listens_is_private_and_alone(folder: Path) -> None:
    path = folder / "s"
    with bind(path):
        assert path.lstat().st_mode & 0o777 == 0o600
        assert os.listdir(folder) == ["s"]
        assert answers(path)
    assert not answers(path)


def test_the_umask_is_as_before(folder: Path) -> None:
    old = os.umask(0o026)
    try:
        bind(folder / "s").close()
        assert os.umask(0o026) == 0o026
    finally:
        os.umask(old)


def test_a_live_socket_is_not_stolen(folder: Path) -> None:
    with bind(folder / "s"):
        before = inode_of(folder / "s")
        with pytest.raises(PolicyError, match="another daemon answers"):
            bind(folder / "s")
        assert inode_of(folder / "s") == before
        assert answers(folder / "s")


def test_one_whose_backlog_is_full_is_alive(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(folder / "s"))
        busy.listen(0)
        first.connect(str(folder / "s"))
        probes = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for probe in probes:
            probe.setblocking(False)
            try:
                probe.connect(str(folder / "s"))
            except BlockingIOError:
                break
        with pytest.MonkeyPatch.context() as patch:
            # The time-out of the probe is the module's; here nobody has to wait for it.
            patch.setattr(socket.socket, "settimeout", lambda self, _: self.setblocking(False))
            assert answers(folder / "s")
        for probe in probes:
            probe.close()


def test_a_stale_socket_is_replaced(folder: Path) -> None:
    bind(folder / "s").close()
    old = inode_of(folder / "s")
    assert old is not None
    with bind(folder / "s"):
        assert answers(folder / "s")


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link", "fifo"])
def test_what_is_no_socket_is_left_untouched(folder: Path, kind: str) -> None:
    path = folder / "s"
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case _:
            path.symlink_to("/etc/passwd" if kind == "link" else "nowhere")
    before = inode_of(path)
    with pytest.raises(PolicyError, match="exists and is") as caught:
        bind(path)
    assert caught.value.hint is not None
    assert inode_of(path) == before
    assert os.listdir(folder) == ["s"]


def test_a_link_to_a_live_socket_is_refused(folder: Path) -> None:
    with bind(folder / "real"):
        (folder / "s").symlink_to("real")
        with pytest.raises(PolicyError, match="symbolic link"):
            bind(folder / "s")


def test_one_that_is_faster_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the link somebody else binds."""
    other = socket.socket(socket.AF_UNIX)
    real = unixsocket._remove_stale

    def and_then_bind(path: Path) -> None:
        real(path)
        other.bind(str(path))

    monkeypatch.setattr(unixsocket, "_remove_stale", and_then_bind)
    with other, pytest.raises(PolicyError, match="just taken"):
        bind(folder / "s")
    assert os.listdir(folder) == ["s"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("relative", "absolute"),
        ("/tmp/a\0b", "NUL"),
        ("/tmp/" + "x" * MAX_SOCKET_PATH, "too long"),
        ("/tmp/" + "é" * 60, "125"),
    ],
)
def test_unusable_paths(path: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        bind(Path(path))


def test_the_longest_path_works(folder: Path) -> None:
    name = "x" * (MAX_SOCKET_PATH - len(str(folder)) - 1)
    with bind(folder / name):
        assert answers(folder / name)
    with pytest.raises(ConfigError, match="too long"):
        bind(folder / (name + "x"))


def test_a_folder_that_is_not_there_or_no_folder(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        bind(folder / "none" / "s")
    (folder / "file").write_text("")
    with pytest.raises(ConfigError, match="ot a directory"):
        bind(folder / "file" / "s")


@pytest.mark.parametrize(
    ("mode", "fine"), [(0o700, True), (0o755, True), (0o770, False), (0o777, False), (0o1777, True)]
)
def test_a_folder_that_others_can_write(folder: Path, mode: int, fine: bool) -> None:
    parent = folder / "p"
    parent.mkdir()
    parent.chmod(mode)
    if fine:
        bind(parent / "s").close()
    else:
        with pytest.raises(PolicyError, match="written by others"):
            bind(parent / "s")


@ROOT
def test_somebody_elses_folder_or_socket(folder: Path) -> None:
    theirs = folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with pytest.raises(PolicyError, match="belongs to uid 65534"):
        bind(theirs / "s")
    bind(folder / "s").close()
    os.chown(folder / "s", 65534, 65534)
    with pytest.raises(PolicyError, match="belongs to uid 65534"):
        bind(folder / "s")


def test_only_our_own_inode_is_unlinked(folder: Path) -> None:
    path = folder / "s"
    with bind(path):
        ours = inode_of(path)
        os.rename(path, folder / "kept")
        path.write_text("a successor's")
        unlink_own(path, ours)
        assert path.read_text() == "a successor's"
        unlink_own(folder / "kept", ours)
        assert os.listdir(folder) == ["s"]
        unlink_own(folder / "kept", ours)
        unlink_own(path, None)
        assert path.exists()
    assert inode_of(folder / "none") is None
