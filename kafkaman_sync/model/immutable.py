"""How the small values are made that the hot paths build by the thousand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: type[T]) -> type[T]:
    """Make a dataclass with slots that the type checker holds immutable.

    A frozen dataclass is made through `object.__setattr__`, field by field, which takes from two to
    seven times as long; what forbids assignments here is mypy.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
