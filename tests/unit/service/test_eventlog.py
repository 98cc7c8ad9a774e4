"""The log of events that are no output: durable, in order, forgotten when taken, whatever is in the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.service import eventlog
from cowork.service.eventlog import EventLog
from cowork.wire.events import NetworkStatus, ProcessError, VmStarted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.log"


def names(log: EventLog, seq: int = 0) -> list[str]:
    """Names of the entries after ``seq``."""
    out = []
    while (entry := log.following(seq)) is not None:
        out.append(json.loads(entry.body)["name"])
        seq = entry.seq
    return out


def test_entries_are_numbered_and_found_by_number(path: Path) -> None:
    log = EventLog(path)
    assert log.last == 0
    assert log.following(0) is None
    assert [log.append(VmStarted(n)).seq for n in "abc"] == [1, 2, 3]
    assert log.last == 3
    assert names(log) == ["a", "b", "c"]
    assert names(log, 2) == ["c"]
    assert log.following(3) is None
    log.close()


def test_entries_survive_a_process_that_just_ends(path: Path) -> None:
    log = EventLog(path)
    log.append(VmStarted("a"), after=["s1"], only=[3])
    log.append(ProcessError("p", "no", fatal=True))
    again = EventLog(path)
    entry = again.following(0)
    assert entry is not None
    assert (entry.seq, entry.after, entry.only) == (1, ["s1"], [3])
    assert json.loads(entry.body) == {"type": "vmStarted", "name": "a"}
    second = again.following(1)
    assert second is not None
    assert json.loads(second.body) == {"type": "error", "id": "p", "message": "no", "fatal": True}
    assert again.append(VmStarted("c")).seq == 3
    log.close()
    again.close()


def test_the_file_is_private(path: Path) -> None:
    EventLog(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_numbers_go_on_behind_what_somebody_was_told(path: Path) -> None:
    log = EventLog(path)
    log.start_at(41)
    assert log.append(VmStarted("a")).seq == 42
    log.start_at(7)
    assert log.append(VmStarted("b")).seq == 43
    log.close()


@pytest.mark.parametrize("cut", [1, 2, 20, 40])
def test_a_last_line_cut_short_costs_itself_alone(path: Path, cut: int) -> None:
    """Also for what is appended behind it."""
    log = EventLog(path)
    for name in ("a", "b"):
        log.append(VmStarted(name))
    log.close()
    os.truncate(path, path.stat().st_size - cut)
    log = EventLog(path)
    kept = ["a", "b"] if cut == 1 else ["a"]  # without its newline a line is still whole
    assert names(log) == kept
    log.append(VmStarted("c"))
    log.close()
    again = EventLog(path)
    assert names(again) == [*kept, "c"]
    again.close()


@given(st.lists(st.one_of(st.binary(max_size=40), st.just(b'{"seq":1}'), st.just(b'{"seq":"x","event":{}}'))))
@settings(derandomize=True, deadline=None, max_examples=100, database=None)
def test_lines_that_nobody_can_read_are_left_out(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("log") / "events.log"
    good = b'{"seq":5,"after":[],"only":[],"event":{"type":"vmStarted","name":"good"}}'
    path.write_bytes(b"\n".join([*lines, good, *lines, b""]))
    log = EventLog(path)
    assert names(log) == ["good"]
    assert log.append(VmStarted("next")).seq == 6
    log.close()


def test_what_everybody_has_taken_is_forgotten(path: Path) -> None:
    log = EventLog(path)
    for n in range(10):
        log.append(VmStarted(str(n)))
    log.forget(4)
    assert names(log) == ["4", "5", "6", "7", "8", "9"]
    log.forget(100)
    assert names(log) == []
    assert log.append(VmStarted("x")).seq == 11
    log.close()


def test_the_file_is_rewritten_when_it_has_grown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "REWRITE_AT", 2000)
    log = EventLog(path)
    for n in range(100):
        log.append(VmStarted(str(n)))
    log.forget(97)
    assert path.stat().st_size < 2000
    assert path.stat().st_mode & 0o777 == 0o600
    log.append(VmStarted("new"))
    log.close()
    again = EventLog(path)
    assert names(again) == ["97", "98", "99", "new"]
    again.close()
    assert [p.name for p in path.parent.iterdir()] == ["events.log"]


def test_a_disk_that_takes_no_more_costs_the_durability_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(os, "write", full)
        log.append(VmStarted("a"))
    assert names(log) == ["a"]
    log.close()


def test_a_disk_that_takes_half_a_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(path)
    log.append(VmStarted("a"))
    write = os.write
    with monkeypatch.context() as m:
        m.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
        log.append(VmStarted("torn"))
    log.append(VmStarted("c"))
    assert names(log) == ["a", "torn", "c"]
    log.close()
    again = EventLog(path)
    assert names(again) == ["a", "c"]
    assert again.append(VmStarted("d")).seq == 4
    again.close()


def test_the_number_of_entries_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "KEEP", 5)
    log = EventLog(path)
    for n in range(9):
        log.append(VmStarted(str(n)))
    assert names(log) == ["4", "5", "6", "7", "8"]
    log.close()


def test_a_link_at_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        EventLog(path)


@given(
    st.lists(st.one_of(st.integers(0, 30).map(lambda n: ("forget", n)), st.just(("append", 0)), st.just(("reopen", 0))))
)
@settings(derandomize=True, deadline=None, max_examples=60, database=None)
def test_it_is_a_list_that_survives(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    path = tmp_path_factory.mktemp("log") / "events.log"
    log = EventLog(path)
    model: list[int] = []
    last = floor = 0
    for step, number in steps:
        if step == "append":
            last += 1
            assert log.append(NetworkStatus("CONNECTED")).seq == last
            model.append(last)
        elif step == "forget":
            floor = max(floor, min(number, last))
            log.forget(floor)
        else:
            log.close()
            log = EventLog(path)
            log.start_at(floor)
            log.forget(floor)
        model = [n for n in model if n > floor]
        got, seq = [], floor
        while (entry := log.following(seq)) is not None:
            got.append(entry.seq)
            seq = entry.seq
        assert got == model
    log.close()
