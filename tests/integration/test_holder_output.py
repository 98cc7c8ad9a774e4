"""What a child prints is spooled byte for byte, in the order of arrival, within bounds."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest

from cowork.holder import messages as m
from cowork.holder.page import HOLDING
from cowork.holder.spool import SEGMENT
from cowork.sessions.cutter import PIECE, Cutter
from cowork.sessions.spool import SpoolReader
from tests.support.holding import STDERR, STDOUT, Held, Place, alive, child, numbered, runs_of, wait_gone

pytestmark = pytest.mark.integration

MB = 1024 * 1024


def pieces(held: Held) -> list[tuple[int, str]]:
    """All of a session that has ended, as a reader shows it."""
    cutter = Cutter(SpoolReader(held.directory.spool))
    head = SpoolReader(held.directory.spool).end()
    out = []
    while (piece := cutter.next(head, ended=True)) is not None:
        out.append((piece.stream, piece.text))
    return out


def test_every_byte_of_both_streams_is_kept(either: Place) -> None:
    script = (
        "import os; d = bytes(range(256)) * 4096; os.write(2, d[:5]); os.write(1, d[:70000]); os.write(2, d[5:999])"
    )
    held = either.start([sys.executable, "-I", "-S", "-c", script])
    assert held.wait().exit_code == 0
    data = bytes(range(256)) * 4096
    assert held.printed(STDOUT) == data[:70000]
    assert held.printed(STDERR) == data[:999]


def test_two_streams_keep_the_order_of_arrival(either: Place) -> None:
    held = either.start(child("alternates", 40, "paced"))
    for number in range(40):
        assert held.client.write(b".") is None
        held.until(b"%d\n" % number, 1 + number % 2)
    held.wait()
    assert held.runs() == [(1 + n % 2, b"%d\n" % n) for n in range(40)]


def test_alternating_streams_at_full_speed_are_whole(here: Place) -> None:
    held = here.start(child("alternates", 20_000))
    assert held.wait().exit_code == 0
    for parity, stream in enumerate((STDOUT, STDERR)):
        assert held.printed(stream) == b"".join(b"%d\n" % n for n in range(parity, 20_000, 2))


def test_a_flood_is_intact(either: Place) -> None:
    held = either.start(child("floods", 10 * MB + 7), hold=False)
    ended = held.wait()
    assert held.printed() == numbered(10 * MB + 7)
    assert ended.head == 10 * MB + 7
    assert sorted(p.name for p in held.directory.spool.iterdir()) == [
        f"{at:020d}{end}" for at in (0, SEGMENT, 2 * SEGMENT) for end in (".idx", ".log")
    ]


def test_a_line_of_12_mb_comes_out_in_pieces(here: Place) -> None:
    held = here.start(child("long_line"), history=32 * MB)
    held.wait()
    shown = pieces(held)
    assert "".join(text for _, text in shown) == ("0123456789" * 1_200_000)
    assert max(len(text) for _, text in shown) <= PIECE
    assert {stream for stream, _ in shown} == {STDOUT}


def test_half_a_character_waits_for_the_end(here: Place) -> None:
    held = here.start(child("half_character"))
    held.until(b"caf\xc3")
    reader = SpoolReader(held.directory.spool)
    cutter = Cutter(reader)
    piece = cutter.next(reader.end(), flush=True)
    assert piece is not None
    assert (piece.text, piece.stdout) == ("caf", 3)
    assert cutter.next(reader.end(), flush=True) is None
    last = cutter.next(reader.end(), ended=True)
    assert last is not None
    assert (last.text, last.stdout) == ("\ufffd", 4)
    reader.close()


def test_notes_tell_how_far_the_spool_reaches(here: Place) -> None:
    held = here.start(["/bin/cat"])
    for line in (b"one\n", b"two\n"):
        assert held.client.write(line) is None
        held.until(line)
    assert held.client.status().head == 8
    with held.connect() as other:
        assert other.watch().head == 8
        assert held.client.write(b"three\n") is None
        assert m.U64.unpack(other.expect(m.NOTE)[1])[0] == 14


# -- the bound


def test_a_child_whose_output_nobody_takes_is_blocked_and_goes_on(either: Place) -> None:
    total, limit = 24 * MB, 6 * MB
    held = either.start(child("floods", total), limit=limit, history=0)
    held.page.set_state(5, HOLDING)
    seen = bytearray()
    while total - len(seen) > limit + MB:
        status = held.until_output("full")
        # What was in the pipe and one more piece may lie beyond the bound; the rest of the flood waits.
        assert limit <= status.head - len(seen) <= limit + MB
        assert status.running
        assert alive(held.pid)
        seen += b"".join(data for _, data in runs_of(held.directory.spool, len(seen), status.head))
        for slot in (0, 5):
            held.page.set_position(slot, STDOUT, status.head)
            held.page.set_position(slot, STDERR, status.head)
        held.client.send(m.TAKEN)
    assert held.wait().exit_code == 0
    seen += b"".join(data for _, data in runs_of(held.directory.spool, len(seen)))
    assert bytes(seen) == numbered(total)


def test_nothing_that_a_holding_slot_needs_is_recycled(here: Place) -> None:
    held = here.start(child("floods", 32 * MB), limit=64 * MB, history=0)
    held.page.set_state(7, HOLDING)
    held.page.set_position(7, STDOUT, SEGMENT + 1)
    held.page.set_position(7, STDERR, 2 * SEGMENT)
    for stream in (STDOUT, STDERR):
        held.page.set_position(0, stream, 64 * MB)  # all others have taken everything
    held.wait()
    assert SpoolReader(held.directory.spool).base() == SEGMENT
    assert b"".join(data for _, data in runs_of(held.directory.spool, SEGMENT)) == numbered(32 * MB)[SEGMENT:]


def test_without_holding_the_child_never_waits_and_the_history_stays(here: Place) -> None:
    held = here.start(child("floods", 40 * MB), limit=MB, history=5 * MB, hold=False)
    assert held.wait().exit_code == 0
    base = SpoolReader(held.directory.spool).base()
    assert 40 * MB - 5 * MB - SEGMENT <= base <= 40 * MB - 5 * MB
    assert b"".join(data for _, data in runs_of(held.directory.spool, base)) == numbered(40 * MB)[base:]


def test_a_blocked_child_can_be_killed_and_its_last_bytes_are_kept(here: Place) -> None:
    held = here.start(child("floods", 24 * MB), limit=2 * MB)
    held.until_output("full")
    assert held.client.signal([{"after": 0, "signal": 9, "to": "tree"}])
    ended = held.wait()
    assert ended.signal == "SIGKILL"
    assert ended.head is not None
    assert held.printed() == numbered(ended.head)


# -- a full disk


def test_on_a_full_disk_the_child_waits_and_nothing_is_lost(here: Place) -> None:
    """The size limit stands for the disk; the kernel answers EFBIG instead of ENOSPC."""
    held = here.start(["/bin/cat"])
    resource.prlimit(held.holder, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    data = numbered(300_000)
    assert held.client.write(data) is None
    assert held.until_output("disk full").running
    assert held.client.write(b"behind\n") is None
    resource.prlimit(held.holder, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    held.client.close_stdin()
    assert held.wait().exit_code == 0
    assert held.printed() == data + b"behind\n"


def test_a_disk_that_is_full_for_the_index_loses_nothing(here: Place) -> None:
    """Bytes that are in the log when their index record does not fit must not be forgotten."""
    held = here.start([sys.executable, "-I", "-S", "-c", ALTERNATING_ECHO])
    for number in range(4):
        assert held.client.write(b"%d\n" % number) is None
        held.until(b"%d\n" % number, 1 + number % 2)
    # Four records of 16 bytes are there; the logs (8 bytes) may grow up to 64 bytes, the index may not.
    resource.prlimit(held.holder, resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
    assert held.client.write(b"4\n") is None
    held.until_output("disk full")
    resource.prlimit(held.holder, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    held.until(b"4\n", STDOUT)  # though nothing more is printed
    for number in range(5, 8):
        assert held.client.write(b"%d\n" % number) is None
        held.until(b"%d\n" % number, 1 + number % 2)
    held.client.close_stdin()
    held.wait()
    assert held.runs() == [(1 + n % 2, b"%d\n" % n) for n in range(8)]


ALTERNATING_ECHO = """
import os
stream = 1
while data := os.read(0, 4096):
    os.write(stream, data)
    stream = 3 - stream
