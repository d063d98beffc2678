"""Two values on a person's terminal: beside each other when short, item by item, or by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from typing import Any, Final

from rich.text import Text

from kafkaman_sync.cli.output import json_text, printable
from kafkaman_sync.cli.wording import plural
from kafkaman_sync.model.values import Value

LINES_MAX: Final = 40
"""Lines shown of one difference; all of it is under --json."""

_SHORT_MAX: Final = 60
_CONTEXT: Final = 2
_STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}
_KEYS: Final = ("key", "name")
_ARROW: Final = ("  ->  ", "dim")

Items = Mapping[tuple[str, int], Value]
"""The items of a list by their keys, and by which of one key they are."""


def difference(
    before: Sequence[Value], after: Sequence[Value], *, rest: str = "--json shows all"
) -> Text:
    """Show how a value changed; each side is empty where there was none, else has one item.

    `rest` says where all of a long one is to be had.
    """
    keyed = [items_of(side[0]) if side else {} for side in (before, after)]
    if keyed[0] is not None and keyed[1] is not None and (keyed[0] or keyed[1]):
        return _cut(_item_lines(keyed[0], keyed[1]), rest)
    short = [_short(side) for side in (before, after)]
    if short[0] is not None and short[1] is not None:
        return _beside(short[0], short[1])
    diff = unified_diff(_lines(before), _lines(after), "", "", lineterm="", n=_CONTEXT)
    lines = [printable(line, lines=True) for line in list(diff)[2:]]
    return _cut([Text(line, style=_STYLES.get(line[:1], "dim")) for line in lines], rest)


def items_of(value: Value) -> Items | None:
    """Return the items of a list of maps that each have a key or a name; None for anything else."""
    if not isinstance(value, list) or not value:
        return None
    found: dict[tuple[str, int], Value] = {}
    seen = Counter[str]()
    for item in value:
        key = _key_of(item)
        if key is None:
            return None
        found[key, seen[key]] = item
        seen[key] += 1
    return found


def item_text(item: Any) -> str:
    """Write what an item holds beside its key."""
    name = next(name for name in _KEYS if name in item)
    rest = {key: value for key, value in item.items() if key != name}
    value = rest["value"] if rest.keys() == {"value"} else rest
    return printable(value if isinstance(value, str) else json_text(value))


def _key_of(item: Value) -> str | None:
    found = [item[name] for name in _KEYS if name in item] if isinstance(item, dict) else []
    return found[0] if found and isinstance(found[0], str) else None


def _item_lines(before: Items, after: Items) -> list[Text]:
    lines: list[Text] = []
    for key in (*before, *(key for key in after if key not in before)):
        name = printable(key[0])
        if key not in after:
            lines.append(Text(f"- {name}: {item_text(before[key])}", style="red"))
        elif key not in before:
            lines.append(Text(f"+ {name}: {item_text(after[key])}", style="green"))
        elif before[key] != after[key]:
            was, now = item_text(before[key]), item_text(after[key])
            lines.append(Text.assemble(f"  {name}: ", (was, "red"), _ARROW, (now, "green")))
    common = [key for key in before if key in after]
    if common != [key for key in after if key in before]:
        lines.append(Text("  in another order", style="dim"))
    return lines


def _beside(before: str, after: str) -> Text:
    if not before:
        return Text(after, style="green")
    if not after:
        return Text.assemble((before, "red"), ("  removed", "dim"))
    return Text.assemble((before, "red"), _ARROW, (after, "green"))


def _cut(lines: Sequence[Text], rest: str) -> Text:
    shown = list(lines[:LINES_MAX])
    if len(lines) > LINES_MAX:
        more = plural(len(lines) - LINES_MAX, "line")
        shown.append(Text(f"... {more} more: {rest}", style="dim"))
    return Text("\n").join(shown)


def _short(side: Sequence[Value]) -> str | None:
    """Write a side on one line; None when it is too long for that."""
    if not side:
        return ""
    text = side[0] if isinstance(side[0], str) else json_text(side[0])
    if "\n" in text or len(text) > _SHORT_MAX:
        return None
    return printable(text) or '""'


def _lines(side: Sequence[Value]) -> list[str]:
    if not side:
        return []
    text = side[0] if isinstance(side[0], str) else json_text(side[0], indent=2)
    return text.split("\n")
