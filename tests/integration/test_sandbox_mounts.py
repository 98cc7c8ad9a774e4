"""The folders of a sandboxed session: modes, nesting, the home, the configuration's, the project's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.daemon import RunningDaemon
from tests.support.ordinary import root_again
from tests.support.sandbox import MNT, NAME, ROOT, Session, lines

pytestmark = [pytest.mark.bwrap, pytest.mark.integration]


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with the content of files."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(("mode", "written"), [("rw", True), ("rwd", True), ("ro", False), ("banana", False)])
def test_modes(session: Session, mode: str, written: bool) -> None:
    folder = session.folder("m")
    (folder / "old").write_text("old")
    ended = session.sh(f"cd {MNT}/m; echo new >new; rm old; true", {"m": f"m:{mode}"})
    assert ended.code == 0
    assert ((folder / "new").exists(), (folder / "old").exists()) == (written, not written)


def test_a_file_can_be_mounted(session: Session) -> None:
    (session.home / "one.txt").write_text("one\n")
    reply = session.spawn_reply("/bin/cat", f"{MNT}/one", mounts={"one": "one.txt"})
    assert reply["failedMounts"] == []
    assert session.end(reply["id"]).out == "one\n"


def test_nested_mounts_whatever_the_parent(session: Session) -> None:
    for parent in ("rw", "ro"):
        outer, inner = session.folder(f"outer-{parent}"), session.folder("inner")
        (outer / "file").write_text("outer\n")
        (inner / "file").write_text("inner\n")
        before = listing(outer)
        mounts = {"p/deep/er": "inner", "p": f"outer-{parent}:{parent}"}
        ended = session.sh(f"cat {MNT}/p/file {MNT}/p/deep/er/file; echo w >{MNT}/p/deep/er/w", mounts)
        assert (ended.code, ended.out) == (0, "outer\ninner\n"), ended
        assert listing(outer) == before, "nothing is left in the user's folder"
        assert (inner / "w").read_text() == "w\n"


def test_a_file_in_the_way_of_a_nested_mount_stays(session: Session) -> None:
    outer = session.folder("outer")
    (outer / "victim").write_text("precious")
    reply = session.spawn_reply("/bin/cat", f"{MNT}/p/victim", mounts={"p": "outer", "p/victim": "inner", "x": "gone"})
    assert reply["failedMounts"] == ["p/victim", "x"]
    session.folder("inner")
    assert session.end(reply["id"]).out == "precious"


def test_what_may_not_be_mounted_is_reported(session: Session) -> None:
    session.folder("proj")
    asked = {
        "home": {"path": str(session.home)}, "root": {"path": "/"}, "etc": {"path": "/etc"}, "run": {"path": "/run"},
        "above": {"path": str(session.home.parent)}, "ours": {"path": str(session.daemon.state)},
        "runtime": {"path": str(session.daemon.place.run / "cowork")}, "../up": {"path": str(session.home / "proj")},
        "proj": {"path": str(session.home / "proj")},
    }  # fmt: skip
    reply = session.client.ask(
        "spawn", {"id": "x", "name": NAME, "command": "/bin/ls", "args": [MNT], "additionalMounts": asked}
    )
    assert sorted(reply["failedMounts"]) == sorted(set(asked) - {"proj"})
    assert session.end("x").out == "proj\n"


def test_the_home_is_kept_between_spawns(session: Session) -> None:
    session.sh("echo kept >~/file; echo gone >/tmp/file")
    assert lines(session.sh("cat ~/file; ls /tmp; ls -A ~")) == ["kept", "file", "mnt"]
    assert (session.daemon.trees / NAME / "file").read_text() == "kept\n"
    other = session.sh("ls -A ~", name="other-otter")
    assert lines(other) == ["mnt"]


def test_a_home_that_is_thrown_away(session: Session) -> None:
    ended = session.sh("echo gone >~/file; cat ~/file; echo $HOME", oneShot=True)
    assert lines(ended) == ["gone", ROOT]
    assert lines(session.sh("ls -A ~")) == ["mnt"]


@pytest.mark.parametrize("one_shot", [False, True])
def test_a_home_with_start_files(session: Session, one_shot: bool) -> None:
    wanted = sorted(p.name for p in Path("/etc/skel").iterdir() if p.is_file())
    assert wanted
    ended = session.sh("ls -A ~ | grep -v mnt; echo mine >~/.profile", mountSkeletonHome=True, oneShot=one_shot)
    assert lines(ended) == wanted
    if not one_shot:
        assert session.sh("cat ~/.profile", mountSkeletonHome=True).out == "mine\n", "not over what is there"


# -- configuration


def configure(daemon: RunningDaemon, text: str) -> None:
    folder = daemon.place.home / ".config" / "cowork"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text)


def test_mounts_of_the_configuration_are_picked_up_and_bad_ones_told(session: Session) -> None:
    tools, cache = session.folder("tools"), session.folder("cache")
    (tools / "t").write_text("tool\n")
    assert session.sh(f"cat {tools}/t").code != 0
    configure(session.daemon, f"""[sandbox]
