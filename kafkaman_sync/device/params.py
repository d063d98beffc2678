"""Reading a control call's parameters; every fault names the parameter, never its value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafkaman_sync.errors import UsageError


class Params:
    """The parameters of one call, read by name. Those nobody asks for are ignored."""

    def __init__(self, values: object, what: str) -> None:
        if not isinstance(values, dict):
            raise invalid(f"{what} needs named parameters")
        self._values: Mapping[str, Any] = values
        self._what = what

    def has(self, name: str) -> bool:
        """Tell whether a parameter is there and not null."""
        return self._values.get(name) is not None

    def text(self, name: str) -> str:
        """Return a string that must be there."""
        value = self._values.get(name)
        if not isinstance(value, str):
            raise invalid(f"{self._what}: {name!r} must be a string")
        return value

    def text_or_none(self, name: str) -> str | None:
        """Return a string; None if it is missing or null."""
        return None if self._values.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        """Return an integer that must be there."""
        value = self._values.get(name)
        if type(value) is not int:
            raise invalid(f"{self._what}: {name!r} must be an integer")
        return value

    def integer_or_none(self, name: str) -> int | None:
        """Return an integer; None if it is missing or null."""
        return None if self._values.get(name) is None else self.integer(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean."""
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise invalid(f"{self._what}: {name!r} must be true or false")
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a JSON object; an empty one if it is missing."""
        value = self._values.get(name, {})
        if not isinstance(value, dict):
            raise invalid(f"{self._what}: {name!r} must be an object")
        return value

    def items(self, name: str) -> list[Any]:
        """Return a JSON array; an empty one if it is missing."""
        value = self._values.get(name, [])
        if not isinstance(value, list):
            raise invalid(f"{self._what}: {name!r} must be an array")
        return value


def invalid(message: str) -> UsageError:
    """Return the error for parameters that are not what the call takes."""
    return UsageError(f"{message}.", code="control.invalid_params")
