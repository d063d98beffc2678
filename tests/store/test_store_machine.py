"""A store against a dict: whatever a person edits, others send, and a stop interrupts, is there.

Ada's store is the one that is tested; Bob is the other device. The two never change the same thing,
so nothing may clash, and what Ada sees is known at any time: all that she did, and what Bob did up
to her cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kafkaman_sync.model.edits import Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.model.values import REMOVED, Value, decode_value, encode_value
from kafkaman_sync.protocol.records import decode_change
from tests.store.authority import WORKSPACE, Authority
from tests.store.devices import Device

Result = TypeVar("Result")
numbers = st.integers(0, 30)
values: st.SearchStrategy[Value] = st.sampled_from([1, "two", [3, None], {"four": 4.5}])
names = st.sampled_from(["x", "y"])


@dataclass
class Thing:
    """What the model knows of an entity."""

    parent: str
    fields: dict[str, Value] = field(default_factory=dict)
    deleted: bool = False


@dataclass
class Books:
    """What one of the two did: their own things, and their own fields of the shared ones."""

    things: dict[str, Thing] = field(default_factory=dict)
    shared: dict[str, dict[str, Value]] = field(default_factory=dict)

    def pick(self, number: int, *, deleted: bool = False, shared: bool = False) -> str:
        """Return one of the things that are there (or gone: only whose place is there)."""
        found = [id_ for id_, thing in self.things.items() if thing.deleted == deleted]
        found = [id_ for id_ in found if self.alive(self.things[id_].parent)]
        found += self.shared if shared else []
        return found[number % len(found)] if found else ""

    def alive(self, id_: str) -> bool:
        """Tell whether a thing of theirs, and all above it, is there."""
        while id_ in self.things:
            if self.things[id_].deleted:
                return False
            id_ = self.things[id_].parent
        return True

    def inside(self, id_: str, above: str) -> bool:
        """Tell whether a thing is another one, or lies in it."""
        while id_ in self.things and id_ != above:
            id_ = self.things[id_].parent
        return id_ == above

    def write(self, id_: str, name: str, value: Value) -> bool:
        """Set a field, or remove it with None; tell whether that changed it."""
        fields = self.shared[id_] if id_ in self.shared else self.things[id_].fields
        before = fields.pop(name, None)
        if value is not None:
            fields[name] = value
        return before != value


class StoreMachine(RuleBasedStateMachine):
    """Ada edits, Bob edits, messages come and go, and Ada's store is stopped and started."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory()
        self.authority = Authority()
        self.ada, self.bob = (
            Device(Path(self.folder.name) / f"{name}.db", letter * 32, self.authority)
            for name, letter in (("ada", "1"), ("bob", "2"))
        )
        self.mine, self.theirs = Books(), Books()
        self.theirs_at: dict[int, Books] = {}
        self.ops = self.answered = 0
        self.run(self._begin())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    async def _begin(self) -> None:
        await self.ada.open()
        await self.bob.open()
        await self.ada.sync()
        await self.bob.sync()
        root = await self.bob.create(Kind.COLLECTION, name="shared")
        shared = [root] + [
            await self.bob.create(Kind.FOLDER, root, name=name) for name in ("one", "two")
        ]
        for books in (self.mine, self.theirs):
            books.shared = {id_: {} for id_ in shared}
        await self.bob.sync()
        await self.ada.sync()
        self.base = {id_: await self.ada.store.show(WORKSPACE, id_) for id_ in shared}
        self._note()

    def teardown(self) -> None:
        self.run(self._end())
        self.runner.close()
        self.folder.cleanup()

    async def _end(self) -> None:
        await self.ada.close()
        await self.bob.close()

    # What Ada does

    async def edit(self, *edits: Edit, ops: int = 1) -> None:
        result = await self.ada.edit(*edits)
        assert result.ops == ops
        self.ops += result.ops

    @rule(number=numbers, kind=st.sampled_from([Kind.FOLDER, Kind.REQUEST]), value=values)
    def create(self, number: int, kind: Kind, value: Value) -> None:
        folders = [id_ for id_ in self.mine.things if self.is_folder(id_)]
        found = [*self.mine.shared, *folders]
        parent = found[number % len(found)]
        id_ = self.run(self.ada.create(kind, parent, kind=kind.value, x=value))
        self.ops += 1
        self.mine.things[id_] = Thing(parent, {"kind": kind.value, "x": value})

    def is_folder(self, id_: str) -> bool:
        return self.mine.things[id_].fields["kind"] == "folder" and self.mine.alive(id_)

    @rule(number=numbers, name=names, value=values | st.none())
    def write(self, number: int, name: str, value: Value) -> None:
        id_ = self.mine.pick(number, shared=True)
        own = f"mine-{name}" if id_ in self.mine.shared else name
        changed = self.mine.write(id_, own, value)
        data = REMOVED if value is None else encode_value(value)
        self.run(self.edit(Update(id_, {own: data}), ops=int(changed)))

    @rule(numbers=st.lists(numbers, min_size=2, max_size=3), value=values)
    def write_together(self, numbers: list[int], value: Value) -> None:
        """Several edits are one transaction."""
        ids = sorted({self.mine.pick(number, shared=True) for number in numbers})
        edits = [Update(id_, {"mine-both": encode_value(value)}) for id_ in ids]
        ops = sum([self.mine.write(id_, "mine-both", value) for id_ in ids])
        self.run(self.edit(*edits, ops=ops))

    @precondition(lambda self: self.mine.pick(0))
    @rule(number=numbers)
    def delete(self, number: int) -> None:
        id_ = self.mine.pick(number)
        self.mine.things[id_].deleted = True
        self.run(self.edit(Delete(id_)))

    @precondition(lambda self: self.mine.pick(0, deleted=True))
    @rule(number=numbers)
    def restore(self, number: int) -> None:
        id_ = self.mine.pick(number, deleted=True)
        self.mine.things[id_].deleted = False
        self.run(self.edit(Restore(id_)))

    @precondition(lambda self: self.mine.pick(0))
    @rule(number=numbers, into=numbers)
    def move(self, number: int, into: int) -> None:
        id_ = self.mine.pick(number)
        found = [each for each in self.mine.things if self.is_folder(each)]
        found = [*self.mine.shared, *(each for each in found if not self.mine.inside(each, id_))]
        parent = found[into % len(found)]
        moved = self.mine.things[id_].parent != parent
        self.mine.things[id_].parent = parent
        self.run(self.edit(Move(id_, parent), ops=int(moved)))

    # What Bob does, and what reaches the server at once

    @rule(number=numbers, name=names, value=values | st.none())
    def others_write(self, number: int, name: str, value: Value) -> None:
        id_ = self.theirs.pick(number, shared=True)
        own = f"theirs-{name}" if id_ in self.theirs.shared else name
        self.theirs.write(id_, own, value)
        data = REMOVED if value is None else encode_value(value)
        self.run(self._others(Update(id_, {own: data})))

    @rule(number=numbers, value=values)
    def others_create(self, number: int, value: Value) -> None:
        parent = list(self.theirs.shared)[number % 3]
        id_ = self.run(self.bob.create(Kind.REQUEST, parent, kind="request", x=value))
        self.theirs.things[id_] = Thing(parent, {"kind": "request", "x": value})
        self.run(self._others())

    @precondition(lambda self: self.theirs.pick(0))
    @rule(number=numbers)
    def others_delete(self, number: int) -> None:
        id_ = self.theirs.pick(number)
        self.theirs.things[id_].deleted = True
        self.run(self._others(Delete(id_)))

    async def _others(self, *edits: Edit) -> None:
        if edits:
            await self.bob.edit(*edits)
        await self.bob.sync()
        self._note()

    def _note(self) -> None:
        self.theirs_at[self.authority.head] = deepcopy(self.theirs)

    # What happens to Ada's store

    @rule()
    def connect(self) -> None:
        self.run(self.ada.connect())

    @rule()
    def disconnect(self) -> None:
        self.ada.disconnect()

    @rule(count=st.integers(1, 3) | st.none())
    def deliver(self, count: int | None) -> None:
        received = self.run(self.ada.deliver(count))
        if received is not None:
            self.answered = max(self.answered, received.verdict_op)

    @rule(count=st.integers(1, 5))
    def push(self, count: int) -> None:
        self.run(self.ada.push(count))

    @rule(
        after=numbers,
        changes_max=st.integers(1, 4),
        bytes_max=st.sampled_from([1, 300, 1000, 1 << 20]),
    )
    def read_the_outbox(self, after: int, changes_max: int, bytes_max: int) -> None:
        """What has no verdict comes in op order, as much as may be, and at least one."""
        work = self.ada.store.outbox_after(after, changes_max=changes_max, bytes_max=bytes_max)
        found = self.run(work)
        waiting = list(range(max(after, self.answered) + 1, self.ops + 1))
        assert [op for op, _ in found] == waiting[: len(found)]
        assert [decode_change(data).op for _, data in found] == waiting[: len(found)]
        assert len(found) <= changes_max
        assert len(found) <= 1 or sum(len(data) for _, data in found) <= bytes_max
        assert found or not waiting

    @rule()
    def stop_and_start(self) -> None:
        self.run(self.ada.reopen())

    @rule(at_most=st.sampled_from([0, 2, 1000]), at_once=st.sampled_from([1, 3, 1000]))
    def catch_up_otherwise(self, at_most: int, at_once: int) -> None:
        self.authority.replays_at_most, self.authority.rows_at_once = at_most, at_once

    @rule()
    def sync(self) -> None:
        self.run(self.ada.sync())
        self.answered = self.ops
        self.run(self._check_equal())

    async def _check_equal(self) -> None:
        (state,) = await self.ada.store.workspaces()
        expected = self.authority.head, self.authority.digest()
        assert (state.cursor, state.digest) == expected
        assert await self.ada.store.digest_from_rows(WORKSPACE) == expected

    # What is known

    @invariant()
    def the_view_is_all_that_was_done(self) -> None:
        self.run(self._check_view())

    async def _check_view(self) -> None:
        (state,) = await self.ada.store.workspaces()
        if state.mark:
            return  # some rows of a catch-up by state are there, others not yet
        seq = max(seq for seq in self.theirs_at if seq <= state.cursor)
        theirs = self.theirs_at[seq]
        expected: dict[str, tuple[str, dict[str, Value]]] = {}
        for books in (self.mine, theirs):
            for id_, thing in books.things.items():
                if books.alive(id_):
                    expected[id_] = thing.parent, thing.fields
        for id_, row in self.base.items():
            fields = {name: decode_value(data) for name, data in row.fields.items()}
            fields |= self.mine.shared[id_] | theirs.shared[id_]
            expected[id_] = row.parent, fields
        shown = await self.ada.store.subtree(WORKSPACE, ROOT, with_fields=True)
        assert expected == {
            each.id: (
                each.parent,
                {name: decode_value(data) for name, data in each.fields.items()},
            )
            for each in shown
        }

    @invariant()
    def edits_without_a_verdict_are_counted(self) -> None:
        counts = self.run(self.ada.store.counts())
        assert (counts.pending, counts.conflicts) == (self.ops - self.answered, 0)

    @invariant()
    def what_is_known_by_heart_is_what_the_file_says(self) -> None:
        self.run(self.ada.check_books())


TestStore = StoreMachine.TestCase
# Files and event loops cost more than the pure machines' steps.
TestStore.settings = settings(max_examples=settings().max_examples // 5, stateful_step_count=40)
