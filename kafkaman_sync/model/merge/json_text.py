"""JSON in a body or in GraphQL's variables: merged by key, and written as people wrote it.

Numbers are kept as the bytes of their digits: nothing is rounded. Text with a key twice in one
object, and text that is no JSON (as with a variable in double braces outside a string), is merged
by line like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from kafkaman_sync.model.limits import MERGE_DEPTH_MAX
from kafkaman_sync.model.merge.lines import merge_text
from kafkaman_sync.model.merge.parts import ClashError, Manner, Part, same, settle
from kafkaman_sync.model.merge.structures import anything, text
from kafkaman_sync.model.values import Value

# A string, closed or not, or a bracket. Possessive, so that no text makes it look twice.
_MARK: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_INDENT: Final = re.compile(r"[\[{](\r?\n)([ \t]*)")
_COLON: Final = re.compile(r'":[ \t]?')
_COMMA: Final = re.compile(r",[ \t]?")
# A list or map of nothing but scalars.
_INNERMOST: Final = re.compile(r"\[[^\[\]{}]*+\]|\{[^\[\]{}]*+\}")
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
    except ClashError:
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
    flat: frozenset[str]
    flat_brackets: frozenset[str]
    ascii: bool

    @classmethod
    def of(cls, base: str, mine: str, theirs: str) -> _Style:
        """Take the base's style; where it is on one line, that of a side which is not."""
        texts = (base, *sorted((mine, theirs)))
        pattern = next((each for each in texts if _INDENT.search(each)), base)
        broken = _INDENT.search(pattern)
        innermost = [_INNERMOST.findall(each) for each in (pattern, *texts)]
        flat = [{each for each in found if "\n" not in each} for found in innermost]
        spread = {each[0] for each in innermost[0] if "\n" in each}
        one_line = next((each for each in innermost[0] if "\n" not in each and "," in each), "")
        comma = _COMMA.search(one_line if broken else pattern)
        colon = _COLON.search(pattern)
        return cls(
            newline=broken[1] if broken else "",
            indent=broken[2][:_INDENT_MAX] if broken else "",
            colon=colon[0][1:] if colon else ": ",
            comma=comma[0] if comma else ", ",
            flat=frozenset().union(*flat),
            flat_brackets=frozenset(each[0] for each in flat[0] if each[1:-1].strip()) - spread,
            ascii=all(each.isascii() for each in texts),
        )

    def write(self, value: Part, level: int) -> str:
        """Write a value whose first line is indented already."""
        if isinstance(value, bytes):
            return value.decode("ascii")
        if isinstance(value, dict):
            parts: Iterable[Value] = value.values()
            pieces = [
                self._scalar(key) + self.colon + self.write(part, level + 1)
                for key, part in value.items()
            ]
        elif isinstance(value, list):
            parts = value
            pieces = [self.write(part, level + 1) for part in value]
        else:
            return self._scalar(value)
        brackets = "{}" if isinstance(value, dict) else "[]"
        innermost = not any(isinstance(part, dict | list) for part in parts)
        return self._block(brackets, pieces, level, innermost=innermost)

    def _block(self, brackets: str, pieces: list[str], level: int, *, innermost: bool) -> str:
        """Put brackets around pieces: on one line as people had it, else a line for each."""
        flat = self.comma.join(pieces)
        if not pieces or not self.newline:
            return brackets[0] + flat + brackets[1]
        if innermost:
            padded = f"{brackets[0]} {flat} {brackets[1]}"
            if padded in self.flat:
                return padded
            whole = brackets[0] + flat + brackets[1]
            if whole in self.flat or brackets[0] in self.flat_brackets:
                return whole
        inner = self.newline + self.indent * (level + 1)
        outer = self.newline + self.indent * level
        return brackets[0] + inner + f",{inner}".join(pieces) + outer + brackets[1]

    def _scalar(self, value: Part) -> str:
        written = json.dumps(value, ensure_ascii=self.ascii)
        return _HALF_PAIR.sub(lambda half: f"\\u{ord(half[0]):04x}", written)
