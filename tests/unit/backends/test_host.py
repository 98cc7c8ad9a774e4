"""The host backend's command lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cowork.backends.base import SpawnRequest
from cowork.backends.host import HostBackend, map_environment
from cowork.errors import ConfigError, RpcError
from cowork.translate.matcher import GuestToHost
from cowork.translate.sessionmap import MappedMount, SessionMap
from cowork.translate.slug import project_slug
from cowork.wire.requests import Mount


def request(tmp_path: Path, **more: Any) -> SpawnRequest:
    tree, home = tmp_path / "trees" / "otter", tmp_path / "home"
    tree.mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    given: dict[str, Any] = {
        "name": "otter", "command": "/bin/sh", "args": ["-c", "true"], "cwd": "", "env": {}, "mounts": {},
        "tree": tree, "home": home, "inherited": {"PATH": "/usr/bin:/bin"},
    }  # fmt: skip
    return SpawnRequest(**{**given, **more})


def test_it_works_and_says_that_it_isolates_nothing() -> None:
    backend = HostBackend()
    assert backend.probe().works
    assert (backend.name, backend.isolation) == ("host", "none")


def test_a_command_line(tmp_path: Path) -> None:
    prepared = HostBackend().prepare(request(tmp_path, env={"A": "b"}, token="t"))
    assert prepared.argv == ["/bin/sh", "-c", "true"]
    assert prepared.executable == "/bin/sh"
    assert prepared.env["A"] == "b"
    assert prepared.env["CLAUDE_CODE_OAUTH_TOKEN"] == "t"
    assert prepared.env["PWD"] == prepared.cwd == str(tmp_path / "trees" / "otter")
    assert prepared.failed_mounts == []


def test_a_name_stays_the_programs_first_word(tmp_path: Path) -> None:
    prepared = HostBackend().prepare(request(tmp_path, command="sh"))
    assert prepared.argv[0] == "sh"
    assert prepared.executable.endswith("/sh")


def test_the_childs_path_decides(tmp_path: Path) -> None:
    mine = tmp_path / "bin" / "tool"
    mine.parent.mkdir()
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    with pytest.raises(RpcError, match="tool"):
        HostBackend().prepare(request(tmp_path, command="tool"))
    prepared = HostBackend().prepare(request(tmp_path, command="tool", env={"PATH": str(mine.parent)}))
    assert prepared.executable == str(mine)


@pytest.mark.parametrize(
    ("cwd", "expected"),
    [
        ("", "trees/otter"), ("/sessions/otter", "trees/otter"), ("/sessions/otter/sub", "trees/otter/sub"),
        ("/sessions/otter/gone", "trees/otter"), ("/sessions/otter/../../etc", None), ("/sessions/other", None),
        ("relative", None), ("/nowhere/at/all", None), ("/etc/passwd", None), ("/", "/"),
    ],
)  # fmt: skip
def test_where_it_works(tmp_path: Path, cwd: str, expected: str | None) -> None:
    asked = request(tmp_path, cwd=cwd)
    (asked.tree / "sub").mkdir()
    if expected is None:
        with pytest.raises(RpcError, match="working directory"):
            HostBackend().prepare(asked)
    else:
        assert HostBackend().prepare(asked).cwd == str(tmp_path / expected)


def test_mounts_that_will_not_be_seen(tmp_path: Path) -> None:
    asked = request(tmp_path)
    (asked.home / "file").write_text("x")
    mounts = {"f": Mount("file"), "gone": Mount("no/such"), "abs": Mount(str(asked.home / "file"))}
    before = sorted(asked.home.rglob("*"))
    assert "gone" in HostBackend().prepare(request(tmp_path, mounts=mounts)).failed_mounts
    assert {"f", "abs"} & set(HostBackend().prepare(request(tmp_path, mounts=mounts)).failed_mounts) == set()
    assert sorted(asked.home.rglob("*")) == before, "nothing is made where the user's folders are"


def test_nothing_is_started_for_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="no such program"):
        HostBackend().prepare(request(tmp_path, command="no-such-program-anywhere"))


def test_everything_is_in_host_paths(tmp_path: Path) -> None:
    asked = request(tmp_path)
    (asked.home / "proj").mkdir()
    proj, tree = str(asked.home / "proj"), str(asked.tree)
    prepared = HostBackend().prepare(request(
        tmp_path, mounts={"proj": Mount("proj", "rw")},
        args=["/sessions/otter/mnt/proj/f", "--add-dir", "/sessions/x/y"],
        env={"A": "/sessions/otter/a:/sessions/otter/mnt/proj", "B": None},
    ))  # fmt: skip
    assert prepared.argv == ["/bin/sh", f"{proj}/f"]
    assert prepared.env["A"] == f"{tree}/a:{proj}"
    assert prepared.cwd == prepared.env["PWD"] == proj
    assert prepared.session == SessionMap("otter", tree, [MappedMount("proj", proj, "rw")])


def test_a_tree_reached_through_a_link(tmp_path: Path) -> None:
    """Programs print its real path, so that is what is translated back."""
    asked = request(tmp_path)
    (tmp_path / "link").symlink_to("trees")
    prepared = HostBackend().prepare(request(tmp_path, tree=tmp_path / "link" / "otter"))
    assert prepared.session is not None
    assert prepared.session.tree == str(asked.tree)


def test_a_variable_with_a_path_of_another_session(caplog: pytest.LogCaptureFixture) -> None:
    to_host = GuestToHost(SessionMap("otter", "/tree"))
    env = {
        "CLAUDE_CONFIG_DIR": "/sessions/beaver/x", "CLAUDE_CODE_TAGS": "/sessions/beaver/x", "N": None, "E": "",
        "P": "/bin:/sessions/beaver", "O": "/sessions/otter/x",
    }  # fmt: skip
    assert map_environment(env, to_host) == {**env, "CLAUDE_CONFIG_DIR": None, "O": "/tree/x"}
    assert caplog.text.count("CLAUDE_CONFIG_DIR") == 1
    assert "beaver" not in caplog.text, "values are not logged"


@pytest.mark.parametrize(
    ("path", "variable", "found"),
    [("conf", "", True), ("conf", "other", True), ("other", "conf", False), ("", "conf", True), (None, "conf", True)],
)
def test_where_transcripts_are_looked_for(tmp_path: Path, path: str | None, variable: str, found: bool) -> None:
    home = request(tmp_path).home
    for folder in ("a", "b", "other", "conf/projects"):
        (home / folder).mkdir(parents=True)
    slug = home / "conf" / "projects" / project_slug(str(home / "b"))
    slug.mkdir()
    (slug / "id.jsonl").write_text("x")
    mounts = {"a": Mount("a"), "b": Mount("b"), **({} if path is None else {".claude": Mount(path)})}
    env = {"CLAUDE_CONFIG_DIR": str(home / variable)} if variable else {}
    prepared = HostBackend().prepare(request(tmp_path, mounts=mounts, env=env, args=["--resume", "id"]))
    assert prepared.cwd == str(home / ("b" if found else "a"))


def test_read_only_is_said_to_be_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = request(tmp_path).home
    for folder in ("a", "b"):
        (home / folder).mkdir()
    HostBackend().prepare(request(tmp_path, mounts={"a": Mount("a", "rw"), "b": Mount("b", "rwd")}))
    assert caplog.text == ""
    HostBackend().prepare(request(tmp_path, mounts={"a": Mount("a", "ro"), "b": Mount("b", "ro")}))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def configured(folder: Path, text: str) -> dict[str, str]:
    """An environment with that configuration."""
    file = folder / "config" / "cowork" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    return {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}


def test_the_limits_of_the_configuration(tmp_path: Path) -> None:
    """Read at every spawn: a daemon runs for weeks."""
    backend = HostBackend(configured(tmp_path, '[limits]\nmemory = "1G"\ntasks = 100\n'))
    prepared = backend.prepare(request(tmp_path))
    assert (prepared.memory, prepared.tasks) == (1 << 30, 100)
    configured(tmp_path, "[limits]\ntasks = 7\n")
    prepared = backend.prepare(request(tmp_path))
    assert (prepared.memory, prepared.tasks) == (None, 7)


def test_a_configuration_that_makes_no_sense_starts_nothing(tmp_path: Path) -> None:
    backend = HostBackend(configured(tmp_path, "[limits]\nmemory = 3\n"))
    with pytest.raises(ConfigError, match=r"limits\.memory"):
        backend.prepare(request(tmp_path))


def test_it_has_no_sandbox_and_says_so(tmp_path: Path) -> None:
    backend = HostBackend({"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    prepared = backend.prepare(request(tmp_path))
    assert (prepared.sandbox, prepared.network, prepared.weaker) == (None, "host", [])
    assert prepared.translated
    assert backend.honours == frozenset()
