"""What a subscriber got of sessions that print known bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.lines import END, LineCheck, check
from bench.result import Result
from bench.sink import Received, Sink, in_child
from bench.wire import FRAME_LIMIT


def script(path: Path) -> str:
    """A shell script that prints a file and the end mark, then lives until it gets a line on stdin: the
    holder can still be looked at when the last byte has come."""
    return f"cat {path}; echo {END}; read x"


@dataclass(frozen=True)
class Delivery:
    """Comparison of each session's output with its file, and counts over all frames."""

    checks: dict[str, LineCheck]
    exits: frozenset[str]
    frames: int
    largest: int
    after_exit: int

    def judge(self, result: Result) -> None:
        """Add `intact` and the largest frame to the figures, and every violation to the faults."""
        result.figures["intact"] = all(c.intact for c in self.checks.values())
        result.figures["largest_frame"] = self.largest
        for session, found in self.checks.items():
            result.require(found.intact, f"output of {session}: {found}")
            result.require(session in self.exits, f"no exit event for {session}")
        result.require(not self.after_exit, f"{self.after_exit} output events after their exit event")
        result.require(self.largest <= FRAME_LIMIT, f"a frame of {self.largest:,} bytes")


def delivery(sink: Sink, parts: list[Received], files: dict[str, Path]) -> Delivery:
    """Decode in a forked process; `files` names what each session printed before the end mark."""

    def work() -> Delivery:
        got = sink.decode(*parts)
        end = f"{END}\n".encode()
        checks = {s: check(got.data(s), path.read_bytes() + end) for s, path in files.items()}
        return Delivery(checks, frozenset(got.exits), got.frames, got.largest, got.after_exit)

    return in_child(work)
