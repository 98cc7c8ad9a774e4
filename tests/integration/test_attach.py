"""``cowork attach`` on real terminals: the screen comes back, the size follows, and no session ends by it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Place
from tests.support.holding import alive, child, wait_gone
from tests.support.shell import COWORK, Shell
from tests.support.tmux import Tmux, Window


@pytest.fixture
def shell(place: Place) -> Shell:
    return Shell(place, TERM="screen-256color")


@pytest.fixture
def tmux(shell: Shell) -> Iterator[Tmux]:
    with Tmux(shell.place.root, shell.environment) as running:
        yield running


def attach(tmux: Tmux, *arguments: str) -> Window:
    return tmux.open(*COWORK, "attach", *arguments)


def attached(window: Window) -> int:
    """The pid of the command in a window."""
    return int(Path(f"/proc/{window.shell_pid}/task/{window.shell_pid}/children").read_text().split()[0])


def detach(window: Window) -> None:
    window.type("C-\\", "d")
    window.until("status 0")


def test_from_the_start_to_the_end(shell: Shell, tmux: Tmux) -> None:
    """Start, look, detach, attach, die, attach again, resize, end: the program never notices but for its size."""
    session = shell.bg("--tty", "--name", "edit", "--", *child("draws_its_screen"))
    first = attach(tmux, session)
    first.until("screen of 24 x 80", "bottom line")
    first.type("a", "b")
    screen = first.until("keys: ab")
    assert (screen[0], screen[-1]) == ("screen of 24 x 80", "bottom line")
    assert first.cursor() == "0,4 0 1", "the cursor is hidden, on the alternate screen"
    detach(first)
    assert any("let go of edit" in line for line in first.screen())
    assert first.cursor().endswith("1 0"), "the terminal is left as a shell expects it"

    second = attach(tmux, "edit")
    second.until("keys: ab", "bottom line")
    second.type("c")
    second.until("keys: abc")
    os.kill(attached(second), signal.SIGKILL)
    second.until("status 137")
    assert shell.session("edit")["state"] == "working"

    third = attach(tmux, "edit")
    assert third.until("keys: abc", "bottom line") == [
        "screen of 24 x 80", "", "    keys: abc", *[""] * 20, "bottom line"
    ]  # fmt: skip
    third.resize(30, 100)
    screen = third.until("screen of 30 x 100", "keys: abc", "bottom line")
    assert screen[29] == "bottom line"
    third.type("q")
    third.until("goodbye", "edit is failed: exit status 7", "status 7")
    assert third.cursor().endswith("1 0")
    assert shell.session("edit")["exitCode"] == 7
    assert shell.run("attach", "edit").returncode == 3


def test_the_screen_of_a_program_that_never_draws_it_again(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--tty", "--", *child("draws_its_screen", "once"))
    one = attach(tmux, session)
    screen = one.until("bottom line")
    cursor = one.cursor()
    os.kill(attached(one), signal.SIGKILL)
    one.until("status 137")
    two = attach(tmux, session)
    assert two.until("bottom line") == screen
    assert two.cursor() == cursor
    two.type("q")
    two.until("status 7")


def test_lines_of_long_ago_come_back(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--tty", "--", "sh", "-c", "seq 1 300000; printf 'the end'; read -r x")
    shell_lines = [str(number) for number in range(299978, 300001)]
    window = attach(tmux, session)
    assert window.until("the end") == [*shell_lines, "the end"]
    detach(window)
    again = attach(tmux, session)
    assert again.until("the end") == [*shell_lines, "the end"]


def test_several_at_once_and_the_one_who_types_sets_the_size(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--tty", "--", *child("draws_its_screen"))
    small, wide, reader = attach(tmux, session), attach(tmux, session), attach(tmux, "-r", session)
    for window in (small, wide, reader):
        window.until("screen of 24 x 80")
    wide.resize(24, 120)
    for window in (small, wide):
        window.until("screen of 24 x 120")
    small.type("x")
    for window in (small, wide, reader):
        window.until("screen of 24 x 80", "keys: x")
    reader.resize(10, 40)
    reader.type("z", "C-c")
    reader.until("status 0")
    wide.type("y")
    wide.until("screen of 24 x 120", "keys: xy")
    detach(small)
    wide.type("q")
    wide.until("status 7")


def test_other_keys_to_let_go(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--tty", "--", *child("draws_its_screen"))
    window = attach(tmux, "--detach-keys", "ctrl-a,x", session)
    window.until("keys:")
    window.type("C-\\", "d", "C-a", "b", "C-a", "C-a")
    window.until("keys: <28>d<1>b<1>")
    window.type("C-a", "x")
    window.until("status 0")
    config = shell.place.home / ".config" / "cowork" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[attach]\ndetach-keys = "ctrl-b b"\n')
    again = attach(tmux, session)
    again.until("keys: <28>d<1>b<1>")
    again.type("C-b", "b")
    again.until("status 0")
    config.write_text('[attach]\ndetach-keys = "ctrl-1"\n')
    wrong = attach(tmux, session)
    wrong.until("status 2")


def test_a_terminal_that_goes_away_ends_nothing(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--tty", "--", *child("draws_its_screen"))
    window = attach(tmux, session)
    window.until("keys:")
    pid = attached(window)
    tmux.tmux("kill-window", "-t", "t:w1")
    wait_gone(pid)
    again = attach(tmux, session)
    again.type("k")
    again.until("keys: k")
    assert shell.session(session)["state"] == "working"


def test_a_storm_of_sizes(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--tty", "--", *child("draws_its_screen"))
    window = attach(tmux, session)
    window.until("keys:")
    pid = attached(window)
    for _ in range(2000):
        os.kill(pid, signal.SIGWINCH)
    window.resize(31, 90)
    window.until("screen of 31 x 90")
    window.type("q")
    window.until("status 7")


def test_one_that_was_stopped_and_goes_on_draws_its_screen(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--tty", "--", *child("draws_its_screen"))
    window = attach(tmux, session)
    window.until("keys:")
    pid = attached(window)
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)
    window.type("m")
    window.until("keys: m")
    os.kill(pid, signal.SIGTERM)
    window.until("status 0")
    assert alive(shell.session(session)["pid"])


def test_the_death_of_the_holder_is_the_end(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--tty", "--", *child("draws_its_screen"))
    window = attach(tmux, session)
    window.until("keys:")
    shell.ok("ps")
    os.kill(json.loads((shell.directory(session) / "child.json").read_bytes())["holder"], signal.SIGKILL)
    window.until("its holder was killed", "status 1")


def test_without_a_terminal_it_is_said_what_to_do_instead(shell: Shell) -> None:
    session = shell.bg("--tty", "--", *child("draws_its_screen"))
    done = shell.run("attach", session)
    assert done.returncode == 2
    assert f"cowork logs -f {session}" in done.stderr


def test_a_command_without_a_terminal_is_followed_and_spoken_to(shell: Shell, tmux: Tmux) -> None:
    session = shell.bg("--name", "echo", "--", "sh", "-c", 'echo ready; read -r line; echo "got $line"; exit 3')
    window = attach(tmux, session)
    window.until("ready")
    window.type("hello", "Enter")
    window.until("got hello", "echo is failed: exit status 3", "status 3")
    other = shell.bg("--", "sh", "-c", "echo up; exec sleep 60")
    looking = attach(tmux, other)
    looking.until("up")
    looking.type("C-c")
    looking.until("let go of", "status 0")
    shell.ok("kill", other)
