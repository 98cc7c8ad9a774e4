"""Sessions from the shell without a daemon: started, listed, followed, spoken to, waited for, ended, removed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.client import TIMEOUT
from tests.support.daemon import Place
from tests.support.holding import alive, child, wait_gone
from tests.support.ordinary import ordinary_user
from tests.support.shell import COWORK, Shell

ECHO = 'while read -r line; do echo "got $line"; done'


@pytest.fixture
def shell(place: Place) -> Shell:
    return Shell(place)


def holder_of(shell: Shell, session: str) -> int:
    found: int = json.loads((shell.directory(session) / "child.json").read_bytes())["holder"]
    return found


# -- start


def test_a_command_runs_here_with_this_environment_and_tells_how_it_ended(shell: Shell) -> None:
    script = 'pwd; echo "$GREETING"; umask; exit 3'
    told = shell.ok("bg", "--name", "probe", "--", "sh", "-c", script, GREETING="hé llo")
    session, name, *_ = told.split()
    assert name == "probe"
    assert "isolation: none" in told, "isolation is stated"
    assert shell.run("wait", "probe").returncode == 1, "it was to be done, and failed"
    assert shell.ok("wait", session, "--for", "exit").split() == [session, "probe", "failed:", "exit", "status", "3"]
    mask = subprocess.run(["sh", "-c", "umask"], capture_output=True, text=True, check=True).stdout
    assert shell.ok("logs", "probe") == f"{shell.work}\nhé llo\n{mask}"
    one = shell.session("probe")
    assert (one["state"], one["detail"], one["exitCode"]) == ("failed", "exit status 3", 3)
    assert one["lastEvent"] >= one["created"]


def test_quiet_and_json_tell_the_id_alone_and_all(shell: Shell) -> None:
    quiet = shell.ok("bg", "-q", "--", "true")
    assert quiet.strip().isalnum()
    told = json.loads(shell.ok("bg", "--json", "--", "sleep", "60"))
    assert (told["v"], told["name"], told["backend"], told["isolation"]) == (1, "sleep", "host", "none")
    assert (told["cwd"], told["argv"]) == (str(shell.work), ["sleep", "60"])
    assert shell.session(told["id"])["state"] == "working"


def test_the_callers_environment_is_handed_on_but_for_what_is_the_callers_own(shell: Shell) -> None:
    own = {"CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "NOTIFY_SOCKET": "/x"}
    session = shell.bg("--", "env", CLAUDE_CONFIG_DIR="/c", VIRTUAL_ENV="/v", EMPTY="", **own)
    shell.ok("wait", session)
    found = dict(line.split("=", 1) for line in shell.ok("logs", session).splitlines())
    assert (found["CLAUDE_CONFIG_DIR"], found["VIRTUAL_ENV"], found["EMPTY"]) == ("/c", "/v", "")
    assert not own.keys() & found.keys()
    assert found["COWORK_SESSION"] == session
    kept = shell.bg("--", "env", CLAUDE_CODE_USE_BEDROCK="1")
    shell.ok("wait", kept)
    assert "CLAUDE_CODE_USE_BEDROCK=1" in shell.ok("logs", kept), "outside of Claude Code it is the user's own setting"


def test_a_secret_in_the_environment_is_in_no_file(shell: Shell) -> None:
    session = shell.bg("--", "sleep", "60", ANTHROPIC_API_KEY="sk-ant-very-secret")
    files = [path for path in shell.place.state.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"very-secret" in path.read_bytes()]
    shell.ok("kill", session)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["bg"], 2, "nothing to run"),
        (["bg", "make", "check"], 2, "cowork bg -- make check"),
        (["bg", "--", "no-such-program"], 1, "no such program"),
        (["bg", "--"], 2, "missing behind --"),
        (["bg", "--dir", "/none", "--", "true"], 2, "no folder"),
        (["bg", "--name", "a b", "--", "true"], 2, "cannot be used"),
        (["bg", "--backend", "kvm", "--", "true"], 2, "kvm"),
        (["bg", "  "], 2, "empty"),
        (["bg", "--model", "x", "--", "true"], 2, "do not go with a command"),
        (["bg", "--worktree", "--", "true"], 2, "git"),
        (["attach", "none"], 4, "cowork ps --all"),
        (["logs", "none"], 4, "no session none"),
        (["wait", "none"], 4, "no session none"),
        (["approve", "none-12345678"], 4, "no session none"),
        (["approve", "12345678"], 2, "cowork approvals"),
        (["kill"], 2, "--all"),
        (["kill", "-s", "NONE", "x"], 1, "unknown signal"),
        (["rm"], 2, "SESSION"),
        (["wait", "x", "--timeout", "soon"], 2, "no duration"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(
    shell: Shell, arguments: list[str], status: int, says: str
) -> None:  # fmt: skip
    done = shell.run(*arguments)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((shell.place.state / "cowork" / "sessions").glob("*")), "nothing is left of it"


def test_a_folder_that_has_been_deleted(shell: Shell) -> None:
    gone = shell.place.root / "gone"
    gone.mkdir()
    running = shell.bg("--", "sleep", "60", cwd=gone)
    script = 'rmdir "$PWD" && exec "$@"'
    for arguments, status in ((["bg", "--", "true"], 2), (["ps", "-q"], 0), (["bg", "--dir", "/", "--", "true"], 0)):
        gone.mkdir(exist_ok=True)
        done = subprocess.run(
            ["sh", "-c", script, "sh", *COWORK, *arguments], cwd=gone, env=shell.environment, capture_output=True,
            text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        if status:
            assert "has been deleted" in done.stderr
    assert shell.session(running)["state"] == "working"


def test_a_full_disk_is_said_and_leaves_nothing(shell: Shell) -> None:
    shell.ok("ps")
    (shell.place.state / "cowork" / "sessions").mkdir(parents=True, exist_ok=True)

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [*COWORK, "bg", "--", "true"], env={**shell.environment, "PYTHONDONTWRITEBYTECODE": "1"}, cwd=shell.work,
        capture_output=True, text=True, timeout=TIMEOUT, preexec_fn=no_room, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((shell.place.state / "cowork" / "sessions").iterdir())


# -- the zygote that sessions share


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_holders_share_a_zygote_and_outlive_it(shell: Shell) -> None:
    first, second = shell.bg("--", "sleep", "60"), shell.bg("--", "sleep", "60")
    shell.ok("ps")
    zygote = parent_of(holder_of(shell, first))
    assert zygote == parent_of(holder_of(shell, second))
    assert Path(f"/proc/{zygote}/comm").read_text() == "cowork-zygote\n"
    os.kill(zygote, signal.SIGKILL)
    wait_gone(zygote)
    assert [shell.session(one)["state"] for one in (first, second)] == ["working", "working"]
    third = shell.bg("--", "sleep", "60")
    shell.ok("ps")
    assert parent_of(holder_of(shell, third)) not in (1, zygote)


def test_several_that_start_at_once_start_one_zygote(shell: Shell) -> None:
    starting = [shell.popen("bg", "-q", "--", "sleep", "60") for _ in range(6)]
    sessions = [one.communicate(timeout=TIMEOUT)[0].decode().strip() for one in starting]
    shell.ok("ps")
    assert len({parent_of(holder_of(shell, one)) for one in sessions}) == 1


def test_limits_are_the_callers_and_not_those_of_who_started_the_zygote(shell: Shell) -> None:
    shell.bg("--", "true")
    command = f"ulimit -S -n 77; ulimit -c 0; {' '.join(COWORK)} bg -q -- sh -c 'ulimit -S -n; ulimit -c'"
    done = subprocess.run(
        ["bash", "-c", command], env=shell.environment, cwd=shell.work, capture_output=True, text=True,
        timeout=TIMEOUT, check=True,
    )  # fmt: skip
    session = done.stdout.strip()
    shell.ok("wait", session)
    assert shell.ok("logs", session) == "77\n0\n"


# -- names


def test_sessions_are_known_by_names_and_by_beginnings_of_ids(shell: Shell) -> None:
    first = shell.bg("--name", "one", "--", "sleep", "60")
    second = shell.bg("--name", "two", "--", "sleep", "60")
    assert shell.run("bg", "--name", "one", "--", "true").returncode == 2
    assert shell.ok("logs", first[:11]) == ""
    twin = shell.directory(f"{first[:11]}{'a' if first[-1] != 'a' else 'b'}")
    shutil.copytree(shell.directory(second), twin)
    done = shell.run("logs", first[:11])
    assert done.returncode == 2
    assert f"{first} (one)" in done.stderr
    assert f"{twin.name} (two)" in done.stderr
    shutil.rmtree(twin)
    shell.ok("kill", "one")
    third = shell.bg("--name", "one", "--", "sleep", "60")
    assert shell.ok("kill", "one") == f"{third}\n", "the one that runs is meant"


# -- output


def test_logs_follow_without_a_gap_or_a_repeat(shell: Shell) -> None:
    session = shell.bg("--", *child("floods", 3_000_000))
    everything = shell.popen("logs", "-f", session).communicate(timeout=TIMEOUT)[0]
    assert len(everything) == 3_000_000
    assert shell.run("logs", session).stdout.encode() == everything
    pieces = [json.loads(line) for line in shell.ok("logs", "--json", session).splitlines()]
    assert "".join(piece["text"] for piece in pieces).encode() == everything
    assert [p["offset"] for p in pieces[1:]] == [p["next"] for p in pieces[:-1]]
    middle = pieces[len(pieces) // 2]["offset"]
    assert shell.ok("logs", "--since", str(middle), session).encode() == everything[middle:]
    assert shell.ok("logs", "--since", "99999999999", session) == ""


def test_logs_follow_what_is_typed_and_end_with_the_session(shell: Shell) -> None:
    session = shell.bg("--", "sh", "-c", f"{ECHO}; exit 4")
    follower = shell.popen("logs", "-f", session)
    assert follower.stdout is not None
    for number in range(3):
        shell.ok("send", session, f"line {number}")
        assert follower.stdout.readline() == f"got line {number}\n".encode()
    shell.ok("send", session, "--end")
    assert follower.communicate(timeout=TIMEOUT) == (b"", b"")
    assert follower.returncode == 0
    assert shell.session(session)["exitCode"] == 4


def test_the_reader_of_logs_may_go_away(shell: Shell) -> None:
    session = shell.bg("--", *child("floods", 3_000_000))
    shell.ok("wait", session)
    command = " ".join([*COWORK, "logs", session])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 5"], env=shell.environment, cwd=shell.work,
        capture_output=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (b"00000", b"")
    assert done.returncode in (141, 128 + signal.SIGPIPE)


def test_bytes_that_are_no_text_come_through(shell: Shell) -> None:
    session = shell.bg("--", "printf", r"a\000\377\r\nb")
    shell.ok("wait", session)
    out = shell.popen("logs", session).communicate(timeout=TIMEOUT)[0]
    assert out == b"a\0\xff\r\nb"
    piece = shell.json("logs", session)
    assert piece["base64"] == "YQD/DQpi"


# -- input


def test_sending_to_one_that_does_not_read_is_told(shell: Shell) -> None:
    session = shell.bg("--", *child("never_reads"))
    shell.ok("send", session, "x", "--timeout", "5")
    big = shell.place.root / "big"
    big.write_text("y" * 200_000)
    done = shell.run("send", session, "-", "--timeout", "0.2", stdin=big.read_text())
    assert done.returncode == 7
    assert "does not read" in done.stderr


def test_sending_to_one_that_has_ended_is_told(shell: Shell) -> None:
    session = shell.bg("--", "true")
    shell.ok("wait", session)
    done = shell.run("send", session, "x")
    assert done.returncode == 3
    assert f"cowork logs {session}" in done.stderr


# -- waiting


def test_waiting_for_several_and_for_too_long(shell: Shell) -> None:
    quick, slow = shell.bg("--", "true"), shell.bg("--", "sleep", "60")
    done = shell.run("wait", quick, slow, "--timeout", "0.2", "--json")
    assert done.returncode == 124
    told = json.loads(done.stdout)
    assert [one["outcome"] for one in told["sessions"]] == ["reached", "not yet"]
    waiting = shell.popen("wait", quick, slow, "--for", "exit")
    shell.ok("kill", slow)
    assert waiting.wait(TIMEOUT) == 0
    waiting.communicate()


def test_a_holder_that_is_killed_ends_the_wait(shell: Shell) -> None:
    session = shell.bg("--", "sleep", "60")
    shell.ok("ps")
    pid = shell.session(session)["pid"]
    waiting = shell.popen("wait", session, "--for", "exit")
    os.kill(holder_of(shell, session), signal.SIGKILL)
    assert waiting.wait(TIMEOUT) == 0
    waiting.communicate()
    one = shell.session(session)
    assert (one["state"], one["lost"]) == ("failed", True)
    assert "its holder was killed" in one["detail"]
    wait_gone(pid)


# -- the end


def test_kill_waits_for_the_end_and_says_stopped(shell: Shell) -> None:
    session = shell.bg("--", "sleep", "60")
    pid = shell.session(session)["pid"]
    assert shell.ok("kill", session) == f"{session}\n"
    assert not alive(pid)
    one = shell.session(session)
    assert (one["state"], one["signal"]) == ("stopped", "SIGTERM")
    done = shell.run("kill", session)
    assert done.returncode == 1
    assert "has ended already" in done.stderr


def test_kill_all_ends_all_at_once_and_other_signals_end_nothing(shell: Shell) -> None:
    loud = shell.bg("--", "sh", "-c", 'trap "echo usr1" USR1; echo up; while :; do sleep 0.1; done')
    stubborn = shell.bg("--", *child("ignores_signals"))
    follower = shell.popen("logs", "-f", loud)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"up\n"
    shell.ok("kill", "-s", "usr1", loud)
    assert follower.stdout.readline() == b"usr1\n"
    assert set(shell.ok("kill", "--all", "-s", "KILL").split()) == {loud, stubborn}
    follower.communicate(timeout=TIMEOUT)
    assert {shell.session(one)["state"] for one in (loud, stubborn)} == {"stopped"}


def test_what_has_ended_is_removed_and_what_runs_is_not(shell: Shell) -> None:
    ended, running = shell.bg("--", "true"), shell.bg("--", "sleep", "60")
    shell.ok("wait", ended)
    assert [one["id"] for one in shell.json("du")["sessions"] if one["records"] <= 0] == []
    done = shell.run("rm", running, ended)
    assert (done.returncode, done.stdout) == (6, f"{ended}\n")
    assert "cowork kill" in done.stderr
    assert not shell.directory(ended).exists()
    assert shell.ok("rm", "--force", running) == f"{running}\n"
    assert shell.json("ps", "--all")["sessions"] == []


def test_prune_removes_what_has_ended_long_enough_ago(shell: Shell) -> None:
    good, bad, running = shell.bg("--", "true"), shell.bg("--", "false"), shell.bg("--", "sleep", "60")
    shell.ok("wait", good, bad, "--for", "exit")
    cut_short = shell.place.state / "cowork" / "sessions" / "aaaaaaaaaaaa"
    cut_short.mkdir()
    os.utime(cut_short, (1, 1))
    assert shell.json("prune", "-n", "--older-than", "1h")["wouldRemove"] == []
    assert shell.json("prune", "-n")["wouldRemove"] == [good, bad]
    assert shell.json("prune", "--state", "done")["removed"][0]["id"] == good
    assert not cut_short.exists()
    assert bad in shell.ok("prune")
    assert [one["id"] for one in shell.json("ps", "--all")["sessions"]] == [running]


# -- half-written, foreign, newer


@pytest.fixture
def odd(shell: Shell) -> Path:
    """The folder of a session that has ended."""
    session = shell.bg("--", "true")
    shell.ok("wait", session)
    return shell.directory(session)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"version":99,"id":"x","kind":"shell","name":"n"}', "newer release"),
        ("{", "session.json"),
        ("", "session.json"),
    ],
)
def test_a_record_that_cannot_be_read_hides_nothing(shell: Shell, odd: Path, content: str, says: str) -> None:
    other = shell.bg("--", "sleep", "60")
    (odd / "session.json").write_text(content)
    found = {one["id"]: one for one in shell.json("ps")["sessions"]}
    assert found[odd.name]["state"] == "unreadable"
    assert says in found[odd.name]["detail"]
    assert found[other]["state"] == "working"
    for verb in ("logs", "attach", "send"):
        done = shell.run(verb, odd.name, *(["x"] if verb == "send" else []))
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert says in done.stderr
    assert odd.exists()


@pytest.mark.second_user
def test_the_sessions_of_another_user_are_refused(shell: Shell) -> None:
    session = shell.bg("--", "sleep", "60")
    for folder in (shell.place.root, shell.place.state, shell.place.run):
        folder.chmod(0o755)
    with ordinary_user():
        done = shell.run("ps", cwd=Path("/"))
    assert done.returncode == 1
    assert session not in done.stdout
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr
