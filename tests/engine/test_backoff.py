"""Waiting between attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.engine.backoff import (
    FIRST_SECONDS_MAX,
    RETRY_SECONDS_MAX,
    RETRY_SECONDS_MIN,
    STABLE_SECONDS,
    Backoff,
)

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10**6), CHANCE)
def test_a_wait_is_never_zero_and_never_above_the_cap(failures: int, chance: float) -> None:
    seconds, after = Backoff(failures).failed(chance)
    assert RETRY_SECONDS_MIN <= seconds <= RETRY_SECONDS_MAX
    assert after.failures == failures + 1


def test_the_bound_doubles_with_each_failure_until_the_cap() -> None:
    backoff, bounds = Backoff(), []
    for _ in range(8):
        seconds, backoff = backoff.failed(1.0)
        bounds.append(seconds)
    assert bounds == [1, 2, 4, 8, 16, 32, 60, 60]


@given(st.floats(0.001, 10**6), CHANCE)
def test_a_servers_retry_after_wins_up_to_ten_minutes(asked: float, chance: float) -> None:
    seconds, _ = Backoff(20).failed(chance, retry_after=asked)
    assert min(asked, 600) <= seconds <= min(asked, 600) + FIRST_SECONDS_MAX


def test_a_stable_minute_begins_anew_and_less_does_not() -> None:
    assert Backoff(9).stood(STABLE_SECONDS) == Backoff()
    assert Backoff(9).stood(STABLE_SECONDS - 1) == Backoff(9)
