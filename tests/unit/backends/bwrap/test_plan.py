"""Mounts in every combination: what holds, in which order it is made, and that nothing is made in a user's folder.

What bubblewrap would do with the options is carried out on a model (``Shown``), which knows what is at every place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cowork.backends.bwrap import plan
from cowork.backends.bwrap.guard import guards
from cowork.backends.bwrap.plan import ENTRIES, Limits, Planned, add_mounts, choose, parent_of, refusal
from cowork.backends.bwrap.recipe import Recipe
from cowork.holder.spec import Cover
from cowork.translate.sessionmap import MappedMount
from tests.support.boxes import user_folder
from tests.support.holding import short_folder

BASE = "/sessions/otter/mnt"
WORDS = {
    "--bind": 2, "--ro-bind": 2, "--tmpfs": 1, "--remount-ro": 1, "--symlink": 2, "--ro-bind-data": 2, "--dir": 1,
}  # fmt: skip


SHOWING = ("--bind", "--ro-bind", "--tmpfs")


class Step(NamedTuple):
    """One option: ``source`` is a host path, a link's target or a descriptor."""

    option: str
    source: str
    place: str


def steps(recipe: Recipe) -> list[Step]:
    """The options of a recipe."""
    words, found = list(recipe.options), []
    while words:
        option = words.pop(0)
        operands = [words.pop(0) for _ in range(WORDS[option])]
        found.append(Step(option, operands[0] if len(operands) == 2 else "", operands[-1]))
    return found


class Failure(AssertionError):
    """bubblewrap would fail, or would make something in a folder of the user's."""


class Shown:
    """What a session sees below ``BASE``: the mounts in their order, the last one that holds a place counts."""

    def __init__(self, recipe: Recipe) -> None:
        self._covered = {f"{cover.root}/{cover.path}" for cover in recipe.covers}
        self._mounts: list[list[str]] = [["--tmpfs", "", BASE]]
        self._made: set[str] = set()
        self._sealed: set[str] = set()
        for cover in recipe.covers:
            above = os.path.dirname(f"{cover.root}/{cover.path}")
            if not os.path.isdir(above) or os.path.realpath(above) != above:
                raise Failure(f"no placeholder can be made in {above}")
        for step in steps(recipe):
            self._carry_out(step)
        for folder in recipe.sandbox().folders:
            if self.source(folder.place) != folder.path:
                raise Failure(f"at {folder.place} is {self.source(folder.place)}, not {folder.path}")

    def _carry_out(self, step: Step) -> None:
        if not step.place.startswith(f"{BASE}/"):
            raise Failure(f"outside: {step}")
        if step.option == "--remount-ro":
            self._sealed.add(step.place)
            return
        self._need(step.place)
        if step.option == "--symlink":
            self._made.add(step.place)
        else:
            self._mounts.append([step.option, step.source, step.place])

    def _mount_at(self, place: str) -> list[str]:
        return next(m for m in reversed(self._mounts) if place == m[2] or place.startswith(f"{m[2]}/"))

    def _need(self, place: str) -> None:
        """A mount point: there, or made in a folder of the sandbox's own."""
        option, source, mounted = self._mount_at(place)
        rest = place.removeprefix(mounted)
        if option in ("--bind", "--ro-bind"):
            there = f"{source}{rest}"
            if not os.path.exists(there) and there not in self._covered:
                raise Failure(f"{there} is not there; it would be made, or cannot be")
        elif option == "--tmpfs" and mounted in self._sealed:
            raise Failure(f"{mounted} is read-only already")
        elif option == "--ro-bind-data" and rest:
            raise Failure(f"{mounted} is a file")

    def source(self, place: str) -> str | None:
        """The host path that is seen at a place; None for what is of the sandbox's own."""
        option, source, mounted = self._mount_at(place)
        return source + place.removeprefix(mounted) if option in ("--bind", "--ro-bind") else None

    def writable(self, place: str) -> bool:
        """Whether the session can write there."""
        option, _, mounted = self._mount_at(place)
        return option == "--bind" or (option == "--tmpfs" and mounted not in self._sealed)


