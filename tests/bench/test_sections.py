"""The sections about the sandbox and its proxy, in small: that they measure, and that they see what is wrong."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import tunnel
from bench.daemon import OURS, SANDBOXED, Spec, ours, sandboxed
from bench.harness import Harness
from bench.result import Result
from bench.run import measured, rounds
from bench.section import Section
from bench.sections import SECTIONS, proxy
from bench.targets import TARGETS
from bench.tunnel import Listening, ask, collect, connect, discard
from cowork.backends.bwrap import probe

SOURCE = [sys.executable, "-I", "-S", str(Path(tunnel.__file__).with_name("source_process.py"))]
SCALE = 0.005


@pytest.fixture
def harness() -> Iterator[Harness]:
    """A small run; short paths for the sockets."""
    with (
        tempfile.TemporaryDirectory(prefix="cb-", dir="/tmp") as work,
        tempfile.TemporaryDirectory(prefix="cb-", dir="/tmp") as data,
    ):
        yield Harness(Path(work), Path(data), SCALE)


@pytest.fixture
def source() -> Iterator[Listening]:
    """Where bytes come from."""
    with Listening(SOURCE) as made:
        yield made


def section(name: str) -> Section:
    return next(s for s in SECTIONS if s.name == name)


def measure(harness: Harness, name: str) -> Result:
    """One run on our daemon, with a figure for every goal and nothing lost."""
    result = section(name).measure(harness, ours())
    assert result.faults == []
    for goal in TARGETS:
        if goal.section == name and not goal.figure.endswith("_x_floor"):
            assert isinstance(result.figures[goal.figure], float)
    return result


@pytest.fixture
def _bwrap() -> None:
    found = probe.probe(os.environ)
    if not found.works:
        pytest.skip(f"no sandbox here: {found.reason}")


@pytest.mark.bwrap
@pytest.mark.usefixtures("_bwrap")
def test_what_the_sandbox_adds_to_a_spawn(harness: Harness) -> None:
    figures = measure(harness, "sandbox-spawn").figures
    host, bwrap, over = (figures[f"{name}_ms"] for name in ("host_exit_p50", "bwrap_exit_p50", "over_host"))
    assert isinstance(host, float)
    assert isinstance(bwrap, float)
    assert over == bwrap - host


@pytest.mark.bwrap
@pytest.mark.usefixtures("_bwrap")
def test_a_stream_out_of_the_sandbox_beside_one_of_the_host(harness: Harness) -> None:
    figures = measure(harness, "sandbox-stream").figures
    assert figures["host_intact"] is figures["bwrap_intact"] is True


def test_the_sandboxed_daemon_is_the_same_but_for_its_backend() -> None:
    spec = ours()
    spec.env["A"] = "b"
    found = sandboxed(spec)
    assert (found.name, found.env, found.socket) == (SANDBOXED, spec.env, spec.socket)
    assert found.command.split() == [*spec.command.split()[:-1], "bwrap"]
    with pytest.raises(ValueError, match="no --backend host"):
        sandboxed(Spec(OURS, "cowork serve"))


def test_other_daemons_are_not_asked_for_a_sandbox(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.load", lambda: 0.0)
    asked: list[tuple[str, str]] = []

    def section(name: str, own: bool) -> Section:
        def note(_: Harness, spec: Spec) -> Result:
            asked.append((name, spec.name))
            return Result({"a": 1})

        return Section(name, note, own=own)

    specs = [ours(), Spec("peer", "peer {sock}")]
    *_, report = rounds(harness, [section("all", False), section("own", True)], specs, 2, lambda _: None)
    assert asked == [
        ("all", OURS), ("all", "peer"), ("own", OURS), ("all", "peer"), ("all", OURS), ("own", OURS),
    ]  # fmt: skip
    assert list(report["own"]) == [OURS]
    assert {s.name for s in SECTIONS if measured(s, specs[1:]) == []} == {
        "sandbox-spawn", "sandbox-stream", "proxy", "shell-ps", "shell-logs", "shell-attach",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["shell-ps", "shell-logs", "shell-attach"])
def test_commands_from_the_shell_are_measured(harness: Harness, name: str) -> None:
    measure(harness, name)


def test_the_proxy_is_measured(harness: Harness) -> None:
    figures = measure(harness, "proxy").figures
    assert figures["crowd_intact"] is True
    assert figures["stalled_intact"] is True
    assert proxy.floor(harness).figures.keys() == {"mb_per_s"}


def test_what_the_proxy_refuses_is_an_error(harness: Harness, source: Listening) -> None:
    with (
        Listening(SOURCE) as other,
        proxy.start(ours(), source) as serving,
        pytest.raises(ConnectionRefusedError, match="403"),
    ):
        connect(other, serving)


def test_bytes_that_are_lost_are_seen(source: Listening) -> None:
    with connect(source, None) as good, connect(source, None) as short, connect(source, None) as altered:
        ask(good, 300_000)
        ask(short, 299_999)
        ask(altered, 300_001)
        discard(altered, 1)
        assert collect([good, short, altered], 300_000, lambda: None) == [
            "299,999 of 300,000 bytes",
            "300,000 of 300,000 bytes, not the ones that were sent",
        ]
    with connect(source, None) as sock:
        ask(sock, 5)
        with pytest.raises(ConnectionResetError, match="closed with 2 bytes to come"):
            discard(sock, 7)


def test_bytes_that_do_not_come_are_waited_for_only_so_long(source: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "PATIENCE", 0.1)
    with connect(source, None) as sock, pytest.raises(TimeoutError, match="7 bytes did not come"):
        discard(sock, 7)
    with connect(source, None) as sock:
        assert collect([sock], 7, lambda: None) == ["0 of 7 bytes, and no end"]


def test_processes_end_by_themselves() -> None:
    with Listening(SOURCE) as source:
        assert source.cpu() > 0
        assert source.ended is None
    assert source.ended == 0
    with pytest.raises(RuntimeError, match="did not come up"), Listening(["/bin/true"]):
        pass
