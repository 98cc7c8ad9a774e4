"""Which mounts of the user's hold: one row per rule, for the daemon and the doctor alike (CFG-1 to CFG-7)."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork import config
from cowork.backends.bwrap import usermounts
from cowork.backends.bwrap.usermounts import UserMount, UserMounts, collect, read_desktop_file, validate
from cowork.config import Bind, Config, Refusal, Sandbox

ROOT = os.geteuid() == 0


class Host:
    """A home folder with what people have in it, and a folder outside of it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.outside = folder / "out"
        for name in (
            "proj/sub", ".ssh/keys", ".gnupg", ".aws", ".kube", ".config/Claude", ".config/git", ".config/cowork",
            ".ssh2", "tmp", "é ü",
        ):  # fmt: skip
            (self.home / name).mkdir(parents=True)
        (self.outside / "sub").mkdir(parents=True)
        (self.home / "file").write_text("x")
        links: dict[str, str | Path] = {
            "to-proj": "proj", "to-out": self.outside, "to-ssh": ".ssh", "to-proc": "/proc/self", "to-root": "/",
            "to-home": self.home, "dangling": "gone", "loop": "loop", "to-run": "/run",
        }  # fmt: skip
        for name, target in links.items():
            (self.home / name).symlink_to(target)
        os.mkfifo(self.home / "fifo")
        (self.outside / "in").symlink_to(self.home / "proj")
        self.environ = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(folder / "run")}

    def path(self, text: str) -> str:
        return text.replace("{home}", str(self.home)).replace("{out}", str(self.outside))

    def entry(self, text: str) -> object:
        """``src`` or ``src -> dst``, as decoded from a file."""
        src, arrow, dst = self.path(text).partition(" -> ")
        return {"src": src, "dst": dst} if arrow else src

    def validate(self, *, ro: object = (), rw: object = (), disabled: object = (), allow: bool = False) -> UserMounts:
        return validate(ro, rw, disabled, home=str(self.home), allow_home=allow)

    def desktop_file(self) -> Path:
        return Path(self.environ.get("XDG_CONFIG_HOME", self.home / ".config")) / "Claude" / usermounts.DESKTOP_FILE

    def write_desktop(self, content: object) -> None:
        file = self.desktop_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        file.chmod(0o600)

    def write_mounts(self, **lists: object) -> None:
        self.write_desktop({"preferences": {"coworkBwrapMounts": lists}})

    def collect(self, sandbox: Sandbox | None = None) -> UserMounts:
        return collect(Config(sandbox=sandbox or Sandbox()), self.environ, str(self.home))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("which", ["ro", "rw"])
@pytest.mark.parametrize(
    ("text", "src", "dst"),
    [
        ("{home}/proj", "{home}/proj", "{home}/proj"),
        ("{home}/proj/", "{home}/proj", "{home}/proj"),
        ("/{home}//proj/./sub", "{home}/proj/sub", "{home}/proj/sub"),
        ("{home}/proj/../proj/sub", "{home}/proj/sub", "{home}/proj/sub"),
        ("{home}/é ü", "{home}/é ü", "{home}/é ü"),
        ("{home}/file", "{home}/file", "{home}/file"),
        ("{home}/to-proj", "{home}/proj", "{home}/to-proj"),
        ("{out}/in", "{home}/proj", "{out}/in"),
        ("{home}/.ssh2", "{home}/.ssh2", "{home}/.ssh2"),
        ("{home}/.config/git", "{home}/.config/git", "{home}/.config/git"),
        ("{home}/proj -> /mnt/p", "{home}/proj", "/mnt/p"),
        ("{home}/proj -> /tmp", "{home}/proj", "/tmp"),
        ("{home}/proj -> //opt/../srv/p/", "{home}/proj", "/srv/p"),
        ("{home}/proj -> /var/lib/x", "{home}/proj", "/var/lib/x"),
        ("{home}/proj -> {home}/.cache", "{home}/proj", "{home}/.cache"),
        ("{home}/proj -> /usrlocal", "{home}/proj", "/usrlocal"),
        ("{home}/proj -> /library", "{home}/proj", "/library"),
        ("{home}/proj -> /runner", "{home}/proj", "/runner"),
        ("{home}/file -> /mnt/file", "{home}/file", "/mnt/file"),
    ],
)
def test_what_holds_in_both_lists(host: Host, which: str, text: str, src: str, dst: str) -> None:
    made = host.validate(**{which: [host.entry(text)]})  # type: ignore[arg-type]
    assert made.refused == []
    assert (made.ro or made.rw) == [UserMount(host.path(src), host.path(dst))]
    assert bool(made.rw) == (which == "rw")


