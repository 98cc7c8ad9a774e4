"""Our configuration: what it may say, how mistakes are told, and when it is read again."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork import config
from cowork.config import (
    Attach,
    Background,
    Bind,
    Config,
    Limits,
    Network,
    Notify,
    Sandbox,
    Watched,
    identity,
    load,
    memory_limit,
    shown,
    shown_key,
    tasks_limit,
)
from cowork.errors import ConfigError, CoworkError, PolicyError

ROOT = os.geteuid() == 0


class Place:
    """A folder for configurations and the environment that leads to it."""

    def __init__(self, folder: Path) -> None:
        self.environ = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "conf")}
        self.file = folder / "conf" / "cowork" / "config.toml"
        self.file.parent.mkdir(parents=True)

    def write(self, content: str | bytes) -> None:
        self.file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.file.chmod(0o600)

    def load(self, content: str | bytes) -> Config:
        self.write(content)
        return load(self.environ)

    def error(self, content: str | bytes) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.load(content)
        return caught.value

    def settle(self) -> None:
        """Let the file be as old as one that nobody has just changed."""
        while identity(self.file) != identity(self.file):
            pass


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_where_it_is() -> None:
    assert config.path({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}) == Path("/c/cowork/config.toml")
    for value in ("", "relative", "./x", "~/x"):
        assert config.path({"HOME": "/h", "XDG_CONFIG_HOME": value}) == Path("/h/.config/cowork/config.toml")
    assert config.path({"HOME": "/h"}) == Path("/h/.config/cowork/config.toml")


def test_without_a_file_the_defaults_hold(place: Place) -> None:
    assert load(place.environ) == Config()
    assert place.load("") == Config()
    place.file.unlink()
    place.file.parent.rmdir()
    place.file.parent.write_text("a file where the folder should be")
    assert load(place.environ) == Config()
    assert Config() == Config(
        isolation="any", network=Network(default="open", allow=None, proxy=None),
        limits=Limits(memory=None, tasks=None),
        sandbox=Sandbox(ro=(), rw=(), disable=(), allow_home=False, protect=True),
        background=Background(backend="host", history=256 * 1024**2), attach=Attach(detach_keys="ctrl-\\ d"),
        notify=Notify(command=(), on=("blocked", "done", "failed")),
    )  # fmt: skip


def test_all_there_is(place: Place) -> None:
    assert place.load(
        """
        isolation = "required"
        [network]
        default = "api"
        allow = ["pypi.org", "*.example.org"]
        proxy = "http://proxy.example:3128"
        [sandbox]
        ro = ["/opt/tools", {src = "/srv/a", dst = "/mnt/a"}]
        rw = []
        disable = ["/tmp"]
        allow-home = true
        protect = false
        [limits]
        memory = "4G"
        tasks = 512
        [background]
        backend = "auto"
        history = "1G"
        [attach]
        detach-keys = 'ctrl-\\ x'
        [notify]
        command = ["notify-send", "{name}"]
        on = ["blocked"]
        """
    ) == Config(
        isolation="required",
        network=Network(default="api", allow=("pypi.org", "*.example.org"), proxy="http://proxy.example:3128"),
        sandbox=Sandbox(ro=("/opt/tools", Bind("/srv/a", "/mnt/a")), disable=("/tmp",), allow_home=True, protect=False),
        limits=Limits(memory=4 * 1024**3, tasks=512),
        background=Background(backend="auto", history=1024**3),
        attach=Attach(detach_keys="ctrl-\\ x"),
        notify=Notify(command=("notify-send", "{name}"), on=("blocked",)),
    )


def test_no_names_are_not_the_same_as_none_given(place: Place) -> None:
    assert place.load("[network]\nallow = []").network.allow == ()
    assert place.load("[network]").network.allow is None


@pytest.mark.parametrize(
    ("content", "line", "key", "allowed"),
    [
        ('\nisolation = "none"', 2, "isolation", '"any" or "required"'),
        ("isolation = true", 1, "isolation", '"any" or "required"'),
        ("isolation = 0x" + "f" * 5000, 1, "isolation", '"any" or "required"'),
        ('[network]\ndefault = "closed"', 2, "network.default", '"open" or "api"'),
        ('network.default = "closed"', 1, "network.default", '"open" or "api"'),
        ('network = {default = "closed"}', 1, "network.default", '"open" or "api"'),
        ("network = 5", 1, "network", "a table"),
        ('[network]\nallow = "pypi.org"', 2, "network.allow", "a list of names"),
        ('[network]\nallow = ["a", 5]', 2, "network.allow[1]", "a list of names"),
        ("[network]\nproxy = 3128", 2, "network.proxy", "http://host:port"),
        ('[network]\nproxy = "http://host"', 2, "network.proxy", "http://host:port"),
        ('[network]\nproxy = "https://host:1"', 2, "network.proxy", "http://host:port"),
        ('[network]\nproxy = "http://host:65536"', 2, "network.proxy", "http://host:port"),
        ('[network]\nproxy = "http://host:0"', 2, "network.proxy", "http://host:port"),
        ('[network]\nproxy = "http://host:1/path"', 2, "network.proxy", "http://host:port"),
        ('[network]\nproxy = "http://host:1\\n"', 2, "network.proxy", "http://host:port"),
        ('[sandbox]\n\nro = "/opt"', 3, "sandbox.ro", "a list of"),
        ('[sandbox]\nro = [["/opt"]]', 2, "sandbox.ro[0]", "a list of"),
        ('[sandbox]\nrw = [\n  "/a",\n  {src = "/opt"},\n]', 2, "sandbox.rw[1]", "a list of"),
        ('[sandbox]\nrw = [{src = "/o", dst = "/p", mode = "x"}]', 2, "sandbox.rw[0]", "a list of"),
        ('[sandbox]\nrw = [{src = "/o", dst = 5}]', 2, "sandbox.rw[0].dst", "a list of"),
        ("[sandbox]\ndisable = [5]", 2, "sandbox.disable[0]", "a list of"),
        ('[sandbox]\nallow-home = "yes"', 2, "sandbox.allow-home", "true or false"),
        ("[sandbox]\nprotect = 0", 2, "sandbox.protect", "true or false"),
        ('[limits]\nmemory = "4X"', 2, "limits.memory", "at least 16 MiB"),
        ('# limits\n[ limits ]\n"tasks" = 0', 3, "limits.tasks", "a number from 1 to 4194304"),
        ("[limits]\ntasks = 4194305", 2, "limits.tasks", "a number from 1 to 4194304"),
        ("[limits]\ntasks = true", 2, "limits.tasks", "a number from 1 to 4194304"),
        ("limits = []", 1, "limits", "a table"),
        ('[background]\nbackend = "kvm"', 2, "background.backend", '"auto", "bwrap" or "host"'),
        ('[background]\nhistory = "3M"', 2, "background.history", "at least 4 MiB"),
        ("[background]\nhistory = 1.5", 2, "background.history", "at least 4 MiB"),
        ("[attach]\ndetach-keys = 5", 2, "attach.detach-keys", "keys such as"),
        ('[notify]\ncommand = "notify-send"', 2, "notify.command", "a program and its arguments"),
        ('[notify]\non = ["idle"]', 2, "notify.on[0]", 'a list of "blocked", "done" and "failed"'),
    ],
)
def test_a_value_that_makes_no_sense(place: Place, content: str, line: int, key: str, allowed: str) -> None:
    message = place.error(content).message
    assert message.startswith(f"{place.file}:{line}: {key}: ")
    assert allowed in message.partition("; allowed: ")[2]
    assert len(message) < 400


@pytest.mark.parametrize(
    ("content", "key", "hint"),
    [
        ("[netwrok]", "netwrok", "did you mean network?"),
        ("isolaton = 'any'", "isolaton", "did you mean isolation?"),
        ("[sandbox]\nallow_home = true", "sandbox.allow_home", "did you mean sandbox.allow-home?"),
        ("[limits]\nmem = 5", "limits.mem", ""),
        ("[workers.mail]\ndir = '/x'", "workers", ""),
        ("[nowhere]\nto = 'x'", "nowhere", ""),
        ("[network]\nzzz = 1", "network.zzz", "remove network.zzz"),
        ('"a\\nb" = 1', '"a\\nb"', 'remove "a\\nb"'),
        ('[sandbox]\n"allow-home " = 1', 'sandbox."allow-home "', "did you mean sandbox.allow-home?"),
    ],
)
def test_an_unknown_key(place: Place, content: str, key: str, hint: str) -> None:
    error = place.error(content)
    assert f": {key}: unknown key; known here: " in error.message
    assert hint in (error.hint or "")
    assert error.hint


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("isolation = ", ": Invalid value"),
        ("a = 1\nb = = 2", ":2: "),
        ("[network]\n[network]", ":2: "),
        (b"# ok\n\n# \xff", ":3: not UTF-8"),
        ('a = "', ": Unterminated"),
        ("a = " + "[" * 5000, ": "),
        ("a = " + "9" * 5000, ": "),
        ("a = 2020-13-45", ":1: "),
        ("\ufeffisolation = 'any'", ":1: "),
        ("\0", ":1: "),
    ],
)
def test_what_is_no_toml(place: Place, content: str | bytes, where: str) -> None:
    error = place.error(content)
    assert error.message.startswith(f"{place.file}{where}")
    assert error.hint


def test_a_line_that_cannot_be_told_apart_is_not_named(place: Place) -> None:
    text = 'isolation = "x"\n[network]\nallow = ["""\n[limits]\nmemory = 1\n""", """\n[limits]\nmemory = 2"""]\n'
    assert place.error(text).message.startswith(f"{place.file}:1: isolation")
    hidden = text.replace('"x"', '"any"') + "[limits]\nmemory = 3\n"
    assert place.error(hidden).message.startswith(f"{place.file}: limits.memory: not 3; ")


def test_a_password_is_not_shown(place: Place) -> None:
    error = place.error('[network]\nproxy = "http://u:s3cret@host:1"')
    assert "s3cret" not in error.message + (error.hint or "")


@pytest.mark.parametrize("url", ["", "http://h:1", "http://[::1]:65535/", "http://10.0.0.1:8080"])
def test_proxies(place: Place, url: str) -> None:
    assert place.load(f'[network]\nproxy = "{url}"').network.proxy == url


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (16777216, 2**24), ("16M", 2**24), ("16384K", 2**24), ("1G", 2**30), ("2t", 2**41), ("16777216", 2**24),
        (4294967296, 2**32), (2**63 - 1, 2**63 - 1),
    ],
)  # fmt: skip
def test_sizes(value: object, size: int) -> None:
    assert memory_limit(value) == size


@pytest.mark.parametrize(
    "value",
    [16777215, "15M", 0, -1, "-1G", "", "G", "4 G", "4GB", "4GiB", "4.5G", "٤G", True, 4e9, None, [], 2**63,
     "9" * 19 + "T", "4G\n"],
)  # fmt: skip
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="at least 16 MiB"):
        memory_limit(value)


_KEYS = st.sampled_from(["isolation", "network", "sandbox", "limits", "ro", "memory", "default", "x"])
_VALUES = st.recursive(
    st.sampled_from(['"any"', '"api"', "5", "1.5", "true", "2020-01-01", "'4G'", "[]", "{}", '"/a"',
     "0xfffffffffffffffff"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda made: f"[{', '.join(made)}]")
    | st.tuples(_KEYS, inner).map(lambda made: f"{{{made[0]} = {made[1]}}}"),
    max_leaves=5,
)  # fmt: skip


@given(
    st.binary(max_size=40)
    | st.lists(st.tuples(_KEYS, _VALUES).map(" = ".join)).map(lambda made: "\n".join(made).encode())
)
def test_anything_is_a_configuration_or_an_error_that_names_the_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.write(content)
        try:
            found: Config | str = load(place.environ)
        except ConfigError as e:
            found = e.message
        assert isinstance(found, Config) or found.startswith(str(place.file))  # fmt: skip


@pytest.mark.parametrize("value", [True, False, 0, -1, 4194305, "5", 5.0, None])
def test_what_is_no_number_of_tasks(value: object) -> None:
    with pytest.raises(ValueError, match="a number from 1 to 4194304"):
        tasks_limit(value)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_file_that_others_can_write_is_refused(place: Place, mode: int) -> None:
    place.write("")
    place.file.chmod(mode)
    with pytest.raises(PolicyError, match="other users can write") as caught:
        load(place.environ)
    assert caught.value.hint == f"chmod go-w {place.file}"


@pytest.mark.parametrize("mode", [0o400, 0o644, 0o600])
def test_a_file_that_others_can_read_is_fine(place: Place, mode: int) -> None:
    place.write('isolation = "required"')
    place.file.chmod(mode)
    assert load(place.environ).isolation == "required"


def test_somebody_elses_file_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("")
    owner = 65534 if ROOT else os.geteuid()
    if ROOT:
        os.chown(place.file, owner, owner)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(PolicyError, match=f"belongs to uid {owner}"):
        load(place.environ)


@pytest.mark.skipif(not ROOT, reason="takes root to have a file of root's")
def test_roots_file_is_fine(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert load(place.environ) == Config()


def test_what_is_no_file(place: Place) -> None:
    os.mkfifo(place.file, 0o600)
    with pytest.raises(ConfigError, match="is no regular file"):
        load(place.environ)
    place.file.unlink()
    place.file.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="is no regular file"):
        load(place.environ)
    place.file.rmdir()
    place.file.symlink_to(place.file)
    with pytest.raises(ConfigError, match="cannot be read: Too many levels"):
        load(place.environ)


def test_links_are_followed_but_not_to_nothing(place: Place, tmp_path: Path) -> None:
    place.write('isolation = "required"')
    place.file.rename(tmp_path / "dotfile")
    place.file.symlink_to(tmp_path / "dotfile")
    assert load(place.environ).isolation == "required"
    (tmp_path / "dotfile").unlink()
    with pytest.raises(ConfigError, match="a link to nothing"):
        load(place.environ)


def test_a_file_without_end_is_refused(place: Place) -> None:
    place.write("#" * (config.MAX_SIZE + 1))
    with pytest.raises(ConfigError, match="longer than"):
        load(place.environ)


def test_an_edit_counts_at_once(place: Place) -> None:
    watched = Watched(place.environ)
    assert watched.current() == Config()
    for value in ("any", "required", "any"):
        place.write(f'isolation = "{value}"')
        assert watched.current().isolation == value
    for number in range(300, 400):  # same size, faster than the clock of the file system ticks
        place.write(f"limits.tasks = {number}")
        assert watched.current().limits.tasks == number
    replacement = place.file.with_name("new")
    replacement.write_text("limits.tasks = 999")
    replacement.chmod(0o600)
    os.rename(replacement, place.file)
    assert watched.current().limits.tasks == 999
    place.file.unlink()
    assert watched.current() == Config()


def test_a_file_that_was_changed_just_now_may_change_again_unseen(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("")
    changed = place.file.stat().st_ctime_ns
    times = [changed + 1, changed + 4_000_000, changed + 10**9, changed + 2 * 10**9]
    clock = iter(times)
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    found = [identity(place.file) for _ in times]
    assert len(set(found)) == 3
    assert found[2] == found[3]


def test_an_unchanged_file_is_not_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("limits.tasks = 3")
    watched = Watched(place.environ)
    place.settle()
    first = watched.current()
    monkeypatch.setattr(config, "_load", None)
    assert watched.current() is first


def test_a_changed_time_alone_does_not_hide_an_edit(place: Place) -> None:
    place.write("limits.tasks = 3")
    watched = Watched(place.environ)
    place.settle()
    assert watched.current().limits.tasks == 3
    before = place.file.stat()
    place.write("limits.tasks = 4")
    os.utime(place.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watched.current().limits.tasks == 4


def test_a_file_that_has_become_bad_fails_until_it_is_mended(place: Place) -> None:
    place.write('isolation = "required"')
    watched = Watched(place.environ)
    assert watched.current().isolation == "required"
    place.write("isolation = = ")
    place.settle()
    for _ in range(2):
        with pytest.raises(ConfigError, match=re.escape(f"{place.file}:1")):
            watched.current()
    place.write('isolation = "required"')
    assert watched.current().isolation == "required"
    place.settle()
    watched.current()
    place.file.chmod(0o666)
    with pytest.raises(PolicyError):
        watched.current()
    place.file.unlink()
    place.file.symlink_to("nowhere")
    with pytest.raises(CoworkError):
        watched.current()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'), ("a\nb", '"a\\nb"'), ("x" * 300, '"' + "x" * 200 + '…"'), (True, "true"), (5, "5"), (1.5, "1.5"),
        (2**64, "a huge number"), ([1], "a list"), ((), "a list"), ({}, "a table"), (None, "null"),
    ],
)  # fmt: skip
def test_values_as_messages_show_them(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [("a-b_1", "a-b_1"), ("", '""'), ("a.b", '"a.b"'), ("a\n", '"a\\n"'), ("x" * 300, f'"{"x" * 200}…"')],
)
def test_keys_as_messages_show_them(key: str, text: str) -> None:
    assert shown_key(key) == text