class Home:
    """A home folder, and mounts of what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.limits = Limits(str(path), (str(path / "ours"),))
        (path / "ours" / "trees").mkdir(parents=True)

    def folder(self, *names: str) -> None:
        for name in names:
            (self.path / name).mkdir(parents=True, exist_ok=True)

    def file(self, name: str, text: str = "x") -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def mounts(self, **asked: str) -> list[MappedMount]:
        """``name="path:mode"``, sorted as they come out of ``resolve_mounts``; ``__`` in a name is a slash."""
        found = []
        for name, text in asked.items():
            path, _, mode = text.partition(":")
            found.append(MappedMount(name.replace("__", "/"), os.path.realpath(self.path / path), mode or "rw"))
        return sorted(found, key=lambda m: (m.name.count("/"), m.name))

    def choose(self, **asked: str) -> Planned:
        return choose(self.mounts(**asked), self.limits)

    def recipe(self, planned: Planned, *, protect: bool = False) -> Recipe:
        recipe = Recipe("/bwrap", frozenset())
        add_mounts(recipe, planned, BASE, home=str(self.path), protect=protect)
        return recipe

    def show(self, **asked: str) -> Shown:
        return self._show(asked, protect=False)

    def guarded(self, **asked: str) -> Shown:
        """The same, with what is protected."""
        return self._show(asked, protect=True)

    def _show(self, asked: dict[str, str], *, protect: bool) -> Shown:
        planned = self.choose(**asked)
        assert planned.failed == {}
        return Shown(self.recipe(planned, protect=protect))

    def options(self, **asked: str) -> list[tuple[str, ...]]:
        """The options, without the home folder's path and the base."""
        made = steps(self.recipe(self.choose(**asked)))
        return [
            (s.option, s.source.removeprefix(f"{self.path}/"), s.place.removeprefix(f"{BASE}/")) for s in made
        ]  # fmt: skip


@pytest.fixture
def home() -> Iterator[Home]:
    """An ordinary user's: what root may do says little."""
    with user_folder() as folder:
        yield Home(Path(os.path.realpath(folder)))


# -- what may be mounted


def test_a_folder_and_a_file(home: Home) -> None:
    home.folder("proj")
    home.file("f")
    planned = home.choose(proj="proj", f="f:ro", same="proj:rwd")
    assert (planned.failed, planned.notes) == ({}, [])
    assert [mount.name for mount in planned.mounts] == ["f", "proj", "same"]


def test_the_home_folder_and_what_contains_it(home: Home) -> None:
    for host in (str(home.path), str(home.path.parent), "/"):
        assert "home folder" in refusal(host, home.limits)
    assert "home folder" in home.choose(h=".").failed["h"]


def test_the_home_folder_where_it_is_allowed(home: Home) -> None:
    """And nothing above it, nor our own folders in it, which are hidden."""
    limits = home.limits._replace(allow_home=True)
    assert refusal(str(home.path), limits) == ""
    assert refusal("/", limits)
    home.folder("ours")
    assert "Cowork's own files" in refusal(str(home.path / "ours"), limits)


@pytest.mark.parametrize("path", ["ours", "ours/trees", "ours/trees/s1"])
def test_our_own_files(home: Home, path: str) -> None:
    home.folder(path)
    assert "Cowork's own files" in refusal(str(home.path / path), home.limits)


def test_what_contains_our_own_files(home: Home) -> None:
    home.folder("data/cowork", "database")
    limits = home.limits._replace(ours=(str(home.path / "data/cowork"),))
    assert "contains Cowork's own files" in refusal(str(home.path / "data"), limits)
    assert refusal(str(home.path / "database"), limits) == ""


@pytest.mark.parametrize(
    "path", ["/proc", "/proc/self", "/sys", "/dev/shm", "/run", "/run/user", "/usr/lib", "/etc", "/bin", "/sessions/x"]
)
def test_parts_of_the_system(home: Home, path: str) -> None:
    assert "part of the system" in refusal(path, home.limits)


@pytest.mark.parametrize("name", ["usr", "etc", "process", "running"])
def test_what_is_merely_called_like_a_part_of_the_system(home: Home, name: str) -> None:
    home.folder(name)
    assert refusal(str(home.path / name), home.limits) == ""


