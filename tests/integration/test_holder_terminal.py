"""Sessions with a terminal: size, echo, control, and the end that is typed."""

from __future__ import annotations

import json
import signal

import pytest

from tests.support.holding import STDERR, Place, child, numbered

pytestmark = pytest.mark.integration


def test_the_child_controls_its_terminal(either: Place) -> None:
    held = either.start(child("describes_itself"), terminal=(24, 80))
    assert held.wait().exit_code == 0
    found = json.loads(held.printed())
    assert found["tty"] == [True, True, True]
    assert found["terminal"]
    assert sorted(found["fds"]) == ["0", "1", "2"]
    assert found["pid"] == found["sid"] == found["pgid"]


def test_size_and_resize(either: Place) -> None:
    held = either.start(child("window_size"), terminal=(33, 101))
    held.until(b"33 rows 101 columns\r\n")
    held.client.resize(50, 132)
    held.until(b"50 rows 132 columns\r\n")
    held.client.close_stdin()
    assert held.wait().exit_code == 0


def test_what_is_typed_is_echoed_and_ctrl_d_ends_it(either: Place) -> None:
    held = either.start(["/bin/cat"], terminal=(24, 80))
    assert held.client.write(b"hello\n") is None
    held.until(b"hello\r\nhello\r\n")
    held.client.close_stdin()
    assert held.wait().exit_code == 0
    assert held.printed(STDERR) == b""


def test_ctrl_c_interrupts(here: Place) -> None:
    held = here.start(["/bin/cat"], terminal=(24, 80))
    assert held.client.write(b"x\n") is None
    held.until(b"x\r\nx\r\n")
    assert held.client.write(b"\x03") is None
    assert held.wait().signal == "SIGINT"


def test_a_terminal_is_hung_up_by_hup(here: Place) -> None:
    held = here.start(child("never_reads"), terminal=(24, 80))
    held.until(b"ready")
    assert held.client.signal([{"after": 0, "signal": int(signal.SIGHUP), "to": "group"}])
    assert held.wait().signal == "SIGHUP"


def test_all_that_was_printed_is_kept_at_the_end(either: Place) -> None:
    """More than a terminal's buffer, and across a segment's end."""
    held = either.start(["/bin/sh", "-c", "stty raw; exec " + " ".join(child("floods", 6_000_000))], terminal=(24, 80))
    assert held.wait().exit_code == 0
    assert held.printed() == numbered(6_000_000)


def test_the_end_of_a_segment_holds_nothing_back(here: Place) -> None:
    """The last bytes that were printed come out although nothing follows them."""
    script = "stty raw; " + " ".join(child("floods", 4_200_000)) + "; exec sleep 3600"
    held = here.start(["/bin/sh", "-c", script], terminal=(24, 80))
    held.until(numbered(4_200_000)[-100:])
    assert held.printed() == numbered(4_200_000)


def test_a_terminal_that_nobody_reads_refuses_writes_whole(here: Place) -> None:
    held = here.start(["/bin/sh", "-c", "stty raw -echo; echo ready; exec sleep 3600"], terminal=(24, 80))
    held.until(b"ready")
    limit = held.client.status().stdin.limit
    assert held.client.write(b"x" * limit) is None
    assert held.client.write(b"x" * limit) == "full"
    assert held.client.signal([{"after": 0, "signal": 9, "to": "tree"}])
    assert held.wait().signal == "SIGKILL"
