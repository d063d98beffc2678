"""Fields are spelt as in HTTPie: `=` gives a string, `:=` JSON, `@` reads a file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.cli.fields import parse_fields
from kafkaman_sync.cli.output import json_text
from kafkaman_sync.errors import KafkamanError, UsageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("item", "name", "value"),
    [
        ("name=Ping", "name", "Ping"),
        ("name=", "name", ""),
        ("url=https://example.org/?a=b&c:=d", "url", "https://example.org/?a=b&c:=d"),
        ("n:=1", "n", 1),
        ("n:=12345678901234567890123", "n", 12345678901234567890123),
        ("n:=1.10", "n", Decimal("1.10")),
        ("on:=true", "on", True),
        ("gone:=null", "gone", None),
        ('header:=[{"key": "A"}]', "header", [{"key": "A"}]),
        ("a:b=c", "a:b", "c"),
        (r"a\=b=c", "a=b", "c"),
        (r"handle=\@me", "handle", "@me"),
        ("text=one\ntwo", "text", "one\ntwo"),
        ("n:= 1 ", "n", 1),
    ],
)
def test_an_item_is_a_name_and_a_value(item: str, name: str, value: object) -> None:
    fields = parse_fields([item])
    assert fields == {name: value}
    assert type(fields[name]) is type(value)


@given(value=JSON)
def test_any_json_value_comes_through(value: object) -> None:
    assert parse_fields([f"field:={json_text(value)}"]) == {"field": value}


@given(text=st.text())
def test_any_text_comes_through(text: str) -> None:
    spelt = f"\\{text}" if text.startswith(("@", "\\@")) else text
    assert parse_fields([f"field={spelt}"]) == {"field": text}


@pytest.mark.parametrize("item", ["nonsense", "", "=value", ":=1", "@file"])
def test_what_is_not_a_field_is_a_usage_error(item: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fields([item])
    assert caught.value.code == "usage.field"
    assert "name=text" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["{broken", "", "'single'", "NaN", "-Infinity", "[1,]", "[" * 9999]
)
def test_json_that_is_none_is_refused_by_field(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fields([f"body:={text}"])
    assert caught.value.code == "usage.json"
    assert "body" in caught.value.message


def test_the_place_of_a_mistake_in_json_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        parse_fields(['body:={"a": 1,\n oops}'])
    assert (caught.value.details["line"], caught.value.details["column"]) == (2, 2)


def test_a_field_is_given_once() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_fields(["a=1", "a:=2"])


def test_values_can_come_from_files(tmp_path: Path) -> None:
    text, document = tmp_path / "notes.md", tmp_path / "body.json"
    text.write_text("größe\n", encoding="utf-8")
    document.write_text('{"a": 1.50}')
    fields = parse_fields([f"description=@{text}", f"body:=@{document}"])
    assert fields == {"description": "größe\n", "body": {"a": Decimal("1.50")}}


def test_a_file_that_cannot_be_a_field_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "logo.png"
    binary.write_bytes(b"\x89PNG")
    for item, code in (
        (f"a=@{tmp_path / 'absent'}", "file.not_found"),
        (f"a=@{tmp_path}", "file.is_directory"),
        (f"a=@{binary}", "usage.field"),
    ):
        with pytest.raises(KafkamanError) as caught:
            parse_fields([item])
        assert caught.value.code == code
        assert item[3:] in caught.value.message