def test_neither_a_file_nor_a_folder(home: Home) -> None:
    os.mkfifo(home.path / "fifo")
    assert "neither" in refusal(str(home.path / "fifo"), home.limits)


def test_a_parent_that_fails_takes_nobody_along(home: Home) -> None:
    """What is nested in it lies in nothing, then."""
    home.folder("proj")
    planned = home.choose(a=".", a__b="proj")
    assert list(planned.failed) == ["a"]
    shown = Shown(home.recipe(planned))
    assert shown.source(f"{BASE}/a/b") == str(home.path / "proj")


# -- one mount in another


def test_parents_come_first_though_they_were_named_last(home: Home) -> None:
    home.folder("p/x/y", "b", "c")
    assert home.options(p__x__y="c", p__x="b:ro", p="p")[0] == ("--bind", "p", "p")
    planned = home.choose(p="p", p__x="b")
    assert [mount.name for mount in planned.mounts] == ["p", "p/x"]


@pytest.mark.parametrize("parent", ["rw", "ro", "rwd"])
@pytest.mark.parametrize("child", ["rw", "ro"])
def test_a_place_that_is_there(home: Home, parent: str, child: str) -> None:
    home.folder("p/x", "other")
    assert home.options(p=f"p:{parent}", p__x=f"other:{child}") == [
        ("--ro-bind" if parent == "ro" else "--bind", "p", "p"),
        ("--ro-bind" if child == "ro" else "--bind", "other", "p/x"),
    ]
    shown = home.show(p=f"p:{parent}", p__x=f"other:{child}")
    assert shown.source(f"{BASE}/p/x") == str(home.path / "other")
    assert shown.writable(f"{BASE}/p/x") is (child == "rw")
    assert shown.writable(f"{BASE}/p") is (parent != "ro")


@pytest.mark.parametrize("child", ["rw", "ro"])
@pytest.mark.parametrize("place", ["x", "x/y", "x/y/z"])
def test_a_place_that_is_missing_below_what_can_be_written(home: Home, place: str, child: str) -> None:
    """A placeholder for as long as the session runs, and only at the first missing element."""
    home.folder("p", "other")
    asked = {"p": "p", f"p/{place}": f"other:{child}"}
    recipe = home.recipe(home.choose(**asked))
    assert recipe.covers == [Cover(str(home.path / "p"), "x", None)]
    assert Shown(recipe).source(f"{BASE}/p/{place}") == str(home.path / "other")
    assert os.listdir(home.path / "p") == []


def test_a_missing_place_below_one_that_is_there(home: Home) -> None:
    home.folder("p/x", "other")
    recipe = home.recipe(home.choose(**{"p": "p", "p/x/y": "other"}))
    assert recipe.covers == [Cover(str(home.path / "p"), "x/y", None)]
    Shown(recipe)


def test_two_missing_places_beside_each_other(home: Home) -> None:
    home.folder("p", "one", "two")
    recipe = home.recipe(home.choose(**{"p": "p", "p/x/a": "one", "p/x/b": "two"}))
    assert recipe.covers == [Cover(str(home.path / "p"), "x", None)]
    shown = Shown(recipe)
    assert shown.source(f"{BASE}/p/x/a") == str(home.path / "one")
    assert shown.source(f"{BASE}/p/x/b") == str(home.path / "two")


def test_a_missing_place_in_a_missing_place(home: Home) -> None:
    """The second lies in the first one's folder, whose it is then."""
    home.folder("p", "one", "two")
    recipe = home.recipe(home.choose(**{"p": "p", "p/x": "one", "p/x/y": "two"}))
    assert set(recipe.covers) == {Cover(str(home.path / "p"), "x", None), Cover(str(home.path / "one"), "y", None)}
    Shown(recipe)


@pytest.mark.parametrize("there", [True, False])
def test_a_file_in_a_folder(home: Home, there: bool) -> None:
    home.folder("p")
    home.file("f", "text")
    if there:
        home.file("p/x")
    recipe = home.recipe(home.choose(p="p", p__x="f:ro"))
    assert recipe.covers == ([] if there else [Cover(str(home.path / "p"), "x", "")])
    assert Shown(recipe).source(f"{BASE}/p/x") == str(home.path / "f")


