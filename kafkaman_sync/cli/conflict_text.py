"""A conflict as a text to edit, with both sides between markers, and the value that comes back.

Text is edited as it is, anything else as JSON. What stands below the line of scissors is for the
person only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Final

from kafkaman_sync.cli.fields import parse_json
from kafkaman_sync.cli.output import json_text
from kafkaman_sync.client import Conflict
from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.values import Value

SCISSORS: Final = "# ------------------------ >8 ------------------------"
_MINE: Final = "<<<<<<< mine"
_MIDDLE: Final = "======="
_THEIRS: Final = ">>>>>>> theirs"


def is_text(conflict: Conflict) -> bool:
    """Tell whether the field holds text on both sides, as far as they have it."""
    sides = (conflict.mine, conflict.theirs)
    present = [side for side in sides if side is not None]
    return bool(present) and all(isinstance(side, str) for side in present)


def side_lines(value: Value, *, text: bool) -> list[str]:
    """Write a side as lines: its text, or its JSON; none for what is not there."""
    if value is None:
        return []
    return (value if text and isinstance(value, str) else json_text(value, indent=2)).split("\n")


def compose(conflict: Conflict) -> str:
    """Write what a person edits."""
    text = is_text(conflict)
    lines = list(
        _marked(side_lines(conflict.mine, text=text), side_lines(conflict.theirs, text=text))
    )
    form = "the text" if text else "the JSON"
    notes = [
        f"Above is {form} of {conflict.field}, {conflict.kind.replace('_', ' ')} {conflict.name}.",
        "Write what shall be kept, and take the lines with <<<<<<<, ======= and >>>>>>> out.",
        "Save it to resolve the conflict; leave it as it is, or empty, to change nothing.",
        "This line of scissors, and what is below it, is not part of the value.",
    ]
    return "\n".join([*lines, SCISSORS, *(f"# {each}" for each in notes), ""])


def _marked(mine: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    """Yield the lines that are equal as they are, the others between markers."""
    matcher = SequenceMatcher(None, mine, theirs, autojunk=False)
    for tag, mine_start, mine_end, start, end in matcher.get_opcodes():
        if tag == "equal":
            yield from mine[mine_start:mine_end]
            continue
        yield _MINE
        yield from mine[mine_start:mine_end]
        yield _MIDDLE
        yield from theirs[start:end]
        yield _THEIRS


def edited_value(text: str, conflict: Conflict) -> Any:
    """Read the value from an edited text.

    Raises UsageError `conflict.markers` while markers are left, `usage.json` for what is not JSON.
    """
    kept = text.split(f"\n{SCISSORS}", 1)[0] if f"\n{SCISSORS}" in text else text.removesuffix("\n")
    for number, line in enumerate(kept.split("\n"), 1):
        if line in (_MINE, _THEIRS):
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
