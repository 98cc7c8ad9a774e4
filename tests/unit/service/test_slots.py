"""The table of subscribers' places, against a model, with the daemon dying at any point."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cowork.holder.page import ANYBODY, EXIT_TAKEN, FREE, HOLDING, SLOTS, Page
from cowork.service.slots import KEPT, Slots, advance, all_told, mark_exit, open_on, profile_of


@pytest.fixture
def table(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "subscribers")


class Clock:
    """Stands for ``time.time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("cowork.service.slots.time.time", made.time)
    return made


def test_profiles_are_told_apart_and_fit_a_word() -> None:
    pairs = [("", ""), ("a", ""), ("", "a"), ("a", "b"), ("ab", ""), ("é", "x")]
    numbers = [profile_of(*pair) for pair in pairs]
    assert len(set(numbers)) == len(pairs)
    assert all(0 <= n < 1 << 63 for n in numbers)
    assert profile_of("a", "b") == profile_of("a", "b")


def test_a_new_place_begins_where_anybody_has_got_to(table: Slots) -> None:
    first = table.take_free(7)
    assert first not in (None, ANYBODY)
    assert first is not None
    assert table.log_position(first) == 0
    table.set_log_position(first, 12)
    second = table.take_free(7)
    assert second is not None
    assert second != first
    assert table.log_position(second) == 12
    table.set_log_position(second, 11)
    assert table.log_position(ANYBODY) == 12


def test_the_oldest_position_is_the_slowest_readers(table: Slots) -> None:
    one, two = table.take_free(1), table.take_free(2)
    assert one is not None
    assert two is not None
    table.set_log_position(one, 50)
    assert table.oldest_log_position() == 0
    table.set_log_position(two, 20)
    assert table.oldest_log_position() == 20
    table.free(two)
    assert table.oldest_log_position() == 50


def test_a_place_is_kept_for_its_profile_alone(table: Slots, clock: Clock) -> None:
    one, two = table.take_free(1), table.take_free(2)
    assert one is not None
    assert two is not None
    assert table.find_left(1) is None, "somebody is connected there"
    table.leave(one)
    clock.now += 1
    assert table.find_left(2) is None
    assert table.find_left(1) == one
    table.take(one)
    assert table.find_left(1) is None


def test_of_two_places_the_one_left_last_is_taken(table: Slots, clock: Clock) -> None:
    one, two = table.take_free(1), table.take_free(1)
    assert one is not None
    assert two is not None
    table.leave(two)
    clock.now += 5
    table.leave(one)
    assert table.find_left(1) == one


def test_a_place_expires_after_its_time_but_never_under_somebody(table: Slots, clock: Clock) -> None:
    one, two = table.take_free(1), table.take_free(2)
    assert one is not None
    table.leave(one)
    clock.now += KEPT - 1
    assert table.expired() == []
    clock.now += 2
    assert table.expired() == [one]
    table.free(one)
    assert table.expired() == []
    assert list(table.used()) == [two]


def test_a_clock_that_was_set_back_keeps_no_place_for_ever(table: Slots, clock: Clock) -> None:
    one = table.take_free(1)
    assert one is not None
    table.leave(one)
    clock.now -= 500
    assert table.expired() == [one]


def test_there_are_as_many_places_as_the_page_has(table: Slots) -> None:
    given = [table.take_free(n) for n in range(SLOTS - 1)]
    assert sorted(slot for slot in given if slot is not None) == list(range(1, SLOTS))
    assert table.take_free(5) is None
    table.free(3)
    assert table.take_free(5) == 3


def test_after_a_restart_all_places_are_waited_for(tmp_path: Path, clock: Clock) -> None:
    first = Slots(tmp_path / "subscribers")
    slot = first.take_free(9)
    assert slot is not None
    first.set_log_position(slot, 33)
    # No close: the daemon was killed.
    clock.now += 10_000
    second = Slots(tmp_path / "subscribers")
    assert second.find_left(9) == slot
    assert second.log_position(slot) == 33
    assert second.log_position(ANYBODY) == 33
    assert second.expired() == []
    clock.now += KEPT + 1
    assert second.expired() == [slot]
    first.close()
    second.close()