def test_a_file_by_itself(home: Home) -> None:
    home.file("f")
    assert home.options(f="f:ro") == [("--ro-bind", "f", "f")]
    assert home.options(f="f") == [("--bind", "f", "f")]


def test_what_is_nested_in_a_file(home: Home) -> None:
    home.file("f")
    home.folder("p")
    assert "is a file" in home.choose(f="f", f__x="p").failed["f/x"]


@pytest.mark.parametrize(("there", "mounted"), [("file", "folder"), ("folder", "file")])
def test_what_is_in_the_way(home: Home, there: str, mounted: str) -> None:
    home.folder("p", "folder")
    home.file("file")
    if there == "file":
        home.file("p/x")
    else:
        home.folder("p/x")
    assert "in the way" in home.choose(p="p", p__x=mounted).failed["p/x"]


@pytest.mark.parametrize("place", ["link", "link/sub"])
def test_behind_a_link(home: Home, place: str) -> None:
    """bubblewrap would follow it, out of the folder and out of the session's root."""
    home.folder("p", "elsewhere/sub", "other")
    (home.path / "p" / "link").symlink_to("../elsewhere")
    assert "symbolic link" in home.choose(**{"p": "p", f"p/{place}": "other"}).failed[f"p/{place}"]


def test_a_link_that_leads_nowhere(home: Home) -> None:
    home.folder("p", "other")
    (home.path / "p" / "link").symlink_to("nowhere")
    assert "symbolic link" in home.choose(p="p", p__link="other").failed["p/link"]


def test_below_what_cannot_be_written(home: Home) -> None:
    home.folder("p", "other")
    (home.path / "p").chmod(0o555)
    assert "cannot be written to" in home.choose(p="p", p__x="other").failed["p/x"]
    (home.path / "p").chmod(0o755)


@pytest.mark.parametrize(
    ("parent", "child", "again"), [("rw", "rw", False), ("ro", "ro", False), ("rw", "ro", True), ("rwd", "rw", False)]
)
def test_a_place_that_the_parent_shows_already(home: Home, parent: str, child: str, again: bool) -> None:
    """Mounted again only where the mode differs."""
    home.folder("p/x")
    shown = home.show(p=f"p:{parent}", p__x=f"p/x:{child}")
    assert len(home.options(p=f"p:{parent}", p__x=f"p/x:{child}")) == (2 if again else 1)
    assert shown.writable(f"{BASE}/p/x") is (child == "rw")


def test_a_writable_place_in_a_read_only_parent(home: Home) -> None:
    home.folder("p/x")
    assert home.show(p="p:ro", p__x="p/x:rw").writable(f"{BASE}/p/x")


def test_a_link_to_what_the_parent_shows(home: Home) -> None:
    """The very place, by another name: nothing has to be done, and a link is no hindrance."""
    home.folder("p/x")
    (home.path / "p" / "link").symlink_to("x")
    planned = home.choose(p="p", p__link="p/x")
    assert planned.failed == {}
    assert steps(home.recipe(planned)) == [Step("--bind", str(home.path / "p"), f"{BASE}/p")]


# -- a read-only parent in which something has to be made


def composed(home: Home, **more: str) -> Shown:
    home.folder("p/sub", "other")
    home.file("p/file")
    (home.path / "p" / "link").symlink_to("sub")
    return home.show(p="p:ro", p__new="other", **more)


def test_a_read_only_parent_is_put_together(home: Home) -> None:
    shown = composed(home)
    assert home.options(p="p:ro", p__new="other") == [
        ("--tmpfs", "", "p"), ("--ro-bind", "p/file", "p/file"), ("--symlink", "sub", "p/link"),
        ("--ro-bind", "p/sub", "p/sub"), ("--bind", "other", "p/new"), ("--remount-ro", "", "p"),
    ]  # fmt: skip
    assert shown.source(f"{BASE}/p/sub") == str(home.path / "p/sub")
    assert shown.source(f"{BASE}/p/new") == str(home.path / "other")
    assert shown.writable(f"{BASE}/p/new")
    for place in ("", "/sub", "/file", "/another"):
        assert not shown.writable(f"{BASE}/p{place}")


