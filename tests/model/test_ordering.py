"""Positions: always room, always in order, rarely long."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.entities import is_position
from kafkaman_sync.model.limits import POSITION_BYTES_MAX
from kafkaman_sync.model.ordering import (
    DIGITS,
    HEAD_DIGITS,
    SUFFIX_DIGITS,
    position_between,
    positions_evenly,
    suffix_from,
)
from kafkaman_sync.model.ordering import suffixes as drawn_suffixes
from tests.model.strategies import positions, suffixes


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_a_suffix_is_digits_of_which_the_last_is_not_0(number: int) -> None:
    suffix = suffix_from(number)
    assert len(suffix) == SUFFIX_DIGITS
    assert is_position(suffix)


def test_suffixes_are_drawn_many_at_a_time_and_without_end() -> None:
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return Random(len(asked)).randbytes(count)

    found = list(islice(drawn_suffixes(entropy), 1000))
    assert len(asked) <= 4
    assert len(set(found)) > 900
    assert all(len(suffix) == SUFFIX_DIGITS and is_position(suffix) for suffix in found)


@given(positions, positions, suffixes)
def test_there_is_room_between_any_two(one: str, two: str, suffix: str) -> None:
    low, high = min(one, two), max(one, two)
    if low == high:
        with pytest.raises(ModelError) as caught:
            position_between(low, high, suffix)
        assert caught.value.code == "order.no_room"
        return
    position = position_between(low, high, suffix)
    assert low < position < high
    assert is_position(position)


@given(positions, suffixes)
def test_there_is_room_before_and_after_any(one: str, suffix: str) -> None:
    before = position_between(None, one, suffix)
    after = position_between(one, None, suffix)
    assert before < one < after
    assert is_position(before)
    assert is_position(after)


def test_siblings_out_of_order_are_refused() -> None:
    with pytest.raises(ModelError) as caught:
        position_between("b", "a", "xyz")
    assert caught.value.code == "order.no_room"


@given(st.lists(st.tuples(st.integers(min_value=0), suffixes), min_size=1, max_size=60))
def test_a_list_stays_in_order_whatever_is_inserted(inserts: list[tuple[int, str]]) -> None:
    found: list[str] = []
    for where, suffix in inserts:
        index = where % (len(found) + 1)
        low = found[index - 1] if index else None
        high = found[index] if index < len(found) else None
        found.insert(index, position_between(low, high, suffix))
    assert found == sorted(set(found))
    assert all(is_position(position) for position in found)


def test_appending_does_not_lengthen_positions() -> None:
    random = Random(1)
    last = None
    for _ in range(2000):
        last = position_between(last, None, suffix_from(random.getrandbits(32)))
    assert last is not None
    assert len(last) == HEAD_DIGITS + SUFFIX_DIGITS


def test_one_spot_takes_many_inserts() -> None:
    random = Random(2)
    low = position_between(None, None, "001")
    high = position_between(low, None, "001")
    for _ in range(100):
        high = position_between(low, high, suffix_from(random.getrandbits(32)))
    assert low < high


def test_two_that_differ_only_beyond_the_limit_have_no_room() -> None:
    low = "V" * (POSITION_BYTES_MAX - 1) + "1"
    high = "V" * (POSITION_BYTES_MAX - 1) + "2"
    with pytest.raises(ModelError) as caught:
        position_between(low, high, "abc")
    assert caught.value.code == "order.no_room"


@given(
    st.integers(min_value=0, max_value=300),
    suffixes,
    st.one_of(st.none(), positions.filter(lambda position: not position.startswith("zzzz"))),
)
def test_many_are_spaced_evenly(count: int, suffix: str, after: str | None) -> None:
    found = positions_evenly(count, suffix, after=after)
    assert len(found) == count
    assert found == sorted(set(found))
    assert all(is_position(position) for position in found)
    assert after is None or all(position > after for position in found)


def test_no_room_is_left_behind_the_very_last_position() -> None:
    with pytest.raises(ModelError) as caught:
        positions_evenly(1, "abc", after="z" * HEAD_DIGITS + "1")
    assert caught.value.code == "order.no_room"


def test_digits_are_in_the_order_of_their_bytes() -> None:
    assert list(DIGITS) == sorted(DIGITS)