class Places(RuleBasedStateMachine):
    """Subscribers come, read, go and the daemon dies; nobody's position is ever lost or moved by another."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cw"))
        self.table = Slots(self.folder / "subscribers")
        self.positions: dict[int, int] = {}
        self.profiles: dict[int, int] = {}
        self.connected: set[int] = set()
        self.anybody = 0

    def teardown(self) -> None:
        self.table.close()
        shutil.rmtree(self.folder)

    @rule(profile=st.integers(0, 3))
    def come(self, profile: int) -> None:
        left = self.table.find_left(profile)
        candidates = {s for s, p in self.profiles.items() if p == profile and s not in self.connected}
        assert (left in candidates) if candidates else left is None
        if left is not None:
            self.table.take(left)
            slot = left
        else:
            free = self.table.take_free(profile)
            if free is None:
                assert len(self.positions) == SLOTS - 1
                return
            slot = free
            assert slot not in self.positions
            self.positions[slot] = self.anybody
            self.profiles[slot] = profile
        self.connected.add(slot)

    @precondition(lambda self: self.connected)
    @rule(data=st.data(), step=st.integers(1, 5))
    def read(self, data: st.DataObject, step: int) -> None:
        slot = data.draw(st.sampled_from(sorted(self.connected)))
        self.positions[slot] += step
        self.table.set_log_position(slot, self.positions[slot])
        self.anybody = max(self.anybody, self.positions[slot])

    @precondition(lambda self: self.connected)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.connected)))
        self.table.leave(slot)
        self.connected.discard(slot)

    @precondition(lambda self: self.positions.keys() - self.connected)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.positions.keys() - self.connected)))
        self.table.free(slot)
        del self.positions[slot], self.profiles[slot]

    @rule()
    def die(self) -> None:
        old = self.table
        self.table = Slots(self.folder / "subscribers")
        old.close()
        self.connected.clear()

    @invariant()
    def agrees(self) -> None:
        assert set(self.table.used()) == set(self.positions)
        for slot, position in self.positions.items():
            assert self.table.log_position(slot) == position
        assert self.table.log_position(ANYBODY) == self.anybody
        assert self.table.oldest_log_position() == min([self.anybody, *self.positions.values()])


TestPlaces = Places.TestCase
TestPlaces.settings = settings(derandomize=True, deadline=None, max_examples=60, database=None)


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path / "readers", create=True)


def test_a_slot_of_a_new_session_begins_at_its_beginning(page: Page) -> None:
    page.set_position(ANYBODY, 1, 500)
    open_on(page, 4, new_session=True)
    assert (page.state(4), page.position(4, 1), page.position(4, 2)) == (HOLDING, 0, 0)


def test_a_slot_that_comes_later_begins_where_anybody_has_got_to(page: Page) -> None:
    open_on(page, 1, new_session=True)
    advance(page, 1, 500, 300)
    open_on(page, 2, new_session=False)
    assert (page.position(2, 1), page.position(2, 2)) == (500, 300)
    advance(page, 2, 600, 700)
    assert (page.position(ANYBODY, 1), page.position(ANYBODY, 2)) == (600, 700)
    advance(page, 1, 550, 550)
    assert (page.position(ANYBODY, 1), page.position(ANYBODY, 2)) == (600, 700)
    assert (page.position(1, 1), page.position(1, 2)) == (550, 550)
    assert page.floor() == 550


def test_a_slot_that_is_open_stays_where_it_is(page: Page) -> None:
    open_on(page, 1, new_session=True)
    advance(page, 1, 10, 20)
    open_on(page, 1, new_session=True)
    assert page.position(1, 1) == 10


def test_the_end_is_told_to_each_once(page: Page) -> None:
    assert not all_told(page, iter([])), "nobody was told"
    open_on(page, 1, new_session=True)
    open_on(page, 2, new_session=True)
    mark_exit(page, 1)
    assert page.state(1) == HOLDING | EXIT_TAKEN
    assert not all_told(page, iter([1, 2]))
    assert all_told(page, iter([1])), "the other's place was given up"
    page.set_state(2, FREE)
    assert all_told(page, iter([1, 2]))
    open_on(page, 3, new_session=False)
    assert page.state(3) & EXIT_TAKEN, "the end was told before it came"