@pytest.mark.parametrize(
    ("text", "src"),
    [("{out}", "{out}"), ("{home}/to-out", "{out}"), ("/usr/share -> /mnt/share", "/usr/share"),
     ("/etc -> /mnt/e", "/etc")],
)  # fmt: skip
def test_reading_is_allowed_outside_home_and_writing_is_not(host: Host, text: str, src: str) -> None:
    made = host.validate(ro=[host.entry(text)], rw=[host.entry(text)])
    assert [mount.src for mount in made.ro] == [os.path.realpath(host.path(src))]
    assert made.rw == []
    assert [refusal.rule for refusal in made.refused] == ["only what is below home may be writable"]


NOT_ABSOLUTE = "has to be absolute"
KERNEL = "the kernel's own files stay out"
SERVICES = "the sockets of this computer's services stay out"
SECRET = "keys and tokens stay out"
OWN = "is the sandbox's own"


@pytest.mark.parametrize("which", ["ro", "rw"])
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        # the path itself
        ("", NOT_ABSOLUTE), ("proj", NOT_ABSOLUTE), ("./proj", NOT_ABSOLUTE), ("~/proj", NOT_ABSOLUTE),
        ("../home/proj", NOT_ABSOLUTE), ("$HOME/proj", NOT_ABSOLUTE),
        ("{home}/a\nb", "control character"), ("{home}/a\0b", "control character"),
        ("{home}/a\x7f", "control character"),
        ("{home}/\ud800", "no file name"), ("{home}/" + "x" * 256, "too long"), ("{home}" + "/x" * 2500, "too long"),
        # the roots, and what leads to them
        ("/", "the whole file system stays out"), ("//", "the whole file system"),
        ("/home/..", "the whole file system"),
        ("{home}/to-root", "leads to /: the whole file system stays out"),
        ("/proc", KERNEL), ("/proc/", KERNEL), ("/proc/self/root/opt", KERNEL), ("/sys", KERNEL),
        ("/sys/fs/cgroup", KERNEL),
        ("{home}/to-proc", rf"leads to /proc/\d+: {KERNEL}"), ("/opt/../proc", KERNEL),
        ("/dev", "devices stay out"), ("/dev/shm", "devices stay out"), ("/dev/null", "devices stay out"),
        # the predecessor let these in
        ("/run", SERVICES), ("/run/user/1000", SERVICES), ("/var/run", SERVICES), ("/var/run/docker.sock", SERVICES),
        ("{home}/to-run", f"leads to /run: {SERVICES}"), ("/boot", "boot loader"), ("/boot/grub", "boot loader"),
        ("/tmp/.X11-unix", "display"), ("/tmp", "home lies in|contains /tmp/.X11-unix"),
        ("{home}/.ssh", SECRET), ("{home}/.ssh/keys", SECRET), ("{home}/.gnupg", SECRET), ("{home}/.aws", SECRET),
        ("{home}/.aws/", SECRET), ("{home}/.kube", SECRET), ("{home}/.config/Claude", SECRET),
        ("{home}/.config/Claude/none", SECRET), ("{home}/to-ssh", f"leads to .*: {SECRET}"),
        ("{home}/proj/../.ssh", SECRET), ("{home}/.config", "contains .*/.config/Claude: keys and tokens"),
        ("{home}", "home itself stays out"), ("{home}/", "home itself"), ("{home}/proj/..", "home itself"),
        ("{home}/to-home", "home itself"), ("{home}/..", "what home lies in"), ("{home}/.ssh -> /mnt/ssh", SECRET),
        ("/proc -> /mnt/proc", KERNEL), ("{home} -> /mnt/home", "home itself"),
        # what is there
        ("{home}/gone", "does not exist"), ("{home}/dangling", "does not exist"),
        ("{home}/loop", "cannot be looked at"),
        ("{home}/file/x", "cannot be looked at"), ("{home}/fifo", "sockets, FIFOs and devices"),
        # where it goes
        ("{home}/proj -> mnt", "dst: has to be absolute"), ("{home}/proj -> ", "dst: has to be absolute"),
        ("{home}/proj -> /mnt/a\tb", "dst: has a control character"),
        ("{home}/proj -> /mnt/" + "x" * 256, "dst: is too long"),
        ("{home}/proj -> /", OWN), ("{home}/proj -> /mnt/..", OWN), ("{home}/proj -> /sessions", OWN),
        ("{home}/proj -> /sessions/a/mnt/b", OWN), ("{home}/proj -> /proc", OWN), ("{home}/proj -> /dev/shm", OWN),
        ("{home}/proj -> /sys", OWN), ("{home}/proj -> /usr", OWN), ("{home}/proj -> /usr/local/x", OWN),
        ("{home}/proj -> //usr", OWN), ("{home}/proj -> /opt/../usr/bin", OWN), ("{home}/proj -> /etc", OWN),
        ("{home}/proj -> /etc/x", OWN), ("{home}/proj -> /bin", OWN), ("{home}/proj -> /sbin/x", OWN),
        ("{home}/proj -> /lib", OWN), ("{home}/proj -> /lib32", OWN), ("{home}/proj -> /lib64", OWN),
        ("{home}/proj -> /libx32", OWN), ("{home}/proj -> /run/x", OWN),
        ("{home}/file -> /tmp", "a file cannot be mounted over the folder /tmp"),
    ],
)  # fmt: skip
def test_what_is_refused_in_both_lists(host: Host, which: str, text: str, rule: str) -> None:
    entry = host.entry(text)
    made = host.validate(**{which: [entry, str(host.home / "proj" / "sub")]})  # type: ignore[arg-type]
    (refusal,) = made.refused
    assert re.search(rule, refusal.rule)
    assert refusal.fix
    assert len(made.ro) + len(made.rw) == 1  # the others hold


