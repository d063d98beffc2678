"""JSON text comes in exactly, or is refused with the cause and the place."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.formats import FormatError, parse, reader
from kafkaman_sync.formats.limits import JSON_LEVELS_MAX
from kafkaman_sync.formats.warnings import Warnings
from kafkaman_sync.formats.writer import write

DEEP = 550  # pairs of levels: more than the recursive decoder takes


def read(text: str) -> tuple[Any, tuple[str, ...]]:
    warnings = Warnings()
    return reader.read(text, warnings), warnings.texts()


def refused(text: str) -> FormatError:
    with pytest.raises(FormatError) as caught:
        read(text)
    return caught.value


def deep(inner: str, levels: int = DEEP) -> str:
    """Nest a text in objects and lists, with spaces where JSON allows them."""
    return '{ "k" : [ ' * levels + inner + " ] } " * levels


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("0", 0),
        ("-0", -0.0),
        ("18446744073709551616", 2**64),
        ("1.5", 1.5),
        ("1.50", 1.5),
        ("1E2", 100.0),
        ("-0.0", -0.0),
        ("0.1", 0.1),
        ("0.10000000000000000001", Decimal("0.10000000000000000001")),
        ("1e400", Decimal("1e400")),
        ("1e-400", Decimal("1e-400")),
        ("0e999", 0.0),
    ],
)
def test_a_number_keeps_its_value(literal: str, value: Any) -> None:
    found, _ = read(literal)
    assert (type(found), repr(found)) == (type(value), repr(value))


def test_an_integer_of_any_length_keeps_its_digits() -> None:
    digits = "7" * 50_000
    assert write(read(digits)[0]) == f"{digits}\n".encode()


def test_a_number_beyond_decimals_is_refused_by_name() -> None:
    error = refused('{"a": 1e99999999999999999999}')
    assert error.code == "format.invalid"
    assert "1e99999999999999999999" in error.message


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_number_is_refused_by_name(literal: str) -> None:
    error = refused(f'{{"a": {literal}}}')
    assert error.code == "format.not_json"
    assert literal in error.message


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"a": 1,}', 1, 8),
        ('{\n"a" 1}', 2, 5),
        ("{'a': 1}", 1, 2),
        ('{"a": tru}', 1, 7),
        ('{"a": "\t"}', 1, 8),
        ('{"a": 1}\n{"b": 2}', 2, 1),
        ("[1 2]", 1, 4),
        ("hello", 1, 1),
    ],
)
def test_text_that_is_not_json_is_refused_with_its_place(text: str, line: int, column: int) -> None:
    error = refused(text)
    assert error.code == "format.not_json"
    assert (error.details["line"], error.details["column"]) == (line, column)
    assert f"line {line}, column {column}" in error.message


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("{1: 2}", "format.not_json"),
        ("{'a': 2}", "format.not_json"),
        ('{"a" 2}', "format.not_json"),
        ("[1 2]", "format.not_json"),
        ('"\t"', "format.not_json"),
        ("[1,]", "format.not_json"),
    ],
)
def test_deep_text_that_is_not_json_is_refused_too(inner: str, code: str) -> None:
    assert refused(deep(inner)).code == code


def test_text_after_a_deep_document_is_refused() -> None:
    error = refused(deep("1") + "x")
    assert error.code == "format.not_json"
    assert error.details["column"] == len(deep("1")) + 1


@pytest.mark.parametrize("text", ["", " \n\t ", "\n"])
def test_an_empty_file_is_called_empty(text: str) -> None:
    assert refused(text).message == "The file is empty."


@pytest.mark.parametrize("text", ["<!doctype html><html>", "OpenAPI: 3.0.0", "curl https://x"])
def test_a_familiar_stranger_is_recognised_in_the_hint(text: str) -> None:
    assert "looks like" in refused(text).hint


SAMPLE = json.dumps(
    {"a": [1.5, -2e7, True, False, None, 'x\u00e9\\"\n'], "b": {"c": {}, "d": []}}, indent=1
)


@pytest.mark.parametrize("length", range(1, len(SAMPLE)))
def test_each_cut_of_a_document_is_called_cut_short(length: int) -> None:
    assert refused(SAMPLE[:length]).code == "format.truncated"


@pytest.mark.parametrize("length", [*range(5_300, 5_330), *range(5_500, 5_600), 7_000])
def test_each_cut_of_a_deep_document_is_called_cut_short(length: int) -> None:
    text = deep(SAMPLE)
    assert refused(text[:length]).code == "format.truncated"


def test_the_outermost_repeated_key_is_named() -> None:
    found, warnings = read('{"a": 1, "b": 2, "a": 3}')
    assert found == {"a": 3, "b": 2}
    assert warnings == ("the outermost object: the key 'a' is repeated; the last one won.",)


def test_repeated_keys_are_named_with_their_places() -> None:
    text = '{"x": [0, {"y": {"k": 1, "k": 1}}, {"k": 1, "k": 2, "k": 3}]}'
    assert read(text)[1] == (
        "x[1].y: the key 'k' is repeated; the last one won.",
        "x[2]: the key 'k' is repeated; the last one won.",
    )


def test_a_repeated_key_inside_a_replaced_value_is_named() -> None:
    _, warnings = read('{"a": {"k": 1, "k": 2}, "a": 3}')
    assert warnings[1] == "the key 'k' is repeated in a value that is lost."


def test_repeated_keys_are_found_in_deep_documents() -> None:
    found, warnings = read(deep('{"k": 1, "k": 2}'))
    assert len(warnings) == 1
    assert warnings[0].startswith("k[0].k[0].")
    assert write(found) == write(read(deep('{"k": 2}'))[0])


def test_nesting_beyond_the_limit_is_refused() -> None:
    assert refused("[" * (JSON_LEVELS_MAX + 1) + "]" * (JSON_LEVELS_MAX + 1)).code == (
        "format.too_deep"
    )
    assert refused("[" * 10_000_000).code == "format.too_deep"


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "[" * JSON_LEVELS_MAX + "]" * JSON_LEVELS_MAX
    assert b"".join(write(read(text)[0]).split()) == text.encode()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=values)
def test_a_deep_document_is_read_as_a_shallow_one_is(value: Any) -> None:
    shallow, deepened = read(json.dumps(value))[0], read(deep(json.dumps(value)))[0]
    for _ in range(DEEP):
        assert isinstance(deepened, dict)
        nested = deepened["k"]
        assert isinstance(nested, list)
        deepened = nested[0]
    assert deepened == shallow == value


def test_warnings_beyond_twenty_are_counted() -> None:
    twice = ",".join('{"key": 1, "key": 2}' for _ in range(30))
    warnings = parse(f"[{twice}]".encode(), filename="g.json").warnings
    assert len(warnings) == 21
    assert warnings[-1] == "... and 10 more like these."
