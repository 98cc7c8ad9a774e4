"""Processes as a client starts, feeds, signals and watches them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.support.client import Client, Message, output, raw_frame, request, spawning, types
from tests.support.daemon import RunningDaemon, alive, wait_for

pytestmark = pytest.mark.integration


def env_of(client: Client, **more: object) -> dict[str, str]:
    """The environment that a child really has."""
    params = spawning("env", "/usr/bin/env", "-0", **more)
    if "env" in more and more["env"] is ...:
        del params["env"]
    client.ask("spawn", params)
    text = output(client.until_exit("env"), "env")
    return dict(entry.split("=", 1) for entry in text.split("\0") if entry)


# -- spawn


def test_the_reply_comes_before_the_first_event(client: Client) -> None:
    """SPAWN-1, W16."""
    client.subscribe()
    for n in range(20):
        number = client.send("spawn", spawning(f"p{n}", "/bin/echo", "hi"))
        assert client.recv() == {"id": number, "success": True, "result": {"id": f"p{n}", "failedMounts": []}}
        assert client.until_exit(f"p{n}") == [
            {"type": "stdout", "id": f"p{n}", "data": "hi\n"},
            {"type": "exit", "id": f"p{n}", "exitCode": 0},
        ]


def test_an_id_is_made_for_who_gives_none(client: Client) -> None:
    """SPAWN-2."""
    client.subscribe()
    made = [str(client.ask("spawn", {"name": "s", "command": "/bin/cat", "cwd": "/"})["id"]) for _ in range(2)]
    assert made[0]
    assert made[0] != made[1]
    for id in made:
        assert client.ask("kill", {"id": id, "signal": "KILL"}) == {}
    assert {e["id"] for e in client.until_exit(*made)} == set(made)


def program(path: Path, script: str = 'echo fake $0 "$@"') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("command", ["/usr/local/bin/claude-is-not-here/claude", "claude"])
def test_claude_is_looked_for_by_name(stopped: RunningDaemon, command: str) -> None:
    """SPAWN-3, SPAWN-7: a folder and a file that cannot be executed do not stop the search."""
    root = stopped.place.root
    (root / "one" / "claude").mkdir(parents=True)
    (root / "two").mkdir()
    (root / "two" / "claude").write_text("no program")
    fake = program(root / "three" / "claude")
    stopped.environment["PATH"] = f"{root}/one:{root}/two:{root}/three:/usr/bin:/bin"
    stopped.start()
    with stopped.client() as c:
        c.subscribe()
        c.spawn("p", command, "a b")
        assert output(c.until_exit("p"), "p") == f"fake {fake} a b\n"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"command": "no-such-program"}, "no-such-program"),
        ({"command": "/no/such/program"}, "/no/such/program"),
        ({"command": "/no/such/true"}, "/no/such/true"),
        ({"command": ""}, "command"),
        ({"command": "/etc/passwd"}, "/etc/passwd"),
        ({"command": "/etc"}, "/etc"),
        ({"command": "./true"}, "./true"),
        ({"command": "/bin/true\0"}, "NUL"),
        ({"args": ["a\0b"]}, "NUL"),
        ({"env": {"A": "b\0"}}, "env.A"),
        ({"env": {"A=B": "c"}}, "A=B"),
        ({"env": {"": "c"}}, "env."),
        ({"cwd": "/nonexist/zz"}, "/nonexist/zz"),
        ({"cwd": "relative"}, "relative"),
        ({"cwd": "/\0"}, "cwd"),
        ({"args": ["x" * (3 << 20)]}, "Argument list too long"),
        ({"id": "x" * 1001}, "id"),
    ],
)
def test_what_cannot_be_started_is_told_twice(daemon: RunningDaemon, client: Client, more: Message, named: str) -> None:
    """SPAWN-4, SPAWN-5, SPAWN-9, SPAWN-14, SPAWN-15, CWD-7, W16: an error, and an event, so that nothing waits."""
    client.subscribe()
    params = {**spawning("p", "/bin/true"), **more}
    text = client.refusal("spawn", params)
    assert named in text
    event = client.event()
    assert event["type"] == "error"
    assert event["id"] == params["id"]
    assert event["fatal"] is True
    assert event["message"] in text
    assert client.ask("isProcessRunning", {"id": params["id"]}) == {"running": False}
    assert client.refusal("kill", {"id": params["id"]})
    assert daemon.sessions() == []
    client.spawn("p", "/bin/echo", "free")
    assert output(client.until_exit("p"), "p") == "free\n"


def test_a_file_that_the_kernel_refuses(daemon: RunningDaemon, client: Client) -> None:
    """SPAWN-5: executable bits, but no program; and one whose interpreter is missing."""
    bad = daemon.place.root / "bad"
    bad.write_bytes(b"\x7fELF nonsense")
    bad.chmod(0o755)
    orphan = daemon.place.root / "orphan"
    orphan.write_text("#!/no/such/interpreter\n")
    orphan.chmod(0o755)
    client.subscribe()
    for path in (bad, orphan):
        assert str(path) in client.refusal("spawn", spawning("p", str(path)))
        assert client.event()["fatal"] is True
    assert daemon.sessions() == []


@pytest.mark.parametrize("command", ["/nope/$(touch INJ)", "/nope/x; touch INJ", "`touch INJ`", "claude;touch INJ"])
def test_nothing_of_a_command_is_shell_text(daemon: RunningDaemon, client: Client, command: str) -> None:
    """SPAWN-6, G16."""
    client.refusal("spawn", spawning("p", command))
    assert list(daemon.place.root.rglob("INJ")) == []


def test_a_shell_start_file_that_does_not_end_is_given_up(stopped: RunningDaemon) -> None:
    """SPAWN-8, G34: it is run once per daemon, never for a spawn, and nothing of it is left."""
    place = stopped.place
    for name in (".bashrc", ".profile", ".bash_profile", ".zshrc"):
        (place.home / name).write_text(f"echo $$ >> {place.root}/ran; sleep 1000\n")
    stopped.environment["SHELL"] = "/bin/bash"
    stopped.start()
    with stopped.client() as client:
        client.subscribe()
        for number in range(3):
            client.refusal("spawn", spawning(f"p{number}", "no-such-program"))
            client.spawn(f"q{number}", "true")
            client.until_exit(f"q{number}")
    pids = (place.root / "ran").read_text().split()
    assert len(pids) == 1
    assert not alive(int(pids[0]))
    named = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in place.processes()]
    assert not [cmdline for cmdline in named if b"sleep" in cmdline]
    assert stopped.stderr().count("does not come to an end") == 1


def test_what_the_login_shell_adds_to_path(stopped: RunningDaemon) -> None:
    """NixOS and nvm set PATH in the shell's start files: programs there are found."""
    place = stopped.place
    program(place.root / "nvm" / "only-here", 'echo "found"')
    (place.home / ".bash_profile").write_text(f'echo noise; export PATH="{place.root}/nvm:$PATH" NVM_DIR=/n HIDDEN=1\n')
    stopped.environment["SHELL"] = "/bin/bash"
    stopped.start()
    with stopped.client() as client:
        client.subscribe()
        client.spawn("p", "only-here")
        assert output(client.until_exit("p"), "p") == "found\n"
        env = env_of(client)
    assert env["NVM_DIR"] == "/n"
    assert "HIDDEN" not in env


