"""``cowork bg``: what is started, from what is typed."""

from __future__ import annotations

import json
import os
import subprocess
import termios
from typing import Any

import pytest

from cowork.cli import bg
from tests.support.desk import Desk, Terminal
from tests.support.holding import child

DESCRIBE = child("describes_itself")


def described(desk: Desk, session: str) -> dict[str, Any]:
    """What a session of ``describes_itself`` has found."""
    found: dict[str, Any] = json.loads(desk.ended(session))
    return found


def argv(desk: Desk, session: str) -> list[str]:
    return desk.directory(session).record().argv


# -- what stands where


def test_what_stands_behind_the_dashes_is_the_command_whatever_it_looks_like(desk: Desk) -> None:
    command = [*DESCRIBE, "--name", "x", "--json", "-q", "--", "--tty"]
    session = desk.bg("--name", "mine", "--", *command)
    assert described(desk, session)["argv"][1:] == command[len(DESCRIBE) :]
    record = desk.directory(session).record()
    assert (record.argv, record.name, record.terminal, record.kind) == (command, "mine", False, "shell")


def test_options_of_ours_behind_the_prompt_are_taken(desk: Desk) -> None:
    desk.claude()
    session = desk.bg("do it", "--name", "late", "--model", "m-2")
    assert desk.directory(session).record().name == "late"
    assert "--model=m-2" in argv(desk, session)


def test_options_for_claude_come_behind_those_that_it_needs(desk: Desk) -> None:
    desk.claude()
    session = desk.bg(
        "--permission-mode", "plan", "--resume", "5e55", "--claude-arg", "--add-dir", "--claude-arg", "/tmp", "do it"
    )  # fmt: skip
    found = argv(desk, session)
    assert found[0] == "claude"
    assert found[-4:] == ["--permission-mode=plan", "--resume=5e55", "--add-dir", "/tmp"]
    assert "stream-json" in found
    assert "do it" not in found, "the prompt goes to stdin, where nobody sees it among the processes"


