"""Which bubblewrap is taken, which are refused and why, and what is found out about it."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from functools import partial
from pathlib import Path

import pytest

from cowork.backends.bwrap import program
from cowork.backends.bwrap.program import (
    FOLDERS,
    HOST,
    INSTALL,
    REQUIRED,
    Host,
    NoProgram,
    Program,
    Refusal,
    find,
    missing,
)
from tests.support.daemon import alive, wait_for
from tests.support.holding import short_folder
from tests.support.ordinary import ordinary_user

HELP = """\
usage: bwrap [OPTIONS...] [--] COMMAND [ARGS...]

    --help                       Print this help
    --args FD                    Parse NUL-separated args from FD
    --unshare-user-try           Create new user namespace if possible (see --not-an-option)
    --ro-bind-fd FD DEST         Bind open directory or path fd read-only on DEST
    --userns2 FD                 After setup switch to this user namespace, only useful with --userns
"""
INITIAL = "         0          0 4294967295\n"
OVERFLOW = 65534


class FakeHost(Host):
    """Everything is root's, but for what ``owners`` and ``modes`` say; runs what is in the test's folder."""

    def __init__(self, uid_map: str = INITIAL, release: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.folders = ()
        self.map = uid_map
        self.release = {"ID": "debian"} if release is None else release
        self.owners: dict[str, int] = {}
        self.modes: dict[str, int] = {}
        self.everybody = 0
        self.ran: list[tuple[str, str]] = []

    def stat(self, path: str) -> os.stat_result:
        real = os.stat(path)
        fields = list(real)[:10]
        fields[stat.ST_UID] = self.owners.get(path, self.everybody)
        # What the machine keeps its temporary files in plays no part.
        own = os.path.basename(path) == "bwrap"
        fields[stat.ST_MODE] = self.modes.get(path, real.st_mode if own else stat.S_IFDIR | 0o755)
        return os.stat_result(fields, {"st_mtime_ns": real.st_mtime_ns})

    def uid_map(self) -> str:
        return self.map

    def overflow_uid(self) -> int:
        return OVERFLOW

    def os_release(self) -> Mapping[str, str]:
        return self.release

    def run(self, path: str, option: str) -> str:
        self.ran.append((path, option))
        return super().run(path, option)


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def make(folder: Path, version: str = "bubblewrap 0.8.0", help: str = HELP, mode: int = 0o755) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "bwrap"
    file.write_text(f"#!/bin/sh\ncase $1 in --version) echo '{version}' ;; --help) cat <<'.'\n{help}.\n;; esac\n")
    file.chmod(mode)
    return str(file)


def reasons(path: str, host: Host) -> dict[str, str]:
    with pytest.raises(NoProgram) as raised:
        find(path, host)
    return {each.path: each.reason for each in raised.value.refused}


def test_what_is_known_of_it(tmp_path: Path, host: FakeHost) -> None:
    path = make(tmp_path)
    found = find(str(tmp_path), host)
    features = frozenset({"--help", "--args", "--unshare-user-try", "--ro-bind-fd", "--userns2"})
    assert found == Program(path, (0, 8, 0), False, features)
    with pytest.raises(FrozenInstanceError):
        found.setuid = True  # type: ignore[misc]


def test_the_first_on_the_path_and_then_the_usual_folders(tmp_path: Path, host: FakeHost) -> None:
    first, second, usual = (make(tmp_path / n) for n in "abc")
    host.folders = (str(tmp_path / "c"),)
    assert find(f"{tmp_path}/a:{tmp_path}/b", host).path == first
    assert find(f"{tmp_path}/none:{tmp_path}/b:{tmp_path}/a", host).path == second
    assert find("", host).path == usual
    assert HOST.folders == FOLDERS == ("/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin")


def test_relative_elements_are_ignored(tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    make(tmp_path / "sub")
    monkeypatch.chdir(tmp_path)
    assert reasons(".:sub::\0", host) == {}


def test_a_refused_one_does_not_stop_the_search(tmp_path: Path, host: FakeHost) -> None:
    planted, good = make(tmp_path / "home"), make(tmp_path / "usr")
    host.owners[planted] = 1000
    assert find(f"{tmp_path}/home:{tmp_path}/usr", host).path == good
    assert {path for path, _ in host.ran} == {good}, "what is not trusted must not be run"


@pytest.mark.parametrize(
    ("owner", "mode", "words"),
    [
        (1000, 0o100755, "belongs to uid 1000 and not to root: install the distribution's own"),
        (OVERFLOW, 0o100755, "belongs to uid 65534"),
        (0, 0o100775, "can be written by others than root: chmod go-w "),
        (0, 0o100757, "can be written by others than root"),
        (0, 0o101777, "can be written by others than root"),
        (0, stat.S_IFDIR | 0o755, "not a regular file"),
        (0, stat.S_IFIFO | 0o755, "not a regular file"),
    ],
)
def test_the_file_itself(tmp_path: Path, host: FakeHost, owner: int, mode: int, words: str) -> None:
    path = make(tmp_path)
    host.owners[path], host.modes[path] = owner, mode
    assert words in reasons(str(tmp_path), host)[path]
    assert host.ran == []


@pytest.mark.parametrize("above", [1, 2, 3])
@pytest.mark.parametrize(
    ("owner", "mode", "words"),
    [
        (1000, 0o755, "which belongs to uid 1000"),
        (1000, 0o1777, "which belongs to uid 1000"),
        (0, 0o775, "which can be written by others than root"),
        (0, 0o757, "which can be written by others than root"),
    ],
)
def test_a_folder_in_which_others_can_exchange_it(
    tmp_path: Path, host: FakeHost, above: int, owner: int, mode: int, words: str
) -> None:
    path = make(tmp_path / "one" / "two")
    folder = str(Path(path).parents[above - 1])
    host.owners[folder], host.modes[folder] = owner, stat.S_IFDIR | mode
    assert f"is in {folder}, {words}" in reasons(f"{tmp_path}/one/two", host)[path]
    assert host.ran == []


def test_the_root_folder_counts_too(tmp_path: Path, host: FakeHost) -> None:
    path = make(tmp_path)
    host.owners["/"] = 1000
    assert reasons(str(tmp_path), host)[path].startswith("is in /, which belongs to uid 1000")


def test_the_nix_store_is_sound(tmp_path: Path, host: FakeHost) -> None:
    """Group-writable and sticky, root's: the builders can add to it, not exchange what is there."""
    path = make(tmp_path / "store" / "abc-bubblewrap-0.11.2" / "bin", mode=0o555)
    host.modes[str(tmp_path / "store")] = stat.S_IFDIR | 0o1775
    profile = tmp_path / "profile" / "bin"
    profile.mkdir(parents=True)
    (profile / "bwrap").symlink_to(path)
    assert find(str(profile), host).path == path


