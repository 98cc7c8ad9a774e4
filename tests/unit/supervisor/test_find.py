"""Which session is meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.errors import ConfigError, NotFound
from cowork.paths import Paths
from cowork.sessions.directory import SessionDirectory
from cowork.sessions.record import ExitRecord, SessionRecord
from cowork.supervisor.find import find, find_all
from tests.support.holding import short_folder


def where(folder: Path) -> Paths:
    (folder / "sessions").mkdir(exist_ok=True)
    return Paths(home=folder, state=folder, runtime=folder / "r", sockets=folder, trees=folder / "t")


def session(here: Paths, id: str, name: str, *, ended: bool = False) -> SessionDirectory:
    directory = SessionDirectory(here.sessions, id)
    directory.create(SessionRecord(id=id, kind="shell", name=name)).close()
    if ended:
        directory.write_exit(ExitRecord())
    return directory


@pytest.fixture
def here(tmp_path: Path) -> Paths:
    return where(tmp_path)


A, B, C = "aaaaaaaaaaaa", "aaaaaaaaaaab", "caaaaaaaaaaa"


def test_by_id_by_beginning_and_by_name(here: Paths) -> None:
    session(here, A, "one")
    session(here, C, "two", ended=True)
    assert find(here, A).id == find(here, "a").id == find(here, "one").id == A
    assert find(here, C).id == find(here, "caa").id == find(here, "two").id == C
    assert find(here, A).record().name == "one"


def test_a_whole_id_goes_before_a_name_and_a_name_before_a_beginning(here: Paths) -> None:
    session(here, A, "one")
    session(here, B, A)
    session(here, C, "aaaa")
    assert find(here, A).id == A, "though another one is named so"
    assert find(here, "aaaa").id == C, "though two ids begin so"


def test_one_that_runs_goes_before_those_that_have_ended(here: Paths) -> None:
    session(here, A, "one", ended=True)
    session(here, B, "one")
    session(here, C, "one", ended=True)
    assert find(here, "one").id == B
    assert find(here, "aaaaaaaaaaa").id == B
    session(here, "daaaaaaaaaaa", "aaaa", ended=True)
    assert find(here, "aaaa").id == "daaaaaaaaaaa", "but a name that has ended goes before a beginning that runs"


@pytest.mark.parametrize("ended", [True, False])
def test_what_may_be_several_is_refused_and_all_are_named(here: Paths, ended: bool) -> None:
    for id in (A, B, C):
        session(here, id, "one", ended=ended)
    with pytest.raises(ConfigError, match=f"one may be any of {A} .one., {B} .one., {C} .one.") as caught:
        find(here, "one")
    assert caught.value.hint == "name one by its id"
    with pytest.raises(ConfigError, match=f"a may be any of {A} .one., {B} .one.$"):
        find(here, "a")


@pytest.mark.parametrize("wanted", ["", "b", "one ", "ONE", f"{A}a", "..", "/", "*", "o"])
def test_what_is_none_of_them_is_said(here: Paths, wanted: str) -> None:
    session(here, A, "one")
    with pytest.raises(NotFound, match="no session") as caught:
        find(here, wanted)
    assert caught.value.hint == "cowork ps --all lists them"


def test_one_without_a_name_is_not_meant_by_nothing(here: Paths) -> None:
    session(here, A, "")
    with pytest.raises(NotFound):
        find(here, "")
    assert find(here, "a").id == A


def test_one_whose_record_is_damaged_is_found_by_its_id(here: Paths) -> None:
    (session(here, A, "one").path / "session.json").write_text("{")
    session(here, B, "one")
    assert find(here, A).id == A
    assert find(here, "one").id == B
    with pytest.raises(ConfigError, match=f"{A}, {B} .one."):
        find(here, "aa")


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        find(Paths(tmp_path, tmp_path / "none", tmp_path, tmp_path, tmp_path), A)


def test_several_are_each_found_once_in_the_order_they_were_named(here: Paths) -> None:
    session(here, A, "one")
    session(here, C, "two")
    assert [d.id for d in find_all(here, ["two", "a", C, "one", A])] == [C, A]
    assert find_all(here, []) == []
    with pytest.raises(NotFound):
        find_all(here, ["one", "none"])


ids = st.text("ab", min_size=11, max_size=11).map("a".__add__)
names = st.sampled_from(["", "one", "a", "aa", "aaaaaaaaaaaa"]) | ids


@given(st.dictionaries(ids, st.tuples(names, st.booleans()), max_size=5), names)
def test_whatever_there_is_the_best_kind_of_match_decides(found: dict[str, tuple[str, bool]], wanted: str) -> None:
    with short_folder() as folder:
        here = where(folder)
        for id, (name, ended) in found.items():
            session(here, id, name, ended=ended)
        kinds = (
            {id for id in found if id == wanted},
            {id for id, (name, _) in found.items() if wanted and name == wanted},
            {id for id in found if wanted and id.startswith(wanted)},
        )
        best = next(filter(None, kinds), set())
        running = {id for id in best if not found[id][1]}
        expected = running if len(running) == 1 else best
        if len(expected) == 1:
            assert {find(here, wanted).id} == expected
            return
        with pytest.raises(ConfigError if best else NotFound) as caught:
            find(here, wanted)
        assert all(id in str(caught.value) for id in best)
