"""JSON in a body or in GraphQL's variables: merged by key, and written as people wrote it.

Numbers are kept as the bytes of their digits: nothing is rounded. Text with a key twice in one
object, and text that is no JSON (as with a variable in double braces outside a string), is merged
by line like any other.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Final

from kafkaman_sync.model.limits import MERGE_DEPTH_MAX
from kafkaman_sync.model.merge.lines import merge_text
from kafkaman_sync.model.merge.parts import Clash, Manner, Part, same, settle
from kafkaman_sync.model.merge.structures import anything, text
from kafkaman_sync.model.values import Value

# A string, closed or not, or a bracket. Possessive, so that no text makes it look twice.
_MARK: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_INDENT: Final = re.compile(r"[\[{](\r?\n)([ \t]*)")
_COLON: Final = re.compile(r'":[ \t]?')
_COMMA: Final = re.compile(r",[ \t]?")
_FLAT_LIST: Final = re.compile(r"\[[ \t]*[^\[\]{}\s][^\[\]{}\n]*\]")
# What a deep list may be widened by, for each level.
_INDENT_MAX: Final = 8
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


def code(manner: Manner, base: Part, mine: Part, theirs: Part) -> Part:
    """The rule for text that may be JSON: by key if all three are, else by line."""
    if not isinstance(base, str) or not isinstance(mine, str) or not isinstance(theirs, str):
        return text(manner, base, mine, theirs)
    known, ours, others = parse(base), parse(mine), parse(theirs)
    if known is None or ours is None or others is None:
        return text(manner, base, mine, theirs)
    merged = settle(anything, replace(manner, level=0), known, ours, others)
    try:
        joined = merge_text(Manner(), base, mine, theirs)
        if parse(joined) == merged:
            return joined
    except Clash:
        pass  # two lines side by side need not be two keys that clash
    spelled = [each for each, value in ((mine, ours), (theirs, others)) if same(value, merged)]
    if spelled:
        return min(spelled)
    written = _Style.of(base, mine, theirs).write(merged, 0)
    return base[: len(base) - len(base.lstrip())] + written + base[len(base.rstrip()) :]


def parse(source: str) -> Value:
    """Return a JSON object or list, numbers as bytes; None for what cannot be merged as such."""
    if not source.lstrip().startswith(("{", "[")):
        return None
    depth = 0
    for mark in _MARK.findall(source):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark, 0)
        if depth > MERGE_DEPTH_MAX:
            return None
    try:
        found: Value = json.loads(
            source,
            parse_int=str.encode,
            parse_float=str.encode,
            parse_constant=_refuse,
            object_pairs_hook=_object,
        )
    except ValueError:
        return None
    return found


def _refuse(word: str) -> Value:
    raise ValueError(f"{word} is not JSON")


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


@dataclass(frozen=True, slots=True)
class _Style:
    """How a JSON text is written."""

    newline: str
    indent: str
    colon: str
    comma: str
    flat_lists: bool
    ascii: bool

    @classmethod
    def of(cls, base: str, mine: str, theirs: str) -> _Style:
        """Take the base's style; where it is on one line, that of a side which is not."""
        texts = (base, *sorted((mine, theirs)))
        pattern = next((each for each in texts if _INDENT.search(each)), base)
        broken = _INDENT.search(pattern)
        colon, comma = _COLON.search(pattern), _COMMA.search(pattern)
        return cls(
            newline=broken[1] if broken else "",
            indent=broken[2][:_INDENT_MAX] if broken else "",
            colon=colon[0][1:] if colon else ": ",
            comma=comma[0] if comma and not broken else "," if broken else ", ",
            flat_lists=broken is None or _FLAT_LIST.search(pattern) is not None,
            ascii=all(each.isascii() for each in texts),
        )

    def write(self, value: Part, level: int) -> str:
        """Write a value whose first line is indented already."""
        if isinstance(value, bytes):
            return value.decode("ascii")
        if isinstance(value, dict):
            members = [
                self._scalar(key) + self.colon + self.write(member, level + 1)
                for key, member in value.items()
            ]
            return self._block("{", members, "}", level, flat=False)
        if isinstance(value, list):
            flat = self.flat_lists and not any(isinstance(each, dict | list) for each in value)
            elements = [self.write(each, level + 1) for each in value]
            return self._block("[", elements, "]", level, flat=flat)
        return self._scalar(value)

    def _block(
        self, opening: str, pieces: list[str], closing: str, level: int, *, flat: bool
    ) -> str:
        if not pieces:
            return opening + closing
        if flat or not self.newline:
            return opening + (", " if self.newline else self.comma).join(pieces) + closing
        inner = self.newline + self.indent * (level + 1)
        outer = self.newline + self.indent * level
        return opening + inner + f",{inner}".join(pieces) + outer + closing

    def _scalar(self, value: Part) -> str:
        written = json.dumps(value, ensure_ascii=self.ascii)
        return _HALF_PAIR.sub(lambda half: f"\\u{ord(half[0]):04x}", written)