@pytest.mark.parametrize(
    ("arguments", "says", "hint"),
    [
        (["fix", "the", "test"], "a prompt is one argument", 'cowork bg "fix the test", or cowork bg -- fix the test'),
        (["do it", "--", "make"], "do not go with a command", "leave out either"),
        (["--model", "m", "--", "make"], "do not go with a command", "leave out either"),
        (["--resume", "5e55"], "nothing to run", "cowork bg --tty"),
        ([" \n"], "the prompt is empty", 'cowork bg "prompt"'),
        (["-"], "the prompt is empty", 'cowork bg "prompt"'),
        (["--name", "x", "--"], "a command is missing behind --", ""),
        (["--backend", "kvm", "x"], "kvm", ""),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_way_out(
    desk: Desk, arguments: list[str], says: str, hint: str
) -> None:  # fmt: skip
    said = desk.run("bg", *arguments)
    assert (said.status, said.out) == (2, "")
    assert says in said.err
    assert hint in said.err
    assert list(desk.where.sessions.iterdir()) == []


# -- the prompt


def test_the_prompt_is_what_claude_is_told(desk: Desk) -> None:
    session = desk.claude()
    assert '"content":"hello"' in desk.ok("logs", "--raw", session)
    assert "heard: hello" in desk.ok("logs", session)


@pytest.mark.parametrize(
    ("given", "heard"),
    [
        (b"from\nstdin\n", "from\nstdin\n"),
        ("grüße".encode(), "grüße"),
        (b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}"),
        (b"-", "-"),
    ],
)
def test_a_dash_reads_the_prompt_from_stdin_also_one_that_is_no_text(desk: Desk, given: bytes, heard: str) -> None:
    desk.claude()
    session = desk.bg("-", stdin=given)
    desk.until(session, "idle")
    lines = map(json.loads, desk.ok("logs", "--raw", session).splitlines())
    assert [line["message"]["content"] for line in lines if line["type"] == "user"] == [heard]


def test_with_a_terminal_the_prompt_is_an_argument(desk: Desk) -> None:
    desk.program("claude", '#!/bin/sh\nprintf "<%s>" "$@"\n')
    session = desk.bg("--tty", "--model", "m", "do it")
    assert desk.ended(session) == b"<--model=m><do it>"
    alone = desk.bg("--tty")
    assert argv(desk, alone) == ["claude"]


# -- where


def test_it_works_here_or_in_the_folder_that_is_named(desk: Desk) -> None:
    below = desk.work / "below"
    below.mkdir()
    for arguments, folder in (([], desk.work), (["--dir", "below"], below), (["--dir", str(below)], below),
                              (["--dir", "below/.."], desk.work)):  # fmt: skip
        session = desk.bg(*arguments, "--", "pwd", "-P")
        assert desk.ended(session).decode() == f"{folder}\n"
        assert desk.directory(session).record().cwd == str(folder)


def test_a_folder_that_has_been_deleted_is_no_place_to_work_in(desk: Desk) -> None:
    gone = desk.work / "gone"
    gone.mkdir()
    desk.patch.chdir(gone)
    gone.rmdir()
    for arguments in (["--", "true"], ["--dir", "x", "--", "true"]):
        said = desk.run("bg", *arguments)
        assert said.status == 2
        assert "this folder has been deleted" in said.err
        assert "hint: cd to another one, or use --dir /path" in said.err
    assert desk.bg("--dir", "/", "--", "true")
    desk.patch.chdir("/")


def test_a_worktree_is_told_with_its_branch(desk: Desk) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    (desk.work / "new").touch()
    said = desk.run("bg", "--worktree", "--name", "try", "--", "pwd", "-P")
    session = said.out.split()[0]
    tree = desk.directory(session).record().worktree
    assert tree is not None
    assert desk.ended(session).decode() == f"{tree.path}\n"
    assert f"\n  in {tree.path}, branch {tree.branch}\n" in said.out
    assert said.err == "cowork: what is not committed in this folder is not in the worktree\n"
    told = desk.json("bg", "--worktree", "--", "true")
    assert told["worktree"]["branch"].startswith("cowork/true-")
    assert told["notes"] == ["what is not committed in this folder is not in the worktree"]


# -- the terminal


def size_of(desk: Desk) -> bytes:
    return desk.printed(desk.bg("--tty", "--", *child("window_size")), b"columns\r\n")


@pytest.mark.parametrize("descriptors", [(0,), (1,), (2,), (0, 1, 2)])
def test_its_terminal_is_as_large_as_ours(desk: Desk, descriptors: tuple[int, ...]) -> None:
    with Terminal(33, 101) as terminal, terminal.instead_of(*descriptors):
        assert bg._size() == (33, 101)
    desk.patch.setattr(bg, "_size", lambda: (33, 101))
    assert size_of(desk) == b"33 rows 101 columns\r\n"


def test_its_terminal_has_a_usual_size_where_we_have_none(desk: Desk) -> None:
    assert size_of(desk) == b"24 rows 80 columns\r\n"
    for size in ((0, 0), (0, 132), (50, 0)):
        with Terminal(*size) as terminal, terminal.instead_of(0, 1, 2):
            assert termios.tcgetwinsize(1) == size
            assert bg._size() == (24, 80), "one that does not know its size does not count"


# -- what is said


def test_a_person_is_told_id_name_isolation_and_what_to_type_next(desk: Desk, terminal: Terminal) -> None:
    with terminal.instead_of(1):
        assert desk.call("bg", "--name", "probe", "--", "sleep", "60") == 0
    first, second = terminal.whole().splitlines()
    assert first[12:] == "  probe  on host (isolation: none)"
    assert "cowork attach probe   cowork logs -f probe   cowork wait probe" in second


def test_a_pipe_is_told_the_same_without_hints(desk: Desk) -> None:
    said = desk.run("bg", "--name", "probe", "--", "sleep", "60")
    assert said.out[12:] == "  probe  on host (isolation: none)\n"
    assert said.err == ""


def test_quiet_is_the_id_alone_also_on_a_terminal(desk: Desk, terminal: Terminal) -> None:
    with terminal.instead_of(1):
        assert desk.call("bg", "-q", "--", "sleep", "60") == 0
    (session,) = [one.id for one in map(desk.directory, os.listdir(desk.where.sessions))]
    assert terminal.whole() == f"{session}\n"


def test_json_tells_all_of_it(desk: Desk) -> None:
    told = desk.json("bg", "--name", "probe", "--", "sleep", "60")
    session = told.pop("id")
    assert desk.directory(session).record().name == "probe"
    assert told == {
        "v": 1, "name": "probe", "backend": "host", "isolation": "none", "network": "host", "weaker": [],
        "cwd": str(desk.work), "argv": ["sleep", "60"], "worktree": None, "notes": [],
    }  # fmt: skip


def test_an_argument_that_is_no_text_is_handed_on_and_does_not_break_json(desk: Desk) -> None:
    told = desk.json("bg", "--", "printf", "%s", os.fsdecode(b"\xff"))
    assert told["argv"][-1] == "\N{REPLACEMENT CHARACTER}"
    assert desk.ended(told["id"]) == b"\xff"


def test_a_start_sees_to_it_that_somebody_tells_what_follows(desk: Desk) -> None:
    ensured = []
    desk.patch.setattr("cowork.supervisor.notifier.ensure", lambda where, environ: ensured.append(where))
    desk.bg("--", "true")
    assert ensured == [desk.where]


def test_a_secret_in_an_argument_is_not_told(desk: Desk) -> None:
    desk.claude()
    told = desk.json("bg", "--claude-arg", "--settings={'key': 'sk-ant'}", "hello")
    assert told["argv"][-1] == "--settings=…"
