"""Which bubblewrap is used, and whether it may be.

The program that builds the walls must not be one that somebody behind them, or an earlier program of the user's,
can have written: only root's own counts, at the end of all links, in folders that are root's as well. Nothing is run
before that is known. The Nix store (root's, mode 1775) passes like any other folder with the sticky bit.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cowork.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDERS = ("/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin")
"""Searched after PATH. Not /run/wrappers/bin: what NixOS has there is setuid."""
REQUIRED = frozenset(
    {
        "--args",
        "--json-status-fd",
        "--info-fd",
        "--block-fd",
        "--seccomp",
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--cap-drop",
        "--clearenv",
        "--new-session",
        "--die-with-parent",
        "--ro-bind-data",
        "--remount-ro",
        "--perms",
    }
)
"""The options without which the backend does not do what it promises."""
SETUID_SINCE = (0, 11, 2)
"""The first version that may be setuid root: those before let a user trace it (CVE-2026-41163)."""
DEADLINE = 5.0
"""Seconds for ``--version`` and for ``--help``."""
INSTALL = {
    "debian": "apt-get install bubblewrap",
    "ubuntu": "apt-get install bubblewrap",
    "fedora": "dnf install bubblewrap",
    "rhel": "dnf install bubblewrap",
    "centos": "dnf install bubblewrap",
    "arch": "pacman -S bubblewrap",
    "alpine": "apk add bubblewrap",
    "suse": "zypper install bubblewrap",
    "opensuse": "zypper install bubblewrap",
    "sles": "zypper install bubblewrap",
    "nixos": "add pkgs.bubblewrap to environment.systemPackages, or nix-env -iA nixos.bubblewrap",
}
"""How a distribution, by its ID or one of its ID_LIKE in os-release(5), installs bubblewrap."""


@dataclass(frozen=True, slots=True)
class Program:
    """A bubblewrap that may be used. ``path`` has no links in it; ``features`` are its long options."""

    path: str
    version: tuple[int, ...]
    setuid: bool
    features: frozenset[str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A bubblewrap that may not be used, by the name under which it was found, and why."""

    path: str
    reason: str


class NoProgram(PolicyError):
    """No bubblewrap may be used. ``refused``: the ones that are there."""

    def __init__(self, refused: Iterable[Refusal], *, hint: str) -> None:
        self.refused = tuple(refused)
        found = "; ".join(f"{each.path}: {each.reason}" for each in self.refused)
        super().__init__(f"no bubblewrap that can be trusted: {found}" if found else "no bubblewrap", hint=hint)


