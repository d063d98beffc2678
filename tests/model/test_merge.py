"""Merging a field that two have written."""

from __future__ import annotations

from hypothesis import given

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.merge import merge_field
from tests.model.strategies import encoded_values


@given(encoded_values, encoded_values)
def test_equal_results_merge_to_that_result(base: bytes, both: bytes) -> None:
    assert merge_field(Kind.REQUEST, "url", base, both, both) == both


@given(encoded_values, encoded_values)
def test_the_side_that_changed_wins_over_the_one_that_did_not(base: bytes, new: bytes) -> None:
    assert merge_field(Kind.REQUEST, "url", base, base, new) == new
    assert merge_field(Kind.REQUEST, "url", base, new, base) == new


def test_two_different_changes_are_for_a_person() -> None:
    assert merge_field(Kind.REQUEST, "url", b"\x01", b"\x02", b"\x03") is None
