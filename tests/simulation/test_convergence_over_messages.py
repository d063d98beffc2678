"""Random schedules of edits, cuts and kills, over real messages between real sessions.

A seed fixes what happens, not exactly when: SQLite works in threads. A failure may need a few runs.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from argon2 import PasswordHasher

from kafkaman_server import catch_up, hub, passwords
from kafkaman_sync.device.link import Link
from kafkaman_sync.errors import ModelError, StoreError
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import PARENT_KINDS, ROOT, Kind, unpack_fields
from kafkaman_sync.model.values import encode_value
from kafkaman_sync.protocol.records import decode_change, decode_event
from tests.simulation.world import SETTLE_SECONDS, Device, World

Value = tuple[str, str, bytes]


class Schedule:
    """One random run; remembers the last value of each field that a device's person wrote."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random: Random = world.random
        self.kept: dict[tuple[int, str, str], bytes] = {}
        self.logged: set[Value] = set()
        self.before: set[Value] = set()
        self.held: set[Value] = set()
        self.number = 0

    async def run(self, steps: int) -> None:
        for _ in range(steps):
            await self.step(self.random.choice(self.world.devices))
            # Let everybody go on for a while, or not.
            for _ in range(self.random.choice((0, 0, 5, 40))):
                await asyncio.sleep(0)

    async def step(self, device: Device) -> None:
        roll = self.random.random()
        if roll < 0.62:
            await self.edit(device)
        elif roll < 0.74:
            device.cut()
        elif roll < 0.80:
            device.online = not device.online
            device.cut()
        elif roll < 0.88:
            await device.stop(clean=self.random.random() < 0.5)
            await device.start()
        elif roll < 0.94:
            await self.resolve(device)
        elif roll < 0.97:
            await self.world.restart()
        else:
            device.sync.retry()

    async def edit(self, device: Device) -> None:
        shown = await device.store.subtree(self.world.workspace, ROOT)
        ids, kinds = [each.id for each in shown], [each.kind for each in shown]
        count = self.random.choice((1, 1, 1, 2, 12))
        edits = [self._edit(ids, kinds) for _ in range(count)]
        try:
            await device.edit(*edits)
        except (ModelError, StoreError):
            return
        for edit in edits:
            if isinstance(edit, Create | Update):
                for name, value in edit.fields.items():
                    self.kept[device.number, edit.id, name] = value

    def _edit(self, ids: list[str], kinds: list[Kind]) -> Edit:
        roll = self.random.random()
        if roll < 0.35 or not ids:
            kind = self.random.choice([Kind.COLLECTION, Kind.FOLDER, Kind.FOLDER, Kind.REQUEST])
            pairs = zip(ids, kinds, strict=True)
            fitting = [each for each, of in pairs if of in PARENT_KINDS[kind]]
            parent = self.random.choice(fitting) if fitting else ROOT
            entity = self.random.randbytes(16).hex()
            return Create(entity, kind, parent, {"name": self._value()})
        entity = self.random.choice(ids)
        if roll < 0.72:
            return Update(entity, {self.random.choice(("name", "url")): self._value()})
        if roll < 0.85:
            return Move(entity, self.random.choice([*ids, ROOT]))
        return Delete(entity) if roll < 0.94 else Restore(entity)

    def _value(self) -> bytes:
        self.number += 1
        text = "same" if self.random.random() < 0.2 else f"{self.number} " + "x" * 200
        return encode_value(text)

    async def resolve(self, device: Device) -> None:
        for record in (await device.store.conflicts())[:1]:
            mine = self.random.random() < 0.5
            try:
                result = await device.store.resolve(record.id, mine=mine)
            except (ModelError, StoreError):
                continue
            device.sync.edited(result.ops)
            if mine:
                for name, edit in record.change.fields.items():
                    self.kept[device.number, record.entity, name] = edit.value

    async def settle(self) -> None:
        """Let all be quiet until every device claims to be in sync, at the server's head."""
        self.world.faults = 0.0
        async with asyncio.timeout(SETTLE_SECONDS):
            behind = True
            while behind:
                for device in self.world.devices:
                    await device.settled()
                head, _ = await self.world.head()
                states = [(await each.store.workspaces())[0] for each in self.world.devices]
                behind = any(state.cursor < head for state in states)

    async def read_log(self) -> None:
        """Remember what the server's log has held."""
        chunk = await self.world.server.storage.read(
            lambda snapshot: snapshot.events_after(self.world.workspace, 0, bytes_max=1 << 24)
        )
        for event in map(decode_event, chunk.events):
            self.logged |= {(event.entity, name, value) for name, value in event.fields.items()}

    async def remember_what_devices_hold(self) -> None:
        """Remember the latest values of a server that will be restored, as far as devices know."""
        with closing(sqlite3.connect(self.world.server.path)) as database:
            latest = _fields(database.execute("SELECT id, fields FROM entities"))
        sql = "SELECT entities.id, fields FROM entities JOIN workspaces USING (copy)"
        for device in self.world.devices:
            found = _fields(await device.store._database.fetch(sql)) & latest
            self.held |= {value for value, _ in found}
        self.before, self.logged = self.logged, set()

    async def check(self) -> None:
        workspace = self.world.workspace
        head = await self.world.head()
        await self.read_log()
        views = []
        recorded: set[Value] = set()
        for device in self.world.devices:
            assert (await device.store.counts()).pending == 0
            assert await device.store.digest_from_rows(workspace) == head
            views.append(await device.store.subtree(workspace, ROOT, with_fields=True))
            rows = await device.store._database.fetch("SELECT change FROM conflicts")
            for change in (decode_change(data) for (data,) in rows):
                recorded |= {(change.entity, name, e.value) for name, e in change.fields.items()}
        assert all(view == views[0] for view in views)
        kept = {(entity, name, value) for (_, entity, name), value in self.kept.items()}
        assert kept <= self.logged | recorded | self.before
        # What a person has overwritten themselves, in view of it, need not come back.
        since = {(entity, name) for entity, name, _ in kept - self.before}
        held = {value for value in self.held if value[:2] not in since}
        assert held <= self.logged | recorded