class Host:
    """What is asked of the machine. Answers of a program are kept as long as its file stays the same."""

    folders: tuple[str, ...] = FOLDERS

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int, int, int], tuple[str, str]] = {}

    def stat(self, path: str) -> os.stat_result:
        """See ``os.stat``."""
        return os.stat(path)

    def uid_map(self) -> str:
        """The user ids of this process's user namespace (user_namespaces(7)); empty where none is mapped."""
        return _content("/proc/self/uid_map", "0 0 4294967295")

    def overflow_uid(self) -> int:
        """The owner that a file shows whose real owner has no id in this user namespace."""
        return int(_content("/proc/sys/kernel/overflowuid", "65534"))

    def os_release(self) -> Mapping[str, str]:
        """See os-release(5); empty where there is none."""
        try:
            return platform.freedesktop_os_release()
        except OSError:
            return {}

    def run(self, path: str, option: str) -> str:
        """What a program prints for one option.

        Raises:
            OSError: it cannot be run, says that it failed, or is not done in time (TimeoutError).
        """
        with subprocess.Popen(
            [path, option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"{option} did not end within {DEADLINE:g} seconds") from None
            finally:
                if process.returncode is None:
                    # A child of its own would keep the pipe open, and us waiting.
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode != 0:
            raise OSError(f"{option} ended with {process.returncode}")
        return output.decode(errors="replace")

    def answers(self, path: str) -> tuple[str, str]:
        """What the program at a path without links prints for ``--version`` and for ``--help``; see ``run``."""
        status = self.stat(path)
        key = (path, status.st_ino, status.st_mtime_ns, status.st_size)
        if key not in self._answers:
            self._answers[key] = (self.run(path, "--version"), self.run(path, "--help"))
        return self._answers[key]


HOST = Host()


def find(path: str, host: Host = HOST) -> Program:
    """The first bubblewrap in the folders of ``path`` (like PATH), or in ``FOLDERS``, that may be used.

    It may if it is root's (see ``_unsound``), answers like bubblewrap, and is not a setuid one with a known hole.
    Blocks for as long as the program takes to print its help.

    Raises:
        NoProgram: there is none; it names those that are there, and its hint how to install one.
    """
    refused: list[Refusal] = []
    seen: set[str] = set()
    for folder in (*(p for p in path.split(":") if p.startswith("/")), *host.folders):
        name = os.path.join(folder, "bwrap")
        if not os.path.lexists(name):
            continue
        real = os.path.realpath(name)
        if real in seen:
            continue
        seen.add(real)
        found = _examine(real, host)
        if isinstance(found, Program):
            return found
        refused.append(Refusal(name, found if real == name else f"is {real}: {found}"))
    raise NoProgram(refused, hint=_install(host))


def missing(features: frozenset[str]) -> list[str]:
    """The options that the backend needs and a program does not have, sorted."""
    return sorted(REQUIRED - features)


def _examine(real: str, host: Host) -> Program | str:
    """The program at a path without links, or why it is refused."""
    try:
        reason = _unsound(real, host)
        if reason is not None:
            return reason
        version_text, help_text = host.answers(real)
        setuid = bool(host.stat(real).st_mode & stat.S_ISUID)
    except OSError as e:
        return e.strerror or str(e)
    found = re.match(r"bubblewrap (\d+(?:\.\d+)*)", version_text)
    if found is None:
        return "does not answer --version like bubblewrap"
    version = tuple(map(int, found[1].split(".")))
    if setuid and version < SETUID_SINCE:
        return (
            f"is setuid root and version {found[1]}, which lets other users become root (CVE-2026-41163): update it "
            f"to {'.'.join(map(str, SETUID_SINCE))} or later, or take the bit away (chmod u-s {real})"
        )
    # By what it says and not by its version: distributions add options to old versions.
    features = frozenset(re.findall(r"^\s+(--[a-z0-9][a-z0-9-]*)", help_text, re.MULTILINE))
    return Program(real, version, setuid, features)


def _unsound(real: str, host: Host) -> str | None:
    """Why somebody who is not root could have written the file, or put it in its place; None if nobody could.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    roots = _roots(host)
    status = host.stat(real)
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_uid not in roots:
        return f"belongs to uid {status.st_uid} and not to root: install the distribution's own"
    if status.st_mode & 0o022:
        return f"can be written by others than root: chmod go-w {real}"
    folder = real
    while folder != "/":
        folder = os.path.dirname(folder)
        status = host.stat(folder)
        if status.st_uid not in roots:
            return (
                f"is in {folder}, which belongs to uid {status.st_uid} and not to root: install the distribution's own"
            )
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            return f"is in {folder}, which can be written by others than root: chmod go-w {folder}"
    return None if os.access(real, os.X_OK) else "is not executable for this user"


def _roots(host: Host) -> set[int]:
    """The owners that count as root.

    In a user namespace without the real root (a sandbox, a container of the user's) its files show the overflow id.
    Files of uid 0 are then those of the user who made the namespace: in a container they are the system, but where
    the root folder itself is an unmapped owner's, they are a user's and nothing more.
    """
    lines = [[int(n) for n in line.split()] for line in host.uid_map().splitlines()]
    if any(outside == 0 for _, outside, _ in lines):
        return {0}
    overflow = host.overflow_uid()
    return {overflow} if host.stat("/").st_uid == overflow else {0, overflow}


def _install(host: Host) -> str:
    release = host.os_release()
    for name in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
        if name in INSTALL:
            return INSTALL[name]
    return "install bubblewrap"


def _content(path: str, otherwise: str) -> str:
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return otherwise
