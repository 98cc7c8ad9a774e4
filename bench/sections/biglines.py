"""Lines that do not fit into one frame."""

from __future__ import annotations

from time import perf_counter

from bench.client import subscriber
from bench.daemon import Spec
from bench.harness import Harness
from bench.process import MB
from bench.result import Result
from bench.sink import EXIT, in_child
from bench.wire import FRAME_LIMIT

AFTER = b"after-the-big-line\n"


def measure(harness: Harness, spec: Spec) -> Result:
    """A line of 8 MB, one of 12 MB (over the frame limit), 8 MB of quotes (16 MB as JSON): ms until all came.

    Timed from sending spawn of cat to the last byte received; a short line follows the big one. largest_frame:
    bytes of the largest frame of all three.
    """
    result, largest = Result(), 0
    for name, line in (
        ("8mb", _countable(harness.n(8 * MB))),
        ("12mb", _countable(harness.n(12 * MB))),
        ("quotes", b'"' * harness.n(8 * MB)),
    ):
        content = line + b"\n" + AFTER
        path = harness.file(f"line-{name}", content)
        with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket) as events:
            began = perf_counter()
            client.send("spawn", daemon.spawn_params("big", "/bin/cat", str(path)))
            got = harness.sink.collect(events, EXIT, 1, began + 20)

        def work(content: bytes = content) -> tuple[bool, int, int, bool]:
            found = harness.sink.decode(got)  # noqa: B023 - called at once
            data = found.data("big")
            return data == content, len(data), found.largest, "big" in found.exits

        intact, size, frame, ended = in_child(work)
        largest = max(largest, frame)
        result.figures[f"{name}_ms"] = (got.last - began) * 1e3
        result.figures[f"{name}_intact"] = intact
        result.require(
            intact,
            f"{name}: {size:,} of {len(content):,} bytes came"
            f"{', in another order or altered' if size == len(content) else ''}",
        )
        result.require(ended, f"{name}: no exit event")
    result.figures["largest_frame"] = largest
    result.require(largest <= FRAME_LIMIT, f"a frame of {largest:,} bytes")
    return result


def _countable(size: int) -> bytes:
    """`size` bytes without a newline that show where something is missing."""
    return b"".join(b"%09d," % i for i in range(size // 10 + 1))[:size]