def test_requests_behind_a_spawn_that_waits_for_the_login_shell(stopped: RunningDaemon) -> None:
    """W6: they find the process, however long the start files take."""
    gate = stopped.place.root / "gate"
    os.mkfifo(gate)
    (stopped.place.home / ".bash_profile").write_text(f"read -r _ < {gate}\n")
    stopped.environment["SHELL"] = "/bin/bash"
    stopped.start()
    with stopped.client() as client:
        client.subscribe()
        writes = b"".join(request("writeStdin", {"id": "p", "data": f"{n}\n"}, n) for n in range(3))
        client.send_raw(request("spawn", spawning("p", "/bin/cat"), "s") + writes)
        assert client.ask("isRunning") == {"running": False}
        gate.write_text("go\n")
        assert client.reply("s")["success"] is True
        assert [client.reply(n)["success"] for n in range(3)] == [True] * 3
        assert client.until_text("p", "2\n") == "0\n1\n2\n"


def test_a_live_id_is_refused_and_free_again_after_the_exit(daemon: RunningDaemon, client: Client) -> None:
    """SPAWN-10, G42: the first one goes on, and no fatal event is told of it."""
    client.subscribe()
    client.shell("p", "echo $$; exec cat")
    pid = int(client.until_text("p", "\n"))
    assert "already running" in client.refusal("spawn", spawning("p", "/bin/true"))
    client.ask("writeStdin", {"id": "p", "data": "still here\n"})
    assert client.event() == {"type": "stdout", "id": "p", "data": "still here\n"}
    client.ask("kill", {"id": "p", "signal": "KILL"})
    client.until_exit("p")
    assert not alive(pid)
    client.spawn("p", "/bin/sh", "-c", "exit 3")
    assert client.until_exit("p") == [{"type": "exit", "id": "p", "exitCode": 3}]
    assert client.ask("isProcessRunning", {"id": "p"}) == {"running": False, "exitCode": 3}