def test_nothing_is_made_in_it(home: Home) -> None:
    composed(home)
    assert home.recipe(home.choose(p="p:ro", p__new="other")).covers == []
    assert sorted(os.listdir(home.path / "p")) == ["file", "link", "sub"]


def test_it_may_not_have_too_many_entries(home: Home) -> None:
    home.folder("p", "other")
    for number in range(ENTRIES):
        home.file(f"p/{number}")
    assert home.choose(p="p:ro", p__new="other").failed == {}
    home.file("p/one-more")
    assert "too many entries" in home.choose(p="p:ro", p__new="other").failed["p/new"]
    assert home.choose(p="p:rw", p__new="other").failed == {}


def test_what_is_neither_file_nor_folder_is_left_out_of_it(home: Home) -> None:
    home.folder("p", "other")
    os.mkfifo(home.path / "p" / "fifo")
    assert [step[2] for step in home.options(p="p:ro", p__new="other")] == ["p", "p/new", "p"]


def test_a_missing_place_further_down_in_it(home: Home) -> None:
    home.folder("p/sub", "other")
    home.show(**{"p": "p:ro", "p/sub/new": "other"})


def test_another_mount_on_an_entry_of_it(home: Home) -> None:
    """The holder finds something else there than was meant, and starts nothing."""
    home.folder("third")
    composed(home, p__sub="third")


def test_one_that_lies_in_another_mount_is_given_a_place(home: Home) -> None:
    home.folder("outer", "p", "other")
    home.show(**{"outer": "outer", "outer/p": "p:ro", "outer/p/new": "other"})


# -- what is protected


def test_a_writable_folder_is_guarded(home: Home) -> None:
    home.folder("proj/.git/hooks")
    home.file("proj/.git/config")
    recipe = home.recipe(home.choose(proj="proj"), protect=True)
    shown = Shown(recipe)
    for name in (".git/hooks", ".git/config", ".mcp.json", ".claude", ".claude/settings.json"):
        assert not shown.writable(f"{BASE}/proj/{name}"), name
    for name in ("", "/.git", "/.git/HEAD", "/src"):
        assert shown.writable(f"{BASE}/proj{name}"), name
    made = {(cover.path, cover.content) for cover in recipe.covers}
    assert made >= {(".claude", None), (".mcp.json", '{"mcpServers":{}}\n')}
    assert not {path for path, _ in made} & {".git", ".git/hooks", ".git/config"}, "they are there"


def test_not_where_nobody_wants_it(home: Home) -> None:
    home.folder("proj")
    recipe = home.recipe(home.choose(proj="proj"), protect=False)
    assert (len(recipe.options), recipe.covers) == (3, [])


@pytest.mark.parametrize("name", [".claude", ".auto-memory", "outputs", "uploads"])
def test_the_clients_own_folders_are_not_guarded(home: Home, name: str) -> None:
    home.folder("x")
    assert len(home.recipe(home.choose(**{name: "x"}), protect=True).options) == 3


def test_a_hidden_folder_of_the_users_is_guarded(home: Home) -> None:
    """Whoever chooses the name does not choose what is protected."""
    home.folder("x/.git/hooks", ".config/app/.git/hooks")
    assert not home.guarded(**{".x": "x"}).writable(f"{BASE}/.x/.git/hooks")
    assert home.guarded(app=".config/app").writable(f"{BASE}/app/.git/hooks"), "the client's own"


def test_read_only_folders_and_files_need_no_guard(home: Home) -> None:
    home.folder("x")
    home.file("f")
    assert len(home.recipe(home.choose(x="x:ro", f="f:rw"), protect=True).options) == 6


def test_the_home_folder_is_guarded_under_whatever_name(home: Home) -> None:
    planned = choose(home.mounts(**{".hidden": "."}), Limits(str(home.path), (), allow_home=True))
    shown = Shown(home.recipe(planned, protect=True))
    for name in (".bashrc", ".profile", ".zshrc", ".mcp.json"):
        assert not shown.writable(f"{BASE}/.hidden/{name}"), name


