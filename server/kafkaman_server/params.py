"""The parameters of a call, read by name; what is wrong is named, never its value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.entities import is_id
from kafkaman_sync.model.limits import FIELD_NAME_BYTES_MAX, INTEGER_MAX, TEXT_BYTES_MAX


class Params:
    """The parameters of one call. Every fault is a KafkamanError `call.invalid`."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string."""
        value = self._params.get(name, default)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or len(value) > TEXT_BYTES_MAX:
            raise _invalid(name, f"a string of at most {TEXT_BYTES_MAX} characters")
        return value

    def id(self, name: str) -> str:
        """Return an id."""
        value = self._params.get(name)
        if not isinstance(value, str) or not is_id(value):
            raise _invalid(name, "an id")
        return value

    def field_name_or_none(self, name: str) -> str | None:
        """Return the name of a field; None if it is missing."""
        value = self._params.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= FIELD_NAME_BYTES_MAX:
            raise _invalid(name, "the name of a field")
        return value

    def integer_or_none(self, name: str, most: int = INTEGER_MAX) -> int | None:
        """Return an integer from 0 to `most`; None if it is missing."""
        value = self._params.get(name)
        if value is not None and not _is_number(value, most):
            raise _invalid(name, f"an integer from 0 to {most}")
        return value

    def integers(self, name: str, *, count_max: int) -> list[int]:
        """Return a list of integers from 0 to INTEGER_MAX."""
        values = self._params.get(name)
        if (
            not isinstance(values, list)
            or len(values) > count_max
            or not all(_is_number(value, INTEGER_MAX) for value in values)
        ):
            raise _invalid(name, f"a list of at most {count_max} integers")
        return values


def _is_number(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _invalid(name: str, expected: str) -> KafkamanError:
    return KafkamanError(f"The parameter {name!r} is not {expected}.", code="call.invalid")
