"""The machine: what is told at a start, to whom, and what is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from cowork.service import machine as module
from cowork.service.machine import Machine, boot_events
from cowork.wire import events as e
from tests.support.service import until


class FakeDelivery:
    """Notes what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[e.Event, list[int] | None]] = []
        self.absent: list[int] | None = []

    def publish(self, event: e.Event, *, after: list[str] | None = None, only: list[int] | None = None) -> int:
        self.published.append((event, only))
        return len(self.published)

    def missed(self, seq: int) -> list[int] | None:
        return self.absent


class FakeProber:
    """A probe that tells what a test wants."""

    made: ClassVar[list[FakeProber]] = []

    def __init__(self, url: str, tell: object) -> None:
        self.url = url
        self.running = False
        self.status = e.UNKNOWN
        FakeProber.made.append(self)

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False


@pytest.fixture
def delivery() -> FakeDelivery:
    return FakeDelivery()


@pytest.fixture
def probers(monkeypatch: pytest.MonkeyPatch) -> list[FakeProber]:
    FakeProber.made = []
    monkeypatch.setattr(module, "Prober", FakeProber)
    return FakeProber.made


def make(tmp_path: Path, delivery: FakeDelivery) -> Machine:
    return Machine(tmp_path / "machine.json", delivery)  # type: ignore[arg-type]


BOOT = [*boot_events("n"), e.ApiReachability(e.REACHABLE)]


def test_the_order_of_a_boot() -> None:
    assert [type(event).__name__ for event in boot_events("x")] == [
        "StartupStep", "StartupStep", "VmStarted", "StartupStep", "StartupStep", "NetworkStatus",
    ]  # fmt: skip
    assert boot_events("x")[2] == e.VmStarted("x")


def test_a_start_tells_everybody_once(tmp_path: Path, delivery: FakeDelivery) -> None:
    machine = make(tmp_path, delivery)
    assert not machine.started
    machine.start("n", "")
    assert machine.started
    assert delivery.published == [(event, None) for event in BOOT]
    machine.start("n", "")
    assert len(delivery.published) == len(BOOT)


def test_a_second_start_tells_those_who_missed_it(tmp_path: Path, delivery: FakeDelivery) -> None:
    machine = make(tmp_path, delivery)
    machine.start("n", "")
    delivery.published.clear()
    delivery.absent = [4]
    machine.start("n", "")
    assert delivery.published == [(event, [4]) for event in BOOT]
    delivery.published.clear()
    delivery.absent = None
    machine.start("n", "")
    assert delivery.published == [(event, None) for event in BOOT]


def test_it_is_remembered_over_the_daemons_end(
    tmp_path: Path, delivery: FakeDelivery, probers: list[FakeProber]
) -> None:
    first = make(tmp_path, delivery)
    first.start("n", "http://x")
    first.close()
    assert not probers[0].running
    second = make(tmp_path, delivery)
    assert second.started
    second.resume()
    assert (probers[1].url, probers[1].running) == ("http://x", True)
    second.stop()
    assert not probers[1].running
    assert not make(tmp_path, delivery).started


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"started":1}', b"\xff"])
def test_a_damaged_memory_is_none(tmp_path: Path, delivery: FakeDelivery, data: bytes) -> None:
    (tmp_path / "machine.json").write_bytes(data)
    assert not make(tmp_path, delivery).started


def test_fields_of_a_newer_release_do_no_harm(tmp_path: Path, delivery: FakeDelivery) -> None:
    (tmp_path / "machine.json").write_bytes(b'{"started":true,"name":"n","colour":"blue"}')
    assert make(tmp_path, delivery).started


def test_with_a_url_the_first_status_is_the_probes(
    tmp_path: Path, delivery: FakeDelivery, probers: list[FakeProber]
) -> None:
    machine = make(tmp_path, delivery)
    machine.start("n", "http://x")
    assert [event for event, _ in delivery.published] == boot_events("n")
    assert [p.running for p in probers] == [True]
    probers[0].status = e.UNREACHABLE
    delivery.published.clear()
    delivery.absent = [2]
    machine.start("n", "http://x")
    assert delivery.published[-1] == (e.ApiReachability(e.UNREACHABLE), [2])
    assert len(probers) == 1, "it goes on"
    machine.stop()
    assert not probers[0].running


def test_a_status_nobody_knows_yet_is_not_told(
    tmp_path: Path, delivery: FakeDelivery, probers: list[FakeProber]
) -> None:
    """Clients do not go on at "unknown"; the probe's own word comes to everybody."""
    machine = make(tmp_path, delivery)
    machine.start("n", "http://x")
    delivery.published.clear()
    delivery.absent = [2]
    machine.start("n", "http://x")
    assert e.ApiReachability(e.UNKNOWN) not in [event for event, _ in delivery.published]


@pytest.mark.asyncio
async def test_a_real_probe_is_published(
    tmp_path: Path, delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cowork.service.reachability.answers", lambda url: False)
    machine = make(tmp_path, delivery)
    machine.start("n", "http://x")
    await until(lambda: len(delivery.published) > len(boot_events("n")))
    assert delivery.published[-1] == (e.ApiReachability(e.PROBABLY_UNREACHABLE), None)
    machine.stop()
