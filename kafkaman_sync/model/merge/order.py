"""The order of what was merged: items stay beside their neighbours, whoever put them there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from kafkaman_sync.model.merge.parts import Name

Named = TypeVar("Named", str, Name)


def merge_order(
    kept: Collection[Named], base: Sequence[Named], mine: Sequence[Named], theirs: Sequence[Named]
) -> list[Named]:
    """Order the names in `kept`, each of which mine or theirs has. No name is in a list twice.

    What neither side moved is the spine, in the order of the base. What a side added or moved comes
    after the same part of the spine as on that side. Where both put something at one place, the
    run that begins with the lesser name comes first; what both moved comes where it comes sooner.
    """
    sides = [dict.fromkeys(side) for side in (mine, theirs)]
    common = [name for name in base if name in kept and all(name in side for side in sides)]
    place = {name: index for index, name in enumerate(common)}
    unmoved = [_unmoved(place, side) for side in sides]
    marks = set.intersection(*unmoved)
    spine = [name for name in common if name in marks]
    runs: list[list[list[Named]]] = []
    for side, names in zip(sides, unmoved, strict=True):
        elsewhere = names - marks  # where the other side has moved them
        runs.append(_cut(marks, (name for name in side if name in kept and name not in elsewhere)))
    order: list[Named] = []
    for index, pair in enumerate(zip(*runs, strict=True)):
        order += spine[index - 1 : index] + _join(*sorted(pair))
    return list(dict.fromkeys(order))


def _unmoved(place: Mapping[Named, int], side: Iterable[Named]) -> set[Named]:
    known = [name for name in side if name in place]
    return {known[index] for index in rising([place[name] for name in known])}


def _cut(marks: Collection[Named], names: Iterable[Named]) -> list[list[Named]]:
    """Return the names before, between and after those in `marks`."""
    runs: list[list[Named]] = [[]]
    for name in names:
        if name in marks:
            runs.append([])
        else:
            runs[-1].append(name)
    return runs


def _join(first: list[Named], second: list[Named]) -> list[Named]:
    """Put two runs behind each other; where they share names in one order, piece by piece."""
    place = {name: index for index, name in enumerate(first)}
    shared = [name for name in second if name in place]
    spine = [shared[index] for index in rising([place[name] for name in shared])]
    marks = set(spine)
    joined: list[Named] = []
    for index, pieces in enumerate(zip(_cut(marks, first), _cut(marks, second), strict=True)):
        joined += spine[index - 1 : index] + [name for piece in sorted(pieces) for name in piece]
    return joined


def rising(numbers: Sequence[int]) -> list[int]:
    """Return the indices of a longest strictly rising subsequence."""
    ends: list[int] = []  # the least number that ends a rising run of each length
    indices: list[int] = []
    before: list[int] = []
    for index, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(indices[length - 1] if length else -1)
        ends[length : length + 1] = [number]
        indices[length : length + 1] = [index]
    found: list[int] = []
    index = indices[-1] if indices else -1
    while index >= 0:
        found.append(index)
        index = before[index]
    return found[::-1]
