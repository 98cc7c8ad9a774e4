"""The host's system as sandboxes see it, on several kinds of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cowork.backends.bwrap import system
from cowork.backends.bwrap.system import SMALL, Part, accounts, is_visible, parts


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)


def links(root: Path, **targets: str) -> None:
    for name, target in targets.items():
        (root / name.replace("_", "/")).symlink_to(target)


def seen(root: Path, *, without: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """The parts with sources as they are in the fake root."""
    return [(part.kind, part.source.removeprefix(str(root)), part.place) for part in parts(str(root), without=without)]


def test_a_merged_usr(tmp_path: Path) -> None:
    folders(tmp_path, "usr", "etc", "home/me", "var", "opt", "srv")
    links(tmp_path, bin="usr/bin", sbin="usr/sbin", lib="usr/lib", lib64="usr/lib64")
    assert seen(tmp_path) == [
        ("bind", "/usr", "/usr"), ("link", "usr/bin", "/bin"), ("link", "usr/sbin", "/sbin"),
        ("link", "usr/lib", "/lib"), ("link", "usr/lib64", "/lib64"),
    ]  # fmt: skip


def test_a_split_usr(tmp_path: Path) -> None:
    folders(tmp_path, "usr", "bin", "sbin", "lib", "lib32", "libx32", "gnu/store")
    assert seen(tmp_path) == [
        ("bind", "/usr", "/usr"), ("bind", "/gnu/store", "/gnu/store"), ("bind", "/bin", "/bin"),
        ("bind", "/sbin", "/sbin"), ("bind", "/lib", "/lib"), ("bind", "/lib32", "/lib32"),
        ("bind", "/libx32", "/libx32"),
    ]  # fmt: skip


def test_nixos(tmp_path: Path) -> None:
    folders(tmp_path, "nix/store", "bin", "usr", "run", "etc")
    store = "/nix/store/abc-system"
    (tmp_path / "run/current-system").symlink_to(store)
    (tmp_path / "etc/static").symlink_to("/nix/store/def-etc/etc")
    (tmp_path / "etc/profiles").mkdir()
    assert seen(tmp_path) == [
        ("bind", "/usr", "/usr"), ("bind", "/nix", "/nix"), ("bind", "/bin", "/bin"),
        ("link", store, "/run/current-system"), ("link", "/nix/store/def-etc/etc", "/etc/static"),
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["/home/me/system", "../home", "/nix/store", "/nix/storage/x", "nix/store/x"])
def test_a_link_that_leads_elsewhere_than_into_the_store(tmp_path: Path, target: str) -> None:
    folders(tmp_path, "run")
    (tmp_path / "run/current-system").symlink_to(target)
    assert seen(tmp_path) == []


def test_what_is_missing_is_no_part(tmp_path: Path) -> None:
    assert seen(tmp_path) == []
    (tmp_path / "usr").write_text("no folder")
    (tmp_path / "bin").write_text("no folder")
    assert seen(tmp_path) == []


@pytest.mark.parametrize("name", ["shadow", "passwd", "ssh", "hosts", "resolv.conf", "sudoers", "machine-id", "fstab"])
def test_what_of_etc_is_not_shown(tmp_path: Path, name: str) -> None:
    """Keys, accounts, the host's own names; some of these are made anew for the sandbox."""
    folders(tmp_path, "etc")
    (tmp_path / "etc" / name).write_text("x")
    assert seen(tmp_path) == []


def test_what_of_etc_is_shown(tmp_path: Path) -> None:
    folders(tmp_path, "etc/ssl", "etc/alternatives")
    (tmp_path / "etc/localtime").symlink_to("../usr/share/zoneinfo/UTC")
    (tmp_path / "etc/os-release").write_text("ID=x")
    assert seen(tmp_path) == [
        ("bind", "/etc/alternatives", "/etc/alternatives"), ("copy", "/etc/os-release", "/etc/os-release"),
        ("bind", "/etc/ssl", "/etc/ssl"),
    ], "the zone's file is not there"  # fmt: skip
    folders(tmp_path, "usr/share/zoneinfo")
    (tmp_path / "usr/share/zoneinfo/UTC").write_text("x")
    assert ("link", "../usr/share/zoneinfo/UTC", "/etc/localtime") in seen(tmp_path)


