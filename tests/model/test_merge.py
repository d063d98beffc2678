"""Merging a field that two have written: what holds for any field, known or not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.limits import (
    FIELD_VALUE_BYTES_MAX,
    MERGE_BYTES_MAX,
    MERGE_DEPTH_MAX,
    VALUE_DEPTH_MAX,
)
from kafkaman_sync.model.merge import keep_both, merge_field
from kafkaman_sync.model.values import REMOVED
from tests.model.merging import CLASH, GONE, both, conflicts, encode, merged
from tests.model.strategies import encoded_values


@given(encoded_values, encoded_values)
def test_equal_results_merge_to_that_result(base: bytes, same: bytes) -> None:
    for merge in (merge_field, keep_both):
        assert merge(Kind.REQUEST, "url", base, same, same) == same


@given(encoded_values, encoded_values)
def test_the_side_that_changed_wins_over_the_one_that_did_not(base: bytes, new: bytes) -> None:
    for merge in (merge_field, keep_both):
        assert merge(Kind.REQUEST, "url", base, base, new) == new
        assert merge(Kind.REQUEST, "url", base, new, base) == new


@pytest.mark.parametrize(
    ("name", "base", "mine", "theirs"),
    [
        ("name", "a", "b", "c"),
        ("method", "GET", "PUT", "POST"),
        ("name", GONE, "b", "c"),
        ("code", 200, 201, 202),
        ("extra", None, {"a": 1}, [1]),
        ("extra", {"a": 1}, {"a": True}, {"a": 1.5}),
        ("extra", ["a"], ["a", "b"], ["a", "c"]),
        ("extra", {"a": {"b": 1}}, {"a": {}}, {"a": {"b": 2}}),
    ],
)
def test_two_different_changes_are_for_a_person(
    name: str, base: Any, mine: Any, theirs: Any
) -> None:
    assert conflicts(name, base, mine, theirs)


def test_removal_against_change_is_for_a_person_and_both_keeps_the_change() -> None:
    assert conflicts("name", "a", GONE, "c")
    assert both("name", "a", GONE, "c") == both("name", "a", "c", GONE) == "c"
    assert merged("name", "a", GONE, "a") is GONE


def test_one_line_has_no_room_for_both() -> None:
    assert both("name", "a", "b", "c") is CLASH
    assert both("extra", {"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 1}) is CLASH


def test_unknown_maps_merge_by_key_at_every_level() -> None:
    base = {"a": {"b": {"c": 1, "d": 2}}, "e": 3}
    mine = {"a": {"b": {"c": 9, "d": 2}}, "e": 3, "f": 4}
    theirs = {"a": {"b": {"c": 1, "d": 2, "g": 5}}}
    assert merged("extra", base, mine, theirs) == {
        "a": {"b": {"c": 9, "d": 2, "g": 5}},
        "f": 4,
    }


@pytest.mark.parametrize("key", ["id", "key", "name", "listen"])
def test_unknown_lists_merge_by_item_if_each_has_a_key_of_its_own(key: str) -> None:
    base = [{key: "a", "n": 1}, {key: "b", "n": 2}]
    mine, theirs = [{key: "a", "n": 9}, base[1]], [*base, {key: "c", "n": 3}]
    assert merged("extra", base, mine, theirs) == [mine[0], *theirs[1:]]


def test_unknown_lists_whose_items_share_a_key_stay_whole() -> None:
    base = [{"id": "a", "n": 1}, {"id": "a", "n": 2}]
    assert conflicts("extra", base, [*base, {"id": "b"}], [{"id": "c"}, *base])


def test_unknown_text_merges_by_line_if_it_has_several() -> None:
    assert merged("extra", {"a": "1\n2\n3"}, {"a": "0\n2\n3"}, {"a": "1\n2\n4"}) == {"a": "0\n2\n4"}


def test_a_run_report_has_no_fields_of_a_request() -> None:
    base, mine, theirs = ({"mode": "raw", "a": a, "b": b} for a, b in ((1, 1), (2, 1), (1, 2)))
    mine["mode"] = "file"
    assert conflicts("body", base, mine, theirs)
    found = merged("body", base, mine, theirs, Kind.COLLECTION_RUN)
    assert found == {"mode": "file", "a": 2, "b": 2}


def test_executions_of_a_run_merge_by_their_ids() -> None:
    base = [{"id": "1", "item": {"name": "a"}}]
    mine, theirs = [*base, {"id": "2"}], [*base, {"id": "3"}]
    found = merged("executions.0000", base, mine, theirs, Kind.COLLECTION_RUN)
    assert found == [*base, {"id": "2"}, {"id": "3"}]


def test_numbers_of_any_size_stay_exact() -> None:
    huge, exact = 2**80, Decimal("0.1000000000000000055511151231257827")
    found = merged("extra", {}, {"a": huge}, {"b": exact})
    assert found == {"a": huge, "b": exact}


def test_what_is_nested_too_deeply_stays_whole() -> None:
    def nested(value: Any, levels: int) -> Any:
        for _ in range(levels):
            value = {"in": value}
        return value

    mine, theirs = {"a": 1}, {"b": 1}
    deepest = MERGE_DEPTH_MAX - 1
    found = merged("extra", nested({}, deepest), nested(mine, deepest), nested(theirs, deepest))
    assert found == nested({"a": 1, "b": 1}, deepest)
    deeper = MERGE_DEPTH_MAX
    assert conflicts("extra", nested({}, deeper), nested(mine, deeper), nested(theirs, deeper))


def test_values_of_any_depth_are_compared() -> None:
    def nested(value: Any) -> Any:
        for _ in range(VALUE_DEPTH_MAX - 2):
            value = [value]
        return {"deep": value}

    assert conflicts("extra", nested(1), nested(2), nested(3))
    assert merged("extra", nested(1), nested(2), {**nested(1), "a": 1}) == {**nested(2), "a": 1}


def test_values_over_the_limit_are_for_a_person() -> None:
    mine = {"a": "x" * MERGE_BYTES_MAX}
    assert conflicts("extra", {}, mine, {"b": 1})
    assert merged("extra", {}, mine, {}) == mine


def test_a_result_over_the_limit_of_a_field_is_for_a_person() -> None:
    # One line of a list for each number: the indentation is what makes it too long.
    numbers = ",".join(["[1]"] * (MERGE_BYTES_MAX // 5))
    base = '{\n        "a": {"b": {"c": {}}}}'
    mine = f'{{"a": {{"b": {{"c": {{"mine": [{numbers}]}}}}}}}}'
    theirs = '{"a": {"b": {"c": {"theirs": 1}}}}'
    assert len(mine) < MERGE_BYTES_MAX < FIELD_VALUE_BYTES_MAX
    assert conflicts("body", base, mine, theirs)


def test_bytes_that_are_no_value_are_for_a_person() -> None:
    assert merge_field(Kind.REQUEST, "url", encode("a"), b"\xc1", encode("b")) is None


def test_an_unknown_kind_is_merged_by_the_field_s_name() -> None:
    base, mine, theirs = (encode([{"key": key}]) for key in "abc")
    found = merge_field(None, "header", base, mine, theirs)
    assert found == merge_field(Kind.REQUEST, "header", base, mine, theirs)
    assert REMOVED not in (base, found)
