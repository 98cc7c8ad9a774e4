"""The login shell's environment, asked of shells that behave and of some that do not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.backends import loginshell
from cowork.backends.loginshell import WANTED, ask, merge, parse
from tests.support.daemon import Place, wait_for

MARK = loginshell._MARK
LISTING = 'printf "%s\\n" "--cowork-environment--"; PATH=/own:/bin NVM_DIR="/n v" /usr/bin/env -0'


class Shell:
    """A fake shell, with a mark in its environment by which its processes are found."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.path = place.root / "shell"

    def ask(self, script: str, patience: float = 20.0) -> dict[str, str]:
        self.path.write_text(f"#!/bin/sh\n{script}\n")
        self.path.chmod(0o755)
        return ask({**self.place.environment(), "SHELL": str(self.path)}, patience=patience)


@pytest.fixture
def shell(place: Place) -> Iterator[Shell]:
    """And nothing that it started may be left."""
    yield Shell(place)
    wait_for(lambda: not place.processes())


def test_what_it_tells(shell: Shell) -> None:
    told = shell.ask(LISTING)
    assert (told["PATH"], told["NVM_DIR"], told["TERM"]) == ("/own:/bin", "/n v", "dumb")


def test_how_it_is_asked(shell: Shell) -> None:
    """By a fixed text, as an interactive login shell, without a terminal, in a session of its own."""
    out = shell.place.root / "asked"
    shell.ask(f'printf "%s\\n" "$@" > {out}; pwd >> {out}; ps -o tty=,sid= -p $$ >> {out}; echo $$ >> {out}; cat')
    *argv, cwd, terminal, pid = out.read_text().splitlines()
    assert argv[:3] == ["-l", "-i", "-c"]
    assert "\n".join(argv[3:]) == loginshell._SCRIPT
    assert cwd == "/"
    assert terminal.split() == ["?", pid]


def test_noise_before_it(shell: Shell) -> None:
    told = shell.ask(f'echo "Welcome! A=b"; printf "X=1\\0"; echo noise >&2; {LISTING}')
    assert told["NVM_DIR"] == "/n v"
    assert "X" not in told
    assert not [name for name in told if "Welcome" in name]


def test_the_real_one(place: Place) -> None:
    """With a start file that prints, and a logout file that does, too."""
    (place.home / ".bash_profile").write_text("echo hello; export NVM_DIR=$'a\\nb'\n")
    (place.home / ".bash_logout").write_text("echo bye=1\n")
    told = ask({**place.environment(), "SHELL": "/bin/bash"})
    assert told["NVM_DIR"] == "a\nb"
    assert told["HOME"] == str(place.home)
    assert not [name for name in told if "bye" in name or "hello" in name]
    wait_for(lambda: not place.processes())


@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$", "true", "exec 1>&-; exit 0", 'echo "PATH=/evil"'])
def test_one_that_fails(shell: Shell, script: str) -> None:
    assert shell.ask(script) == {}


def test_one_that_does_not_end(shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """G34: neither it nor what it started lives on, and that is said once."""
    ready = shell.place.root / "ready"
    script = f"trap '' TERM INT HUP; sleep 1000 & (sleep 1000 & sleep 1000) & echo x > {ready}; sleep 1000"
    assert shell.ask(script, patience=0.5) == {}
    assert ready.exists()
    wait_for(lambda: not shell.place.processes())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(shell.path) in caplog.text


def test_one_that_leaves_something_in_the_background(shell: Shell) -> None:
    """It has told everything although its output stays open."""
    assert shell.ask(f"sleep 1000 &\n{LISTING}", patience=1.0)["NVM_DIR"] == "/n v"


@pytest.mark.parametrize("path", ["", "relative", "/no/such/shell", "/etc/passwd", "/etc"])
def test_no_shell(place: Place, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loginshell, "_login_shell", lambda: "")
    assert ask({**place.environment(), "SHELL": path}) == {}


def test_one_that_cannot_be_executed(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    bad = place.root / "bad"
    bad.write_bytes(b"\x7fELF nonsense")
    bad.chmod(0o755)
    assert ask({**place.environment(), "SHELL": str(bad)}) == {}
    assert str(bad) in caplog.text


def test_the_users_shell_stands_in(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loginshell, "_login_shell", lambda: "/bin/bash")
    assert ask(place.environment())["HOME"] == str(place.home)


def test_a_user_whom_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert loginshell._login_shell() == ""


@given(
    st.binary(),
    st.dictionaries(
        st.text(st.characters(blacklist_characters="=\0", codec="utf-8"), min_size=1),
        st.text(st.characters(blacklist_characters="\0", codec="utf-8")),
    ),
    st.binary().filter(lambda b: b"\0" not in b and MARK not in b),
)
def test_all_variables_behind_the_mark_and_nothing_else(noise: bytes, env: dict[str, str], rest: bytes) -> None:
    listing = b"".join(f"{name}={value}".encode() + b"\0" for name, value in env.items())
    if MARK not in listing:
        assert parse(noise + MARK + listing + rest) == env


def test_bytes_that_are_no_text() -> None:
    assert parse(MARK + b"A=\xff\0") == {"A": "\udcff"}
    assert parse(b"A=b\0") == {}


def test_what_is_taken() -> None:
    own = {"PATH": "/usr/bin:/bin", "DISPLAY": "", "SSH_AUTH_SOCK": "/mine", "HOME": "/h"}
    login = {"PATH": "/nvm:/bin::", "DISPLAY": ":0", "SSH_AUTH_SOCK": "/theirs", "HOME": "/x", "SECRET": "s"}
    assert merge(own, login) == {**own, "PATH": "/usr/bin:/bin:/nvm", "DISPLAY": ":0"}
    assert merge(own, {}) == own
    assert merge({}, {}) == {}
    assert merge({}, {"PATH": "/a"}) == {"PATH": "/a"}
    assert set(merge({}, dict.fromkeys(WANTED, "x"))) == set(WANTED)
