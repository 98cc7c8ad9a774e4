"""Does a bubblewrap sandbox work here? Found out by running one, and by asking a program in it what it sees.

Why it does not is told with what mends it: distributions and containers forbid different parts of it.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from cowork.backends.base import Availability
from cowork.backends.bwrap import network, program, seccomp
from cowork.errors import CoworkError
from cowork.holder import sandbox
from cowork.holder.child import StartError
from cowork.holder.spec import StartSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WITNESS = "cat /proc/self/status; echo user $(readlink /proc/self/ns/user); echo net $(readlink /proc/self/ns/net)"
_NO_RIGHTS = "0000000000000000"


class Switch(NamedTuple):
    """A file of the kernel's settings that, when it holds ``value``, explains a refusal."""

    path: str
    value: str
    reason: str
    fix: str


SWITCHES = (
    Switch(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
        "AppArmor allows user namespaces only to programs with a profile for it",
        "load the distribution's profile for bubblewrap (bwrap-userns-restrict in apparmor-profiles), or: "
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    Switch(
        "/proc/sys/user/max_user_namespaces", "0", "user namespaces are switched off",
        "sudo sysctl user.max_user_namespaces=15000",
    ),
    Switch(
        "/proc/sys/kernel/unprivileged_userns_clone", "0", "user namespaces are for root alone",
        "sudo sysctl kernel.unprivileged_userns_clone=1",
    ),
)  # fmt: skip

_SAYINGS: tuple[tuple[str, str, str], ...] = (
    (
        r"mount proc|proc.*(not permitted|too revealing)", "no /proc of its own can be mounted, as in most containers",
        "start the container with --security-opt unmask=ALL (podman), --security-opt systempaths=unconfined (docker)",
    ),
    (
        r"pivot_root|mount.*not permitted|failed to make / slave",
        "mounting is not allowed here, as in most containers",
        "start the container with --security-opt seccomp=unconfined, or run cowork outside of it",
    ),
    (
        r"namespace|clone|uid map|gid map|no permissions to create|operation not permitted",
        "user namespaces cannot be made", "allow unprivileged user namespaces, or run cowork outside of the container",
    ),
)  # fmt: skip


def probe(environ: Mapping[str, str]) -> Availability:
    """Run the recipe once. Reads what the program in it can see; nothing stays behind."""
    try:
        found = program.find(environ.get("PATH", ""))
        if missing := program.missing(found.features):
            return Availability(False, f"{found.path} lacks {', '.join(missing)}", "install bubblewrap 0.8 or newer")
        said = _run(found)
    except CoworkError as e:
        return Availability(False, e.message, e.hint or "")
    except seccomp.UnsupportedMachine as e:
        return Availability(False, str(e), "use x86_64 or aarch64")
    except StartError as e:
        return explain(e.text)
    except OSError as e:
        return Availability(False, f"{e.filename or found.path}: {e.strerror}", "")
    return judge(said)


def explain(text: str, read: Callable[[str], str] | None = None) -> Availability:
    """The reason and the fix behind bubblewrap's words. ``read``: the content of a kernel setting, "" if there is
    none."""
    look = read or _setting
    lowered = text.lower()
    for pattern, reason, fix in _SAYINGS:
        if not re.search(pattern, lowered):
            continue
        if "namespace" in reason:
            for switch in SWITCHES:
                if look(switch.path) == switch.value:
                    return Availability(False, f"{switch.reason} ({text})", switch.fix)
        return Availability(False, f"{reason} ({text})", fix)
    return Availability(False, text, "run the command above by hand to see more" if "bwrap" not in text else "")


def judge(said: str, own: Callable[[str], str] | None = None) -> Availability:
    """Whether what the program saw is a sandbox: no rights, a filter, namespaces of its own."""
    look = own or (lambda name: os.readlink(f"/proc/self/ns/{name}"))
    seen = dict(line.split(None, 1) for line in said.splitlines() if len(line.split(None, 1)) == 2)
    problems = [f"it has rights ({name} {seen.get(name)})" for name in ("CapEff:", "CapPrm:", "CapBnd:")
                if seen.get(name) != _NO_RIGHTS]  # fmt: skip
    if seen.get("NoNewPrivs:") != "1":
        problems.append("it could gain rights")
    if seen.get("Seccomp:") != "2":
        problems.append("no seccomp filter holds")
    problems += [
        f"it is in the host's {name} namespace" for name in ("user", "net") if seen.get(name) in (None, look(name))
    ]
    if problems:
        return Availability(False, f"a program in the sandbox says: {'; '.join(problems)}", "")
    return Availability(True)


def _run(found: program.Program) -> str:
    from cowork.backends.bwrap.backend import base_recipe

    recipe = base_recipe(found, terminal=False, without=[])
    recipe.add("--setenv", "PATH", "/usr/bin:/bin:/run/current-system/sw/bin", "--remount-ro", "/")
    rules = network.Policy([[]], [], "")
    recipe.listen = network.listeners(rules)
    with tempfile.TemporaryDirectory(prefix="cowork-probe-") as folder:
        spec = StartSpec(
            folder=folder, socket="", argv=["/bin/sh", "-c", _WITNESS], executable="/bin/sh", env={}, cwd="/",
            sandbox=recipe.sandbox(),
        )  # fmt: skip
        made, running = sandbox.start(spec, None)
        try:
            said, trouble = _read(made.stdout), _read(made.stderr)
            if not said:
                raise StartError("sandbox", 0, trouble.strip() or "bwrap: the program in it says nothing")
            return said
        finally:
            sandbox.abandon(made)
            running.close()


def _read(fd: int) -> str:
    os.set_blocking(fd, True)
    said = b""
    while more := os.read(fd, 65536):
        said += more
    return said.decode("utf-8", "replace")


def _setting(path: str) -> str:
    try:
        with open(path, encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return ""