@pytest.mark.parametrize(
    "entry",
    [5, None, True, [], ["/opt"], {}, {"src": "/opt"}, {"dst": "/opt"}, {"src": 5, "dst": "/x"},
     {"src": "/opt", "dst": None}],
)  # fmt: skip
def test_what_is_no_entry(host: Host, entry: object) -> None:
    made = host.validate(ro=[entry], rw=[entry], disabled=[entry])
    assert (made.ro, made.rw, made.disabled) == ([], [], [])
    assert [refusal.rule for refusal in made.refused] == [
        *["neither a path nor {src, dst} of two paths"] * 2,
        "no path",
    ]


@pytest.mark.parametrize("value", [None, 5, "/opt", {"src": "/a", "dst": "/b"}, True])
def test_what_is_no_list(host: Host, value: object) -> None:
    made = host.validate(ro=value, rw=value, disabled=value)
    assert made[:3] == ([], [], [])
    assert [refusal.entry for refusal in made.refused] == ["ro", "rw", "disable"]
    assert all(refusal.rule.startswith("a list is needed") for refusal in made.refused)


def test_the_fix_names_the_path_that_was_meant(host: Host) -> None:
    (refusal,) = host.validate(rw=["~/proj"]).refused
    assert refusal == Refusal("~/proj", NOT_ABSOLUTE, f"write {host.home}/proj")


def test_an_entry_is_told_as_it_was_written_on_one_line(host: Host) -> None:
    made = host.validate(ro=[{"src": "a\nb", "dst": "/mnt/c"}, "x" * 999])
    assert made.refused[0].entry == "a\\nb -> /mnt/c"
    assert len(made.refused[1].entry) < 250


