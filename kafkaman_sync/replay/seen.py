"""What a person had seen, when events come in another order than they really did.

A base says "had seen every event up to this seq". In another order those events have other seqs,
and need no longer be the first ones of the log: one that had not been seen may come between. So a
base becomes a set, the events that had really come at or before it, and `decide`, which compares a
version with a base, is given a base for which the comparison asks: was the event that wrote this
version one of them? Priors, hashes of what the person saw, stay as they are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import replace
from typing import Final

from kafkaman_server.decide import World
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.entities import Field
from kafkaman_sync.model.values import hash_value

# No value begins so: MessagePack never uses the first byte.
_UNKNOWN_MARK: Final = b"\xc1not in the log\xc1"


def unknown_value(value_hash: bytes) -> bytes:
    """Return what stands for a value of which only the hash is known."""
    return _UNKNOWN_MARK + value_hash


def hash_of_unknown(value: bytes) -> bytes | None:
    """Return the hash of the value that `value` stands for; None for a value of its own."""
    return value.removeprefix(_UNKNOWN_MARK) if value.startswith(_UNKNOWN_MARK) else None


class Sights:
    """Which slot (`order`) really has what each seq of the other order holds.

    Seqs below `first` are what they were. An odd slot is that of a change that really became no
    event: whoever had seen the events after it would have seen it, too.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._slots = array("q")
        # The greatest slot so far: up to where it is at most a base's, all had been seen.
        self._highest = array("q")

    def note(self, slot: int) -> None:
        """Note that the next seq is that of what really has `slot`."""
        self._slots.append(slot)
        self._highest.append(max(slot, self._highest[-1] if self._highest else 0))

    def slot(self, seq: int) -> int:
        """Return the slot that what is at a seq really has.

        Raises ReplayError `replay.log_broken` for a seq that has not come yet: a stored row has it.
        """
        if seq < self._first:
            return 2 * seq
        if seq - self._first >= len(self._slots):
            raise ReplayError(
                f"A stored row says that it was written at seq {seq}, which came after it.",
                code="replay.log_broken",
                hint="`replay verify` names the rows that are not those of the log.",
                seq=seq,
            )
        return self._slots[seq - self._first]

    def prefix(self, base: int) -> int:
        """Return the last seq up to which all had been seen at a base."""
        if base < self._first:
            return base
        return self._first - 1 + bisect_right(self._highest, 2 * base)

    def saw(self, seq: int, base: int) -> bool:
        """Tell whether who had seen the log up to a base had seen what is at a seq now."""
        return self.slot(seq) <= 2 * base


def rebase(world: World, change: Change, device: str, sights: Sights) -> Change:
    """Return a change with bases for the other order, of which `world` is the state so far."""
    held = world.get(change.entity)
    base = sights.prefix(change.base)
    if change.action is Action.DELETE and held is not None:
        others = [entry.changed_by_others(device) for entry in world.below(held.id)]
        if all(sights.saw(seq, change.base) for seq in others):
            base = world.head
    there = {} if held is None else held.fields
    fields = {name: _rebased(edit, there.get(name), sights) for name, edit in change.fields.items()}
    return replace(change, base=base, fields=fields)


def _rebased(edit: FieldEdit, held: Field | None, sights: Sights) -> FieldEdit:
    value, base = edit.value, sights.prefix(edit.base)
    if held is None:
        return FieldEdit(value, base, edit.prior)
    there = hash_of_unknown(held.value) or hash_value(held.value)
    mine = hash_of_unknown(value) or hash_value(value)
    if mine == there and hash_of_unknown(value):
        value = held.value
    if there in (mine, edit.prior) or sights.saw(held.version, edit.base):
        base = max(base, held.version)
    return FieldEdit(value, base, edit.prior)