def test_two_spawns_of_one_id_at_once(client: Client) -> None:
    """SPAWN-10: pipelined in one write, exactly one of them runs."""
    client.subscribe()
    client.send_raw(request("spawn", spawning("p", "/bin/cat"), "a") + request("spawn", spawning("p", "/bin/cat"), "b"))
    assert sorted([client.reply("a")["success"], client.reply("b")["success"]]) == [False, True]
    client.ask("kill", {"id": "p", "signal": "KILL"})
    assert types(client.until_exit("p")) == ["exit"]


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "", ".", "..", "a\0b", "x" * 300, "a\nb", ".hidden", "a\\b", "é" * 101]
)
def test_a_name_that_is_no_plain_name(daemon: RunningDaemon, client: Client, name: str) -> None:
    """SPAWN-11, G17."""
    before = sorted(daemon.place.root.rglob("*"))
    assert client.refusal("spawn", spawning("p", "/bin/true", name=name)).startswith("Invalid params: name ")
    after = [p for p in sorted(daemon.place.root.rglob("*")) if p not in before]
    assert [p for p in after if "s/cowork" not in str(p) and p != daemon.errors] == []


def test_a_name_with_everything_that_is_allowed(daemon: RunningDaemon, client: Client) -> None:
    """SPAWN-11."""
    name = "Brave otter's – {été} $(x) 1"
    client.subscribe()
    client.spawn("p", "/bin/pwd", name=name, cwd="")
    assert output(client.until_exit("p"), "p") == f"/sessions/{name}\n"
    assert (daemon.trees / name).stat().st_mode & 0o777 == 0o700


def test_how_a_process_ended(client: Client) -> None:
    """SPAWN-12, SPAWN-13, W9."""
    client.subscribe()
    ends: dict[str, Message] = {
        "exit 7": {"exitCode": 7}, "exit 255": {"exitCode": 255}, "true": {"exitCode": 0},
        "kill -SEGV $$": {"exitCode": -1, "signal": "SIGSEGV"}, "kill -KILL $$": {"exitCode": -1, "signal": "SIGKILL"},
        "kill -BUS $$": {"exitCode": -1, "signal": "SIGBUS"}, "kill -40 $$": {"exitCode": -1, "signal": "SIG40"},
    }  # fmt: skip
    for n, (script, end) in enumerate(ends.items()):
        client.shell(f"p{n}", f"ulimit -c 0; {script}")
        assert client.until_exit(f"p{n}") == [{"type": "exit", "id": f"p{n}", **end}]
        told = client.ask("isProcessRunning", {"id": f"p{n}"})
        assert told == {"running": False, "exitCode": end["exitCode"]}


def test_whether_a_process_runs(client: Client) -> None:
    """SPAWN-13, W12."""
    assert client.ask("isProcessRunning", {"id": "unknown"}) == {"running": False}
    client.spawn("p", "/bin/cat")
    assert client.ask("isProcessRunning", {"id": "p"}) == {"running": True}