@pytest.mark.parametrize("link", [True, False])
def test_a_link_that_is_left_upwards_is_not_what_its_text_says(host: Host, link: bool) -> None:
    (host.home / "way").symlink_to(host.home / ".ssh" / "keys") if link else (host.home / "way").mkdir()
    made = host.validate(ro=[f"{host.home}/way/../../proj"])
    assert [mount.src for mount in made.ro] == ([f"{host.home}/proj"] if link else [])
    (host.home / "proj" / "way").symlink_to(host.home / ".ssh" / "keys")
    assert SECRET in host.validate(ro=[f"{host.home}/proj/way/.."]).refused[0].rule


def test_sockets_are_refused_wherever_they_are(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(host.home)  # the whole path may be too long for a socket
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        made = host.validate(ro=[f"{host.home}/s"], rw=[{"src": f"{host.home}/s", "dst": "/mnt/s"}])
    assert [refusal.rule for refusal in made.refused] == ["sockets, FIFOs and devices stay out"] * 2


def test_what_keys_really_are_is_kept_out_as_well(host: Host) -> None:
    (host.home / ".aws").rmdir()
    (host.home / "dotfiles" / "aws").mkdir(parents=True)
    (host.home / ".aws").symlink_to("dotfiles/aws")
    made = host.validate(ro=[f"{host.home}/dotfiles/aws", f"{host.home}/dotfiles", f"{host.home}/.aws"])
    assert made.ro == []
    assert [SECRET in refusal.rule for refusal in made.refused] == [True] * 3


def test_a_folder_that_holds_keys_by_name_is_kept_out_before_they_are_there(host: Host) -> None:
    (host.home / ".config" / "Claude").rmdir()
    assert "contains" in host.validate(rw=[f"{host.home}/.config"]).refused[0].rule


def test_home_by_another_spelling(host: Host, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("home")
    home = str(tmp_path / "link")
    made = validate([], [f"{home}/proj", f"{host.home}/tmp"], [], home=home)
    assert made.rw == [
        UserMount(f"{host.home}/proj", f"{home}/proj"),
        UserMount(f"{host.home}/tmp", f"{host.home}/tmp"),
    ]
    for refused in (
        home,
        str(host.home),
        f"{home}/.ssh",
        f"{host.home}/.ssh",
        f"{home}/.config",
        f"{host.home}/.config",
    ):
        assert len(validate([refused], [], [], home=home).refused) == 1


def test_home_itself_where_that_is_allowed(host: Host) -> None:
    made = host.validate(rw=[str(host.home)], allow=True)
    assert made == ([], [UserMount(str(host.home), str(host.home))], [], [])
    above = host.validate(ro=[str(host.home.parent)], rw=[str(host.home.parent)], allow=True)
    assert [mount.src for mount in above.ro] == [str(host.home.parent)]
    assert above.rw == []
    for refused in ("/", str(host.home / ".ssh"), str(host.home / ".config"), "/tmp", "/run"):
        assert len(host.validate(ro=[refused], allow=True).refused) == 1


def test_a_home_that_is_the_root_makes_nothing_writable(host: Host) -> None:
    made = validate(["/", "/.ssh"], [str(host.home / "proj")], [], home="/", allow_home=True)
    assert (made.ro, made.rw, len(made.refused)) == ([], [], 3)


def test_roots_home_is_kept_out_but_for_root(host: Host) -> None:
    assert host.validate(ro=["/root", "/root/x"]).refused[1].rule == "root's home stays out"
    own = validate(["/root", "/root/.ssh", "/root/none"], [], [], home="/root")
    rules = [refusal.rule for refusal in own.refused]
    assert "root's home stays out" not in rules
    assert (rules[0], rules[1]) == ("home itself stays out", SECRET)


def test_what_every_sandbox_shows_need_not_be_mounted(host: Host) -> None:
    made = host.validate(ro=["/usr/share", "/usr", "/bin", "/etc"])
    assert [r.rule for r in made.refused] == [*["is there already"] * 3, f"dst: /etc {OWN}"]


def test_one_place_is_mounted_once(host: Host) -> None:
    made = host.validate(
        ro=[f"{host.home}/proj", f"{host.home}/proj/"],
        rw=[f"{host.home}/./proj", {"src": f"{host.home}/tmp", "dst": f"{host.home}/proj"}, f"{host.home}/tmp"],
    )
    assert made.ro == [UserMount(f"{host.home}/proj", f"{host.home}/proj")]
    assert [mount.dst for mount in made.rw] == [f"{host.home}/tmp"]
    assert [refusal.rule for refusal in made.refused] == [f"{host.home}/proj is mounted already"] * 3


def test_what_was_refused_takes_no_place(host: Host) -> None:
    made = host.validate(
        ro=[{"src": f"{host.home}/gone", "dst": "/mnt/a"}, {"src": f"{host.home}/proj", "dst": "/mnt/a"}]
    )
    assert made.ro == [UserMount(f"{host.home}/proj", "/mnt/a")]


@pytest.mark.parametrize(
    ("parent", "child", "holds"),
    [
        ("{home}/proj -> /mnt/p", "{home}/tmp -> /mnt/p/sub", True),
        ("{home}/proj -> /mnt/p", "{home}/tmp -> /mnt/p/none", False),
        ("{home}/proj -> /mnt/p", "{home}/file -> /mnt/p/none", False),
        ("{home}/proj -> /mnt/p", "{home}/tmp -> /mnt/p/link", False),
        ("{home}/proj -> /mnt/p", "{home}/file -> /mnt/p/sub", False),
        ("{home}/proj -> /mnt/p", "{home}/file -> /mnt/p/f", True),
        ("{home}/proj -> /mnt/p", "{home}/tmp -> /mnt/p/f", False),
        ("{home}/file -> /mnt/p", "{home}/tmp -> /mnt/p/sub", False),
        ("{home}/proj", "{home}/proj/sub", True),
        ("{home}/proj -> /mnt/p", "{home}/tmp -> /mnt/pq", True),
    ],
)
def test_mounts_in_mounts_need_their_place(host: Host, parent: str, child: str, holds: bool) -> None:
    """bwrap would make the missing folder in the user's own, or fail at every spawn."""
    (host.home / "proj" / "link").symlink_to("sub")
    (host.home / "proj" / "f").write_text("")
    before = sorted(host.home.rglob("*"))
    pair = [host.entry(parent), host.entry(child)]
    for made in (host.validate(ro=pair), host.validate(rw=pair[::-1]), host.validate(ro=pair[1:], rw=pair[:1])):
        mounts = made.ro + made.rw
        assert len(mounts) == 1 + holds
        assert len(made.refused) == 1 - holds
        assert all("which has no place for it" in refusal.rule for refusal in made.refused)
    assert sorted(host.home.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "kept"),
    [("/tmp", "/tmp"), ("/run", "/run"), ("//etc/../run/", "/run"), ("/usr/share", "/usr/share"),
     ("/home/a b", "/home/a b")],
)  # fmt: skip
def test_default_mounts_left_out(host: Host, text: str, kept: str) -> None:
    assert host.validate(disabled=[text, kept]) == ([], [], [kept], [])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("/", "critical"), ("/dev", "critical"), ("/proc", "critical"), ("/usr", "critical"), ("/sessions", "critical"),
        ("/dev/", "critical"), ("/opt/../proc", "critical"), ("//usr", "critical"), ("tmp", NOT_ABSOLUTE),
        ("", NOT_ABSOLUTE), ("/tm\np", "control character"),
    ],
)  # fmt: skip
def test_default_mounts_that_stay(host: Host, text: str, rule: str) -> None:
    made = host.validate(disabled=[text, "/tmp"])
    assert made.disabled == ["/tmp"]
    (refusal,) = made.refused
    assert rule in refusal.rule