def test_a_large_file_of_etc_is_mounted_and_a_secret_one_left_out(tmp_path: Path) -> None:
    folders(tmp_path, "etc")
    (tmp_path / "etc/services").write_bytes(b"x" * (SMALL + 1))
    (tmp_path / "etc/magic").write_bytes(b"x" * SMALL)
    kinds = {place: kind for kind, _, place in seen(tmp_path)}
    assert kinds == {"/etc/services": "bind", "/etc/magic": "copy"}


@pytest.mark.parametrize("place", ["/usr", "/nix", "/bin", "/lib64", "/run/current-system", "/etc/ssl"])
def test_what_the_user_does_without(tmp_path: Path, place: str) -> None:
    folders(tmp_path, "usr", "nix/store", "lib64", "etc/ssl", "run")
    links(tmp_path, bin="usr/bin")
    (tmp_path / "run/current-system").symlink_to("/nix/store/x")
    whole = seen(tmp_path)
    assert [part for part in whole if part[2] == place], "it is there otherwise"
    assert seen(tmp_path, without=(place,)) == [part for part in whole if part[2] != place]


def test_parts_come_after_what_they_lie_in(tmp_path: Path) -> None:
    folders(tmp_path, *(name.lstrip("/") for name in system.FOLDERS), "etc", *(f"etc/{name}" for name in system.ETC))
    places = [part.place for part in parts(str(tmp_path))]
    assert len(places) == len(set(places))
    for number, place in enumerate(places):
        assert not any(later.startswith(place + "/") for later in places[:number])


def test_this_host() -> None:
    made = list(parts())
    assert Part("bind", "/usr", "/usr") in made or os.path.isdir("/nix")
    assert all(os.path.exists(part.source) for part in made if part.kind == "bind")
    assert not any(part.place.startswith(("/home", "/root", "/run/user")) for part in made)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr", True), ("/usr/bin/python3", True), ("/nix/store/x/bin/claude", True), ("/gnu/store/x", True),
        ("/usrx", False), ("/opt/tool", False), ("/home/me/usr/bin", False), ("/gnu", False), ("/etc/ssl", False),
    ],
)  # fmt: skip
def test_what_is_visible(tmp_path: Path, path: str, expected: bool) -> None:
    assert is_visible(path, str(tmp_path)) is expected


def test_folders_of_a_split_usr_are_visible_and_links_are_none(tmp_path: Path) -> None:
    """A real path never lies behind a link."""
    folders(tmp_path, "bin")
    links(tmp_path, lib="usr/lib")
    assert is_visible("/bin/sh", str(tmp_path))
    assert not is_visible("/lib/x", str(tmp_path))


def test_accounts() -> None:
    passwd, group = accounts("ana", 1000, 100, "/sessions/otter")
    rows = [row.split(":") for row in passwd.decode().splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("root", "0", "0"), ("nobody", "65534", "65534"), ("ana", "1000", "100"),
    ]  # fmt: skip
    assert all(len(row) == 7 and row[1] == "x" for row in rows)
    assert rows[2][5] == "/sessions/otter"
    assert os.path.exists(rows[2][6])
    assert group.decode().splitlines() == ["root:x:0:", "nogroup:x:65534:", "ana:x:100:"]


@pytest.mark.parametrize("name", ["root", "nobody"])
def test_a_user_who_is_one_of_these_is_there_once(name: str) -> None:
    passwd, _ = accounts(name, 7, 7, "/h")
    assert next(row for row in passwd.decode().splitlines() if row.startswith(f"{name}:")).split(":")[2] == "7"
    assert len(passwd.decode().splitlines()) == 2


def test_names_are_resolved_by_the_session_s_proxy_alone() -> None:
    assert [line for line in system.RESOLV.decode().splitlines() if line.startswith("nameserver")] == [
        "nameserver 127.0.0.1"
    ]
    assert b"hosts: files dns\n" in system.NSSWITCH
    assert b"127.0.0.1 localhost" in system.HOSTS