def test_four_hundred_spawns_leave_nothing_behind(daemon: RunningDaemon, client: Client) -> None:
    """SPAWN-17: no descriptor, no zombie, no holder; old sessions are removed."""
    client.subscribe()
    client.spawn("first", "/bin/true")
    client.until_exit("first")
    fds, memory = daemon.fds(), 0
    for batch in range(20):
        names = [f"{batch}.{n}" for n in range(20)]
        for name in names:
            client.send("spawn", spawning(name, "/bin/true"))
        client.until_exit(*names)
        if batch == 4:
            memory = daemon.memory()
    wait_for(lambda: daemon.fds() <= fds + 2, "descriptors of ended processes")
    assert daemon.zombies() == []
    # asyncio's debug mode and the codes of ended processes take a little.
    assert daemon.memory() - memory < 4 << 20
    assert len(daemon.sessions()) <= 101
    wait_for(lambda: len(daemon.place.processes()) <= 3, "holders of ended processes")
    assert client.ask("isProcessRunning", {"id": "19.19"}) == {"running": False, "exitCode": 0}


def test_a_child_has_three_descriptors_and_a_session_of_its_own(client: Client) -> None:
    """G28: nothing of the daemon's or the holder's gets into it."""
    script = (
        "import os;print(sorted(os.listdir('/proc/self/fd'))[:-1],os.getsid(0)==os.getpid()==os.getpgrp(),os.umask(0))"
    )
    client.subscribe()
    client.spawn("p", sys.executable, "-I", "-S", "-c", script)
    text = output(client.until_exit("p"), "p")
    assert text == "['0', '1', '2'] True 18\n"


def test_writes_behind_a_spawn_in_the_same_breath(client: Client) -> None:
    """W6: effects on one process happen in the order in which they were asked for."""
    client.subscribe()
    writes = [request("writeStdin", {"id": "p", "data": f"{n}\n"}, n) for n in range(100)]
    client.send_raw(request("spawn", spawning("p", "/bin/cat"), "s") + b"".join(writes))
    assert client.reply("s")["success"] is True
    assert [client.reply(n)["success"] for n in range(100)] == [True] * 100
    assert client.until_text("p", "99\n") == "".join(f"{n}\n" for n in range(100))


def test_a_stop_behind_a_spawn_that_fails(client: Client) -> None:
    """LIFE-7, W6: it does not wait for a process that was never there."""
    client.subscribe()
    bad = spawning("p", "/bin/true", args=["x" * (1 << 20)])
    client.send_raw(request("spawn", bad, "bad") + request("stopVM", id="stop"))
    assert client.reply("bad")["success"] is False
    client.timeout = 10.0  # less than stopVM waits for processes
    assert client.reply("stop")["success"] is True
    assert sorted(types([client.event(), client.event()])) == ["error", "vmStopped"]


def test_a_full_disk(stopped: RunningDaemon) -> None:
    """G4: a spawn is refused with words, a child that prints waits, and the daemon serves on."""
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare(1)")
    mount = f'mount -t tmpfs -o size=3m tmpfs {stopped.place.state} && exec "$@"'
    stopped.start(wrapper=["unshare", "-m", "/bin/sh", "-c", mount, "sh"])
    inside = Path(f"/proc/{stopped.pid}/root{stopped.place.state}")
    with stopped.client() as c:
        c.subscribe()
        c.shell("p", "head -c 8000000 /dev/zero | tr '\\0' x; echo done; exit 2")
        log = next((inside / "cowork" / "sessions").iterdir()) / "lifecycle.log"
        first = c.event()
        wait_for(log.exists, "a record of the child, which is made before the disk is full")
        assert first["type"] == "stdout"
        filler = inside / "filler"
        with open(filler, "wb", buffering=0) as f:
            try:
                while f.write(b"\0" * 4096):
                    pass
            except OSError:
                pass
        text = c.refusal("spawn", spawning("q", "/bin/true"))
        assert "No space left" in text
        assert c.ask("isRunning") == {"running": False}
        assert c.ask("isProcessRunning", {"id": "p"}) == {"running": True}
        c.ask("startVM")
        filler.unlink()
        assert c.ask("kill", {"id": "p", "signal": "KILL"}) == {}


