"""Random schedules of edits, deliveries, drops and restarts: all ends equal, nothing is lost."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from kafkaman_sync.errors import ModelError, UsageError
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import PARENT_KINDS, ROOT, Kind
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.protocol.records import decode_change, decode_event
from tests.store.authority import WORKSPACE, Authority
from tests.store.devices import Device, devices

FIELDS = ("name", "url", "body")


class Schedule:
    """One random run; remembers every value that an edit was acknowledged for."""

    def __init__(self, found: list[Device], authority: Authority, seed: int) -> None:
        self.devices = found
        self.authority = authority
        self.random = Random(seed)
        self.number = 0
        self.kept: dict[tuple[str, str, str], bytes] = {}
        self.overwritten: set[tuple[str, str, bytes]] = set()

    async def run(self, steps: int) -> None:
        for device in self.devices:
            await device.sync()
        for _ in range(steps):
            device = self.random.choice(self.devices)
            await self.step(device)
            await device.check_books()

    async def step(self, device: Device) -> None:
        roll = self.random.random()
        if roll < 0.45:
            await self.edit(device)
        elif roll < 0.65:
            await device.deliver(self.random.randint(1, 4))
        elif roll < 0.80:
            await device.push(self.random.randint(1, 6))
        elif roll < 0.86:
            await device.connect()
        elif roll < 0.90:
            device.disconnect()
        elif roll < 0.92:
            await device.reopen()
        elif roll < 0.97:
            await self.resolve(device)
        else:
            self.shake()

    def shake(self) -> None:
        """Let the server restart, or catch devices up in another way from now on."""
        if self.random.random() < 0.3:
            self.authority.restart()
        self.authority.replays_at_most = self.random.choice([0, 3, 1000])
        self.authority.rows_at_once = self.random.choice([1, 4, 1000])

    async def edit(self, device: Device) -> None:
        shown = await device.store.subtree(WORKSPACE, ROOT)
        edits = [self._edit(device, [each.id for each in shown], [each.kind for each in shown])]
        if self.random.random() < 0.1:
            edits.append(self._edit(device, [each.id for each in shown], [e.kind for e in shown]))
        try:
            await device.edit(*edits)
        except ModelError:
            return  # refused as a whole, before it was acknowledged
        for edit in edits:
            self._remember(device, edit)

    def _edit(self, device: Device, ids: list[str], kinds: list[Kind]) -> Edit:
        roll = self.random.random()
        if roll < 0.3 or not ids:
            kind = self.random.choice([Kind.COLLECTION, Kind.FOLDER, Kind.FOLDER, Kind.REQUEST])
            fitting = [
                each for each, of in zip(ids, kinds, strict=True) if of in PARENT_KINDS[kind]
            ]
            parent = self.random.choice(fitting) if fitting else ROOT
            entity = self.random.randbytes(16).hex()
            return Create(entity, kind, parent, {"name": self._value()})
        entity = self.random.choice(ids)
        if roll < 0.7:
            names = self.random.sample(FIELDS, self.random.randint(1, 2))
            return Update(entity, {name: self._value() for name in names})
        if roll < 0.85:
            return Move(entity, self.random.choice([*ids, ROOT]))
        if roll < 0.93:
            return Delete(entity)
        return Restore(self.random.choice([each.id for each in self.authority.entities] or ids))

    def _value(self) -> bytes:
        self.number += 1
        # Few values, so that devices sometimes write the same one.
        return encode_value(self.number if self.random.random() < 0.8 else "same")

    def _remember(self, device: Device, edit: Edit) -> None:
        if isinstance(edit, Create | Update):
            for name, value in edit.fields.items():
                self.kept[device.device, edit.id, name] = value

    async def resolve(self, device: Device) -> None:
        """Choose about one conflict, or take a choice back."""
        undo = self.random.random() < 0.4
        standings = await device.store.standings(resolved=undo)
        if not standings:
            return
        standing = self.random.choice(standings)
        try:
            if undo:
                await device.store.reopen(standing.record.id)
            else:
                await device.store.resolve(standing.record.id, **await self._choice(device))
        except (ModelError, UsageError):
            return  # not possible with this conflict; nothing was changed

    async def _choice(self, device: Device) -> dict[str, Any]:
        roll = self.random.random()
        if roll < 0.4:
            return {"mine": True}
        if roll < 0.6:
            return {"mine": False}
        if roll < 0.7:
            return {"mine": True, "both": True}
        if roll < 0.8:
            return {"mine": True, "value": self._value()}
        shown = await device.store.subtree(WORKSPACE, ROOT)
        return {"mine": True, "parent": self.random.choice([ROOT, *(each.id for each in shown)])}

    async def quarrel(self, rounds: int) -> None:
        """Let conflicts arise, and be resolved and reopened apart and amid other work."""
        for _ in range(rounds):
            for device in self.devices:
                if self.random.random() < 0.6:
                    device.disconnect()
                for _ in range(self.random.randint(1, 6)):
                    await self.random.choice([self.edit, self.resolve, self.resolve])(device)
                    await device.check_books()
                await device.push(self.random.randint(1, 4))
                await device.deliver(self.random.randint(1, 4))
            await self.settle()

    async def settle(self) -> None:
        for _ in range(4):
            for device in self.devices:
                await device.sync()

    async def check(self) -> None:
        digest = self.authority.digest()
        views = []
        for device in self.devices:
            counts = await device.store.counts()
            assert counts.pending == 0
            (state,) = await device.store.workspaces()
            assert (state.cursor, state.digest) == (self.authority.head, digest)
            assert await device.store.digest_from_rows(WORKSPACE) == (state.cursor, digest)
            views.append(await device.store.subtree(WORKSPACE, ROOT, with_fields=True))
        assert all(view == views[0] for view in views)
        await self.check_nothing_is_lost()

    async def check_nothing_is_lost(self) -> None:
        events = [decode_event(data) for data in self.authority.log]
        logged = {
            (event.entity, name, value) for event in events for name, value in event.fields.items()
        }
        for device in self.devices:
            recorded = await disputed(device)
            for (owner, entity, name), value in self.kept.items():
                if owner == device.device:
                    assert (entity, name, value) in logged | recorded | self.overwritten

    def replace(self, authority: Authority) -> None:
        """Go on with another server; what was overwritten in the old one's log need not return."""
        events = [decode_event(data) for data in self.authority.log]
        now = {
            (entity.id, name, held.value)
            for entity in self.authority.entities
            for name, held in entity.fields.items()
        }
        for event in events:
            values = {(event.entity, name, value) for name, value in event.fields.items()}
            self.overwritten |= values - now
        self.authority = authority


async def disputed(device: Device) -> set[tuple[str, str, bytes]]:
    """Return every field value that a record keeps, open or closed."""
    rows = await device.store._database.fetch("SELECT change FROM conflicts")
    changes = [decode_change(data) for (data,) in rows]
    return {
        (change.entity, name, edit.value)
        for change in changes
        for name, edit in change.fields.items()
    }


@pytest.mark.parametrize("seed", range(24))
async def test_devices_end_equal_and_every_edit_is_kept_somewhere(
    seed: int, tmp_path: Path
) -> None:
    authority = Authority()
    async with devices(tmp_path, authority, 2 + seed % 2, seed) as found:
        schedule = Schedule(found, authority, seed)
        await schedule.run(120)
        await schedule.settle()
        await schedule.check()


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_chosen_and_taken_back_devices_end_equal(
    seed: int, tmp_path: Path
) -> None:
    authority = Authority()
    async with devices(tmp_path, authority, 2 + seed % 2, seed) as found:
        schedule = Schedule(found, authority, seed)
        await schedule.run(40)
        await schedule.quarrel(12)
        await schedule.check()