# The predecessor's file.


def test_without_the_predecessors_file(host: Host) -> None:
    assert read_desktop_file(host.environ) == ((), (), (), ())
    assert host.collect() == ([], [], [], [])


@pytest.mark.parametrize("content", [{}, {"preferences": {}}, {"preferences": {"coworkBwrapMounts": {}}}, {"x": 1}])
def test_a_file_that_says_nothing_about_mounts(host: Host, content: object) -> None:
    host.write_desktop(content)
    assert host.collect() == ([], [], [], [])


def test_the_lists_of_the_predecessor(host: Host) -> None:
    host.write_mounts(
        additionalROBinds=[str(host.outside), {"src": f"{host.home}/proj", "dst": "/mnt/p"}, 5],
        additionalBinds=[f"{host.home}/tmp", "/etc"],
        disabledDefaultBinds=["/run/", "/dev", "x"],
    )
    made = host.collect()
    assert made.ro == [UserMount(str(host.outside), str(host.outside)), UserMount(f"{host.home}/proj", "/mnt/p")]
    assert made.rw == [UserMount(f"{host.home}/tmp", f"{host.home}/tmp")]
    assert made.disabled == ["/run"]
    assert [refusal.entry for refusal in made.refused] == ["5", "/etc", "/dev", "x"]