# -- environment and tokens


def test_a_token_without_an_environment(client: Client) -> None:
    """ENV-1, SPAWN-16, G4."""
    client.subscribe()
    assert env_of(client, env=None, oauthToken="t1")["CLAUDE_CODE_OAUTH_TOKEN"] == "t1"
    assert env_of(client, env=..., oauthToken="t2")["CLAUDE_CODE_OAUTH_TOKEN"] == "t2"
    assert "CLAUDE_CODE_OAUTH_TOKEN" not in env_of(client, env=None)


def test_empty_means_absent(stopped: RunningDaemon) -> None:
    """ENV-2, ENV-3, ENV-4, ENV-8, ENV-9, ENV-11."""
    stopped.environment.update({
        "ANTHROPIC_API_KEY": "x", "CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_CODE_SSE_PORT": "1",
        "ELECTRON_RUN_AS_NODE": "1", "ELECTRON_NO_ASAR": "1", "NOTIFY_SOCKET": "/x", "INVOCATION_ID": "i",
        "JOURNAL_STREAM": "1:2", "LD_PRELOAD": "", "LD_LIBRARY_PATH": "/nowhere", "KEPT": "yes",
        "CLAUDE_CODE_OAUTH_TOKEN": "mine",
    })  # fmt: skip
    stopped.start()
    with stopped.client() as c:
        c.subscribe()
        env = env_of(c, env={"ANTHROPIC_API_KEY": "", "A": None, "CLAUDE_CODE_ENTRYPOINT": "desk", "B": "b=c"})
        assert env["CLAUDE_CODE_ENTRYPOINT"] == "desk"
        assert env["CLAUDE_CODE_OAUTH_TOKEN"] == "mine"
        assert env["B"] == "b=c"
        assert env["KEPT"] == "yes"
        assert env["TERM"]
        assert env["PWD"] == "/"
        gone = {
            "ANTHROPIC_API_KEY", "A", "CLAUDECODE", "CLAUDE_CODE_SSE_PORT", "ELECTRON_RUN_AS_NODE", "ELECTRON_NO_ASAR",
            "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONASYNCIODEBUG",
        }  # fmt: skip
        assert gone & set(env) == set()
        assert "CLAUDE_CODE_OAUTH_TOKEN" not in env_of(c, env={"CLAUDE_CODE_OAUTH_TOKEN": ""}, oauthToken="t")


@pytest.mark.parametrize(
    ("name", "injected"),
    [
        ("ANTHROPIC_BASE_URL", True), ("CLAUDE_CODE_OAUTH_TOKEN", False), ("ANTHROPIC_AUTH_TOKEN", False),
        ("ANTHROPIC_API_KEY", False), ("ANTHROPIC_BEDROCK_BASE_URL", False), ("ANTHROPIC_VERTEX_BASE_URL", False),
        ("ANTHROPIC_FOUNDRY_BASE_URL", False),
    ],
)  # fmt: skip
def test_one_credential_and_no_second_one(client: Client, name: str, injected: bool) -> None:
    """ENV-5, ENV-6, G27."""
    client.subscribe()
    env = env_of(client, env={name: "given"}, oauthToken="token")
    assert env[name] == "given"
    assert (env.get("CLAUDE_CODE_OAUTH_TOKEN") == "token") is injected


def test_an_approved_token_is_used_when_none_is_given(client: Client) -> None:
    """ENV-6, ENV-7."""
    client.subscribe()
    client.ask("addApprovedOauthToken", {"token": "approved", "name": "n"})
    assert env_of(client)["CLAUDE_CODE_OAUTH_TOKEN"] == "approved"
    assert env_of(client, oauthToken="own")["CLAUDE_CODE_OAUTH_TOKEN"] == "own"
    assert "CLAUDE_CODE_OAUTH_TOKEN" not in env_of(client, env={"CLAUDE_CODE_OAUTH_TOKEN": ""})


# -- stdin


