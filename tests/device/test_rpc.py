"""Lines of the control socket: what is read is what was written, or it is refused by name."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
import simplejson
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.device.rpc import dump_line, load_line
from kafkaman_sync.errors import ControlError

texts = st.text(max_size=12)
numbers = (
    st.integers()
    | st.integers(-(2**80), 2**80)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
messages = st.dictionaries(texts, values, max_size=4)


def shape(value: Any) -> Any:
    """A value with the type of each part, since 1 equals True and 1.0."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value]
    return type(value), str(value) if isinstance(value, Decimal) else value


@given(messages)
def test_a_line_is_read_as_simplejson_reads_it(message: dict[str, Any]) -> None:
    for line in (simplejson.dumps(message, use_decimal=True), json.dumps(message, default=str)):
        read = load_line(line.encode())
        assert shape(read) == shape(simplejson.loads(line, use_decimal=True))


@given(st.binary(max_size=20) | st.text('[]{}",:0123456789.eE+-nulltrueNaN \\', max_size=16))
def test_what_is_no_json_object_is_refused_as_before(text: str | bytes) -> None:
    line = text.encode() if isinstance(text, str) else text
    try:
        expected = simplejson.loads(line, use_decimal=True)
    except (ValueError, RecursionError):
        expected = None
    if isinstance(expected, dict):
        assert shape(load_line(line)) == shape(expected)
    else:
        with pytest.raises(ControlError):
            load_line(line)


@given(messages)
def test_a_written_line_says_what_simplejson_would_say(message: dict[str, Any]) -> None:
    line = dump_line(message)
    assert line.count(b"\n") == 1
    theirs = simplejson.loads(simplejson.dumps(message, use_decimal=True), use_decimal=True)
    assert simplejson.loads(line, use_decimal=True) == theirs
    assert load_line(line) == theirs


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Decimal("nan"),
        Decimal("-infinity"),
        dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        {1, 2},
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_has_no_words_for_is_refused(value: object) -> None:
    with pytest.raises(ControlError) as caught:
        dump_line({"fields": {"value": value}})
    assert caught.value.code == "control.invalid_params"


def test_tuples_are_written_as_arrays() -> None:
    assert load_line(dump_line({"a": (1, 2)})) == {"a": [1, 2]}


def test_half_a_surrogate_pair_survives() -> None:
    assert load_line(dump_line({"a": "\ud800"})) == {"a": "\ud800"}
