"""What a session in the bubblewrap sandbox is like: its folders, its identity, its end."""

from __future__ import annotations

import os

import pytest

from tests.support.sandbox import MNT, NAME, ROOT, Session, lines

pytestmark = [pytest.mark.bwrap, pytest.mark.integration]


def test_it_runs_in_its_own_place(session: Session) -> None:
    session.folder("proj").joinpath("a.txt").write_text("hello\n")
    ended = session.sh("pwd; cat a.txt; id -u; echo $HOME; ls -A /sessions; hostname", {"proj": "proj"})
    assert ended.code == 0, ended
    assert lines(ended) == [f"{MNT}/proj", "hello", str(os.getuid()), ROOT, NAME, "cowork"]


def test_the_exit_code_and_the_signal_come_out_right(session: Session) -> None:
    assert session.sh("exit 7").exit["exitCode"] == 7
    assert session.sh("exit 143").exit["exitCode"] == 143, "no signal"
    killed = session.sh("kill -SEGV $$").exit
    assert (killed["exitCode"], killed["signal"]) == (-1, "SIGSEGV")


def test_a_trap_runs_and_its_exit_code_comes_out(session: Session) -> None:
    id = session.spawn("/bin/sh", "-c", 'trap "echo trapped; exit 7" TERM; echo ready; while :; do sleep 0.05; done')
    session.client.until(lambda e: e["type"] == "stdout")
    session.client.ask("kill", {"id": id, "signal": "TERM"})
    ended = session.end(id)
    assert (ended.out, ended.code) == ("trapped\n", 7)


def test_one_more_folder_while_it_runs(session: Session) -> None:
    proj, later = session.folder("proj"), session.folder("later")
    (later / "a").write_text("there\n")
    before = sorted(p.name for p in later.iterdir())
    id = session.spawn("/bin/sh", "-c", 'read -r script; eval "$script"', mounts={"proj": "proj"})
    reply = session.client.ask(
        "mountPath", {"processId": id, "subpath": str(later).lstrip("/"), "mountName": "later", "mode": "rw"}
    )
    assert reply == {"guestPath": f"{MNT}/later"}
    ro = session.folder("readonly")
    session.client.ask("mountPath", {"processId": id, "subpath": str(ro).lstrip("/"), "mountName": "ro", "mode": "ro"})
    script = (
        f"cd {MNT}; cat later/a; echo new >later/b; echo x >ro/c || echo read-only; "
        "mkdir later/.git/hooks || echo guarded; echo x >later/.mcp.json || echo guarded; ls -A | tr '\\n' ' '"
    )
    session.client.ask("writeStdin", {"id": id, "data": script + "\n"})
    ended = session.end(id)
    assert lines(ended) == ["there", "read-only", "guarded", "guarded", "later proj ro "], ended
    assert (later / "b").read_text() == "new\n"
    assert sorted(p.name for p in later.iterdir()) == [*before, "b"], "no placeholder is left"
    assert list(ro.iterdir()) == []
    assert list(proj.iterdir()) == []