def test_three_thousand_pipelined_writes_in_order(daemon: RunningDaemon, client: Client) -> None:
    """IN-1, G2."""
    out = daemon.place.root / "out"
    client.subscribe()
    client.shell("p", f"head -n 3000 > {out}")
    client.send_raw(b"".join(request("writeStdin", {"id": "p", "data": f"line {n}\n"}, n) for n in range(3000)))
    assert all(client.reply(n)["success"] for n in range(3000))
    client.until_exit("p")
    assert out.read_text() == "".join(f"line {n}\n" for n in range(3000))


def test_stdin_of_no_process(client: Client) -> None:
    """IN-8."""
    client.subscribe()
    assert "not found" in client.refusal("writeStdin", {"id": "nobody", "data": "x"})
    client.spawn("p", "/bin/true")
    client.until_exit("p")
    assert "exited" in client.refusal("writeStdin", {"id": "p", "data": "x"})


def test_a_child_that_does_not_read(daemon: RunningDaemon, client: Client) -> None:
    """IN-9, W14, G40: 16 MiB wait, then -32002 and nothing of it is taken; a retry delivers nothing twice."""
    client.subscribe()
    go = daemon.place.root / "go"
    out = daemon.place.root / "out"
    client.shell("p", f"until [ -e {go} ]; do sleep 0.01; done; exec cat > {out}")
    before = daemon.memory()
    chunk = 1 << 20
    taken: list[int] = []
    refused: list[int] = []
    for n in range(160):
        reply = client.call("writeStdin", {"id": "p", "data": f"{n:07d}\n" * (chunk // 8)})
        if reply["success"]:
            taken.append(n)
        else:
            assert reply["code"] == -32002
            assert "-32002" in reply["error"]
            refused.append(n)
    assert 16 <= len(taken) <= 17
    assert refused == list(range(len(taken), 160))
    assert daemon.memory() - before < 32 << 20
    go.touch()
    retried = refused[0]
    while not client.call("writeStdin", {"id": "p", "data": f"{retried:07d}\n" * (chunk // 8)})["success"]:
        pass
    expected = "".join(f"{n:07d}\n" * (chunk // 8) for n in [*taken, retried])
    wait_for(lambda: out.exists() and out.stat().st_size >= len(expected))
    client.ask("kill", {"id": "p", "signal": "KILL"})
    client.until_exit("p")
    assert out.read_text() == expected


def test_a_write_of_five_megabytes_of_short_lines(client: Client) -> None:
    """IN-10."""
    text = "".join(f"{n}\n" for n in range(780_000))
    assert len(text) > 5_000_000
    client.subscribe()
    client.spawn("p", "/bin/cat")
    client.ask("writeStdin", {"id": "p", "data": text})
    assert client.until_text("p", "779999\n") == text


def test_stdin_bytes_survive(client: Client) -> None:
    """IN-11."""
    text = 'a\0b\r\n😀é\x1b\u2028\t{"x":"\\n"}\nend\n'
    client.subscribe()
    client.spawn("p", "/bin/cat")
    client.ask("writeStdin", {"id": "p", "data": text})
    assert client.until_text("p", "end\n") == text


def test_a_child_that_has_closed_its_stdin(client: Client) -> None:
    """IN-12: the call fails, everything else lives on."""
    client.subscribe()
    client.shell("p", "exec 0<&-; echo closed; exec sleep 1000")
    client.until_text("p", "closed\n")
    assert client.refusal("writeStdin", {"id": "p", "data": "x\n"})
    assert client.ask("isProcessRunning", {"id": "p"}) == {"running": True}
    client.spawn("q", "/bin/cat")
    client.ask("writeStdin", {"id": "q", "data": "fine\n"})
    assert client.until_text("q", "fine\n") == "fine\n"


def test_an_empty_write(client: Client) -> None:
    """IN-13, W14."""
    client.spawn("p", "/bin/cat")
    assert client.ask("writeStdin", {"id": "p", "data": ""}) == {}
    assert client.ask("writeStdin", {"id": "p"}) == {}


# -- kill


@pytest.mark.parametrize("name", ["KILL", "SIGKILL", "kill", "sigkill", "9", 9])
def test_every_spelling_of_kill(client: Client, name: object) -> None:
    """KILL-1, W13."""
    client.subscribe()
    client.shell("p", "trap '' TERM INT; echo up; while :; do sleep 1; done")
    client.until_text("p", "up\n")
    assert client.ask("kill", {"id": "p", "signal": name}) == {}
    assert client.until_exit("p") == [{"type": "exit", "id": "p", "exitCode": -1, "signal": "SIGKILL"}]


@pytest.mark.parametrize(
    ("given", "name"),
    [({}, "TERM"), ({"signal": ""}, "TERM"), ({"signal": None}, "TERM"), ({"signal": "int"}, "INT"),
     ({"signal": "SIGHUP"}, "HUP"),
     ({"signal": 3}, "QUIT"), ({"signal": "USR1"}, "USR1"), ({"signal": "12"}, "USR2")],
)  # fmt: skip
def test_the_named_signal_arrives(client: Client, given: Message, name: str) -> None:
    """KILL-1, KILL-6: a trap runs, what it prints is delivered, and its exit code is told."""
    client.subscribe()
    traps = 'for s in TERM INT HUP QUIT USR1 USR2; do trap "echo got $s; exit 7" $s; done'
    client.shell("p", f"{traps}; echo up; while :; do sleep 0.01; done")
    client.until_text("p", "up\n")
    assert client.ask("kill", {"id": "p", **given}) == {}
    events = client.until_exit("p")
    assert output(events, "p") == f"got {name}\n"
    assert events[-1] == {"type": "exit", "id": "p", "exitCode": 7}


@pytest.mark.parametrize("name", ["SIGFOO", "bogus", "0", 0, 65, -1, "SIG", "1e1"])
def test_an_unknown_signal_is_an_error(client: Client, name: object) -> None:
    """KILL-1."""
    client.spawn("p", "/bin/cat")
    text = client.refusal("kill", {"id": "p", "signal": name})
    assert "signal" in text
    assert client.ask("isProcessRunning", {"id": "p"}) == {"running": True}


def test_the_whole_group_ends(client: Client) -> None:
    """KILL-2, G9."""
    client.subscribe()
    client.shell("p", "sleep 1000 & echo $!; wait")
    helper = int(client.until_text("p", "\n"))
    client.ask("kill", {"id": "p"})
    client.until_exit("p")
    assert not alive(helper)


def test_a_helper_that_outlives_an_obedient_leader(client: Client) -> None:
    """KILL-2, G9: it ignores the signal and the leader's end; it is cleaned up before the exit is told."""
    client.subscribe()
    client.shell("p", "sh -c 'trap \"\" TERM INT; echo $$; while :; do sleep 0.05; done' & trap 'exit 0' TERM; wait")
    helper = int(client.until_text("p", "\n"))
    client.ask("kill", {"id": "p"})
    assert client.until_exit("p")[-1]["exitCode"] == 0
    assert not alive(helper)


def test_a_child_that_ignores_everything_is_killed(client: Client) -> None:
    """KILL-3, G10: the ladder's last step."""
    client.subscribe()
    client.shell("p", "trap '' TERM INT HUP QUIT; echo up; while :; do sleep 0.05; done")
    client.until_text("p", "up\n")
    client.ask("kill", {"id": "p"})
    assert client.ask("isProcessRunning", {"id": "p"}) == {"running": True}
    assert client.until_exit("p")[-1] == {"type": "exit", "id": "p", "exitCode": -1, "signal": "SIGKILL"}


def test_a_stream_json_claude_is_interrupted_first(stopped: RunningDaemon) -> None:
    """W13: INT to the leader alone, so that it can end its turn."""
    script = "trap 'echo int; exit 0' INT; trap 'echo term; exit 1' TERM; echo up; while :; do sleep 0.01; done"
    program(stopped.place.root / "bin" / "claude", script)
    stopped.environment["PATH"] = f"{stopped.place.root}/bin:/usr/bin:/bin"
    stopped.start()
    with stopped.client() as c:
        c.subscribe()
        for args, word in ((["--output-format", "stream-json"], "int"), ([], "term")):
            c.spawn("p", "claude", *args)
            c.until_text("p", "up\n")
            c.ask("kill", {"id": "p"})
            assert output(c.until_exit("p"), "p") == f"{word}\n"


def test_killing_what_has_ended(client: Client) -> None:
    """KILL-4."""
    client.subscribe()
    client.spawn("p", "/bin/true")
    client.until_exit("p")
    for name in ("", "KILL", 9):
        assert client.ask("kill", {"id": "p", "signal": name}) == {}


def test_killing_right_after_the_last_line(client: Client) -> None:
    """KILL-5: what was printed before the kill comes before the exit, all of it."""
    client.subscribe()
    client.shell("p", "read -r go; seq 1 100000; echo result; exec sleep 1000")
    client.ask("writeStdin", {"id": "p", "data": "\n"})
    got = client.until_text("p", "result\n")
    client.send("kill", {"id": "p", "signal": "KILL"})
    assert client.until_exit("p") == [{"type": "exit", "id": "p", "exitCode": -1, "signal": "SIGKILL"}]
    assert got == "".join(f"{n}\n" for n in range(1, 100_001)) + "result\n"


def test_killing_nobody(client: Client) -> None:
    """KILL-7."""
    assert "not found" in client.refusal("kill", {"id": "nobody"})


def test_a_stopped_child_ends_by_term(client: Client) -> None:
    """KILL-3: a stopped process is woken so that the signal reaches it."""
    client.subscribe()
    client.shell("p", "echo $$; exec sleep 1000")
    pid = int(client.until_text("p", "\n"))
    client.ask("kill", {"id": "p", "signal": "STOP"})
    wait_for(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    client.ask("kill", {"id": "p", "signal": "TERM"})
    assert client.until_exit("p")[-1]["signal"] == "SIGTERM"


# -- secrets


def test_no_secret_is_written_anywhere(stopped: RunningDaemon) -> None:
    """LOG-1, G51: not in the log with --debug, not in any file below the state folder, not in any command line."""
    secrets = {
        "token": "SECRET-oauth-1", "approved": "SECRET-approved-2", "env": "SECRET-env-3", "stdin": "SECRET-stdin-4",
        "guest": "SECRET-guest-5", "bad": "SECRET-bad-6",
    }  # fmt: skip
    stopped.start("--debug")
    with stopped.client() as c:
        c.subscribe()
        c.ask("setDebugLogging", {"enabled": True})
        c.ask("configure", {"userDataName": "x"})
        c.ask("addApprovedOauthToken", {"token": secrets["approved"]})
        c.ask("sendGuestResponse", {"id": 1, "resultJson": json.dumps(secrets["guest"])})
        c.shell("p", "read -r x; echo read; exec sleep 1000", oauthToken=secrets["token"], env={"API": secrets["env"]})
        c.ask("writeStdin", {"id": "p", "data": secrets["stdin"] + "\n"})
        c.until_text("p", "read\n")
        c.refusal("writeStdin", {"id": "gone", "data": secrets["stdin"]})
        c.refusal(
            "spawn",
            {"id": "bad", "name": "", "command": "x", "oauthToken": secrets["bad"], "env": {"A": secrets["bad"]}},
        )
        c.refusal("spawn", {"id": "bad", "name": "s", "command": "/nope", "oauthToken": secrets["bad"]})
        c.send_raw(raw_frame(b'{"method":"writeStdin","params":{"id":"p","data":"' + secrets["bad"].encode() + b'",}}'))
        session = next(p for p in stopped.sessions())
        assert (session / "session.json").exists()
        c.ask("kill", {"id": "p", "signal": "KILL"})
        c.until_exit("p")
    assert stopped.stop(signal.SIGTERM) == 0
    texts = {str(p): p.read_bytes() for p in stopped.state.rglob("*") if p.is_file()}
    texts["stderr"] = stopped.stderr().encode()
    texts |= {str(p): p.read_bytes() for p in stopped.place.run.rglob("*") if p.is_file()}
    assert len(texts) > 5
    for name, text in texts.items():
        assert b"SECRET" not in text, name
    assert "debug" in texts["stderr"].decode()