ro = ["{tools}", "/proc", "relative", "{session.home}/missing"]
rw = [{{src = "{cache}", dst = "/opt/cache"}}, "{session.home}"]
""")  # fmt: skip
    ended = session.sh(f"cat {tools}/t; echo x >{tools}/u; echo y >/opt/cache/y; ls {session.home}")
    assert lines(ended) == ["tool", "tools"], ended
    assert (cache / "y").read_text() == "y\n"
    assert not (tools / "u").exists()
    log = session.daemon.stderr()
    for entry in ("/proc", "relative", "missing", str(session.home)):
        assert any("left out" in line and entry in line for line in log.splitlines()), (entry, log)


def test_the_home_itself_if_the_user_wants_that(sandboxed: RunningDaemon) -> None:
    """What is Cowork's own in it stays hidden, and start files cannot be made."""
    home = sandboxed.place.home
    sandboxed.environment |= {"XDG_STATE_HOME": f"{home}/state", "XDG_DATA_HOME": f"{home}/data"}
    (home / "file").write_text("mine\n")
    configure(sandboxed, "[sandbox]\nallow-home = true\n")
    sandboxed.start()
    with Session(sandboxed) as session:
        before = sorted(p.name for p in home.iterdir())
        guarded = ".bashrc .config/cowork/x .ssh/authorized_keys .gitconfig state/cowork/x data/cowork/trees/x"
        touch = f"touch {guarded}; touch new"
        ended = session.sh(f"cd {MNT}/home; cat file; ls state/cowork data/cowork/trees; {touch}", {"home": "."})
        assert lines(ended) == ["mine", "data/cowork/trees:", "", "state/cowork:"], ended
        assert ended.err.count("Read-only") == 6, ended
        assert sorted(p.name for p in home.iterdir()) == sorted({*before, "new"})
        configure(sandboxed, f'[sandbox]\nallow-home = true\nrw = ["{home}"]\n')
        ended = session.sh(f"ls -A {home}/state/cowork; touch {home}/state/cowork/x; touch {home}/newer")
        assert (ended.out, ended.err.count("Read-only")) == ("", 1), "nor as a mount of the configuration"
        assert (home / "newer").exists()


def test_the_predecessors_file_is_read(session: Session) -> None:
    tmp = session.folder("tmp")
    folder = session.home / ".config" / "Claude"
    folder.mkdir(parents=True)
    binds = {"additionalBinds": [{"src": str(tmp), "dst": "/tmp"}], "disabledDefaultBinds": ["/tmp", "/etc/ssl"]}
    (folder / "claude_desktop_linux_config.json").write_text(json.dumps({"preferences": {"coworkBwrapMounts": binds}}))
    session.sh("echo kept >/tmp/file")
    assert session.sh("cat /tmp/file; ls -d /etc/ssl").out == "kept\n"


