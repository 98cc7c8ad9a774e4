"""What becomes of difficult bytes."""

from __future__ import annotations

import codecs
import random
from time import perf_counter

from bench.client import Client, subscriber
from bench.daemon import Daemon, Spec
from bench.harness import Harness
from bench.result import Result
from bench.sink import EXIT, Decoded, in_child

CASES = {
    "crlf": b"one\r\ntwo\r\nthree\r\n",
    "lone_cr": b"10%\r20%\r30%\rdone\n",
    "no_final_newline": b"first\nlast-without-newline",
    "empty_lines": b"\n\n\nx\n\n",
    "nul": b"a\0b\0\n",
    "control": bytes(range(1, 32)) + b"\x7f\x1b[31mred\x1b[0m\n",
    "invalid": b"ok \xff\xfe\x80 ok\n" * 50,
    "cut_character": b"ok \xe6\xbc ok\n" * 50,
}
SPLIT = r"printf '\346'; sleep 0.15; printf '\274\242\n'"


def measure(harness: Harness, spec: Spec) -> Result:
    """Whether output arrives as it was printed; nothing is timed.

    Each invalid byte is to become one U+FFFD (cut_character: the two bytes of a character without its third).
    split_character: its bytes in two writes 150 ms apart. utf8: 2 MB of characters of one to four bytes. stderr:
    the types under which a line on each stream came.
    """
    codecs.register_error(
        "bench-each-byte",
        lambda e: ("\ufffd" * (e.end - e.start), e.end) if isinstance(e, UnicodeDecodeError) else ("", 0),
    )
    result = Result()
    with harness.daemon(spec) as daemon, daemon.boot() as client, subscriber(daemon.socket) as events:
        for name, content in {"utf8": _mixed(harness.n(40_000)), **CASES}.items():
            path = harness.file(f"fidelity-{name}", content)
            got = _run(harness, daemon, client, events, name, "/bin/cat", str(path))
            want = content.decode("utf-8", "bench-each-byte").encode()
            _compare(result, name, got.data(name), want)
        got = _run(harness, daemon, client, events, "split_character", "/bin/sh", "-c", SPLIT)
        _compare(result, "split_character", got.data("split_character"), "\u6f22\n".encode())
        got = _run(harness, daemon, client, events, "stderr", "/bin/sh", "-c", "echo out; echo err >&2")
        _compare(result, "stderr_text", b"".join(sorted(got.data("stderr").splitlines(True))), b"err\nout\n")
        result.figures["stderr"] = ", ".join(sorted(got.kinds))
    return result


def _run(harness: Harness, daemon: Daemon, client: Client, events: Client, session: str, *command: str) -> Decoded:
    client.send("spawn", daemon.spawn_params(session, *command))
    got = harness.sink.collect(events, EXIT, 1, perf_counter() + 8, idle=0.2)
    return in_child(lambda: harness.sink.decode(got))


def _compare(result: Result, name: str, got: bytes, want: bytes) -> None:
    result.figures[name] = got == want
    at = next((i for i, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), min(len(got), len(want)))
    near = slice(max(0, at - 8), at + 16)
    result.require(
        got == want, f"{name}: {len(got):,} of {len(want):,} bytes; at byte {at:,} {got[near]!r} for {want[near]!r}"
    )


def _mixed(lines: int) -> bytes:
    rnd = random.Random(7)
    words = ["h\u00e9llo", "\u6f22\u5b57", "\U0001f389\U0001f680", "na\u00efve", "\u0440\u0443\u0441", "<&>\u2028"]
    return "".join(" ".join(rnd.choices(words, k=9)) + f" {i}\n" for i in range(lines)).encode()