def _fields(rows: Iterable[tuple[Any, ...]]) -> set[tuple[Value, int]]:
    """Return the values of all fields with their versions."""
    return {
        ((entity, name, held.value), held.version)
        for entity, data in rows
        for name, held in unpack_fields(data).items()
    }


@pytest.fixture
async def world(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(1, 8, 1))
    world = World(tmp_path, seed)
    monkeypatch.setattr(Link, "open", world.link)
    if seed % 2:
        # Small messages, so that catch-ups break in their middle.
        monkeypatch.setattr(catch_up, "MESSAGE_BYTES_TARGET", 500)
        monkeypatch.setattr(hub, "MESSAGE_BYTES_TARGET", 500)
    await world.open(2 + seed % 2)
    yield world
    await world.close()


@pytest.mark.parametrize("seed", range(50))
async def test_devices_end_equal_and_nothing_acknowledged_is_lost(world: World, seed: int) -> None:
    schedule = Schedule(world)
    await schedule.run(40)
    await schedule.settle()
    await schedule.check()


@pytest.mark.parametrize("seed", range(2000, 2025))
async def test_devices_end_equal_after_disks_were_full_now_and_then(
    world: World, seed: int
) -> None:
    schedule = Schedule(world)
    world.faults = 0.1
    await schedule.run(40)
    await schedule.settle()
    await schedule.check()


@pytest.mark.parametrize("seed", range(1000, 1025))
async def test_devices_end_equal_after_the_server_was_restored(
    world: World, seed: int, tmp_path: Path
) -> None:
    schedule = Schedule(world)
    await schedule.run(20)
    backup = tmp_path / "backup"
    world.server.backup(backup)
    await schedule.run(20)
    await schedule.read_log()
    await world.kill()
    await schedule.remember_what_devices_hold()
    await world.restart(backup)
    await schedule.run(10)
    await schedule.settle()
    await schedule.check()
