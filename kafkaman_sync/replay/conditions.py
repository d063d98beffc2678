"""Conditions on a moment: what an expression is made of, each part judged and printed."""

from __future__ import annotations

import json
import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.replay.patterns import Pattern
from kafkaman_sync.replay.terms import ABSENT, Known, Moment, Sort, Term

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPECIAL: Final = re.compile('["\\\\\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_NUMBERS: Final = (int, float, Decimal)
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Named:
    """A name, with its term."""

    text: str
    term: Term

    @property
    def sort(self) -> Sort:
        """What it can be compared with."""
        return self.term.sort

    def value(self, moment: Moment) -> Any:
        """Return what it says of a moment, or ABSENT."""
        return self.term.read(moment)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written out; a time as milliseconds since 1970."""

    sort: Sort
    literal: Any

    def value(self, _moment: Moment) -> Any:
        """Return it."""
        return self.literal

    def __str__(self) -> str:
        if self.sort is Sort.TIME:
            at = _EPOCH + timedelta(milliseconds=self.literal)
            return quoted(at.isoformat(timespec="milliseconds"))
        if self.sort is Sort.NUMBER:
            return format(self.literal, "f") if type(self.literal) is Decimal else str(self.literal)
        return quoted(self.literal) if type(self.literal) is str else json.dumps(self.literal)


Operand = Named | Literal


class Condition(ABC):
    """What holds of a moment, or does not."""

    __slots__ = ()

    @abstractmethod
    def holds(self, moment: Moment) -> bool:
        """Tell whether it holds. What is absent is equal to nothing, and in no order."""

    @abstractmethod
    def operands(self) -> tuple[Operand, ...]:
        """Return all that it looks at."""


@dataclass(frozen=True, slots=True)
class Both(Condition):
    """Every part holds."""

    parts: tuple[Condition, ...]

    def holds(self, moment: Moment) -> bool:
        """Tell whether all hold; those after the first that does not are not looked at."""
        return all(part.holds(moment) for part in self.parts)

    def operands(self) -> tuple[Operand, ...]:
        """Return what the parts look at."""
        return tuple(each for part in self.parts for each in part.operands())

    def __str__(self) -> str:
        return " and ".join(
            f"({part})" if isinstance(part, Either) else str(part) for part in self.parts
        )


@dataclass(frozen=True, slots=True)
class Either(Condition):
    """At least one part holds."""

    parts: tuple[Condition, ...]

    def holds(self, moment: Moment) -> bool:
        """Tell whether one holds; those after it are not looked at."""
        return any(part.holds(moment) for part in self.parts)

    def operands(self) -> tuple[Operand, ...]:
        """Return what the parts look at."""
        return tuple(each for part in self.parts for each in part.operands())

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """The inner condition does not hold."""

    inner: Condition

    def holds(self, moment: Moment) -> bool:
        """Tell whether the inner one does not hold."""
        return not self.inner.holds(moment)

    def operands(self) -> tuple[Operand, ...]:
        """Return what the inner one looks at."""
        return self.inner.operands()

    def __str__(self) -> str:
        return (
            f"not ({self.inner})" if isinstance(self.inner, Both | Either) else f"not {self.inner}"
        )


@dataclass(frozen=True, slots=True)
class Comparison(Condition):
    """Two sides, equal, unequal or in an order."""

    left: Operand
    sign: str
    right: Operand

    def holds(self, moment: Moment) -> bool:
        """Tell whether it holds; what is absent is unequal to everything."""
        left, right = self.left.value(moment), self.right.value(moment)
        if self.sign == "==":
            return are_same(left, right)
        if self.sign == "!=":
            return not are_same(left, right)
        if _are_numbers(left, right):
            return _ORDERS[self.sign](_exact(left), _exact(right))
        return type(left) is str and type(right) is str and _ORDERS[self.sign](left, right)

    def operands(self) -> tuple[Operand, ...]:
        """Return both sides."""
        return self.left, self.right

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


@dataclass(frozen=True, slots=True)
class Contains(Condition):
    """A text has that part, a list that item, a map that key; names of fields have that one."""

    left: Operand
    right: Operand

    def holds(self, moment: Moment) -> bool:
        """Tell whether it does."""
        left, right = self.left.value(moment), self.right.value(moment)
        if isinstance(left, Known):
            left = left.label
        if isinstance(left, list):
            return any(are_same(item, right) for item in left)
        return isinstance(left, str | dict) and isinstance(right, str) and right in left

    def operands(self) -> tuple[Operand, ...]:
        """Return both sides."""
        return self.left, self.right

    def __str__(self) -> str:
        return f"{self.left} contains {self.right}"


@dataclass(frozen=True, slots=True)
class Matches(Condition):
    """A text, or the name of something, has a part that a pattern describes."""

    left: Operand
    text: str
    pattern: Pattern = field(compare=False, repr=False)

    def holds(self, moment: Moment) -> bool:
        """Tell whether it does; of names of fields, one has to."""
        left = self.left.value(moment)
        if isinstance(left, Known):
            return self.pattern.is_in(left.id) or self.pattern.is_in(left.label)
        if isinstance(left, list):
            return any(isinstance(item, str) and self.pattern.is_in(item) for item in left)
        return isinstance(left, str) and self.pattern.is_in(left)

    def operands(self) -> tuple[Operand, ...]:
        """Return the left side."""
        return (self.left,)

    def __str__(self) -> str:
        return f"{self.left} matches {quoted(self.text)}"


@dataclass(frozen=True, slots=True)
class Within(Condition):
    """It is equal to one of several."""

    left: Operand
    several: tuple[Operand, ...]

    def holds(self, moment: Moment) -> bool:
        """Tell whether it is."""
        left = self.left.value(moment)
        return any(are_same(left, each.value(moment)) for each in self.several)

    def operands(self) -> tuple[Operand, ...]:
        """Return it and the several."""
        return self.left, *self.several

    def __str__(self) -> str:
        return f"{self.left} in ({', '.join(map(str, self.several))})"


@dataclass(frozen=True, slots=True)
class Exists(Condition):
    """There is something of that name, be it null."""

    left: Operand

    def holds(self, moment: Moment) -> bool:
        """Tell whether there is."""
        return self.left.value(moment) is not ABSENT

    def operands(self) -> tuple[Operand, ...]:
        """Return what it asks for."""
        return (self.left,)

    def __str__(self) -> str:
        return f"{self.left} exists"


@dataclass(frozen=True, slots=True)
class Flag(Condition):
    """It is true."""

    left: Operand

    def holds(self, moment: Moment) -> bool:
        """Tell whether it is."""
        return self.left.value(moment) is True

    def operands(self) -> tuple[Operand, ...]:
        """Return what it asks for."""
        return (self.left,)

    def __str__(self) -> str:
        return str(self.left)


def quoted(text: str) -> str:
    """Write text as an expression does, so that it reads back as the same."""
    return '"' + _SPECIAL.sub(_escape, text) + '"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character) or f"\\u{ord(character):04x}"


def are_same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal: true is not 1, and what has an id goes by name, too."""
    if left is ABSENT or right is ABSENT:
        return False
    if isinstance(right, Known):
        left, right = right, left
    if isinstance(left, Known):
        called = right.id if isinstance(right, Known) else right
        return isinstance(called, str) and left.is_called(called)
    if _are_numbers(left, right):
        return _exact(left) == _exact(right)
    if type(left) is str and type(right) is str:
        return bool(left == right)
    if type(left) is not type(right):
        return False
    try:
        return encode_value(left) == encode_value(right)
    except ModelError:
        return False


def _exact(number: int | float | Decimal) -> int | Decimal:
    """Return a number as people write it: a float is stored for the digits that it prints as."""
    return Decimal(repr(number)) if isinstance(number, float) else number


def _are_numbers(left: Any, right: Any) -> bool:
    return (
        isinstance(left, _NUMBERS)
        and isinstance(right, _NUMBERS)
        and type(left) is not bool
        and type(right) is not bool
    )
