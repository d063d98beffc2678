"""Field values as JSON: all of them, there and back, and in words that JSON has."""

from __future__ import annotations

from decimal import Decimal

import simplejson
from hypothesis import example, given
from hypothesis import strategies as st

from kafkaman_sync.model.tagged import data_of, json_of
from kafkaman_sync.model.values import Value, encode_value
from tests.model.strategies import json_values

_like_tags = st.dictionaries(st.sampled_from(["$bytes", "$map", "$", "a"]), st.text() | json_values)


@given(json_values | _like_tags | st.binary())
@example(Decimal(20000000000000000001))
@example(
    [Decimal("-20000000000000000001.0"), 20000000000000000001, Decimal("20000000000000000001E1")]
)
def test_each_value_is_json_and_comes_back(value: Value) -> None:
    data = encode_value(value)
    told = simplejson.loads(simplejson.dumps(json_of(data), use_decimal=True), use_decimal=True)
    assert data_of(told) == data
