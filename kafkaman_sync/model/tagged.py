"""Field values as JSON can hold them: what it has no words for is tagged with one "$" key.

{"$bytes": base64} is a byte string, and {"$map": {...}} a map that would look like a tag.
"""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

from kafkaman_sync.model.values import Value, encode_value, read_value


def json_of(data: bytes) -> Any:
    """Return a field's value as JSON can hold it; damaged bytes as such."""
    return _tagged(read_value(data))


def data_of(value: Any) -> bytes:
    """Return the bytes of the field's value that `json_of` made JSON of.

    Raises ModelError for what is no value, and ValueError for a tag that holds no base64.
    """
    return encode_value(_untagged(value))


def _tagged(value: Value) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        found = {key: _tagged(item) for key, item in value.items()}
        return {"$map": found} if len(found) == 1 and next(iter(found)).startswith("$") else found
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return Decimal(f"{value}.0")  # as digits alone it would come back as an integer
    return value


def _untagged(value: Any) -> Value:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        found: Value = value
        return found
    if value.keys() == {"$bytes"}:
        return base64.b64decode(value["$bytes"], validate=True)
    if value.keys() == {"$map"} and isinstance(value["$map"], dict):
        value = value["$map"]
    return {str(key): _untagged(item) for key, item in value.items()}