@pytest.mark.parametrize(
    ("content", "entry", "rule"),
    [
        (b"{", "{file}", "no JSON"), (b"", "{file}", "no JSON"), (b"\xff", "{file}", "no JSON"),
        (b"[" * 100000, "{file}", "no JSON"), (b"[]", "{file}", "an object is needed, not a list"),
        (b"null", "{file}", "an object is needed, not null"), ({"preferences": 5}, "preferences", "not 5"),
        ({"preferences": None}, "preferences", "an object is needed, not null"),
        ({"preferences": {"coworkBwrapMounts": []}}, "coworkBwrapMounts", "not a list"),
        ({"preferences": {"coworkBwrapMounts": {"additionalBinds": "/opt"}}}, "additionalBinds", "a list is needed"),
        ({"preferences": {"coworkBwrapMounts": {"additionalROBinds": None}}}, "additionalROBinds", "a list is needed"),
        ({"preferences": {"coworkBwrapMounts": {"additionalBind": []}}}, "additionalBind", "unknown key"),
        (b" " * (usermounts.MAX_SIZE + 1), "{file}", "longer than"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told_and_stops_nothing(host: Host, content: object, entry: str, rule: str) -> None:
    host.write_desktop(content)
    made = host.collect(Sandbox(ro=(f"{host.home}/proj",)))
    assert [mount.dst for mount in made.ro] == [f"{host.home}/proj"]
    (refusal,) = made.refused
    assert refusal.entry == entry.replace("{file}", str(host.desktop_file()))
    assert rule in refusal.rule
    assert refusal.fix


def test_one_bad_list_leaves_the_others(host: Host) -> None:
    host.write_mounts(additionalROBinds="/opt", additionalBinds=[f"{host.home}/tmp"])
    made = host.collect()
    assert ([mount.dst for mount in made.rw], len(made.refused)) == ([f"{host.home}/tmp"], 1)


def test_a_file_that_others_can_write_is_not_followed(host: Host) -> None:
    host.write_mounts(additionalBinds=[f"{host.home}/tmp"])
    host.desktop_file().chmod(0o666)
    made = host.collect()
    assert (made.rw, made.refused[0].fix) == ([], f"chmod go-w {host.desktop_file()}")


def test_both_files_together(host: Host) -> None:
    host.write_mounts(
        additionalROBinds=[{"src": f"{host.home}/tmp", "dst": "/mnt/p"}, str(host.outside)],
        disabledDefaultBinds=["/tmp", "/run"],
    )
    ours = Sandbox(ro=(Bind(f"{host.home}/proj", "/mnt/p"),), rw=(f"{host.home}/tmp",), disable=("/tmp", "/etc"))
    made = host.collect(ours)
    assert made.ro == [UserMount(f"{host.home}/proj", "/mnt/p"), UserMount(str(host.outside), str(host.outside))]
    assert made.rw == [UserMount(f"{host.home}/tmp", f"{host.home}/tmp")]
    assert made.disabled == ["/tmp", "/etc", "/run"]
    assert [refusal.entry for refusal in made.refused] == [f"{host.home}/tmp -> /mnt/p"]


def test_a_missing_source_stops_nothing(host: Host) -> None:  # CFG-2
    made = host.collect(Sandbox(ro=(f"{host.home}/later", f"{host.home}/proj")))
    assert [mount.dst for mount in made.ro] == [f"{host.home}/proj"]
    assert made.refused == [Refusal(f"{host.home}/later", "does not exist", "make it, or remove the entry")]
    (host.home / "later").mkdir()
    assert host.collect(Sandbox(ro=(f"{host.home}/later",))).refused == []


def test_a_tmp_that_lasts(host: Host) -> None:  # CFG-5
    host.write_mounts(additionalBinds=[{"src": f"{host.home}/tmp", "dst": "/tmp"}], disabledDefaultBinds=["/tmp"])
    assert host.collect() == ([], [UserMount(f"{host.home}/tmp", "/tmp")], ["/tmp"], [])


def test_an_edit_counts_at_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:  # CFG-6
    for name in ("proj", "temp", "tmp", "temp"):
        (host.home / name).mkdir(exist_ok=True)
        host.write_mounts(additionalBinds=[f"{host.home}/{name}"])
        assert [mount.src for mount in host.collect().rw] == [f"{host.home}/{name}"]
    while config.identity(host.desktop_file()) != config.identity(host.desktop_file()):
        pass
    read = read_desktop_file(host.environ)
    monkeypatch.setattr(usermounts, "_read", None)
    assert read_desktop_file(host.environ) is read  # and what has not changed is not read again
    monkeypatch.undo()
    host.desktop_file().unlink()
    assert host.collect() == ([], [], [], [])
    host.desktop_file().symlink_to("nowhere")
    assert "a link to nothing" in host.collect().refused[0].rule


@pytest.mark.parametrize("value", ["", "relative", None, "set"])
def test_xdg_config_home_is_honoured(host: Host, tmp_path: Path, value: str | None) -> None:  # CFG-7
    if value is not None:
        host.environ["XDG_CONFIG_HOME"] = str(tmp_path / "conf") if value == "set" else value
    folder = tmp_path / "conf" if value == "set" else host.home / ".config"
    (folder / "Claude").mkdir(parents=True, exist_ok=True)
    (folder / "Claude" / usermounts.DESKTOP_FILE).write_text(
        json.dumps({"preferences": {"coworkBwrapMounts": {"additionalROBinds": [str(host.outside)]}}})
    )
    (folder / "Claude" / usermounts.DESKTOP_FILE).chmod(0o600)
    assert [mount.src for mount in host.collect().ro] == [str(host.outside)]
    for private in (folder / "Claude", folder / "cowork", folder):
        private.mkdir(exist_ok=True)
        assert len(host.collect(Sandbox(ro=(str(private),))).refused) == 1


@pytest.mark.parametrize(
    "name", ["run/cowork", "run", "home/.local", "home/.local/state/cowork/sessions", "home/.local/share"]
)
def test_our_own_folders_stay_out(host: Host, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    assert "what belongs to cowork" in host.collect(Sandbox(ro=(str(tmp_path / name),))).refused[0].rule


def test_the_home_that_is_allowed_by_the_config(host: Host) -> None:
    assert host.collect(Sandbox(rw=(str(host.home),))).rw == []
    assert host.collect(Sandbox(rw=(str(host.home),), allow_home=True)).rw == [
        UserMount(str(host.home), str(host.home))
    ]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["/usr", "/tmp", "/", "/mnt/x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["src", "dst", "x"]), inner),
    max_leaves=8,
)


@given(_JSON, _JSON, _JSON, st.booleans())
def test_nothing_that_a_file_says_raises(ro: object, rw: object, disabled: object, allow: bool) -> None:
    made = validate(ro, rw, disabled, home="/home/nobody-at-all", allow_home=allow)
    for refusal in made.refused:
        assert refusal.rule
        assert refusal.fix
        assert refusal.entry.isprintable()
    for mount in made.ro + made.rw:
        assert mount.src.startswith("/")
        assert mount.dst == os.path.normpath(mount.dst)
    assert made.rw == []
    told = sum(len(lists) if isinstance(lists, list) else 1 for lists in (ro, rw))
    assert len(made.ro) <= told <= len(made.ro) + len(made.refused)
