"""The order of what was merged: items stay beside their neighbours, whoever put them there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
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
    place = {name: index for index, name in enumerate(base)}
    moved = [_moved(place, side) for side in (mine, theirs)]
    spine = [name for name in base if name in kept and not any(name in each for each in moved)]
    at = {name: index for index, name in enumerate(spine, 1)}
    gaps: list[list[list[Named]]] = [[] for _ in range(len(spine) + 1)]
    for side, shifted in zip((mine, theirs), moved, strict=True):
        run: list[Named] = []
        gaps[0].append(run)
        for name in side:
            if name in at:
                run = []
                gaps[at[name]].append(run)
            elif name in kept and (name in shifted or name not in place):
                run.append(name)
    order: dict[Named, None] = {}
    for index, runs in enumerate(gaps):
        if index:
            order[spine[index - 1]] = None
        for run in sorted(runs):
            order.update(dict.fromkeys(name for name in run if name not in order))
    return list(order)


def _moved(place: Mapping[Named, int], side: Sequence[Named]) -> set[Named]:
    known = [name for name in side if name in place]
    steady = rising([place[name] for name in known])
    return set(known) - {known[index] for index in steady}


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
