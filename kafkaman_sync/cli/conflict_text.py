"""A conflict in text: who wrote what, how the sides differ, and one text to edit with both in it.

Text is edited as it is, anything else as JSON. What stands below the line of scissors is for the
person only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from typing import Any, Final

from kafkaman_sync.cli.fields import parse_json
from kafkaman_sync.cli.output import json_text
from kafkaman_sync.cli.wording import ago, clock_time
from kafkaman_sync.client import Conflict
from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.merge.lines import regions
from kafkaman_sync.model.values import Value

SCISSORS: Final = "# ------------------------ >8 ------------------------"
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_MINE: Final = "<<<<<<< mine"
_BASE: Final = "||||||| base"
_MIDDLE: Final = "======="
_THEIRS: Final = ">>>>>>> theirs"


def is_text(conflict: Conflict) -> bool:
    """Tell whether the field holds text on both sides, as far as they have it.

    Text with half a surrogate pair no file can hold: it counts as JSON, which has escapes.
    """
    sides = (conflict.mine, conflict.theirs)
    present = [side for side in sides if side is not None]
    return bool(present) and all(
        isinstance(side, str) and not _SURROGATES.search(side) for side in present
    )


def side_lines(value: Value, *, text: bool) -> list[str]:
    """Write a side as lines: its text, or its JSON; none for what is not there."""
    if value is None:
        return []
    shown = value if text and isinstance(value, str) else json_text(value, indent=2)
    return _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", shown).split("\n")


def compose(conflict: Conflict) -> str:
    """Write what a person edits."""
    text = is_text(conflict)
    sides = (conflict.base, conflict.mine, conflict.theirs)
    lines = list(_marked(*(side_lines(side, text=text) for side in sides)))
    form = "the text" if text else "the JSON"
    notes = [
        f"Above is {form} of {conflict.field}, {conflict.kind.replace('_', ' ')} {conflict.name}.",
        "Between <<<<<<< and ||||||| is mine, up to ======= what it was, up to >>>>>>> theirs.",
        "Write what shall be kept, and take these lines of markers out.",
        "Save it to resolve the conflict; leave it as it is, or empty, to change nothing.",
        "This line of scissors, and what is below it, is not part of the value.",
    ]
    return "\n".join([*lines, SCISSORS, *(f"# {each}" for each in notes), ""])


def _marked(base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    """Yield what nobody or only one side changed as it is now, the rest between markers."""
    done = 0
    for start, end, (own, other) in regions(base, mine, theirs):
        yield from base[done:start]
        done = end
        if own is None or other is None or own == other:
            yield from (other if own is None else own) or ()
            continue
        yield from (_MINE, *own, _BASE, *base[start:end], _MIDDLE, *other, _THEIRS)
    yield from base[done:]


def edited_value(text: str, conflict: Conflict) -> Any:
    """Read the value from an edited text.

    Raises UsageError `conflict.markers` while markers are left, `usage.json` for what is not JSON.
    """
    kept = text.split(f"\n{SCISSORS}", 1)[0] if f"\n{SCISSORS}" in text else text.removesuffix("\n")
    for number, line in enumerate(kept.split("\n"), 1):
        if line in (_MINE, _BASE, _THEIRS):
            raise UsageError(
                f"Line {number} still is a conflict marker: {line}",
                code="conflict.markers",
                hint="Keep what you want of both sides, and take the lines of markers out.",
                line=number,
            )
    return kept if is_text(conflict) else parse_json(conflict.field, kept)


def is_empty(text: str) -> bool:
    """Tell whether nothing is left of a text but what is below the scissors."""
    return not text.split(SCISSORS, 1)[0].strip()


def signature(written: dict[str, Any]) -> str:
    """Write who wrote something, on which device, and when."""
    who = ", ".join(
        str(part) for part in (written.get("username"), written.get("device_name")) if part
    )
    at = written.get("at")
    return f"{who}, {clock_time(at)} ({ago(at)})" if at else who


def difference(conflict: Conflict) -> list[str]:
    """Return the lines of the unified difference of each side to the base."""
    text = is_text(conflict)
    base = side_lines(conflict.base, text=text)
    found: list[str] = []
    for side, value in (("mine", conflict.mine), ("theirs", conflict.theirs)):
        if value is None and conflict.reason == "theirs_deleted":
            continue  # the whole of it is deleted, not this value
        found += unified_diff(base, side_lines(value, text=text), "base", side, lineterm="")
    return found


def is_short(conflict: Conflict) -> bool:
    """Tell whether each side is one line, so that no difference need be drawn."""
    text = is_text(conflict)
    sides = (conflict.base, conflict.mine, conflict.theirs)
    return all(len(side_lines(side, text=text)) <= 1 for side in sides)
