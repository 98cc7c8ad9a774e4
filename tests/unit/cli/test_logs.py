"""``cowork logs``: what is printed of a session, and how."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from cowork.cli.logs import network_log
from cowork.holder.spool import SEGMENT
from tests.support.desk import PATIENCE, STDERR, STDOUT, TURN, Desk, Terminal
from tests.support.holding import child, numbered

SPOKEN = b"".join(line + b"\n" for line in TURN)


# -- bytes


def test_what_was_printed_to_stdout_and_to_stderr_comes_out_there(desk: Desk) -> None:
    one = desk.written((STDOUT, b"out 1\n"), (STDERR, b"err\xff\n"), (STDOUT, b"out 2\0"), name="one")
    for wanted in (one.id, one.id[:6], "one"):
        said = desk.run("logs", wanted)
        assert (said.status, said.out, os.fsencode(said.err)) == (0, "out 1\nout 2\0", b"err\xff\n")


def test_it_begins_at_the_byte_that_is_named(desk: Desk) -> None:
    desk.written(b"0123", (STDERR, b"45"), b"6789", name="one")
    said = desk.run("logs", "--since", "3", "one")
    assert (said.out, said.err) == ("36789", "45")
    assert desk.run("logs", "--since", "10", "one").out == ""
    assert desk.run("logs", "--since", "-1", "one").status == 2


def test_a_session_that_runs_is_not_waited_for(desk: Desk) -> None:
    session = desk.bg("--", *child("never_reads"))
    desk.printed(session, b"ready\n")
    assert desk.ok("logs", session) == "ready\n"


def test_following_ends_with_the_session(desk: Desk) -> None:
    session = desk.bg("--", *child("floods", 300_000))
    assert desk.ok("logs", "-f", session).encode() == numbered(300_000)
    assert desk.ok("logs", "-f", session, "--since", "299984").encode() == numbered(300_000)[-16:]


def test_history_that_is_gone_is_counted_on_stderr(desk: Desk) -> None:
    whole = numbered(3 * SEGMENT)
    desk.written(whole, name="one", history=SEGMENT)
    said = desk.run("logs", "one")
    assert said.err == "cowork: the first 8.0 MiB are no longer kept (background.history in config.toml)\n"
    assert said.out.encode() == whole[2 * SEGMENT :]
    assert desk.run("logs", "one", "--since", str(2 * SEGMENT)).err == ""


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--raw",), ("--network",)])
def test_a_reader_that_goes_away_is_no_error(desk: Desk, arguments: tuple[str, ...]) -> None:
    one = desk.written(b"x" * 100, name="one")
    one.network_log.write_bytes(b"allowed\n")
    read, write = os.pipe()
    os.close(read)
    command = desk.popen("logs", "one", *arguments, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert command.communicate(timeout=PATIENCE)[1] == b""
    assert command.returncode == 141


# -- one object for each piece


def test_json_has_text_where_it_is_text_and_the_bytes_otherwise(desk: Desk) -> None:
    desk.written("hällo\n".encode(), (STDERR, b"\xff\xfe"), b"\0", name="one")
    pieces = [json.loads(line) for line in desk.ok("logs", "--json", "one").splitlines()]
    assert pieces == [
        {"v": 1, "offset": 0, "next": 7, "stream": "stdout", "text": "hällo\n"},
        {"v": 1, "offset": 7, "next": 9, "stream": "stderr", "base64": "//4="},
        {"v": 1, "offset": 9, "next": 10, "stream": "stdout", "text": "\0"},
    ]
    assert json.loads(desk.ok("logs", "--json", "--since", "9", "one")) == pieces[2]


# -- a conversation


def test_a_claude_with_a_prompt_is_shown_as_a_conversation(desk: Desk) -> None:
    one = desk.spoken(*TURN, name="talk")
    said = desk.ok("logs", "talk")
    assert "hello\n" in said
    assert "-- done 2 turns, $0.5000" in said
    assert "\x1b" not in said, "a pipe gets no colours"
    assert "{" not in said
    assert desk.ok("logs", "--raw", "talk").encode() == SPOKEN
    assert json.loads(desk.ok("logs", "--json", "talk"))["text"].encode() == SPOKEN
    assert one.path.exists()


@pytest.mark.parametrize("plain", [False, True])
def test_a_terminal_that_wants_them_gets_colours(desk: Desk, terminal: Terminal, plain: bool) -> None:
    desk.spoken(*TURN, name="talk")
    if plain:
        desk.patch.setenv("NO_COLOR", "1")
    with terminal.instead_of(1):
        assert desk.call("logs", "talk") == 0
    assert "-- done" in terminal.whole()
    assert ("\x1b[32m-- done" in terminal.whole()) is not plain


def test_the_last_line_of_one_that_broke_off_is_shown(desk: Desk) -> None:
    desk.written(SPOKEN, b"Segmentation fault", argv=["claude", "--output-format=stream-json"], name="talk")
    assert desk.ok("logs", "talk").endswith("\nSegmentation fault\n")


def test_a_line_that_a_session_is_still_printing_is_not_shown(desk: Desk) -> None:
    desk.program("claude", "#!/bin/sh\nprintf 'whole\\nhalf'\nexec cat >&2\n")
    session = desk.bg("hello")
    desk.printed(session, b"half")
    assert "whole\n" in desk.ok("logs", session)
    assert "half" not in desk.ok("logs", session)
    assert "half" in desk.ok("logs", "--raw", session)


def test_a_conversation_from_the_middle_begins_with_a_whole_line(desk: Desk) -> None:
    desk.written(b"first\nsecond\n", SPOKEN, name="talk", argv=["claude", "--output-format=stream-json"])
    assert desk.ok("logs", "talk", "--since", "6").startswith("second\n")
    before = len(os.listdir("/proc/self/fd"))
    within = desk.ok("logs", "talk", "--since", "7")
    assert len(os.listdir("/proc/self/fd")) == before
    assert "econd" not in within
    assert "hello" in within
    assert desk.ok("logs", "talk", "--since", "99999") == ""


def test_a_conversation_whose_history_is_gone_begins_with_a_whole_line(desk: Desk) -> None:
    line = b"x" * 1000 + b"\n"
    desk.written(line * (2 * SEGMENT // len(line)), SPOKEN, name="talk", history=1 << 20,
                 argv=["claude", "--output-format=stream-json"])  # fmt: skip
    for since in ("0", "1"):
        said = desk.run("logs", "talk", "--since", since)
        assert "no longer kept" in said.err
        assert {len(line) for line in said.out.splitlines() if line.startswith("x")} == {1000}
        assert "hello" in said.out


# -- the network


def test_the_network_log_is_told_from_its_beginning(desk: Desk) -> None:
    one = desk.written(b"output", name="one")
    assert list(network_log(one)) == []
    assert desk.ok("logs", "--network", "one") == ""
    one.network_log.write_bytes(b"new \xff\n")
    one.network_log.with_name("network.log.1").write_bytes(b"old\n")
    assert os.fsencode(desk.ok("logs", "--network", "one")) == b"old\nnew \xff\n"


@pytest.mark.parametrize("other", [("--json",), ("-f",), ("--raw",), ("--since", "5")])
def test_the_network_log_goes_with_no_other_option(desk: Desk, other: tuple[str, ...]) -> None:
    desk.written(name="one")
    said = desk.run("logs", "--network", *other, "one")
    assert (said.status, said.out) == (2, "")
    assert "hint: cowork logs --network one" in said.err
