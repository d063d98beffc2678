"""Another order of a log's events: what is skipped, moved or swapped, and what that leaves. Pure.

An order is a list of runs of slots. The event at seq s has slot 2s; what was decided right after it
and became no event has slot 2s + 1, and stays where it was. So an order of a million events in
which a few are elsewhere takes a few runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kafkaman_sync.errors import ReplayError


@dataclass(frozen=True, slots=True)
class Skip:
    """As if the change at `seq` had never come."""

    seq: int

    def __str__(self) -> str:
        return f"{self.seq} skipped"


@dataclass(frozen=True, slots=True)
class Move:
    """As if the change at `seq` had come right before the one at `before` (the head + 1: last)."""

    seq: int
    before: int

    def __str__(self) -> str:
        return f"{self.seq} before {self.before}"


@dataclass(frozen=True, slots=True)
class Swap:
    """As if two changes had come in each other's place."""

    one: int
    other: int

    def __str__(self) -> str:
        return f"{self.one} and {self.other} swapped"


Edit = Skip | Move | Swap
"""One thing that is otherwise; it names events by the seqs that they really have."""

Run = tuple[int, int]
"""Slots from the first to the last, both in it."""


def first_touched(edits: Iterable[Edit], default: int) -> int:
    """Return the first seq from which on the order differs; `default` where it never does."""
    seqs = [seq for edit in edits for seq in seqs_of(edit)]
    return min(seqs, default=default)


def seqs_of(edit: Edit) -> tuple[int, ...]:
    """Return the seqs that an edit names."""
    if isinstance(edit, Skip):
        return (edit.seq,)
    return (edit.seq, edit.before) if isinstance(edit, Move) else (edit.one, edit.other)


def reorder(edits: Iterable[Edit], first: int, head: int) -> list[Run]:
    """Return the order that the edits, one after the other, make of the events first..head.

    Raises ReplayError `replay.order` for one that names an event that is not there, or no longer.
    """
    runs: list[Run] = [(2 * first, 2 * head + 1)] if first <= head else []
    for edit in edits:
        if isinstance(edit, Skip):
            runs.pop(_alone(runs, edit.seq))
        elif isinstance(edit, Move):
            _move(runs, edit, head)
        else:
            _alone(runs, edit.one)
            there = _alone(runs, edit.other)
            here = _alone(runs, edit.one)
            runs[here], runs[there] = runs[there], runs[here]
    return runs


def _move(runs: list[Run], edit: Move, head: int) -> None:
    if edit.seq == edit.before:
        _alone(runs, edit.seq)
        return
    moved = runs.pop(_alone(runs, edit.seq))
    last = edit.before == head + 1
    runs.insert(len(runs) if last else _alone(runs, edit.before), moved)


def _alone(runs: list[Run], seq: int) -> int:
    """Make the event a run of its own; return its index."""
    slot = 2 * seq
    for index, (start, end) in enumerate(runs):
        if start <= slot <= end:
            before = [(start, slot - 1)] if start < slot else []
            after = [(slot + 1, end)] if slot < end else []
            runs[index : index + 1] = [*before, (slot, slot), *after]
            return index + len(before)
    raise ReplayError(
        f"There is no event {seq} to skip or to reorder.",
        code="replay.order",
        hint="Name seqs that the log has, each skipped at most once; `replay log` lists them.",
        seq=seq,
    )