def test_it_is_the_end_of_the_links_that_counts(tmp_path: Path, host: FakeHost) -> None:
    """The user's own link to root's program is that program; the link is not used again."""
    path = make(tmp_path / "usr")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bwrap").symlink_to("../usr/bwrap")
    host.owners[str(tmp_path / "home")] = 1000
    assert find(f"{tmp_path}/home", host).path == path
    host.owners[path] = 1000
    named = reasons(f"{tmp_path}/home", host)
    assert named[str(tmp_path / "home" / "bwrap")].startswith(f"is {path}: belongs to uid 1000")


def test_a_folder_that_is_a_link(tmp_path: Path, host: FakeHost) -> None:
    path = make(tmp_path / "usr" / "bin")
    (tmp_path / "bin").symlink_to("usr/bin")
    assert find(f"{tmp_path}/bin", host).path == path
    host.owners[path] = 1000
    assert len(reasons(f"{tmp_path}/bin:{tmp_path}/usr/bin", host)) == 1, "the same one is not named twice"


def test_links_that_lead_nowhere(tmp_path: Path, host: FakeHost) -> None:
    for name, target in (("a", "nowhere"), ("b", "bwrap")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bwrap").symlink_to(target)
    found = reasons(f"{tmp_path}/a:{tmp_path}/b", host)
    assert "No such file" in found[f"{tmp_path}/a/bwrap"]
    assert "symbolic links" in found[f"{tmp_path}/b/bwrap"]


def test_not_executable(tmp_path: Path, host: FakeHost) -> None:
    path = make(tmp_path, mode=0o644)
    assert reasons(str(tmp_path), host) == {path: "is not executable for this user"}


# -- user namespaces


@pytest.mark.parametrize(
    ("uid_map", "everybody", "root_folder", "accepted"),
    [
        (INITIAL, 0, 0, True),
        (INITIAL, OVERFLOW, OVERFLOW, False),
        ("1000 1000 1\n", OVERFLOW, OVERFLOW, True),
        ("", OVERFLOW, OVERFLOW, True),
        ("1000 1000 1\n", 1000, OVERFLOW, False),
        ("1000 1000 1\n", OVERFLOW, 1000, False),
        # unshare --map-root-user: what shows uid 0 is the user's.
        ("0 1000 1\n", OVERFLOW, OVERFLOW, True),
        ("0 1000 1\n", 0, OVERFLOW, False),
        # A rootless container: the image's files are uid 0, the host's come through mounts.
        ("0 1000 1\n1 100000 65536\n", 0, 0, True),
        ("0 1000 1\n1 100000 65536\n", OVERFLOW, 0, True),
        # A container of root's that maps root to itself or to others.
        ("0 0 1\n", OVERFLOW, 0, False),
        ("0 100000 65536\n", 0, 0, True),
    ],
)
def test_who_counts_as_root(tmp_path: Path, uid_map: str, everybody: int, root_folder: int, accepted: bool) -> None:
    host = FakeHost(uid_map)
    host.everybody, host.owners["/"] = everybody, root_folder
    path = make(tmp_path)
    if accepted:
        assert find(str(tmp_path), host).path == path
    else:
        assert "not to root" in reasons(str(tmp_path), host)[path]


# -- versions and options


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("0.8.0", False), ("0.11.1", False), ("0.11", False), ("0.11.2", True), ("0.11.10", True), ("1.0", True)],
)
def test_a_setuid_one_has_to_be_new(tmp_path: Path, host: FakeHost, version: str, accepted: bool) -> None:
    path = make(tmp_path, f"bubblewrap {version}")
    assert not find(str(tmp_path), host).setuid
    host.modes[path] = 0o104755
    if accepted:
        assert find(str(tmp_path), host).setuid
    else:
        reason = reasons(str(tmp_path), host)[path]
        assert "CVE-2026-41163" in reason
        assert f"version {version}" in reason
        assert f"chmod u-s {path}" in reason


