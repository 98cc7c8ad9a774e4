"""What a project file may ask for, and that it never loosens anything."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.backends import project
from cowork.backends.project import FILE, TIGHTEN, Project, insist, load, tighten
from cowork.config import Limits, Refusal
from cowork.errors import RpcError
from tests.support.holding import short_folder
from tests.support.ordinary import ordinary_user

ROOT = os.geteuid() == 0


def read(folder: Path, content: str | bytes) -> Project:
    (folder / FILE).write_bytes(content.encode() if isinstance(content, str) else content)
    return load(str(folder))


def rules(made: Project) -> list[tuple[str, str]]:
    return [(refusal.entry, refusal.rule) for refusal in made.refused]


def test_most_projects_have_none(tmp_path: Path) -> None:
    assert load(str(tmp_path)) == Project()
    assert load(str(tmp_path / "gone")) == Project()
    (tmp_path / "file").write_text("")
    assert load(str(tmp_path / "file")) == Project()
    assert read(tmp_path, "# nothing") == Project()
    assert Project() == Project(
        required=False, allow=None, api_only=False, read_only=(), limits=Limits(), refused=(), broken=False
    )  # fmt: skip


def test_all_there_is(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        """
        isolation = "required"
        [network]
        default = "api"
        allow = ["pypi.org", "*.example.org"]
        [sandbox]
        read-only = ["docs", "src/vendor/", ".github", "a b/é", "docs/"]
        [limits]
        memory = "2G"
        tasks = 64
        """,
    )
    assert made == Project(
        required=True, allow=("pypi.org", "*.example.org"), api_only=True,
        read_only=("docs", "src/vendor", ".github", "a b/é"), limits=Limits(memory=2 * 1024**3, tasks=64),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        ('isolation = "any"', 'isolation = "any"'),
        ("isolation = 5", "isolation = 5"),
        ('[network]\ndefault = "open"', 'network.default = "open"'),
        ('[network]\nproxy = "http://evil:1"', 'network.proxy = "http://evil:1"'),
        ('[sandbox]\nrw = ["/"]', "sandbox.rw = a list"),
        ('[sandbox]\nro = ["/etc"]', "sandbox.ro = a list"),
        ('[sandbox]\ndisable = ["/tmp"]', "sandbox.disable = a list"),
        ("[sandbox]\nallow-home = true", "sandbox.allow-home = true"),
        ("[sandbox]\nprotect = false", "sandbox.protect = false"),
        ("[workers.x]\ndir = '/'", "workers = a table"),
        ("typo = 1", "typo = 1"),
        ('"a\\nb" = 1', '"a\\nb" = 1'),
        ("[limits]\ncpu = 1", "limits.cpu = 1"),
    ],
)
def test_what_would_loosen_or_is_not_known(tmp_path: Path, content: str, entry: str) -> None:
    assert read(tmp_path, content) == Project(refused=(Refusal(entry, TIGHTEN, "put it into config.toml"),))


@pytest.mark.parametrize(
    ("content", "entry", "rule"),
    [
        ("network = 5", "network = 5", "has to be a table"),
        ("sandbox = []", "sandbox = a list", "has to be a table"),
        ('[network]\nallow = "a"', 'network.allow = "a"', "has to be a list of names"),
        ('[sandbox]\nread-only = "a"', 'sandbox.read-only = "a"', "has to be a list of paths"),
        ("[limits]\nmemory = 1", "limits.memory = 1", "allowed: bytes, at least 16 MiB"),
        ("[limits]\ntasks = 0x" + "f" * 5000, "limits.tasks = a huge number", "allowed: a number from 1"),
    ],
)
def test_what_cannot_be_understood(tmp_path: Path, content: str, entry: str, rule: str) -> None:
    made = read(tmp_path, content)
    assert made._replace(refused=()) == Project()
    ((told, why),) = rules(made)
    assert told == entry
    assert why.startswith(rule)


def test_the_rest_of_the_file_holds(tmp_path: Path) -> None:
    made = read(
        tmp_path, 'isolation = "required"\n[sandbox]\nrw = ["/"]\nread-only = ["a"]\n[network]\nallow = ["x", 5]'
    )
    assert (made.required, made.read_only, made.allow, len(made.refused)) == (True, ("a",), ("x",), 2)


def test_a_list_without_names_allows_none(tmp_path: Path) -> None:
    assert read(tmp_path, "[network]\nallow = []").allow == ()
    made = read(tmp_path, "[network]\nallow = [5, []]")
    assert made.allow == ()
    assert rules(made) == [("network.allow: 5", "has to be a name"), ("network.allow: a list", "has to be a name")]


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/etc", "relative"), ("", "empty element"), (".", "empty element"), ("..", "empty element"),
        ("./a", "empty element"), ("a/../b", "empty element"), ("a//b", "empty element"), ("../a", "empty element"),
        ("a\\nb", "control character"), ("a\\u007f", "control character"), ("a\\u0000", "control character"),
        ("*.key", "patterns"), ("a/?", "patterns"),
        ("x" * 256, "too long"), ("x/" * 2500 + "x", "too long"), ("/", "relative"),
    ],
)  # fmt: skip
def test_paths_that_are_not_inside(tmp_path: Path, path: str, rule: str) -> None:
    made = read(tmp_path, f'[sandbox]\nread-only = ["{path}", "ok"]')
    assert made.read_only == ("ok",)
    ((entry, why),) = rules(made)
    assert entry.startswith("sandbox.read-only: ")
    assert rule in why


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    assert rules(read(tmp_path, "[sandbox]\nread-only = [5]")) == [("sandbox.read-only: 5", "has to be a path")]


def test_a_file_can_neither_flood_the_log_nor_the_mounts(tmp_path: Path) -> None:
    many = ", ".join(f'"p{number}"' for number in range(project.MAX_PATHS + 100))
    made = read(tmp_path, f"[sandbox]\nread-only = [{many}]")
    assert len(made.read_only) == project.MAX_PATHS
    assert len(made.refused) == project.MAX_TOLD + 1
    assert made.refused[-1].entry == "50 more"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"isolation = ", "is no TOML"),
        (b'isolation = "required"\nisolation = "any"', "is no TOML: Cannot overwrite a value"),
        (b"\xff", "is no TOML: not UTF-8"),
        (b"a = " + b"[" * 50000, "is no TOML"),
        (b"a = " + b"9" * 50000, "is no TOML"),
        (b"#" * (project.MAX_SIZE + 1), "is longer than 65536 bytes"),
        (b"a." * 30000 + b"a = 1", "has more than 2000 dots"),
    ],
)
def test_a_bad_file_has_no_effect_and_is_told(tmp_path: Path, content: bytes, rule: str) -> None:
    began = time.monotonic()
    made = read(tmp_path, b"" + content)
    assert made._replace(refused=()) == Project(broken=True)
    (refusal,) = made.refused
    assert refusal.entry == FILE
    assert refusal.rule.startswith(rule)
    assert refusal.fix
    assert time.monotonic() - began < 5


def test_the_longest_key_that_is_read_is_read_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    made = read(tmp_path, "a." * project.MAX_DOTS + "a = 1")
    assert time.monotonic() - began < 5
    assert len(made.refused) == 1


def test_what_is_no_plain_file(tmp_path: Path) -> None:
    file = tmp_path / FILE
    (tmp_path / "real").write_text('isolation = "required"')
    file.symlink_to("real")
    assert load(str(tmp_path)).refused[0].rule == "is a symbolic link"
    file.unlink()
    os.mkfifo(file)
    assert load(str(tmp_path)).refused[0].rule == "is no regular file"
    file.unlink()
    file.mkdir()
    assert load(str(tmp_path)).refused[0].rule == "is no regular file"
    assert load(str(tmp_path)).broken


def test_a_workspace_that_is_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / FILE).write_text('isolation = "required"')
    (tmp_path / "link").symlink_to("real")
    assert load(str(tmp_path / "link")).required


def test_somebody_elses_file_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = 65534 if ROOT else os.geteuid()
    (tmp_path / FILE).write_text('isolation = "required"')
    if ROOT:
        os.chown(tmp_path / FILE, owner, owner)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    made = load(str(tmp_path))
    assert (made.required, made.broken, made.refused[0].rule) == (False, True, f"belongs to uid {owner}")


def test_a_file_that_cannot_be_read() -> None:
    with ordinary_user(), short_folder() as folder:  # root may read everything
        (folder / FILE).touch(0o200)
        assert load(str(folder)).refused[0].rule == "cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        (Limits(), Limits(), Limits()),
        (Limits(), Limits(5, 6), Limits(5, 6)),
        (Limits(5, 6), Limits(), Limits(5, 6)),
        (Limits(5, 6), Limits(7, 2), Limits(5, 2)),
        (Limits(5, None), Limits(None, 2), Limits(5, 2)),
    ],
)
def test_the_smaller_limit_wins(ours: Limits, theirs: Limits, both: Limits) -> None:
    assert tighten(ours, Project(limits=theirs)) == both


@pytest.mark.parametrize(
    ("made", "named", "sets"),
    [
        (Project(), True, ()),
        (Project(), False, ()),
        (Project(allow=("a",)), True, (("a",),)),
        (Project(allow=()), False, ((),)),
        (Project(api_only=True), False, ((),)),
        (Project(api_only=True), True, ()),
        (Project(api_only=True, allow=("a",)), False, (("a",),)),
    ],
)
def test_rules_that_have_to_allow_as_well(made: Project, named: bool, sets: tuple[tuple[str, ...], ...]) -> None:
    assert made.rule_sets(named=named) == sets


# Whatever a file says, with it no more is allowed than without it.

_NAMES = st.sampled_from(["a.org", "b.org", "*.c.org", "*"])
_SCALARS = st.sampled_from(
    ['"required"', '"any"', '"open"', '"api"', "true", "false", "0", "64", "99999999", '"1G"', '"64M"', '"9999T"',
     "1.5", '"/"', '"docs"', '"../.."', '"a/b/"', '"*"', "2020-01-01", "nan"]
)  # fmt: skip
_VALUES = _SCALARS | st.lists(_SCALARS | _NAMES.map('"{}"'.format), max_size=4).map(lambda made: f"[{', '.join(made)}]")
_KNOWN = {
    "": ["isolation", "unknown", "read-only"],
    "network": ["default", "allow", "proxy", "isolation"],
    "sandbox": ["read-only", "ro", "rw", "disable", "allow-home", "protect"],
    "limits": ["memory", "tasks", "cpu"],
}


@st.composite
def _files(draw: st.DrawFn) -> str:
    lines = []
    for section, keys in _KNOWN.items():
        chosen = draw(st.lists(st.sampled_from(keys), unique=True))
        lines += [f"[{section}]"] if section and chosen else []
        lines += [f"{key} = {draw(_VALUES)}" for key in chosen]
    return "\n".join(lines)


_CONTENTS = _files().map(str.encode) | st.binary(max_size=50) | st.text(max_size=50).map(str.encode)
_LIMITS = st.builds(
    Limits, memory=st.none() | st.integers(2**24, 2**40), tasks=st.none() | st.integers(1, 4194304)
)  # fmt: skip


def no_looser(new: int | None, old: int | None) -> bool:
    return old is None or (new is not None and new <= old)


@given(_CONTENTS, _LIMITS, st.booleans(), st.booleans(), st.lists(_NAMES))
def test_a_project_file_only_tightens(
    content: bytes, limits: Limits, required: bool, named: bool, hosts: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = read(Path(folder), content)
    tightened = tighten(limits, made)
    assert no_looser(tightened.memory, limits.memory)
    assert no_looser(tightened.tasks, limits.tasks)
    assert (required or made.required) >= required
    asked = [set(hosts), *map(set, made.rule_sets(named=named))]
    assert set.intersection(*asked) <= set(hosts)
    for path in made.read_only:
        assert os.path.normpath(path) == path
        assert os.path.commonpath(["/w", os.path.normpath(f"/w/{path}")]) == "/w"
        assert path != "."
    if made.broken:
        assert made == Project(broken=True, refused=made.refused)
        assert len(made.refused) == 1


@given(_CONTENTS, _LIMITS)
def test_applying_a_file_twice_is_applying_it_once(content: bytes, limits: Limits) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = read(Path(folder), content)
        assert load(folder) == made
    assert tighten(tighten(limits, made), made) == tighten(limits, made)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("", None),
        ('isolation = "required"', None),
        ('isolation = "any"', None),
        ("[sandbox]\nrw = ['/etc']", None),
        ("isolation = ", ".cowork.toml"),
        ("[network]\nallow = 'name'", "network.allow"),
        ("[limits]\nmemory = 'much'", "limits.memory"),
        ("[sandbox]\nread-only = ['../x']", "sandbox.read-only"),
        ("network = 3", "network"),
    ],
)
def test_what_cannot_be_understood_is_insisted_on(tmp_path: Path, text: str, refused: str | None) -> None:
    """What would loosen has no effect; what may have been meant to tighten must not be passed over."""
    (tmp_path / FILE).write_text(text)
    if refused is None:
        insist(load(str(tmp_path)), str(tmp_path))
        return
    with pytest.raises(RpcError, match=re.escape(f"{tmp_path}/{FILE}: {refused}")) as caught:
        insist(load(str(tmp_path)), str(tmp_path))
    assert caught.value.hint
