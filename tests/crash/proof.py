"""What must hold when everything has come to rest, whatever was killed before."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from kafkaman_sync.client import Listed
from kafkaman_sync.formats import Draft
from kafkaman_sync.model.entities import ROOT
from tests.crash.log import ServerLog
from tests.crash.processes import DaemonProgram, Program
from tests.crash.work import Hand, repeats


class Set(Protocol):
    """The processes, and the hands that work with them."""

    programs: dict[str, Program]
    devices: dict[str, DaemonProgram]
    hands: dict[str, list[Hand]]
    shared: dict[str, str]
    log: ServerLog


async def check_rest(world: Set) -> None:
    """Wait until all devices are in sync, and compare them, the hands and the server's log."""
    seq = await _settle(world)
    world.log.read()
    assert world.log.seq == seq, "the devices are at the end of the log"
    listings = await asyncio.gather(*map(_listing, world.devices.values()))
    first = listings[0]
    assert all(listing == first for listing in listings), "the devices show the same"
    for hand in _hands(world):
        hand.recall(first)
    wanted = sum(len(hand.mine) + sum(map(len, hand.imports.values())) for hand in _hands(world))
    assert len(first) == wanted + len(world.shared), "nothing is there twice, nothing is left over"
    _check_markers(world)
    _check_steps(world)
    for name in world.devices:
        await _check_contested(world, name)
    for program in world.programs.values():
        program.check_log()


async def check_closely(world: Set) -> None:
    """Compare every field on every device, and the whole log with what it was."""
    exports = await asyncio.gather(*map(_export, world.devices.values()))
    assert all(export == exports[0] for export in exports), "the devices hold the same"
    for draft in exports[0]:
        _check_fields(draft)
    world.log.read_again()


def _hands(world: Set) -> list[Hand]:
    return [hand for hands in world.hands.values() for hand in hands]


async def _settle(world: Set) -> int:
    """Return the seq at which all devices are."""
    while True:
        found = await asyncio.gather(*(device.settle() for device in world.devices.values()))
        if len(set(found)) == 1:
            return found[0]


async def _listing(device: DaemonProgram) -> list[Listed]:
    async with device.client() as client:
        return await client.ls()


async def _export(device: DaemonProgram) -> list[Draft]:
    async with device.client() as client:
        tops = [each for each in await client.ls(recursive=False) if each.parent == ROOT]
        return [await client.export_draft(each.id) for each in tops]


def _check_fields(draft: Draft) -> None:
    name, text = str(draft.fields["name"]), draft.fields.get("description")
    assert text is None or repeats(str(text), name), f"{name} was written by half"
    for child in draft.children:
        _check_fields(child)


def _check_markers(world: Set) -> None:
    """Every name that was acknowledged stands in the log, each one once, and no other does."""
    told = world.log.markers
    twice = {marker for marker, count in told.items() if count > 1}
    assert not twice, f"took effect twice: {twice}"
    known = set(world.shared.values())
    for hand in _hands(world):
        lost = hand.markers - told.keys()
        assert not lost, f"acknowledged, but not in the log: {lost}"
        known |= hand.markers | hand.disputed
    strange = told.keys() - known
    assert not strange, f"in the log, but not on any device: {strange}"


def _check_steps(world: Set) -> None:
    """The log tells of as many moves and deletions of each entity as the hands have made."""
    made: Counter[tuple[str, str]] = Counter()
    for hand in _hands(world):
        for (entity, step), count in hand.steps.items():
            made[world.log.born.get(entity, entity), step] += count
    told = world.log.steps
    assert made == told, f"made, but not told: {made - told}; told, but not made: {told - made}"


async def _check_contested(world: Set, name: str) -> None:
    """The last name that a device gave to a shared thing is in the log, or waits for a person."""
    async with world.devices[name].client() as client:
        conflicts = await client.conflicts()
    elsewhere = [each for each in conflicts if each.entity not in world.shared]
    assert not elsewhere, f"{name} has conflicts where nobody else writes: {elsewhere}"
    kept = world.log.markers.keys() | {each.mine for each in conflicts}
    for hand in world.hands.get(name, []):
        for entity, chain in hand.contested.items():
            assert kept.intersection(chain), f"{name} lost its name for {entity}: {chain}"
