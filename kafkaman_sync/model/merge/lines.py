"""Text, merged line by line as diff3 does it (Khanna, Kunal, Pierce: "A Formal Investigation of
Diff3", 2007): what differs from the base is one region, together with all that it touches.

Lines that occur once on both sides are found first, as patience diff does it, and difflib looks
only between them: what belongs together stays whole, and the work stays in proportion to the text.
Beyond MERGE_STEPS_PER_LINE_MAX nothing more is looked for: a region is then larger than need be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple, TypeVar

from kafkaman_sync.model.limits import MERGE_STEPS_PER_LINE_MAX
from kafkaman_sync.model.merge.order import rising
from kafkaman_sync.model.merge.parts import ClashError, Manner

Line = TypeVar("Line", str, bytes)


class Hunk(NamedTuple):
    """A piece of the base, and the piece of a side that is across from it."""

    base_start: int
    base_end: int
    start: int
    end: int


def merge_text(manner: Manner, base: str, mine: str, theirs: str) -> str:
    """Merge texts; a last line without its end of line is another line than one with it."""
    texts = (text.split("\n") for text in (base, mine, theirs))
    return "\n".join(merge_lines(manner, *texts))


def merge_lines(
    manner: Manner, base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]
) -> list[str]:
    """Merge lists of lines. Raises ClashError where both changed the same or neighbouring lines."""
    merged: list[str] = []
    done = 0
    for start, end, sides in regions(base, theirs, mine):
        merged += base[done:start]
        done = end
        texts = [side for side in sides if side is not None]
        if len(texts) == 2 and texts[0] != texts[1] and not manner.both:
            raise ClashError
        merged += texts[0]
        if texts[-1] != texts[0]:
            merged += texts[-1]
    return [*merged, *base[done:]]


def regions(
    base: Sequence[str], *sides: Sequence[str]
) -> Iterator[tuple[int, int, list[Sequence[str] | None]]]:
    """Yield the pieces of the base that a side has changed: (start, end, what each side has there).

    A side is None where it left the piece as it is.
    """
    for start, end, hunks in _regions([differences(base, side) for side in sides]):
        texts = [
            side[own[0].start - (own[0].base_start - start) : own[-1].end + end - own[-1].base_end]
            if own
            else None
            for side, own in zip(sides, hunks, strict=True)
        ]
        yield start, end, texts


def _regions(sides: Sequence[list[Hunk]]) -> Iterator[tuple[int, int, list[list[Hunk]]]]:
    """Group the hunks of both sides that overlap or touch; answer (start, end, of each side)."""
    ordered = sorted((hunk, number) for number, hunks in enumerate(sides) for hunk in hunks)
    index = 0
    while index < len(ordered):
        start, end = ordered[index][0][:2]
        hunks: list[list[Hunk]] = [[] for _ in sides]
        while index < len(ordered) and ordered[index][0].base_start <= end:
            hunk, number = ordered[index]
            hunks[number].append(hunk)
            end = max(end, hunk.base_end)
            index += 1
        yield start, end, hunks


def differences(base: Sequence[Line], side: Sequence[Line]) -> list[Hunk]:
    """Return what a side has changed, in order; between two hunks there is an equal line."""
    hunks: list[Hunk] = []
    base_done = done = 0
    for base_index, index in [*_matches(base, side), (len(base), len(side))]:
        if (base_done, done) != (base_index, index):
            hunks.append(Hunk(base_done, base_index, done, index))
        base_done, done = base_index + 1, index + 1
    return hunks


def _matches(base: Sequence[Line], side: Sequence[Line]) -> list[tuple[int, int]]:
    """Return the places (in the base, in the side) of lines that both have, in order."""
    found: list[tuple[int, int]] = []
    steps = MERGE_STEPS_PER_LINE_MAX * (len(base) + len(side))
    ranges = [Hunk(0, len(base), 0, len(side))]
    while ranges:
        rest = _trim(base, side, ranges.pop(), found)
        ours, others = base[rest.base_start : rest.base_end], side[rest.start : rest.end]
        steps -= len(ours) + len(others)
        if not ours or not others or steps < 0:
            continue
        counts, other_counts = Counter(ours), Counter(others)
        unique = {line for line, count in counts.items() if count == other_counts[line] == 1}
        if unique:
            ranges += _split(rest, _anchors(ours, others, unique))
            continue
        pairs = sum(count * other_counts[line] for line, count in counts.items())
        cost = pairs * min(len(ours), len(others))
        if cost <= steps:
            steps -= cost
            matcher = SequenceMatcher(None, ours, others, autojunk=False)
            found += [
                (rest.base_start + block.a + index, rest.start + block.b + index)
                for block in matcher.get_matching_blocks()
                for index in range(block.size)
            ]
    return sorted(found)


def _trim(
    base: Sequence[Line], side: Sequence[Line], given: Hunk, found: list[tuple[int, int]]
) -> Hunk:
    """Take equal lines off both ends."""
    base_start, base_end, start, end = given
    while base_start < base_end and start < end and base[base_start] == side[start]:
        found.append((base_start, start))
        base_start, start = base_start + 1, start + 1
    while base_start < base_end and start < end and base[base_end - 1] == side[end - 1]:
        base_end, end = base_end - 1, end - 1
        found.append((base_end, end))
    return Hunk(base_start, base_end, start, end)


def _anchors(
    ours: Sequence[Line], others: Sequence[Line], unique: set[Line]
) -> list[tuple[int, int]]:
    """Return the places of lines that occur once in both, as many as are in the same order."""
    there = {line: index for index, line in enumerate(others) if line in unique}
    once = [(index, there[line]) for index, line in enumerate(ours) if line in unique]
    return [once[index] for index in rising([place for _, place in once])]


def _split(given: Hunk, anchors: Sequence[tuple[int, int]]) -> Iterator[Hunk]:
    """Cut at the anchors; each is the first line of its piece."""
    base_start, start = given.base_start, given.start
    for base_offset, offset in anchors:
        base_cut, cut = given.base_start + base_offset, given.start + offset
        yield Hunk(base_start, base_cut, start, cut)
        base_start, start = base_cut, cut
    yield Hunk(base_start, given.base_end, start, given.end)
