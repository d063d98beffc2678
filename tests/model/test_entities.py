"""Entities: ids, kinds, rows and limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.entities import (
    Entity,
    Field,
    Kind,
    Place,
    check_entity_size,
    check_field,
    check_sequence,
    differ_in_fields,
    fits,
    is_id,
    is_position,
    pack_fields,
    unpack_fields,
)
from kafkaman_sync.model.limits import (
    ENTITY_BYTES_MAX,
    ENTITY_FIELDS_MAX,
    FIELD_NAME_BYTES_MAX,
    FIELD_VALUE_BYTES_MAX,
    INTEGER_MAX,
    POSITION_BYTES_MAX,
)
from kafkaman_sync.model.values import REMOVED
from tests.model.strategies import entities


@pytest.mark.parametrize("text", ["0" * 32, "0123456789abcdef" * 2])
def test_an_id_is_32_lowercase_hexadecimal_digits(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "A" * 32, "g" * 32, b"0" * 32, None, 0])
def test_anything_else_is_no_id(text: object) -> None:
    assert not is_id(text)


@pytest.mark.parametrize("text", ["1", "0z", "V" * POSITION_BYTES_MAX])
def test_a_position_is_base_62_digits_that_do_not_end_in_0(text: str) -> None:
    assert is_position(text)


@pytest.mark.parametrize(
    "text", ["", "0", "a0", "a-b", "V" * (POSITION_BYTES_MAX + 1), "é", b"a", None]
)
def test_anything_else_is_no_position(text: object) -> None:
    assert not is_position(text)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_may_lie_somewhere(kind: Kind) -> None:
    assert any(fits(kind, parent) for parent in [None, *Kind])


def test_kinds_lie_only_where_they_belong() -> None:
    assert fits(Kind.FOLDER, Kind.FOLDER)
    assert not fits(Kind.FOLDER, None)
    assert fits(Kind.COLLECTION, None)
    assert not fits(Kind.COLLECTION, Kind.COLLECTION)
    assert not fits(Kind.RESPONSE, Kind.FOLDER)


@given(entities())
def test_fields_survive_packing(entity: Entity) -> None:
    assert unpack_fields(pack_fields(entity.fields)) == entity.fields


def test_removed_fields_are_no_values() -> None:
    entity = Entity(
        id="1" * 32,
        kind=Kind.FOLDER,
        place=Place("", "1"),
        place_version=1,
        deleted=False,
        deleted_version=1,
        version=2,
        fields={"a": Field(b"\x01", 1), "b": Field(REMOVED, 2)},
    )
    assert entity.values == {"a": b"\x01"}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("", b"", "limit.field_name"),
        ("n" * (FIELD_NAME_BYTES_MAX + 1), b"", "limit.field_name"),
        ("é" * FIELD_NAME_BYTES_MAX, b"", "limit.field_name"),
        ("\ud800", b"", "limit.field_name"),
        ("n", bytes(FIELD_VALUE_BYTES_MAX + 1), "limit.field"),
    ],
    ids=["empty", "long", "long in bytes", "not Unicode", "large"],
)
def test_a_field_over_a_limit_is_refused(name: str, value: bytes, code: str) -> None:
    with pytest.raises(ModelError) as caught:
        check_field(name, value)
    assert caught.value.code == code


def test_a_field_at_the_limits_passes() -> None:
    check_field("n" * FIELD_NAME_BYTES_MAX, bytes(FIELD_VALUE_BYTES_MAX))


def test_an_entity_over_a_limit_is_refused() -> None:
    check_entity_size([("", ENTITY_BYTES_MAX)])
    check_entity_size((str(number), 0) for number in range(ENTITY_FIELDS_MAX))
    with pytest.raises(ModelError) as caught:
        check_entity_size([("a", ENTITY_BYTES_MAX)])
    assert caught.value.code == "limit.entity"
    with pytest.raises(ModelError) as caught:
        check_entity_size((str(number), 0) for number in range(ENTITY_FIELDS_MAX + 1))
    assert caught.value.code == "limit.fields"


@given(st.integers(min_value=0, max_value=INTEGER_MAX))
def test_a_sequence_number_fits_63_bits(number: int) -> None:
    check_sequence(number)


@pytest.mark.parametrize("number", [-1, INTEGER_MAX + 1])
def test_other_numbers_are_no_sequence_numbers(number: int) -> None:
    with pytest.raises(ModelError):
        check_sequence(number)


def test_rows_that_differ_in_version_and_fields_only_are_told_from_others() -> None:
    row = Entity("a" * 32, Kind.REQUEST, Place("b" * 32, "V"), 1, False, 1, 1)
    assert differ_in_fields(row, replace(row, version=2, fields={"name": Field(b"x", 2)}))
    for other in (
        replace(row, place=Place("b" * 32, "W")),
        replace(row, place_version=2),
        replace(row, deleted=True),
        replace(row, deleted_version=2),
        replace(row, kind=Kind.FOLDER),
    ):
        assert not differ_in_fields(row, other)
