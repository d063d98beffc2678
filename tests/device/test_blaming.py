"""Who wrote which part of a value, from the versions that it had."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from kafkaman_sync.device.blaming import Version, blame
from kafkaman_sync.model.values import REMOVED, decode_value, encode_value


def versions(*values: Any) -> list[Version]:
    """Versions of a field, numbered from 1 with the first value; None is nothing."""
    data = [REMOVED, *(REMOVED if value is None else encode_value(value) for value in values)]
    found = [Version(seq, *pair) for seq, pair in enumerate(pairwise(data), 1)]
    return found[::-1]


def blamed(*values: Any) -> list[tuple[str, Any, int | None]]:
    return [(part.label, decode_value(part.data), seq) for part, seq in blame(versions(*values))]


def header(**values: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def test_each_item_of_a_keyed_list_is_whose_who_wrote_it_last() -> None:
    found = blamed(header(A="1"), header(A="1", B="1"), header(B="2", A="1"), header(A="1", B="2"))
    assert [(label, seq) for label, _, seq in found] == [("A", 1), ("B", 3)]


def test_items_of_one_key_are_told_apart_by_their_order() -> None:
    one, two = header(A="1"), header(A="2")
    assert [seq for _, _, seq in blamed(one + one, one + two, two + two)] == [3, 2]


def test_each_key_of_a_map_is_whose_who_wrote_it_last() -> None:
    found = blamed({"a": 1}, {"a": 1, "b": [1]}, {"a": 2, "b": [1]})
    assert found == [("a", 2, 3), ("b", [1], 2)]


def test_each_line_of_a_text_is_whose_who_wrote_it_last() -> None:
    found = blamed("one\ntwo", "zero\none\ntwo", "zero\none\n2", "zero\none\n2\n")
    assert [(line, seq) for _, line, seq in found] == [("zero", 2), ("one", 1), ("2", 3), ("", 4)]


@pytest.mark.parametrize("value", ["text", 5, [], {}, [1, 2], [{"key": 1}], None])
def test_anything_else_is_whose_who_wrote_it_last(value: Any) -> None:
    assert [seq for _, _, seq in blamed("other", value)] == [2] * (value is not None)


def test_what_was_of_another_shape_before_is_new() -> None:
    assert [seq for _, _, seq in blamed("A: 1", header(A="1"))] == [2]
    assert [seq for _, _, seq in blamed({"A": "1"}, "one\ntwo")] == [2, 2]
    assert [seq for _, _, seq in blamed([1], {"A": 1})] == [2]


def test_what_is_older_than_the_oldest_version_is_nobodys() -> None:
    newest = versions(header(A="1"), header(A="1", B="2"))[:1]
    assert [(part.label, seq) for part, seq in blame(newest)] == [("A", None), ("B", 2)]
    assert blame([]) == []


def test_no_more_versions_are_taken_than_are_needed() -> None:
    taken = []

    def taking() -> Any:
        for version in versions("1", "2", "3"):
            taken.append(version.seq)
            yield version

    assert [seq for _, seq in blame(taking())] == [3]
    assert taken == [3]


def test_what_is_no_value_at_all_is_one_part() -> None:
    (found,) = blame([Version(2, encode_value([1]), b"\xc1")])
    assert (found[0].data, found[1]) == (b"\xc1", 2)
