"""Field values have one spelling each."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.limits import INTEGER_BITS_MAX, VALUE_DEPTH_MAX
from kafkaman_sync.model.values import (
    REMOVED,
    Value,
    decode_value,
    encode_value,
    hash_value,
    read_value,
)
from tests.model.strategies import json_values, numbers


def exact(number: int | float | Decimal) -> Decimal:
    """Return the number that a person reads."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def is_long(number: int | float | Decimal) -> bool:
    """Tell whether it is an integer beyond 64 bits, which stays one and is no decimal."""
    return isinstance(number, int) and not -(2**63) <= number < 2**64


@given(json_values)
@example("\ud800")
@example({"\ud800": "\udfff"})
@example([-(2**63), 2**64 - 1, 2**64, -(2**63) - 1])
@example(Decimal("1E+400"))
@example(Decimal("0.1000000000000000055511151231257827"))
def test_decoding_gives_bytes_that_encode_the_same(value: Value) -> None:
    data = encode_value(value)
    assert data != REMOVED
    assert encode_value(decode_value(data)) == data


@given(numbers)
def test_a_number_keeps_its_exact_value(number: int | float | Decimal) -> None:
    decoded = decode_value(encode_value(number))
    assert isinstance(decoded, int | float | Decimal)
    assert exact(decoded) == exact(number)


@given(numbers, numbers)
def test_equal_numbers_have_equal_bytes(
    one: int | float | Decimal, two: int | float | Decimal
) -> None:
    equal = exact(one) == exact(two) and is_long(one) == is_long(two)
    assert equal == (encode_value(one) == encode_value(two))


@pytest.mark.parametrize(
    "spellings",
    [
        [1, 1.0, Decimal(1), Decimal("1.000"), Decimal("10E-1")],
        [0, 0.0, -0.0, Decimal("-0"), Decimal("0E+10")],
        [1.5, Decimal("1.5"), Decimal("1.50")],
        [Decimal("1E+30"), Decimal(10**30), 1e30],
        [2**63, Decimal(2**63), Decimal("9223372036854775808.0")],
    ],
    ids=str,
)
def test_one_number_has_one_spelling(spellings: list[Value]) -> None:
    assert len({encode_value(each) for each in spellings}) == 1


@given(st.dictionaries(st.text(), st.integers(), max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: dict[str, Value], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert encode_value(dict(items)) == encode_value(value)


def test_keys_are_sorted_as_utf_8() -> None:
    assert list(msgpack.unpackb(encode_value({"\uffff": 1, "\U00010000": 2, "a": 3}))) == [
        "a",
        "\uffff",
        "\U00010000",
    ]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("-Infinity"),
        {1: "a number as key"},
        {None: 1},
        range(3),
        {"a set": {1}},
        [1, [2, {"deep": float("nan")}]],
    ],
    ids=str,
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        encode_value(value)
    assert caught.value.code == "value.invalid"


def test_values_nest_to_the_limit_and_no_deeper() -> None:
    value: Value = []
    for _ in range(VALUE_DEPTH_MAX - 1):
        value = [value]
    assert decode_value(encode_value(value)) == value
    with pytest.raises(ModelError) as caught:
        encode_value([value])
    assert caught.value.code == "value.too_deep"


def test_a_tuple_is_a_list() -> None:
    assert encode_value((1, 2)) == encode_value([1, 2])  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x01",
        b"\xcc\x01",  # 1 in two bytes
        b"\x82\xa1a\x01\xa1a\x02",  # a key twice
        b"\x82\xa1b\x01\xa1a\x02",  # keys out of order
        b"\x81\x01\x02",  # a key that is a number
        msgpack.packb(float("nan")),
        msgpack.packb(float("inf")),
        msgpack.packb(1.0),
        msgpack.packb(msgpack.ExtType(1, b"1E0")),  # would be an integer
        msgpack.packb(msgpack.ExtType(1, b"NaN")),
        msgpack.packb(msgpack.ExtType(1, b"no number")),
        msgpack.packb(msgpack.ExtType(1, b"\xff")),
        msgpack.packb(msgpack.ExtType(2, b"")),
        msgpack.packb(msgpack.ExtType(2, b"1")),  # fits 64 bits
        msgpack.packb(msgpack.ExtType(2, b"1E99999999")),
        msgpack.packb(msgpack.ExtType(2, b"0" + str(2**64).encode())),
        msgpack.packb(msgpack.ExtType(3, b"1")),
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\x91" * (VALUE_DEPTH_MAX + 1) + b"\x01",
        b"\xdd\xff\xff\xff\xff",  # claims four billion items
        b"\xa4abc",
    ],
    ids=lambda data: data[:8].hex() or "empty",
)
def test_any_other_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        decode_value(data)
    assert caught.value.code == "value.invalid"


@given(st.binary(max_size=60))
def test_any_bytes_are_one_canonical_value_or_an_error(data: bytes) -> None:
    with suppress(ModelError):
        assert encode_value(decode_value(data)) == data


@pytest.mark.timeout(10)
def test_a_huge_exponent_costs_nothing() -> None:
    value = Decimal("1E+999999")
    assert decode_value(encode_value(value)) == value


def test_a_hash_has_16_bytes_and_tells_values_apart() -> None:
    hashes = {hash_value(data) for data in (REMOVED, encode_value(None), encode_value(""))}
    assert len(hashes) == 3
    assert {len(each) for each in hashes} == {16}


@pytest.mark.timeout(10)
def test_integers_have_a_limit_that_keeps_reading_them_fast() -> None:
    largest = 2**INTEGER_BITS_MAX - 1
    assert decode_value(encode_value(-largest)) == -largest
    with pytest.raises(ModelError):
        encode_value(largest + 1)
    with pytest.raises(ModelError):
        decode_value(msgpack.packb(msgpack.ExtType(2, b"9" * 4_000_000)))


@pytest.mark.parametrize("data", [b"\xc1", b"\xa5cut", b"\x82\xa1a\x01\xa1a\x01", b"\x91" * 5000])
def test_what_is_no_value_is_shown_as_its_bytes(data: bytes) -> None:
    assert read_value(data) == data
    assert read_value(encode_value("text")) == "text"


@pytest.mark.parametrize(
    "value",
    [
        {"b": "1", "a": "2"},
        [{"key": "A", "value": "1"}, {"value": "2", "key": "B"}],
        [],
        {},
        [{"a": "1"}, "text"],
        [{"a": 1}],
        {"a": "\ud800"},
        {"\ud800": "a"},
    ],
)
def test_maps_of_text_have_the_bytes_of_any_map(value: Value) -> None:
    plain = msgpack.Packer(unicode_errors="surrogatepass").pack

    def in_order(part: Value) -> Value:
        if isinstance(part, dict):
            return {key: in_order(part[key]) for key in sorted(part)}
        return [in_order(each) for each in part] if isinstance(part, list) else part

    assert encode_value(value) == plain(in_order(value))
    assert decode_value(encode_value(value)) == value
