"""What holds for every merge, whatever people did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import assume, event, given
from hypothesis import strategies as st

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.merge import keep_both, merge_field
from kafkaman_sync.model.merge.json_text import parse
from kafkaman_sync.model.urls import join_url, parse_url
from kafkaman_sync.model.values import REMOVED, decode_value, encode_value
from tests.model.http_values import FIELDS, disagreements, entry_lists, lines, plain_lists
from tests.model.merging import CLASH, both, encode, merged
from tests.model.strategies import encoded_values

Disagreement = tuple[str, Any, Any, Any]
some_bytes = encoded_values | st.just(REMOVED)


@given(st.sampled_from(sorted(FIELDS)), some_bytes, some_bytes, some_bytes)
def test_any_values_at_all_merge_symmetrically_to_canonical_bytes(
    name: str, base: bytes, mine: bytes, theirs: bytes
) -> None:
    found = merge_field(Kind.REQUEST, name, base, mine, theirs)
    assert found == merge_field(Kind.REQUEST, name, base, theirs, mine)
    for data in (found, keep_both(Kind.REQUEST, name, base, mine, theirs)):
        assert not data or encode_value(decode_value(data)) == data


@given(disagreements())
def test_the_result_does_not_depend_on_which_side_is_mine(given: Disagreement) -> None:
    found = merged(*given)  # merges both ways round
    event(f"{given[0]}: {'conflict' if found is CLASH else 'merged'}")


@given(disagreements())
def test_what_is_merged_can_be_merged_again(given: Disagreement) -> None:
    name, base, mine, theirs = given
    found = merged(*given)
    if found is not CLASH:
        for side in (base, mine, theirs):
            assert merged(name, side, found, side) == found
            merged(name, base, found, side)


# Lines or items that repeat can be told apart in more than one way, so this is for the others.
@given(disagreements({"header": plain_lists, "variable": plain_lists}))
def test_what_is_merged_stays_so_when_a_side_comes_again(given: Disagreement) -> None:
    name, base, mine, theirs = given
    for value in given[1:]:
        assume(len({item["key"].lower() for item in value}) == len(value))
    found = merged(*given)
    if found is not CLASH:
        for side in (mine, theirs):
            again = merged(name, base, found, side)
            # Where both sides moved nearly everything, the order may become another one again.
            assert sorted(again, key=encode_value) == sorted(found, key=encode_value)


@given(disagreements())
def test_both_is_the_merge_where_nothing_clashes(given: Disagreement) -> None:
    found = merged(*given)
    if found is not CLASH:
        assert both(*given) == found


@given(disagreements())
def test_nothing_is_dropped_that_nobody_dropped(given: Disagreement) -> None:
    found = merged(*given)
    if found is not CLASH:
        assert wanted(*given) <= set(leaves(given[0], found))


@given(disagreements())
def test_both_drops_nothing_of_either(given: Disagreement) -> None:
    found = both(*given)
    if found is not CLASH:
        assert wanted(*given) <= set(leaves(given[0], found))


def wanted(name: str, *values: Any) -> set[tuple[Any, ...]]:
    """What a side added, and what both have; of what repeats each may have kept another one."""
    base, mine, theirs = (set(leaves(name, value)) for value in values)
    shared = set() if any(repeats(value) for value in values) else mine & theirs
    return shared | (mine - base) | (theirs - base)


def repeats(value: Any) -> bool:
    if isinstance(value, str):
        known = [line for line in value.split("\n") if line]
        return len(set(known)) < len(known) or repeats(parse_url(value).get("query", []))
    if isinstance(value, dict):
        return any(map(repeats, value.values()))
    if isinstance(value, list):
        known = [each["key"].lower() for each in value if isinstance(each, dict) and "key" in each]
        known += [each for each in value if isinstance(each, str)]
        return len(set(known)) < len(known) or any(map(repeats, value))
    return False


def leaves(name: str, value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Everything in a value that a person would miss: each scalar with the keys around it, each
    line; where it stands in a list does not matter.
    """
    if name == "url" and not path:
        value = parse_url(value) if isinstance(value, str) else {**value, "raw": None}
    if isinstance(value, dict):
        own = value.get("key", value.get("listen", ""))
        for key, part in value.items():
            yield from leaves(name, part, (*path, str(own).lower(), key))
    elif isinstance(value, list):
        for part in value:
            yield from leaves(name, part, path)
    elif isinstance(value, str) and path[-1:] in (("raw",), ("variables",)) and parse(value):
        yield from leaves(name, parse(value), path)
    elif isinstance(value, str):
        yield from ((*path, line) for line in value.split("\n") if line)
    else:
        yield (*path, type(value).__name__, repr(value))


@given(disagreements())
def test_a_url_s_text_tells_what_its_parts_say(given: Disagreement) -> None:
    _, *values = given
    if given[0] == "url" and all(
        each.get("raw") == join_url(each) for each in values if isinstance(each, dict)
    ):
        found = merged(*given)
        assert not isinstance(found, dict) or found["raw"] == join_url(found)


@given(entry_lists, st.permutations(range(5)), entry_lists)
def test_one_side_s_order_stands_where_the_other_kept_it(
    base: list[Any], order: list[int], added: list[Any]
) -> None:
    mine = [base[index] for index in order if index < len(base)]
    known = {encode(each["key"].lower()) for each in base}
    theirs = base + [each for each in added if encode(each["key"].lower()) not in known]
    found = merged("header", base, mine, theirs)
    assert [each for each in found if each in base] == mine


@given(lines, lines, lines, lines)
def test_additions_at_both_ends_always_merge(
    base: list[str], before: list[str], after: list[str], rest: list[str]
) -> None:
    anchored = ["first", *base, "last"]
    mine, theirs = [*before, "top", *anchored], [*anchored, "end", *after, *rest]
    found = merged("description", "\n".join(anchored), "\n".join(mine), "\n".join(theirs))
    assert found == "\n".join([*before, "top", *anchored, "end", *after, *rest])
