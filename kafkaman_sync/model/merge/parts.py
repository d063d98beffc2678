"""What all merging rests on: the parts of a value, the rules for them, and the clash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from kafkaman_sync.model.limits import MERGE_DEPTH_MAX
from kafkaman_sync.model.values import Value


class Absent(Enum):
    """The mark for a part that a side does not have."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT

Part = Value | Absent
"""A value inside a field, or its absence."""


Name = tuple[str, int, bytes, int]
"""What an item of a list is known by while lists are merged; see items.py."""


class ClashError(Exception):
    """Both sides changed a part, and no rule brings the two together: a person must decide."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How to merge. With `both`, what clashes is kept twice where a value has room for that."""

    both: bool = False
    level: int = 0

    def deeper(self) -> Manner:
        """The manner one level further in; a clash below the deepest level that is merged."""
        if self.level >= MERGE_DEPTH_MAX:
            raise ClashError
        return replace(self, level=self.level + 1)


Rule = Callable[[Manner, Part, Part, Part], Part]
"""Merges base, mine and theirs where both sides changed the part and have it still, or raises
ClashError. Its result must not depend on which side is which, unless the manner is to keep both."""


def same(one: Part, other: Part) -> bool:
    """Tell whether two parts are equal: 1 is not True, and the order of keys counts."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def settle(rule: Rule, manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
    """Merge a part: by itself where one side did nothing, or both the same; else by its rule."""
    if same(mine, theirs) or same(base, mine):
        return theirs
    if same(base, theirs):
        return mine
    if mine is not ABSENT and theirs is not ABSENT:
        return rule(manner, base, mine, theirs)
    if not manner.both:
        raise ClashError
    return theirs if mine is ABSENT else mine


def whole(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
    """The rule for what cannot be merged."""
    raise ClashError
