"""The parts of the benchmark that compute without measuring."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from bench import process
from bench.cli import chosen, main, specs
from bench.daemon import OURS, Daemon, ours
from bench.lines import END, LINE, check, lines_file, numbered, printf_format, repeated, stdin_chunks
from bench.report import Heading, document, is_correct, markdown, number, text
from bench.result import Result
from bench.run import Overrun, Report, Run, add_ratios, one, time_limit
from bench.section import ratio_name
from bench.sections import SECTIONS
from bench.stats import latencies, middle, percentile
from bench.targets import TARGETS, target, verdict
from bench.wire import frame, messages, requests

HEADING = Heading("today", "a machine", 2, 1.0, OURS, {OURS: "serve"})


def content(count: int) -> bytes:
    return "".join(numbered(0, i) for i in range(count)).encode()


def report() -> Report:
    ours = Run([Result({"mb_per_s": 900.0, "peak_rss_mb": 80.0, "intact": True}) for _ in range(2)])
    peer = Run([Result({"mb_per_s": 14.0, "intact": False}, ["output of s0: 3 lines missing"])])
    return {"stream": {"floor": Run([Result({"mb_per_s": 1800.0})]), OURS: ours, "peer": peer}}


def test_a_daemon_that_was_not_started_has_no_processes(tmp_path: Path) -> None:
    """All processes descend from pid 0, and those of a daemon are killed at its end."""
    assert Daemon(ours(), tmp_path / "d").tagged() == []


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(v) for v in range(100, 0, -1)]
    assert [percentile(values, p) for p in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_latencies_are_in_microseconds() -> None:
    assert latencies([0.001, 0.003], "quiet_") == pytest.approx(
        {"quiet_p50_us": 1000, "quiet_p99_us": 3000, "quiet_max_us": 3000}
    )


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([3, 1, 2], 2),
        ([1.0, None, 3.0], 2.0),
        ([1, 2], 1),
        ([True, True], True),
        ([True, False, True], False),
        (["a", "b", "a"], "a | b"),
        ([None], None),
    ],
)
def test_middle_of_rounds(rounds: list[float | bool | str | None], expected: float | bool | str | None) -> None:
    assert middle(rounds) == expected


def test_numbered_lines_have_one_size(tmp_path: Path) -> None:
    assert {len(numbered(c, i)) for c in (0, 7) for i in (0, 9_999_999)} == {LINE}
    json.loads(numbered(3, 5))
    path = lines_file(tmp_path, 1000)
    assert path.read_bytes() == content(8)
    line = printf_format(0)
    assert (line % 5).replace("\\n", "\n") == numbered(0, 5)


def test_stdin_chunks_are_full_and_differ() -> None:
    chunks = list(stdin_chunks(3))
    assert {len(c) for c in chunks} == {65_536}
    assert len(set("".join(chunks).splitlines())) == 3 * 1024


def test_check_accepts_equal_bytes() -> None:
    assert check(content(50), content(50)).intact
    assert str(check(b"", b"")) == "intact"


def test_check_tells_loss_repetition_alteration_and_reordering_apart() -> None:
    want = content(50) + f"{END}\n".encode()
    lines = want.splitlines(keepends=True)

    def found(changed: list[bytes]) -> tuple[int, int, int, int]:
        c = check(b"".join(changed), want)
        assert not c.intact
        return c.missing, c.duplicated, c.altered, c.out_of_order

    assert found(lines[:10] + lines[13:]) == (3, 0, 0, 0)
    assert found(lines[:10] + lines[8:]) == (0, 2, 0, 0)
    assert found([*lines[:10], lines[11], lines[10], *lines[12:]]) == (0, 0, 0, 1)
    assert found([*lines[:10], lines[10].replace(b"x", b"y"), *lines[11:]]) == (1, 0, 1, 0)
    assert found([lines[-1], *lines[:-1]]) == (0, 0, 0, 50)
    assert found([]) == (51, 0, 0, 0)


def test_check_names_what_differs() -> None:
    want = content(5)
    assert str(check(want[LINE:], want)) == "1 lines missing"
    assert str(check(want[:-1], want)) == "line ends differ"


def test_repeated_finds_the_event_that_came_twice() -> None:
    lines = content(40).splitlines(keepends=True)
    pieces = [b"".join(lines[i : i + 10]) for i in range(0, 30, 10)]
    again = b"".join(lines[20:])
    assert repeated(pieces, b"".join(lines[30:])) == (0, 0)
    assert repeated(pieces, again) == (1, 10 * LINE)
    assert repeated(pieces, b"".join(lines[10:])) == (2, 20 * LINE)
    assert repeated([], again) == (0, 0)
    assert repeated(pieces, b"") == (0, 0)


def test_frames_and_what_is_cut_off() -> None:
    raw = frame({"id": 1}) + frame({"id": 2}) + frame({"id": 3})[:-1]
    assert [m["id"] for _, m in messages(raw)] == [1, 2]
    assert len({len(r) for r in requests(2000)}) == 1


@pytest.mark.parametrize(
    ("goal", "more", "value", "expected"),
    [
        (None, False, 3, ""),
        (5, False, 5.0, "<= 5 ok"),
        (5, False, 5.1, "<= 5 falls short"),
        (250_000, True, 260_000, ">= 250,000 ok"),
        (500, True, 499.9, ">= 500 falls short"),
        (0, False, 0, "<= 0 ok"),
        (5, False, None, "<= 5 not measured"),
        (5, False, True, "<= 5 not measured"),
        (10_485_760, False, 1, "<= 10,485,760 ok"),
    ],
)
def test_verdict(goal: float | None, more: bool, value: float | None, expected: str) -> None:
    assert verdict(goal, more, value) == expected


def test_targets_belong_to_sections_and_next_is_no_weaker_than_must() -> None:
    assert {t.section for t in TARGETS} <= {s.name for s in SECTIONS}
    for t in TARGETS:
        assert target(t.section, t.figure) is t, "a figure has one goal"
        if t.must is not None and t.next is not None:
            assert t.next >= t.must if t.more else t.next <= t.must


def test_every_section_says_what_it_measures() -> None:
    assert len({s.name for s in SECTIONS}) == len(SECTIONS)
    for section in SECTIONS:
        assert section.what.endswith((".", ";"))


def test_ratios_to_the_floor() -> None:
    result = Result({"one_cpu_p50_us": 20.0, "per_s": 50.0, "gone": None})
    add_ratios(result, Result({"one_cpu_p50_us": 10.0, "per_s": 200.0, "gone": 3}), ["one_cpu_p50_us", "per_s", "gone"])
    assert result.figures["one_cpu_p50_x_floor"] == 2
    assert result.figures["per_s_x_floor"] == 0.25
    assert ratio_name("gone") not in result.figures


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (True, "yes"), (False, "NO"), (0, "0"), (1234, "1,234"), (1234.6, "1,235"), (123.4, "123"),
     (12.34, "12.3"), (1.234, "1.23"), ("text", "text")],
)  # fmt: skip
def test_number(value: float | bool | str | None, shown: str) -> None:
    assert number(value) == shown


def test_the_table_is_aligned_and_marks_goals() -> None:
    page = text(report(), [OURS, "peer"], HEADING)
    lines = page.splitlines()
    row = next(line for line in lines if line.startswith("  mb_per_s"))
    assert row.split() == ["mb_per_s", "1,800", "900", "14.0", ">=", "500", "ok", ">=", "800", "ok"]
    peak = next(line for line in lines if line.startswith("  peak_rss_mb"))
    assert peak.endswith("<= 64 falls short")
    assert row.index(">=") == peak.index("<=")
    assert "wrong: peer, stream: output of s0: 3 lines missing" in lines


def test_markdown_has_the_same_rows() -> None:
    assert "| mb_per_s | 1,800 | 900 | 14.0 | >= 500 ok | >= 800 ok |" in markdown(report(), [OURS, "peer"], HEADING)


def test_only_the_judged_daemon_decides_what_is_correct() -> None:
    found = report()
    assert is_correct(found, OURS)
    assert not is_correct(found, "peer")
    found["stream"][OURS].errors.append("RuntimeError: refused")
    assert not is_correct(found, OURS)
    assert "WRONG: cowork, stream: not measured: RuntimeError: refused" in text(found, [OURS], HEADING)
    saved = json.loads(json.dumps(document(found, HEADING)))
    assert saved["correct"] is False
    assert saved["sections"]["stream"][OURS]["median"]["mb_per_s"] == 900


def test_a_section_that_hangs_or_fails_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.load", lambda: 0.9)

    def hang() -> Result:
        time.sleep(30)
        return Result()

    run = Run()
    assert one(run, hang, 0.05) is None
    assert run.errors == ["Overrun: took more than 0.05 s"]
    assert one(run, lambda: Result({"a": 1}), 5) == Result({"a": 1})
    assert (run.figures(), run.disturbed) == ({"a": 1}, 2)
    with pytest.raises(Overrun), time_limit(0.01):
        time.sleep(5)


def test_sections_are_chosen_by_name() -> None:
    assert [s.name for s in chosen("stream,rpc", "")] == ["rpc", "stream"]
    assert "idle" not in [s.name for s in chosen("", "idle")]
    with pytest.raises(ValueError, match="nonsense"):
        chosen("nonsense", "")


def test_daemons_of_the_command_line() -> None:
    found = specs(["go=/bin/go -socket {sock}"], ["go:A=b=c", "cowork:X="])
    assert [s.name for s in found] == [OURS, "go"]
    assert (found[1].env, found[0].env["X"]) == ({"A": "b=c"}, "")
    assert specs(["cowork=other {sock}"], [])[0].command == "other {sock}"
    for wrong in (["go"], ["=x"], ["a/b=x"]):
        with pytest.raises(ValueError, match="NAME=COMMAND"):
            specs(wrong, [])
    with pytest.raises(ValueError, match="NAME:KEY=VALUE"):
        specs([], ["nobody:A=b"])


def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "nonsense"]) == 2
    assert main(["--rounds", "0"]) == 2
    assert main(["--list"]) == 0
    assert "cold-start" in capsys.readouterr().out


def test_processes() -> None:
    me = os.getpid()
    assert process.cpu_seconds(me) > 0
    assert process.rss_mb(me) > process.pss_mb(me) / 2 > 0
    assert process.table()[me][0] == os.getppid()
    gone = 2**22 + 1
    assert (process.cpu_seconds(gone), process.rss_mb(gone), process.threads(gone)) == (0, 0, [])