def test_what_cannot_be_protected_is_told(home: Home) -> None:
    home.folder("proj", "elsewhere")
    (home.path / "proj" / ".git").symlink_to("../elsewhere")
    planned = home.choose(proj="proj")
    home.recipe(planned, protect=True)
    assert planned.notes == ["proj/.git is not protected: it is a symbolic link"]


def test_a_mount_in_a_folder_that_would_be_covered(home: Home) -> None:
    home.folder("proj", "skills")
    planned = home.choose(**{"proj": "proj", "proj/.claude/skills": "skills"})
    shown = Shown(home.recipe(planned, protect=True))
    assert shown.source(f"{BASE}/proj/.claude/skills") == str(home.path / "skills")
    assert shown.source(f"{BASE}/proj/.claude/settings.json") is None, "not the user's"
    assert planned.notes == ["proj/.claude is not protected: something is mounted in it"]


def test_a_mount_in_a_folder_that_is_pinned(home: Home) -> None:
    home.folder("proj/.claude/skills", "skills")
    shown = home.guarded(**{"proj": "proj", "proj/.claude/skills": "skills"})
    assert shown.source(f"{BASE}/proj/.claude/skills") == str(home.path / "skills")
    assert not shown.writable(f"{BASE}/proj/.claude/settings.json")


@pytest.mark.parametrize(("name", "there"), [(".claude", True), (".mcp.json", True)])
def test_a_mount_at_a_place_that_is_guarded(home: Home, name: str, there: bool) -> None:
    """The holder compares, finds something else at the place and starts nothing."""
    home.folder("proj", "conf")
    home.file("f")
    source = "conf" if name == ".claude" else "f"
    if source == "conf":
        home.folder(f"proj/{name}")
    else:
        home.file(f"proj/{name}")
    home.guarded(**{"proj": "proj", f"proj/{name}": source})


def test_a_file_at_a_missing_place_that_is_guarded(home: Home) -> None:
    """bubblewrap cannot mount on what it has put there as --ro-bind-data."""
    home.folder("proj")
    home.file("f")
    recipe = home.recipe(home.choose(**{"proj": "proj", "proj/.mcp.json": "f"}), protect=True)
    assert [step.option for step in steps(recipe) if step.place == f"{BASE}/proj/.mcp.json"] == ["--bind"]


def test_a_project_in_a_mounted_folder_is_guarded_as_well(home: Home) -> None:
    home.folder("work/proj/.git/hooks")
    shown = home.guarded(**{"work": "work", "work/proj": "work/proj"})
    assert not shown.writable(f"{BASE}/work/proj/.git/hooks")


# -- for any mounts


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
MODES = st.sampled_from(["rw", "ro", "rwd"])


class Asked(NamedTuple):
    """Folders below home and mounts of them by name."""

    folders: list[str]
    mounts: dict[str, tuple[str, str]]


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    folders = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    chosen = st.tuples(st.sampled_from(folders), MODES)
    return Asked(folders, draw(st.dictionaries(NAMES, chosen, min_size=1, max_size=6)))


@settings(max_examples=300, deadline=None)
@given(asked(), st.booleans())
def test_whatever_is_mounted(given_: Asked, protect: bool) -> None:
    """Every mount is there as it was asked for, behind its parents, and nothing is made in anybody's folder."""
    with short_folder() as folder:
        home = Home(Path(os.path.realpath(folder)))
        home.folder(*(f"f/{name}" for name in given_.folders))
        planned = home.choose(**{name: f"f/{path}:{mode}" for name, (path, mode) in given_.mounts.items()})
        before = sorted(home.path.rglob("*"))
        recipe = home.recipe(planned, protect=protect)
        shown = Shown(recipe)
        assert sorted(home.path.rglob("*")) == before
        assert {*planned.failed, *(mount.name for mount in planned.mounts)} == set(given_.mounts)
        for mount in planned.mounts:
            check_content(home, shown, mount, [other.name for other in planned.mounts])
            if mount.mode == "ro":
                assert not shown.writable(f"{BASE}/{mount.name}")
        check_order(planned.mounts, [step.place for step in steps(recipe) if step.option in SHOWING])


