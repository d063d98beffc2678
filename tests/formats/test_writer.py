"""Values become JSON that others read, laid out for people."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from kafkaman_sync.formats import FormatError, Value
from kafkaman_sync.formats.writer import write


def test_a_document_is_indented_by_tabs_and_ends_in_a_newline() -> None:
    assert write({"a": [1, {}], "b": [], "c": {"d": None}}) == (
        b'{\n\t"a": [\n\t\t1,\n\t\t{}\n\t],\n\t"b": [],\n\t"c": {\n\t\t"d": null\n\t}\n}\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('é\n"', '"é\\n\\""'),
        ("\ud800", '"\\ud800"'),
        (True, "true"),
        (False, "false"),
        (-0.0, "-0.0"),
        (1e22, "1e+22"),
        (Decimal("1E+400"), "1E+400"),
        (Decimal("12345678901234567890123E+2"), "1.2345678901234567890123E+24"),
        (Decimal("0.1000000000000000000001"), "0.1000000000000000000001"),
        (b"", "[]"),
        (b"\x00\xff", "[\n\t0,\n\t255\n]"),
    ],
)
def test_each_kind_of_value_has_its_spelling(value: Value, text: str) -> None:
    assert write(value) == f"{text}\n".encode()


def test_an_integer_of_any_length_is_spelt() -> None:
    assert write(10**5000) == b"1" + b"0" * 5000 + b"\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-inf")])
def test_a_number_without_a_spelling_is_refused(value: Value) -> None:
    with pytest.raises(FormatError) as caught:
        write([value])
    assert caught.value.code == "format.invalid"


def test_a_long_document_is_written_whole() -> None:
    numbers = list(range(200_000))
    assert json.loads(write(list(numbers))) == numbers
