"""The scripts by which shells complete a command line, and what they are told."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cowork.cli.completion import SHELLS
from cowork.supervisor.approvals import pending
from tests.support import needs
from tests.support.desk import PATIENCE, Desk


def shell(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done}"
    return done.stdout


@pytest.fixture
def installed(desk: Desk) -> Desk:
    """``cowork`` is on PATH, as a shell's script calls it."""
    desk.program("cowork", f'#!/bin/sh\nexec "{sys.executable}" -W error -m cowork "$@"\n')
    return desk


def told(desk: Desk, *words: str) -> list[str]:
    """What bash is told when Tab is pressed behind the last of these words, which may be empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_COWORK_COMPLETE", "bash_complete")
        patch.setenv("COMP_WORDS", " ".join(["cowork", *words]))
        patch.setenv("COMP_CWORD", str(len(words)))
        said = desk.run()
    assert (said.status, said.err) == (0, "")
    return [line.removeprefix("plain,") for line in said.out.splitlines() if line]


# -- the scripts


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_takes_its_script(desk: Desk, name: str) -> None:
    needs.programs(**{name: name})
    script = desk.ok("completion", name)
    assert "_COWORK_COMPLETE" in script
    shell(name, "-n", stdin=script)


def test_the_script_is_by_default_that_of_the_users_shell(desk: Desk) -> None:
    for name in SHELLS:
        desk.patch.setenv("SHELL", f"/usr/bin/{name}")
        assert desk.ok("completion") == desk.ok("completion", name)


@pytest.mark.parametrize(("user", "says"), [("/bin/tcsh", "tcsh"), ("", "an unknown shell")])
def test_a_shell_without_a_script_is_named(desk: Desk, user: str, says: str) -> None:
    desk.patch.setenv("SHELL", user)
    said = desk.run("completion")
    assert (said.status, said.out) == (2, "")
    assert f"no completion for {says}" in said.err
    assert "hint: cowork completion bash|zsh|fish" in said.err
    assert desk.run("completion", "tcsh").status == 2


def test_the_help_names_a_place_for_each_script(desk: Desk) -> None:
    text = desk.ok("completion", "--help")
    for name in SHELLS:
        assert re.search(rf"^  cowork completion {name} >~/", text, re.MULTILINE)


# -- what is completed


def test_verbs_and_options_complete(desk: Desk) -> None:
    assert told(desk, "app") == ["approvals", "approve"]
    assert told(desk, "logs", "--ne") == ["--network"]
    assert told(desk, "wait", "--for", "") == ["done", "blocked", "idle", "exit"]
    assert told(desk, "prune", "--state", "s") == ["stopped"]


def test_sessions_and_questions_complete_also_beside_a_broken_one(desk: Desk) -> None:
    broken = desk.written(id="zzzzzzzzzzzz", name="broken", runs=True)
    (broken.path / "session.json").write_text("{")
    desk.asking(name="talk")
    (question,) = pending(desk.where)
    for verb in ("logs", "attach", "send", "wait", "approvals", "kill", "rm", "du"):
        assert told(desk, verb, "ta") == ["talk"]
    assert told(desk, "kill", "talk", "zzzz") == ["zzzzzzzzzzzz"], "one after the other"
    for verb in ("approve", "deny"):
        assert told(desk, verb, "") == [question.id]
        assert told(desk, verb, question.id[:14]) == [question.id]


def test_a_prompt_is_not_completed_and_a_command_is_with_files(desk: Desk) -> None:
    assert told(desk, "bg", "") == []
    assert told(desk, "bg", "--tty", "--", "") == ["file,"]
    assert told(desk, "bg", "--", "make", "-") == ["file,-"]
    assert told(desk, "bg", "--wo") == ["--worktree"]


def test_a_real_bash_completes(installed: Desk) -> None:
    needs.programs(bash="bash")
    session = installed.asking(name="talk")
    script = installed.ok("completion", "bash")
    (question,) = pending(installed.where)
    function = script.partition("()")[0]

    def complete(*words: str) -> list[str]:
        line = f'COMP_WORDS=(cowork {" ".join(words)}); COMP_CWORD={len(words)}; {function} cowork ""'
        return shell("bash", "--norc", stdin=f'{script}\n{line}; printf "%s\\n" "${{COMPREPLY[@]}}"').splitlines()

    assert complete("st") == ["status", "stop"]
    assert complete("logs", "--fo") == ["--follow"]
    assert complete("logs", "ta") == ["talk"]
    assert complete("logs", session[:5]) == [session]
    assert complete("approve", session) == [question.id]


def test_a_real_fish_completes(installed: Desk) -> None:
    needs.programs(fish="fish")
    session = installed.asking(name="talk")
    script = Path(installed.work / "cowork.fish")
    script.write_text(installed.ok("completion", "fish"))

    def complete(line: str) -> list[str]:
        found = shell("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
        return [one.partition("\t")[0] for one in found.splitlines()]

    assert complete("cowork st") == ["status", "stop"]
    assert complete("cowork logs ta") == ["talk"]
    assert complete(f"cowork logs {session[:5]}") == [session]


def test_a_real_zsh_completes(installed: Desk) -> None:
    needs.programs(zsh="zsh")
    session = installed.asking(name="talk")
    (installed.work / "_cowork").write_text(installed.ok("completion", "zsh"))
    # What zsh would show is printed: outside of its line editor these two have nothing to add to.
    setup = "fpath=(. $fpath); compadd() { print -l -- ${(P)@[-1]} }; _describe() { print -l -- ${(P)@[-2]} }\n"

    def complete(*words: str) -> list[str]:
        line = f"words=(cowork {' '.join(words)}); CURRENT={len(words) + 1}; autoload -U _cowork; _cowork\n"
        return shell("zsh", "-f", stdin=setup + line).splitlines()

    assert [one.partition(":")[0] for one in complete("st")] == ["status", "stop"]
    assert complete("logs", "ta") == ["talk"]
    assert complete("logs", session[:5]) == [f"{session}:talk"]