def check_content(home: Home, shown: Shown, mount: MappedMount, names: Sequence[str]) -> None:
    """It is there, or all that is in it is, except where something else is mounted."""
    place = f"{BASE}/{mount.name}"
    if mount.mode != "ro":
        assert shown.source(place) == mount.host
    elif shown.source(place) != mount.host:
        assert shown.source(place) is None
        for path in Path(mount.host).rglob("*"):
            name = f"{mount.name}/{path.relative_to(mount.host)}"
            if not any(other == name or other.startswith(f"{name}/") or name.startswith(f"{other}/")
                       for other in names if other != mount.name and other.startswith(f"{mount.name}/")):  # fmt: skip
                assert shown.source(f"{BASE}/{name}") == str(path)


def check_order(mounts: Sequence[MappedMount], places: list[str]) -> None:
    """Whatever is mounted comes behind everything it lies in; what its parent shows anyway is not mounted again."""
    shown = [f"{BASE}/{mount.name}" for mount in mounts if f"{BASE}/{mount.name}" in places]
    for place in shown:
        for other in shown:
            if place.startswith(f"{other}/"):
                assert places.index(other) < places.index(place)


def test_the_parent_is_the_deepest(home: Home) -> None:
    home.folder("x")
    mounts = home.mounts(a="x", a__b="x", a__b__c="x", ab="x", a__bc="x")
    parents = {m.name: parent.name if (parent := parent_of(m, mounts)) else None for m in mounts}
    assert parents == {"a": None, "ab": None, "a/b": "a", "a/bc": "a", "a/b/c": "a/b"}


# -- paths that a project wants to be read-only


def read_only(home: Home, *paths: str) -> tuple[Shown, list[str]]:
    recipe = home.recipe(home.choose(proj="proj"))
    notes = plan.add_read_only(recipe, str(home.path / "proj"), f"{BASE}/proj", paths)
    return Shown(recipe), notes


def test_paths_that_are_there(home: Home) -> None:
    home.folder("proj/docs")
    home.file("proj/src/file")
    shown, notes = read_only(home, "docs", "src/file")
    assert notes == []
    assert not shown.writable(f"{BASE}/proj/docs/x")
    assert not shown.writable(f"{BASE}/proj/src/file")
    assert shown.writable(f"{BASE}/proj/src/other")


def test_paths_that_are_not_there_cannot_be_made(home: Home) -> None:
    home.folder("proj")
    shown, notes = read_only(home, "docs", "a/b")
    assert notes == []
    for path in ("docs", "a", "a/b"):
        assert not shown.writable(f"{BASE}/proj/{path}")


@pytest.mark.parametrize("path", ["link", "link/sub"])
def test_paths_behind_links_are_told(home: Home, path: str) -> None:
    home.folder("proj", "elsewhere/sub")
    (home.path / "proj" / "link").symlink_to("../elsewhere")
    _, (note,) = read_only(home, path)
    assert note.startswith(f"{path} is not read-only")


# -- one more folder for a sandbox that runs


def test_a_live_mount_is_guarded_like_the_others(home: Home) -> None:
    home.folder("proj/.git")
    (mount,) = home.mounts(proj="proj")
    live = plan.live(mount, BASE, home=str(home.path), protect=True)
    assert (live.host, live.above, live.name, live.writable) == (str(home.path / "proj"), BASE, "proj", True)
    expected = {guard.path: guard.kind == "pin" for guard in guards(mount.host, home=str(home.path))}
    assert dict(live.guards) == expected
    assert (expected[".git"], expected[".git/hooks"]) == (True, False)
    covered = [cover.path for cover in live.covers]
    assert {".git/hooks", ".claude", ".mcp.json"} <= set(covered) <= set(expected) - {".git"}
    assert all(cover.root == str(home.path / "proj") for cover in live.covers)


@pytest.mark.parametrize(
    ("name", "mode", "protect"), [("proj", "ro", True), ("proj", "rw", False), (".claude", "rw", True)]
)
def test_a_live_mount_that_needs_no_guards(home: Home, name: str, mode: str, protect: bool) -> None:
    home.folder("proj")
    (mount,) = home.mounts(**{name: f"proj:{mode}"})
    live = plan.live(mount, BASE, home=str(home.path), protect=protect)
    assert (live.guards, live.covers, live.writable) == ([], [], mode != "ro")
