"""The restart policy: never too soon, never too late, never for ever."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowork.supervisor.restart import BAD_CONFIGURATION, WORKER, Policy, Restarts

NEVER = Policy(first=1.0, longest=60.0, good=5.0, attempts=0)
runs = st.tuples(st.floats(0, 1e6), st.none() | st.integers(0, 255))


def test_four_tries_and_the_fifth_parks() -> None:
    restarts = Restarts()
    assert [restarts.ended(WORKER, 0.1, 1) for _ in range(5)] == [2.0, 4.0, 8.0, 16.0, None]
    assert restarts.parked == "5 runs in a row lasted less than 10 seconds"


def test_delays_double_up_to_the_longest() -> None:
    restarts = Restarts()
    delays = [restarts.ended(NEVER, 0.0, 1) for _ in range(2000)]
    assert delays[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(delays[7:]) == {60.0}
    assert restarts.parked == ""


@pytest.mark.parametrize(("lasted", "delay", "failed"), [(9.999, 8.0, 3), (10.0, 2.0, 0), (1e9, 2.0, 0)])
def test_a_run_that_lasted_begins_anew(lasted: float, delay: float, failed: int) -> None:
    restarts = Restarts(failed=2)
    assert restarts.ended(WORKER, lasted, 1) == delay
    assert restarts.failed == failed


@pytest.mark.parametrize("lasted", [0.0, 9.0, 1e6])
def test_a_wrong_configuration_parks_at_once(lasted: float) -> None:
    restarts = Restarts()
    assert restarts.ended(WORKER, lasted, BAD_CONFIGURATION) is None
    assert "78" in restarts.parked
    restarts.unpark()
    assert restarts == Restarts()
    assert restarts.ended(WORKER, 0.0, 1) == 2.0


def test_what_cannot_be_started_is_parked_with_the_reason() -> None:
    restarts = Restarts()
    restarts.refused("no such program")
    assert restarts.parked == "no such program"


@given(st.sampled_from([WORKER, NEVER]), st.lists(runs, max_size=40))
def test_whatever_happens_the_rules_hold(policy: Policy, history: list[tuple[float, int | None]]) -> None:
    restarts = Restarts()
    bad = 0
    for lasted, status in history:
        restarts = msgspec.json.decode(msgspec.json.encode(restarts), type=Restarts)  # another daemon goes on
        delay = restarts.ended(policy, lasted, status)
        bad = 0 if lasted >= policy.good else bad + 1
        wrong = status == BAD_CONFIGURATION
        assert (delay is None) == (wrong or bad == policy.attempts > 0) == bool(restarts.parked)
        if delay is None:
            break
        assert policy.first <= delay <= policy.longest
        assert delay == min(policy.first * 2 ** max(bad - 1, 0), policy.longest)
