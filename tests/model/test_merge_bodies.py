"""Merging bodies: JSON by key, other text by line, forms by item, never two modes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.limits import MERGE_DEPTH_MAX
from kafkaman_sync.model.merge.json_text import parse
from tests.model.merging import CLASH, both, conflicts, entries, entry, merged, pretty, raw, shown

ORDER = """{
  "customer": {"name": "Ada", "city": "London"},
  "tags": ["new", "paid"],
  "total": 12.50,
  "lines": []
}"""


def text_of(base: str, mine: str, theirs: str) -> Any:
    found = merged("body", raw(base), raw(mine), raw(theirs))
    return found if found is CLASH else found["raw"]


def test_each_changes_another_key() -> None:
    mine, theirs = ORDER.replace("12.50", "13.00"), ORDER.replace("Ada", "Bob")
    assert text_of(ORDER, mine, theirs) == mine.replace("Ada", "Bob")


def test_two_keys_of_one_line() -> None:
    mine, theirs = ORDER.replace("London", "Paris"), ORDER.replace("Ada", "Bob")
    assert (
        text_of(ORDER, mine, theirs)
        == """{
  "customer": {"name": "Bob", "city": "Paris"},
  "tags": ["new", "paid"],
  "total": 12.50,
  "lines": []
}"""
    )


def test_what_nobody_touched_stays_on_its_line() -> None:
    base = """{
  "sizes": [ 1, 2 ],
  "from": { "x": 1 },
  "to": {
    "x": 2
  },
  "end": true
}"""
    mine, theirs = base.replace("true", 'true,\n  "m": {"n": 1}'), base.replace("true", "false")
    assert text_of(base, mine, theirs) == base.replace("true", 'false,\n  "m": {"n": 1}')
    theirs = base.replace("true", 'true,\n  "t": {"n":2}')
    expected = 'true,\n  "m": {"n": 1},\n  "t": {\n    "n": 2\n  }'
    assert text_of(base, mine, theirs) == base.replace("true", expected)


@pytest.mark.parametrize("indent", [1, 2, 4])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_both_add_a_key_at_the_end(indent: int, newline: str) -> None:
    base, mine, theirs, expected = (
        pretty({"a": [1, {"b": None}], **more}, indent).replace("\n", newline) + newline
        for more in ({}, {"y": True}, {"z": "é"}, {"y": True, "z": "é"})
    )
    assert text_of(base, mine, theirs) == expected


@pytest.mark.parametrize(("comma", "colon"), [(",", ":"), (", ", ": "), (",", ": ")])
def test_json_on_one_line_stays_on_one_line(comma: str, colon: str) -> None:
    base, mine, theirs, expected = (
        json.dumps(value, separators=(comma, colon))
        for value in (
            {"a": 1, "b": [1, 2]},
            {"a": 2, "b": [1, 2]},
            {"a": 1, "b": [1, 2], "c": {}},
            {"a": 2, "b": [1, 2], "c": {}},
        )
    )
    assert text_of(base, mine, theirs) == expected


def test_one_reformats_while_the_other_edits() -> None:
    base, theirs = '{"a":1,"b":2}', '{"a":1,"b":3}'
    assert text_of(base, pretty({"a": 1, "b": 2}, 2), theirs) == theirs
    mine, theirs = pretty({"a": 9, "b": 2}, 2), '{"a":1,"b":3,"c":[4,5]}'
    assert text_of(base, mine, theirs) == pretty({"a": 9, "b": 3, "c": [4, 5]}, 2)


def test_both_reformat() -> None:
    value = {"a": 1, "b": {"c": 2}}
    forms = json.dumps(value), pretty(value, 2), pretty(value, 4)
    assert text_of(*forms) in forms[1:]


NUMBERS = """{
  "huge": 123456789012345678901234567890,
  "exact": 0.1000000000000000055511151231257827,
  "money": 12.50,
  "far": 1E400,
  "zero": -0.0
}"""


def test_numbers_keep_every_digit() -> None:
    mine, theirs = (NUMBERS.replace("\n}", f',\n  "{key}": 1\n}}') for key in "ab")
    assert text_of(NUMBERS, mine, theirs) == mine.replace("\n}", ',\n  "b": 1\n}')


def test_other_spellings_of_a_number_are_other_numbers() -> None:
    assert text_of('{"a": 1}', '{"a": 1.0}', '{"a": 1.00}') is CLASH


def test_half_pairs_and_escapes_stay() -> None:
    base = '{"half": "\\ud83d", "é": 1}'
    mine, theirs = base.replace("}", ', "a": 1}'), base.replace("}", ', "b": 1}')
    assert text_of(base, mine, theirs) == mine.replace("}", ', "b": 1}')
    plain = '{"accent": "\\u00e9"}'
    mine, theirs = plain.replace("}", ', "a": 1}'), plain.replace("}", ', "b": 1}')
    assert text_of(plain, mine, theirs) == mine.replace("}", ', "b": 1}')


@pytest.mark.parametrize(
    ("base", "mine", "theirs"),
    [
        ('{"a": 1}', '{"a": 2}', '{"a": 3}'),
        ("{}", '{"a": 1}', '{"a": 2}'),
        ("[\n1,\n2,\n3]", "[\n0,\n2,\n3]", "[\n1,\n2,\n4]"),
        ('{"a": [1]}', '{"a": {}}', '{"a": [2]}'),
        (
            '{\n"a": 1,\n\n"b": 2\n}',
            '{\n"n": 5,\n"a": 1,\n\n"b": 2\n}',
            '{\n"a": 1,\n\n"b": 2,\n"n": 6\n}',
        ),
    ],
)
def test_what_clashes_in_json(base: str, mine: str, theirs: str) -> None:
    assert text_of(base, mine, theirs) is CLASH
    assert both("body", raw(base), raw(mine), raw(theirs)) is CLASH


def test_both_add_the_same_key_in_different_lines() -> None:
    base = pretty({"a": 1, "b": 2, "c": 3})
    mine, theirs = base.replace("{", '{\n    "n": 5,'), base.replace('"c"', '"n": 5,\n    "c"')
    assert parse(text_of(base, mine, theirs)) == parse(mine)


def test_a_key_that_one_removed_and_the_other_changed_in_json() -> None:
    base, mine, theirs = '{"a": 1}', "{}", '{"a": 3}'
    assert text_of(base, mine, theirs) is CLASH
    assert both("body", raw(base), raw(mine), raw(theirs)) == raw(theirs)


def test_lists_of_things_with_ids_merge_in_json() -> None:
    base = '[\n  {"id": "a", "n": 1},\n  {"id": "b", "n": 2}\n]'
    mine, theirs = base.replace("1", "9"), base.replace("2}", '2},\n  {"id": "c", "n": 3}')
    assert json.loads(text_of(base, mine, theirs)) == [
        {"id": "a", "n": 9},
        {"id": "b", "n": 2},
        {"id": "c", "n": 3},
    ]


@pytest.mark.parametrize(
    "base",
    [
        '{\n"a": {{count}},\n"b": 2,\n"c": 3\n}',
        '{\n"a": 1,\n"b": 2,\n"a": 3\n}',
        '{\n"a": 1, // why\n"b": 2,\n"c": 3\n}',
        '{\n"a": NaN,\n"b": 2,\n"c": 3\n}',
        "<a>\n1\n\n3\n</a>",
        f"{'[' * (MERGE_DEPTH_MAX + 1)}\n1\n\n3\n{']' * (MERGE_DEPTH_MAX + 1)}",
    ],
    ids=["variable", "key twice", "comment", "NaN", "XML", "deep"],
)
def test_what_is_no_json_merges_by_line(base: str) -> None:
    first, *_, last = base.split("\n")[1:-1]
    mine, theirs = base.replace(first, "mine"), base.replace(last, "theirs")
    expected = base.replace(first, "mine").replace(last, "theirs")
    assert text_of(base, mine, theirs) == expected
    assert both("body", raw(base), raw(mine), raw(base.replace(first, "theirs")))["raw"] == (
        base.replace(first, "theirs\nmine")
    )


def test_a_key_that_occurs_twice_keeps_both_values() -> None:
    base = '{\n  "a": 1,\n  "b": 2,\n  "a": 3\n}'
    mine, theirs = base.replace("1", "8"), base.replace("3", "9")
    assert text_of(base, mine, theirs) == mine.replace("3", "9")
    assert text_of(base, mine, base.replace("1", "9")) is CLASH


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_are_no_json_stay(word: str) -> None:
    base = f'{{\n  "a": 1,\n  "b": {word},\n  "c": 3\n}}'
    mine, theirs = base.replace("1", "8"), base.replace("3", "9")
    assert text_of(base, mine, theirs) == mine.replace("3", "9")
    assert parse(base) is None


@pytest.mark.parametrize(
    "source",
    [
        '"' * 200_001,
        '{"' + '\\"' * 500_000,
        "[" * 1_000_000,
        '{"a": "\\',
        "{" * 20 + '"' + "{" * 99,
    ],
    ids=["quotes", "open string", "brackets", "backslash", "brackets in an open string"],
)
def test_hostile_text_is_soon_found_to_be_no_json(source: str) -> None:
    assert parse(source) is None


def test_brackets_in_strings_do_not_count_as_depth() -> None:
    assert parse(json.dumps(["[" * 100])) == ["[" * 100]


def test_json_merges_down_to_its_deepest_level() -> None:
    def nested(text: str, levels: int) -> str:
        return '{"in": ' * levels + text + "}" * levels

    base, mine, theirs, expected = (
        nested(text, MERGE_DEPTH_MAX - 1)
        for text in ("{}", '{"a": 1}', '{"b": 2}', '{"a": 1, "b": 2}')
    )
    assert text_of(base, mine, theirs) == expected
    assert text_of(*(nested(text, 1) for text in (base, mine, theirs))) is CLASH


def test_a_response_s_body_is_one_text() -> None:
    base = pretty({"a": 1, "b": 2})
    mine, theirs = base.replace("1", "8"), base.replace("2", "9")
    found = merged("body", base, mine, theirs, Kind.RESPONSE)
    assert json.loads(found) == {"a": 8, "b": 9}
    assert conflicts("body", None, mine, theirs, Kind.RESPONSE)


def test_another_mode_clashes_with_other_content() -> None:
    base, mine = raw("{}"), {**raw("{}"), "mode": "urlencoded", "urlencoded": entries("a: 1")}
    assert conflicts("body", base, mine, raw('{"a": 1}'))
    assert both("body", base, mine, raw('{"a": 1}')) is CLASH
    assert merged("body", base, mine, base) == mine


def test_both_turn_to_the_same_mode() -> None:
    mine, theirs = (
        {"mode": "urlencoded", "urlencoded": entries(each)} for each in ("a: 1", "b: 2")
    )
    found = merged("body", raw("text"), mine, theirs)
    assert found == {"mode": "urlencoded", "urlencoded": entries("a: 1", "b: 2")}


def test_one_sets_the_language_while_the_other_edits() -> None:
    mine, theirs = raw("a\nb", "text"), raw("a\nb\nc", "json")
    assert merged("body", raw("a\nb"), mine, theirs) == raw("a\nb\nc", "text")


@pytest.mark.parametrize("mode", ["urlencoded", "formdata"])
def test_forms_merge_by_field(mode: str) -> None:
    base, mine, theirs = (
        {"mode": mode, mode: fields}
        for fields in (
            entries("a: 1", "b: 2"),
            [entry("a: 1", disabled=True), entry("b: 2")],
            entries("a: 9", "b: 2", "c: 3"),
        )
    )
    found = merged("body", base, mine, theirs)[mode]
    assert found == [entry("a: 9", disabled=True), *entries("b: 2", "c: 3")]
    mine[mode] = entries("a: 7", "b: 2")
    kept = both("body", base, mine, theirs)[mode]
    assert shown(kept) == ["a: 9", "a: 7", "b: 2", "c: 3"]


def test_a_form_field_is_a_file_or_text() -> None:
    base = {"mode": "formdata", "formdata": [entry("a: 1", type="text")]}
    mine = {"mode": "formdata", "formdata": [{"key": "a", "type": "file", "src": "/a"}]}
    theirs = {"mode": "formdata", "formdata": [entry("a: 2", type="text")]}
    assert conflicts("body", base, mine, theirs)
    assert both("body", base, mine, theirs)["formdata"] == [*theirs["formdata"], *mine["formdata"]]


def test_graphql_merges_the_query_by_line_and_the_variables_by_key() -> None:
    query = "query {\n  a\n  b\n  c\n}"
    base, mine, theirs = (
        {"mode": "graphql", "graphql": {"query": text, "variables": variables}}
        for text, variables in (
            (query, '{"n": 1, "m": 1}'),
            (query.replace("a", "a { id }"), '{"n": 2, "m": 1}'),
            (query.replace("c", "c { id }"), '{"n": 1, "m": 2}'),
        )
    )
    assert merged("body", base, mine, theirs)["graphql"] == {
        "query": "query {\n  a { id }\n  b\n  c { id }\n}",
        "variables": '{"n": 2, "m": 2}',
    }


def test_an_original_request_merges_like_a_request() -> None:
    base = {"method": "GET", "header": entries("A: 1"), "url": "https://h/a?x=1", "body": None}
    mine = {**base, "header": entries("A: 1", "M: 1"), "url": "https://h/a?x=2"}
    theirs = {**base, "header": entries("A: 1", "T: 1"), "url": "https://h/b?x=1"}
    assert merged("originalRequest", base, mine, theirs, Kind.RESPONSE) == {
        **base,
        "header": entries("A: 1", "M: 1", "T: 1"),
        "url": "https://h/b?x=2",
    }
    found = merged("originalRequest", "h/a?x=1", "h/a?x=2", "h/b?x=1", Kind.RESPONSE)
    assert found == "h/b?x=2"