def test_versions_are_numbers(tmp_path: Path, host: FakeHost) -> None:
    make(tmp_path, "bubblewrap 0.12.0-rc1+git")
    assert find(str(tmp_path), host).version == (0, 12, 0)


@pytest.mark.parametrize("version", ["", "flatpak 1.2", "0.8.0", "bubblewrap", "bubblewrap x"])
def test_what_is_not_bubblewrap(tmp_path: Path, host: FakeHost, version: str) -> None:
    path = make(tmp_path, version)
    assert reasons(str(tmp_path), host)[path] == "does not answer --version like bubblewrap"


def test_what_cannot_be_asked(tmp_path: Path, host: FakeHost) -> None:
    for name, text in (("a", "#!/bin/sh\nexit 3\n"), ("b", "#!/no/such/shell\n"), ("c", "junk\n")):
        Path(make(tmp_path / name)).write_text(text)
    found = list(reasons(":".join(f"{tmp_path}/{n}" for n in "abc"), host).values())
    assert found[0] == "--version ended with 3"
    assert "No such file" in found[1]
    assert "Exec format" in found[2]


def _is_gone(pid: int) -> bool:
    return not alive(pid)


def test_one_that_hangs_is_given_up(tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "DEADLINE", 0.2)
    path, pids = make(tmp_path), tmp_path / "pids"
    # The child keeps the pipe open after the program itself is dead.
    Path(path).write_text(f"#!/bin/sh\ntail -f /dev/null &\necho $$ $! >{pids}\nwait\n")
    assert reasons(str(tmp_path), host)[path] == "--version did not end within 0.2 seconds"
    for pid in pids.read_text().split():
        wait_for(partial(_is_gone, int(pid)), "it ends")


def test_it_is_asked_in_a_clean_environment(
    tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEBODY", "x")
    seen = tmp_path / "seen"
    path = make(tmp_path)
    text = Path(path).read_text().replace("#!/bin/sh\n", f"#!/bin/sh\nenv >{seen}; pwd >>{seen}; cat; echo no >&2\n")
    Path(path).write_text(text)
    find(str(tmp_path), host)
    # The shell's own variables come on top.
    assert {line for line in seen.read_text().split() if not line.startswith(("PWD=", "_=", "SHLVL=", "PATH="))} == {
        "LC_ALL=C",
        "/",
    }
    assert capfd.readouterr() == ("", "")


def test_it_is_asked_once_as_long_as_it_is_the_same_file(tmp_path: Path, host: FakeHost) -> None:
    path = make(tmp_path)
    find(str(tmp_path), host)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "bwrap").symlink_to(path)
    find(f"{tmp_path}/link", host)
    assert host.ran == [(path, "--version"), (path, "--help")]
    make(tmp_path, "bubblewrap 0.11.12")
    assert find(str(tmp_path), host).version == (0, 11, 12)
    os.utime(path, ns=(1, 1))
    find(str(tmp_path), host)
    assert len(host.ran) == 6
    make(tmp_path, "bubblewrap 0.11.120")
    os.utime(path, ns=(1, 1))
    assert find(str(tmp_path), host).version == (0, 11, 120)


