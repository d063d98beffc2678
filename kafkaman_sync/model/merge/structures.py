"""Rules for maps, lists of items, text, lists of lines, and values of which nothing is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from kafkaman_sync.model.merge.items import name_items
from kafkaman_sync.model.merge.lines import merge_lines, merge_text
from kafkaman_sync.model.merge.order import merge_order
from kafkaman_sync.model.merge.parts import (
    ABSENT,
    ClashError,
    Manner,
    Name,
    Part,
    Rule,
    same,
    settle,
)
from kafkaman_sync.model.values import Value, encode_value

# By which key items of a list that nothing is known of may be known, the best first.
_KEYS: Final = ("id", "key", "name", "listen")
_NO_RULES: Final[Mapping[str, Rule]] = MappingProxyType({})


def anything(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
    """The rule for values of which nothing is known: maps by key; lists if all items are maps that
    have a key of their own; text of several lines by line.
    """
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return _ANY_MAP(manner, base, mine, theirs)
    if isinstance(mine, list) and isinstance(theirs, list):
        known = base if isinstance(base, list) else []
        for key in _KEYS:
            if all(_are_known_by(key, each) for each in (known, mine, theirs)):
                return items((key,), anything)(manner, known, mine, theirs)
    if isinstance(mine, str) and isinstance(theirs, str) and "\n" in mine + theirs:
        return text(manner, base, mine, theirs)
    raise ClashError


def _are_known_by(key: str, values: Sequence[Value]) -> bool:
    found = [value.get(key) for value in values if isinstance(value, dict)]
    names = [name for name in found if isinstance(name, str)]
    return len(set(names)) == len(values)


def by_key(
    rules: Mapping[str, Rule] = _NO_RULES, *, other: Rule = anything, otherwise: Rule = anything
) -> Rule:
    """Return the rule for maps: each value is merged by the rule of its key, or by `other`.

    What are no maps is merged by the rule `otherwise`.
    """

    def rule(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
        if not isinstance(mine, dict) or not isinstance(theirs, dict):
            return otherwise(manner, base, mine, theirs)
        known = base if isinstance(base, dict) else {}
        manner = manner.deeper()
        merged: dict[str, Value] = {}
        for key in {*known, *mine, *theirs}:
            sides = [side.get(key, ABSENT) for side in (known, mine, theirs)]
            part = settle(rules.get(key, other), manner, *sides)
            if part is not ABSENT:
                merged[key] = part
        order = merge_order(merged, list(known), list(mine), list(theirs))
        return {key: merged[key] for key in order}

    return rule


_ANY_MAP: Final = by_key()


def alike(key: str, rule: Rule) -> Rule:
    """Return a rule for maps whose other values only make sense with the one of `key`: two that
    differ in it clash.
    """

    def wrapped(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
        values = [side.get(key, ABSENT) for side in (mine, theirs) if isinstance(side, dict)]
        if len(values) == 2 and not same(*values):
            raise ClashError
        return rule(manner, base, mine, theirs)

    return wrapped


def items(
    keys: Sequence[str],
    item: Rule,
    *,
    repeatable: bool = False,
    fold: bool = False,
    otherwise: Rule = anything,
) -> Rule:
    """Return the rule for lists of maps that are known by the first of `keys` that they have.

    In a list that is `repeatable` both of two clashing items can be kept. With `fold` upper and
    lower case are the same. What are no lists is merged by the rule `otherwise`.
    """

    def known_by(value: Value) -> str:
        if not isinstance(value, dict):
            return f"\0{encode_value(value).hex()}"
        found = [value[key] for key in keys if isinstance(value.get(key), str)]
        name = found[0] if found and isinstance(found[0], str) else ""
        return name.lower() if fold else name

    def rule(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
        if not isinstance(mine, list) or not isinstance(theirs, list):
            return otherwise(manner, base, mine, theirs)
        manner = manner.deeper()
        sides = name_items(base if isinstance(base, list) else [], mine, theirs, known_by)
        merged: dict[Name, list[Value]] = {}
        for name in {name for side in sides for name in side}:
            parts = [side.get(name, ABSENT) for side in sides]
            try:
                found = [settle(item, manner, *parts)]
            except ClashError:
                if not manner.both or not repeatable:
                    raise
                found = [parts[2], parts[1]]
            kept = [part for part in found if part is not ABSENT]
            if kept:
                merged[name] = kept
        if _known(sides[1]) & _known(sides[2]) - _known(merged):
            raise ClashError  # each removed those of the name that the other kept
        order = merge_order(merged, *map(list, sides))
        return [value for name in order for value in merged[name]]

    return rule


def _known(names: Iterable[Name]) -> set[str]:
    return {name[0] for name in names}


def text(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
    """The rule for text that people write in lines, be there several or one."""
    if isinstance(mine, str) and isinstance(theirs, str):
        return merge_text(manner, base if isinstance(base, str) else "", mine, theirs)
    return anything(manner, base, mine, theirs)


def lines(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
    """The rule for lists of lines, which may come as one text too."""
    return merge_pieces("\n", manner, base, mine, theirs)


def merge_pieces(separator: str, manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
    """Merge lists of pieces, or texts of pieces between separators; both forms make a list."""
    known, ours, others = (_pieces(separator, part) for part in (base, mine, theirs))
    if ours is None or others is None:
        return anything(manner, base, mine, theirs)
    merged = merge_lines(manner, known or [], ours, others)
    if isinstance(mine, str) and isinstance(theirs, str):
        return separator.join(merged)
    return list(merged)


def _pieces(separator: str, part: Part) -> list[str] | None:
    if isinstance(part, str):
        return part.split(separator)
    if isinstance(part, list):
        found = [piece for piece in part if isinstance(piece, str)]
        return found if len(found) == len(part) else None
    return None
