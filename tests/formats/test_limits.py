"""What a workspace could not keep is refused at import, with its place."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.formats import FormatError, parse
from kafkaman_sync.formats.limits import encoded_bytes
from kafkaman_sync.model.limits import FIELD_VALUE_BYTES_MAX, VALUE_DEPTH_MAX
from kafkaman_sync.model.values import encode_value

JSON = Any
Make = Callable[..., bytes]


def refused(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        parse(data, filename="x.json")
    return caught.value


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**64, -(10**30), Decimal("1e400"), Decimal("0.1"), b"bytes"])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=values)
def test_the_estimated_size_is_never_below_the_real_one(value: JSON) -> None:
    assert encoded_bytes(value) >= len(encode_value(value))


def test_a_field_that_is_too_large_is_named_with_its_place(collection: Make) -> None:
    body = "x" * FIELD_VALUE_BYTES_MAX
    requests = [{"request": {}, "response": [{}, {"body": body}]}]
    error = refused(collection({"item": []}, {"item": requests}))
    assert error.code == "format.too_large"
    assert "body of item[1].item[0].response[1]" in error.message


def test_an_entity_that_is_too_large_is_named_with_its_place(collection: Make) -> None:
    text = "x" * (FIELD_VALUE_BYTES_MAX - 100)
    error = refused(collection({"name": text, "description": text, "id": text, "item": []}))
    assert error.code == "format.too_large"
    assert "The folder at item[0]" in error.message


def test_a_variable_that_is_too_large_is_named_with_its_place() -> None:
    error = refused(b'[{"key": "%s"}]' % (b"x" * FIELD_VALUE_BYTES_MAX))
    assert "key of values[0]" in error.message


def test_a_value_that_nests_too_deep_is_named_with_its_place(collection: Make) -> None:
    nested: JSON = 0
    for _ in range(VALUE_DEPTH_MAX):
        nested = [nested]
    assert parse(collection({"request": {"body": nested}}), filename="x").counts["request"] == 1
    error = refused(collection({"request": {"body": {"raw": nested}}}))
    assert error.code == "format.too_deep"
    assert "body of item[0]" in error.message


def test_the_place_of_something_deep_down_is_shortened() -> None:
    data = b'{"item":[' + b'{"item":[' * 30 + b'{"id":"%s"}' + b"]}" * 31
    error = refused(data % (b"x" * FIELD_VALUE_BYTES_MAX))
    assert error.message.count("item[0]") == 12