def test_ownership_is_asked_every_time(tmp_path: Path, host: FakeHost) -> None:
    path = make(tmp_path)
    find(str(tmp_path), host)
    host.owners[path] = 1000
    assert path in reasons(str(tmp_path), host)


def test_a_failure_is_not_remembered(tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(program, "DEADLINE", 0.0)
        assert path in reasons(str(tmp_path), host)
    assert find(str(tmp_path), host).path == path


def test_missing() -> None:
    assert missing(REQUIRED | {"--bind-fd"}) == []
    assert missing(frozenset({"--args"})) == sorted(REQUIRED - {"--args"})
    assert all(option.startswith("--") for option in REQUIRED)


# -- nothing is found


@pytest.mark.parametrize(
    ("release", "hint"),
    [
        ({"ID": "debian"}, "apt-get install bubblewrap"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt-get install bubblewrap"),
        ({"ID": "fedora"}, "dnf install bubblewrap"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install bubblewrap"),
        ({"ID": "arch"}, "pacman -S bubblewrap"),
        ({"ID": "manjaro", "ID_LIKE": "arch"}, "pacman -S bubblewrap"),
        ({"ID": "alpine"}, "apk add bubblewrap"),
        ({"ID": "opensuse-tumbleweed", "ID_LIKE": "opensuse suse"}, "zypper install bubblewrap"),
        ({"ID": "nixos"}, INSTALL["nixos"]),
        ({"ID": "unheard-of", "ID_LIKE": "of"}, "install bubblewrap"),
        ({}, "install bubblewrap"),
    ],
)
def test_how_to_get_one(release: dict[str, str], hint: str) -> None:
    with pytest.raises(NoProgram, match=r"^no bubblewrap$") as raised:
        find("", FakeHost(release=release))
    assert raised.value.hint == hint
    assert raised.value.refused == ()
    assert raised.value.exit_status == 6


def test_the_refused_are_named(tmp_path: Path, host: FakeHost) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / "b", "other")
    host.owners[first] = 1000
    with pytest.raises(NoProgram) as raised:
        find(f"{tmp_path}/a:{tmp_path}/b", host)
    assert raised.value.refused == (
        Refusal(first, "belongs to uid 1000 and not to root: install the distribution's own"),
        Refusal(second, "does not answer --version like bubblewrap"),
    )
    for text in (first, second, "uid 1000", "--version"):
        assert text in raised.value.message


# -- this machine


INSTALLED = [folder for folder in FOLDERS if os.path.exists(f"{folder}/bwrap")]
needs_bubblewrap = pytest.mark.skipif(not INSTALLED, reason="bubblewrap is not installed")


@pytest.mark.bwrap
@needs_bubblewrap
def test_the_one_of_this_machine() -> None:
    found = find("")
    assert found.path == os.path.realpath(f"{INSTALLED[0]}/bwrap")
    assert found.setuid == bool(os.stat(found.path).st_mode & stat.S_ISUID)
    said = subprocess.run([found.path, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("bubblewrap " + ".".join(map(str, found.version)))
    assert missing(found.features) == []
    assert "--bind" in found.features
    assert find("") == found


def test_a_users_own_program_is_refused() -> None:
    with ordinary_user() as user, short_folder() as folder:
        host = Host()
        host.folders = ()
        assert reasons(str(folder), host) == {}
        path = make(folder)
        assert f"belongs to uid {user.pw_uid}" in reasons(str(folder), host)[path]


@pytest.mark.bwrap
@needs_bubblewrap
@pytest.mark.parametrize("how", [["--user"], ["--map-root-user"]], ids=["unmapped", "as-root"])
def test_in_a_user_namespace(how: list[str]) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, *how, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    code = "from cowork.backends.bwrap.program import find; print(find('').path)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [unshare, *how, sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout.strip(), done.stderr) == (find("").path, "")


def test_what_the_machine_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert HOST.overflow_uid() > 0
    assert all(len(line.split()) == 3 for line in HOST.uid_map().splitlines())

    def nothing() -> dict[str, str]:
        raise FileNotFoundError

    monkeypatch.setattr(platform, "freedesktop_os_release", nothing)
    assert HOST.os_release() == {}