def test_a_configuration_that_makes_no_sense_starts_nothing(session: Session) -> None:
    configure(session.daemon, '[network]\ndefualt = "open"\n')
    text = session.client.refusal("spawn", {"id": "x", "name": NAME, "command": "/bin/true"})
    assert "defualt" in text
    assert "config.toml" in text


def test_a_project_file_can_only_tighten(session: Session) -> None:
    proj = session.folder("proj")
    (proj / "sub").mkdir()
    (proj / ".cowork.toml").write_text(
        '[sandbox]\nread-only = ["sub", "absent"]\nrw = ["/etc"]\n[network]\nallow = ["only.test"]\n'
    )
    ended = session.sh(
        f"cd {MNT}/proj; echo y >y; "
        "echo x >sub/x || echo no; mkdir absent/x || echo no; echo z >.cowork.toml || echo no",
        {"proj": "proj"}, allowedDomains=["only.test", "other.test"],
    )  # fmt: skip
    assert lines(ended) == ["no", "no", "no"]
    assert sorted(p.name for p in proj.iterdir()) == [".cowork.toml", "sub", "y"]
    assert "may only tighten" in session.daemon.stderr()


def test_isolation_that_is_required_refuses_the_host(sandboxed: RunningDaemon) -> None:
    configure(sandboxed, 'isolation = "required"\n')
    sandboxed.backend = "host"
    status, said = sandboxed.refused()
    assert status == 6
    assert "required" in said


def test_the_program_may_be_a_link_in_the_home(session: Session) -> None:
    versions = session.folder(".local/share/tool/versions")
    (versions / "1.0").write_bytes(Path("/bin/echo").read_bytes())
    (versions / "1.0").chmod(0o755)
    links = session.folder(".local/bin")
    (links / "tool").symlink_to(versions / "1.0")
    (session.home / "secret").write_text("secret")
    ended = session.run(str(links / "tool"), "it runs")
    assert (ended.code, ended.out) == (0, "it runs\n"), ended
    direct = session.home / "direct"
    direct.write_text(f"#!/bin/sh\nls -A {session.home}\n")
    direct.chmod(0o755)
    assert session.run(str(direct)).out == "direct\n", "the home is not there, only the program"


def test_who_may_not_use_user_namespaces_is_told_so(sandboxed: RunningDaemon) -> None:
    script = Path(__file__).parents[1] / "support" / "without_userns.py"
    nobody_may = ["/usr/bin/python3", "-I", str(script), str(os.getuid()), str(os.getgid())]
    with root_again():
        status, said = sandboxed.refused(wrapper=nobody_may)
    assert status == 6, said
    assert "user namespaces are switched off" in said
    assert "sysctl user.max_user_namespaces" in said
    sandboxed.backend = "auto"
    with root_again():
        sandboxed.start(wrapper=nobody_may)
    with sandboxed.client() as client:
        client.subscribe()
        client.spawn("x", "/bin/sh", "-c", "exit 3")
        assert client.until_exit("x")[-1]["exitCode"] == 3
    record = json.loads((sandboxed.sessions()[0] / "session.json").read_text())
    assert (record.get("backend", "host"), record.get("isolation", "none")) == ("host", "none")
    assert "not taken: bwrap: user namespaces are switched off" in sandboxed.stderr()


def test_auto_takes_the_sandbox(sandboxed: RunningDaemon) -> None:
    sandboxed.backend = "auto"
    sandboxed.start()
    with Session(sandboxed) as session:
        assert session.sh("hostname").out == "cowork\n"
        assert session.record()["isolation"] == "bubblewrap"


def test_without_bubblewrap(sandboxed: RunningDaemon) -> None:
    me = ["setpriv", f"--reuid={os.getuid()}", f"--regid={os.getgid()}", "--clear-groups"]
    hidden = 'mount --bind /dev/null /usr/bin/bwrap; exec "$@"'
    with root_again():
        status, said = sandboxed.refused(wrapper=["unshare", "--mount", "sh", "-c", hidden, "sh", *me])
    assert status == 6, said
    assert "bubblewrap" in said
    assert os.path.exists("/usr/bin/bwrap")