"""


def test_a_full_disk_holds_a_terminal_back_too(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "stty raw -echo; echo ready; exec cat"], terminal=(24, 80))
    held.until(b"ready")
    start = held.client.status().head
    resource.prlimit(held.holder, resource.RLIMIT_FSIZE, (start + 1000, resource.RLIM_INFINITY))
    data = numbered(8000)
    assert held.client.write(data) is None
    held.until_output("disk full")
    resource.prlimit(held.holder, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    held.until(data[-16:])
    assert held.printed()[start:] == data


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_file_system_loses_nothing(here: Place) -> None:
    held = here.prepare(child("floods", 8 * MB), history=0)
    # The session's directory is on a file system of 1 MiB; the page and session.json are put there first.
    saved = {path.name: path.read_bytes() for path in held.directory.path.iterdir()}
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(held.directory.path)])
    if mount.returncode:
        pytest.skip("this root may not mount")
    try:
        for name, data in saved.items():
            (held.directory.path / name).write_bytes(data)
        held.client = here.begin(held)
        held.status = held.client.started()
        here.adopt(held)
        held.until_output("disk full")
        assert alive(held.pid)
        subprocess.run(["mount", "-o", "remount,size=32m", str(held.directory.path)], check=True)
        assert held.wait().exit_code == 0
        assert held.printed() == numbered(8 * MB)
    finally:
        held.clear()
        subprocess.run(["umount", "-l", str(held.directory.path)], check=True)


def test_the_holder_is_small(here: Place) -> None:
    held = here.start(child("never_reads"))
    held.until(b"ready")
    with open(f"/proc/{held.holder}/smaps_rollup", encoding="ascii") as f:
        pss = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    assert pss > 0
    os.kill(held.pid, signal.SIGKILL)
    held.wait()
    wait_gone(held.holder)


def test_a_client_that_gets_the_number_of_a_closed_stream_is_a_client(either: Place) -> None:
    """What it says went into the log, and the holder broke down over it: a lost session, and a garbled one."""
    held = either.start(["/bin/sh", "-c", "echo hello; exec >&- 2>&-; exec sleep 60"])
    held.until(b"hello\n")
    while held.client.status().output != "ended":
        pass
    for _ in range(8):
        with held.connect() as first, held.connect() as second:
            assert first.status().running
            assert second.watch().head == len(b"hello\n")
    assert held.printed() == b"hello\n"
    assert held.client.signal([{"after": 0, "signal": int(signal.SIGTERM), "to": "group"}])
    ended = held.wait()
    assert (ended.signal, ended.lost) == ("SIGTERM", False)
