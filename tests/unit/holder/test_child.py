"""Starting a child: its streams, and an honest word when it cannot be started."""

from __future__ import annotations

import errno
import json
import os
import resource
import termios
from pathlib import Path

import pytest

from cowork.holder import child
from cowork.holder.spec import StartSpec

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")

SPEC = StartSpec(folder="/", socket="/", argv=["cat"], executable="/bin/cat", env={"PATH": "/bin"}, cwd="/")


def finish(started: child.Child) -> int:
    """Close our ends and reap it; returns its wait status."""
    for fd in {started.stdin, started.stdout, started.stderr, started.pidfd} - {-1}:
        os.close(fd)
    return os.waitpid(started.pid, 0)[1]


def test_three_pipes_and_a_pidfd() -> None:
    started = child.start(SPEC, None)
    assert os.getsid(started.pid) == os.getpgid(started.pid) == started.pid
    for fd in started[1:]:
        assert not os.get_inheritable(fd)
    for fd in (started.stdin, started.stdout, started.stderr):
        assert not os.get_blocking(fd)
    os.write(started.stdin, b"hello")
    os.set_blocking(started.stdout, True)
    assert os.read(started.stdout, 100) == b"hello"
    assert finish(started) == 0


def test_a_terminal_has_one_master_and_no_stderr() -> None:
    started = child.start(SPEC._replace(terminal=(24, 80)), None)
    assert started.stderr == -1
    assert os.get_terminal_size(started.stdout) == (80, 24)
    child.resize(started.stdout, 50, 132)
    assert os.get_terminal_size(started.stdin) == (132, 50)
    assert termios.tcgetattr(started.stdout)
    finish(started)


@pytest.mark.parametrize(
    ("change", "what", "number", "text"),
    [
        ({"executable": "/no/cat"}, "exec", errno.ENOENT, "/no/cat: No such file or directory"),
        ({"executable": "/"}, "exec", errno.EACCES, "/: Permission denied"),
        ({"cwd": "/no"}, "cwd", errno.ENOENT, "working directory /no: No such file or directory"),
        ({"cwd": "/no", "terminal": (1, 1)}, "cwd", errno.ENOENT, "working directory /no: No such file or directory"),
        ({"env": {"a": "b\0c"}}, "exec", 0, "/bin/cat: embedded null byte"),
        ({"argv": ["cat", "x" * (1 << 20)]}, "exec", errno.E2BIG, "/bin/cat: Argument list too long"),
    ],
)
def test_a_failed_start_tells_the_step_and_the_reason(
    change: dict[str, object], what: str, number: int, text: str
) -> None:
    with pytest.raises(child.StartError) as caught:
        child.start(SPEC._replace(**change), None)  # type: ignore[arg-type]
    error = caught.value
    assert (error.what, error.errno, error.text) == (what, number, text)
    assert json.loads(error.as_json()) == {"what": what, "errno": number, "text": text}


def test_a_cgroup_that_cannot_be_entered_is_a_failed_start(tmp_path: Path) -> None:
    with pytest.raises(child.StartError) as caught:
        child.start(SPEC, str(tmp_path / "none"))
    assert caught.value.what == "exec"


def test_the_cgroup_is_entered_before_the_exec(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("")
    assert finish(child.start(SPEC, str(tmp_path))) == 0
    assert (tmp_path / "cgroup.procs").read_text() == "0"


def test_limits_are_those_that_were_asked_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    core = resource.getrlimit(resource.RLIMIT_CORE)
    wanted = [(resource.RLIMIT_NOFILE, 77, hard), (resource.RLIMIT_CORE, *core)]
    spec = SPEC._replace(argv=["sh", "-c", "ulimit -S -n; ulimit -H -n"], executable="/bin/sh", rlimits=wanted)
    assert child._other_limits(spec) == wanted[:1]
    assert child._other_limits(StartSpec.decode(spec.encode())) == wanted[:1], "also after its way as JSON"
    started = child.start(spec, None)
    os.set_blocking(started.stdout, True)
    with os.fdopen(os.dup(started.stdout)) as out:
        assert out.read().split() == ["77", "unlimited" if hard == resource.RLIM_INFINITY else str(hard)]
    finish(started)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_a_limit_that_cannot_be_set_is_no_hindrance() -> None:
    spec = SPEC._replace(argv=["true"], executable="/bin/true", rlimits=[(resource.RLIMIT_NOFILE, 2**40, 2**40)])
    assert finish(child.start(spec, None)) == 0
