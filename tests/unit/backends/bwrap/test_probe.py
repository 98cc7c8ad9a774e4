"""Whether a sandbox works here, and what is said when it does not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cowork.backends.base import Availability
from cowork.backends.bwrap import network, program, seccomp
from cowork.backends.bwrap import probe as module
from cowork.backends.bwrap.probe import SWITCHES, explain, judge, probe
from cowork.errors import PolicyError
from cowork.holder import tree
from cowork.holder.child import StartError
from tests.support.boxes import FORKS
from tests.support.ordinary import ordinary_user

pytestmark = FORKS

APPARMOR, LIMIT, CLONE = (switch.path for switch in SWITCHES)


def nothing(path: str) -> str:
    return ""


@pytest.mark.parametrize(
    ("text", "setting", "reason", "fix"),
    [
        ("bwrap: setting up uid map: Permission denied", (APPARMOR, "1"), "AppArmor", "apparmor_restrict"),
        ("bwrap: No permissions to create new namespace", (APPARMOR, "1"), "AppArmor", "bwrap-userns-restrict"),
        ("bwrap: Creating new namespace failed: No space left on device", (LIMIT, "0"), "switched off",
         "max_user_namespaces"),
        ("bwrap: No permissions to create new namespace, likely because the kernel does not allow", (CLONE, "0"),
         "root alone", "unprivileged_userns_clone"),
        ("bwrap: No permissions to create new namespace", (APPARMOR, "0"), "cannot be made", "allow unprivileged"),
        ("bwrap: No permissions to create new namespace", ("", ""), "cannot be made", "outside of the container"),
        ("bwrap: Failed to make / slave: Permission denied", (APPARMOR, "1"), "mounting", "seccomp=unconfined"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", (APPARMOR, "1"), "no /proc of its own",
         "systempaths=unconfined"),
        ("bwrap: Mount too revealing: proc: VFS: Mount too revealing", ("", ""), "no /proc of its own", "unmask=ALL"),
        ("bwrap: pivot_root: Operation not permitted", ("", ""), "mounting", "seccomp=unconfined"),
        ("bwrap: prctl(PR_SET_SECCOMP): Operation not permitted", ("", ""), "cannot be made", "unprivileged"),
    ],
)  # fmt: skip
def test_what_bubblewraps_words_mean(text: str, setting: tuple[str, str], reason: str, fix: str) -> None:
    """Its own words stay in the reason: ours may be wrong."""
    found = explain(text, lambda path: setting[1] if path == setting[0] else "")
    assert not found.works
    assert reason in found.reason
    assert text in found.reason
    assert fix in found.fix


def test_words_that_nobody_knows() -> None:
    assert explain("bwrap: the moon is full", nothing) == Availability(False, "bwrap: the moon is full", "")
    assert explain("", nothing).works is False


def test_without_a_reader_the_kernel_itself_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "switch").write_text(" 1\n")
    switch = SWITCHES[0]._replace(path=str(tmp_path / "switch"))
    monkeypatch.setattr(module, "SWITCHES", (SWITCHES[1]._replace(path=str(tmp_path / "gone")), switch))
    assert explain("bwrap: creating new namespace failed").reason.startswith("AppArmor")


WITNESS = {
    "Name:": "cat", "CapInh:": "0000000000000000", "CapPrm:": "0000000000000000", "CapEff:": "0000000000000000",
    "CapBnd:": "0000000000000000", "NoNewPrivs:": "1", "Seccomp:": "2", "user": "user:[2]", "net": "net:[2]",
}  # fmt: skip


def says(**changes: str) -> Availability:
    """Judge what a program would see; ``CapEff="…"`` for ``CapEff:``."""
    lines = dict(WITNESS)
    for name, value in changes.items():
        lines[name if name in ("user", "net") else f"{name}:"] = value
    said = "".join(f"{name}\t{value}\n" for name, value in lines.items() if value)
    return judge(said, lambda name: f"{name}:[1]")


def test_a_sandbox() -> None:
    assert says() == Availability(works=True)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("CapEff", "0000000000000001", "it has rights (CapEff:"), ("CapPrm", "00000000ffffffff", "has rights (CapPrm:"),
        ("CapBnd", "000001ffffffffff", "it has rights (CapBnd:"), ("CapEff", "", "it has rights (CapEff: None)"),
        ("NoNewPrivs", "0", "it could gain rights"), ("NoNewPrivs", "", "it could gain rights"),
        ("Seccomp", "0", "no seccomp filter"), ("Seccomp", "1", "no seccomp filter"),
        ("Seccomp", "", "no seccomp filter"),
        ("user", "user:[1]", "the host's user namespace"), ("net", "net:[1]", "the host's net namespace"),
    ],
)  # fmt: skip
def test_what_is_no_sandbox(name: str, value: str, reason: str) -> None:
    found = says(**{name: value})
    assert not found.works
    assert reason in found.reason


def test_all_that_is_wrong_is_said() -> None:
    reason = says(NoNewPrivs="0", Seccomp="0", net="net:[1]").reason
    assert reason.count(";") == 2


def test_silence_is_no_sandbox() -> None:
    assert not judge("", lambda name: "x").works


@pytest.mark.parametrize("name", ["user", "net"])
def test_a_namespace_that_was_not_told_is_not_taken_for_another(name: str) -> None:
    assert not says(**{name: ""}).works


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> program.Program:
    """A bubblewrap that is never started."""
    made = program.Program("/usr/bin/bwrap", (0, 8, 0), False, program.REQUIRED)
    monkeypatch.setattr(program, "find", lambda path: made)
    return made


def running(monkeypatch: pytest.MonkeyPatch, result: str | Exception) -> None:
    def run(found: program.Program) -> str:
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(module, "_run", run)


def test_no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(path: str) -> program.Program:
        assert path == "/somewhere"
        raise PolicyError("no bubblewrap", hint="apt-get install it")

    monkeypatch.setattr(program, "find", find)
    assert probe({"PATH": "/somewhere"}) == Availability(False, "no bubblewrap", "apt-get install it")


def test_one_that_lacks_something(monkeypatch: pytest.MonkeyPatch, found: program.Program) -> None:
    old = program.Program("/usr/bin/bwrap", (0, 3, 0), False, program.REQUIRED - {"--cap-drop", "--args"})
    monkeypatch.setattr(program, "find", lambda path: old)
    told = probe({})
    assert (told.works, told.reason) == (False, "/usr/bin/bwrap lacks --args, --cap-drop")
    assert "0.8" in told.fix


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StartError("sandbox", 0, "bwrap: pivot_root: Operation not permitted"), "mounting is not allowed here"),
        (OSError(24, "Too many open files"), "/usr/bin/bwrap: Too many open files"),
        (OSError(28, "No space left on device", "/tmp/x"), "/tmp/x: No space left on device"),
        (seccomp.UnsupportedMachine("no table for s390x"), "no table for s390x"),
    ],
)
def test_what_goes_wrong_is_a_reason_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    running(monkeypatch, error)
    told = probe({})
    assert not told.works
    assert reason in told.reason


@pytest.mark.usefixtures("found")
def test_what_the_program_saw_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, "".join(f"{name}\t{value}\n" for name, value in WITNESS.items()))
    assert probe({}).works
    running(monkeypatch, "Seccomp:\t0\n")
    assert "no seccomp filter" in probe({}).reason


@pytest.fixture
def left_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither a process, nor a descriptor, nor a folder."""
    with ordinary_user():
        folder = Path(tempfile.mkdtemp(prefix="cw", dir="/tmp"))
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        before, children = set(os.listdir("/proc/self/fd")), tree.children(os.getpid())
        yield
        assert set(os.listdir("/proc/self/fd")) == before
        assert tree.children(os.getpid()) == children
        folder.rmdir()


@pytest.mark.bwrap
@pytest.mark.usefixtures("left_over")
def test_it_works_here() -> None:
    assert probe(os.environ) == Availability(works=True)


@pytest.mark.bwrap
@pytest.mark.usefixtures("left_over")
def test_one_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It broke down behind the gate: what it said then is the reason."""
    monkeypatch.setattr(module, "_WITNESS", "echo bwrap: pivot_root >&2")
    assert "mounting is not allowed here" in probe(os.environ).reason


@pytest.mark.bwrap
@pytest.mark.usefixtures("left_over")
def test_a_recipe_that_bubblewrap_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WITNESS", "true")
    monkeypatch.setattr(network, "listeners", lambda rules: [*LISTEN, *LISTEN])
    assert "no sockets inside" in probe(os.environ).reason


LISTEN = network.listeners(network.Policy([[]], [], ""))
