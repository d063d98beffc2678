"""Real work on the two kinds of database, one commit at a time, under the eyes of a recorder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from kafkaman_server.config import Config
from kafkaman_server.server import run_server
from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Update
from kafkaman_sync.model.entities import ROOT, Kind
from tests.crash.recording import MOMENTS_AT, Moment, recorder
from tests.server.device import Device as Pusher
from tests.server.device import sign_up
from tests.store.authority import WORKSPACE, Authority
from tests.store.devices import Device, devices, values

# Two logs from their beginning to their end, and the beginning of a third.
MOMENTS: Final = 2 * len(MOMENTS_AT) + 1


async def work_on_a_store(folder: Path, random: Random) -> list[Moment]:
    """Edit at a device, push, and receive what another one does; return moments of its store."""
    async with devices(folder, Authority()) as (ada, bob):
        await ada.sync()
        await bob.sync()
        with recorder(ada.path) as noting:
            while len(noting.moments) < MOMENTS:
                await _step(ada, bob, random, noting.note)
        return noting.moments


async def _step(ada: Device, bob: Device, random: Random, note: Callable[[], None]) -> None:
    """Do one thing of what a device does; each of them is one commit, or none."""
    chance = random.random()
    if chance < 0.4:
        await _edit(ada, random)
    elif chance < 0.6:
        await ada.push(random.randint(1, 20))
    elif chance < 0.85:
        await ada.deliver(random.randint(1, 3))
    elif chance < 0.95:
        await bob.sync()
        await _edit(bob, random)
        await bob.sync()
    elif chance < 0.97:
        await _import(ada, random, note)
    else:
        await ada.connect()
    note()


async def _edit(device: Device, random: Random) -> None:
    known = await device.store.subtree(WORKSPACE, ROOT)
    edits: list[Edit] = []
    for _ in range(random.choice((1, 1, 1, 5))):
        chance = random.random()
        if chance < 0.4 or not known:
            entity, kind = random.randbytes(16).hex(), Kind.COLLECTION
            edits.append(Create(entity, kind, ROOT, values(name=str(random.random()))))
        else:
            entity = random.choice(known).id
            text = "x" * random.choice((1, 10, 6000))
            edits.append(Update(entity, values(name=str(random.random()), text=text)))
    if len(known) > 30:
        edits = [Delete(random.choice(known).id)]
    elif len(known) > 2 and random.random() < 0.2:
        one, other = random.sample(known, 2)
        edits = [Move(one.id, before=other.id)]
    await device.edit(*edits)


async def _import(device: Device, random: Random, note: Callable[[], None]) -> None:
    stage = await device.store.stage_begin(WORKSPACE)
    note()
    for _ in range(2):
        creates = [
            Create(random.randbytes(16).hex(), Kind.COLLECTION, ROOT, values(name="imported"))
            for _ in range(5)
        ]
        await device.store.stage(stage, creates)
        note()
    await device.store.stage_commit(stage)


async def work_on_a_server(folder: Path, random: Random) -> list[Moment]:
    """Push changes to a server, each push a commit of its own; return moments of its database."""
    async with run_server(Config(port=0, data=folder)) as server:
        device = await sign_up(server.url)
        async with device.live() as connection:
            with recorder(folder / "kafkaman.db") as noting:
                while len(noting.moments) < MOMENTS:
                    ops = [_change(device, random) for _ in range(random.choice((1, 1, 3, 30)))]
                    await device.push(connection, ops)
                    await device.take_until_settled(connection)
                    noting.note()
    return noting.moments


def _change(device: Pusher, random: Random) -> int:
    alive = [row for row in device.rows.get(device.workspace, {}).values() if not row.deleted]
    if len(alive) < 30 or random.random() < 0.2:
        device.create(str(random.random()), size=random.choice((0, 10, 6000)))
        return device.last_op
    entity = random.choice(alive).id
    if random.random() < 0.2:
        return device.add(Action.DELETE, entity)
    # What was seen is not said: the base alone decides, and some of these conflict.
    base = random.randint(0, device.cursors[device.workspace])
    return device.add(
        Action.UPDATE, entity, fields={"name": str(random.random())}, base=base, prior="?"
    )
