"""Changes from device to device: catch-up, push, live, stubs, digests."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from kafkaman_server.server import RunningServer
from kafkaman_sync.model.changes import Action, ConflictCode, Verdict
from kafkaman_sync.model.entities import ROOT, Kind, Place
from kafkaman_sync.protocol.messages import Checkpoint, Entities, Events, Verdicts, Welcome
from tests.server.conftest import StartServer
from tests.server.device import Device, sign_in, sign_up, until


def kinds(device: Device) -> list[str]:
    return [type(message).__name__ for message in device.log]


async def test_a_new_device_gets_an_empty_full_state_verdicts_and_a_checkpoint(
    server: RunningServer,
) -> None:
    device = await sign_up(server.url)
    async with device.live():
        assert kinds(device) == ["Welcome", "Entities", "Verdicts", "Checkpoint"]
        entities = device.log[1]
        assert isinstance(entities, Entities)
        assert entities.full
        assert entities.through == 0


async def test_a_change_reaches_the_other_device_live_and_its_own_as_a_stub(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        entity = one.create("orders")
        await one.flush(first)
        await two.take_until(second, two.workspace, 1)
        assert two.rows == one.rows
        assert two.rows[two.workspace][entity].kind is Kind.COLLECTION
        stubs = [message for message in one.log if isinstance(message, Events)]
        assert isinstance(stubs[0].items[0], Verdict)
        assert stubs[0].digest is not None


async def test_replay_sends_full_events_even_of_ones_own_changes(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create("a")
        await one.push(first)
        while not one.verdicts:
            await one.take(first)
    one.cursors[one.workspace] = 0
    one.rows.clear()
    one.log.clear()
    async with one.live():
        assert kinds(one) == ["Welcome", "Events", "Verdicts", "Checkpoint"]
        events = one.log[1]
        assert isinstance(events, Events)
        assert all(isinstance(item, bytes) for item in events.items)


async def test_a_device_at_the_head_gets_only_verdicts_and_a_checkpoint(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create("a")
        await one.flush(first)
    one.log.clear()
    async with one.live():
        assert kinds(one) == ["Welcome", "Verdicts", "Checkpoint"]


async def test_conflicts_refusals_and_no_ops_come_in_op_order_between_stubs(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        kept = one.create("a")
        gone = one.create("b")
        await one.flush(first)
        one.add(Action.DELETE, gone)
        one.add(Action.DELETE, gone)  # accepted without an event
        one.add(Action.UPDATE, gone, fields={"name": "x"})  # conflict
        one.add(Action.UPDATE, kept, fields={"name": "c"})
        one.create(entity=kept)  # refused
        one.add(Action.MOVE, kept, place=Place(ROOT, "Z"))
        one.log.clear()
        await one.flush(first)
        answered = []
        for message in one.log:
            if isinstance(message, Events):
                answered += [item.op for item in message.items if isinstance(item, Verdict)]
            elif isinstance(message, Verdicts):
                answered += [verdict.op for verdict in message.verdicts]
        assert answered == [3, 4, 5, 6, 7, 8]
        assert not one.verdicts[4].event
        assert one.verdicts[4].seq == 3
        assert one.verdicts[5].disagreements[0].code is ConflictCode.DELETED
        refusal = one.verdicts[7].refusal
        assert refusal is not None
        assert refusal.code == "entity.exists"
        assert one.cursors[one.workspace] == 5


async def test_two_devices_editing_one_field_make_a_conflict_with_theirs(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        entity = one.create("a")
        await one.flush(first)
        await two.take_until(second, two.workspace, 1)
        one.add(Action.UPDATE, entity, fields={"name": "one"}, prior="a")
        await one.flush(first)
        op = two.add(Action.UPDATE, entity, fields={"name": "two", "note": "n"}, base=1, prior="a")
        await two.flush(second)
        verdict = two.verdicts[op]
        assert verdict.accepted == ("note",)
        assert [part.field for part in verdict.disagreements] == ["name"]
        await one.take_until(first, one.workspace, 3)
        assert one.rows == two.rows


async def test_deleting_what_holds_anothers_newer_change_conflicts(server: RunningServer) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        top = one.create("top")
        folder = one.create("f", parent=top, kind=Kind.FOLDER)
        request = one.create("r", parent=folder, kind=Kind.REQUEST)
        await one.flush(first)
        await two.take_until(second, two.workspace, 3)
        two.add(Action.UPDATE, request, fields={"name": "new"}, prior="r")
        await two.flush(second)
        op = one.add(Action.DELETE, top, base=3)
        await one.flush(first)
        (part,) = one.verdicts[op].disagreements
        assert part.code is ConflictCode.CHANGED
        assert part.version == 4
        again = one.add(Action.DELETE, top, base=4)
        await one.flush(first)
        assert one.verdicts[again].event


async def test_a_delete_sees_what_the_same_batch_moved_below(server: RunningServer) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        top = one.create("top")
        other = one.create("other")
        folder = one.create("f", parent=other, kind=Kind.FOLDER)
        request = one.create("r", parent=folder, kind=Kind.REQUEST)
        await one.flush(first)
        await two.take_until(second, two.workspace, 4)
        two.add(Action.UPDATE, request, fields={"name": "new"}, prior="r")
        await two.flush(second)
        one.add(Action.MOVE, folder, place=Place(top, "V"), base=4)
        op = one.add(Action.DELETE, top, base=4)
        await one.flush(first)
        assert one.verdicts[op].disagreements[0].code is ConflictCode.CHANGED


async def test_a_cycle_is_refused_whatever_is_loaded(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        top = one.create("top")
        folders = [one.create("0", parent=top, kind=Kind.FOLDER)]
        for number in range(1, 20):
            folders.append(one.create(str(number), parent=folders[-1], kind=Kind.FOLDER))
        await one.flush(first)
        op = one.add(Action.MOVE, folders[0], place=Place(folders[-1], "V"))
        await one.flush(first)
        refusal = one.verdicts[op].refusal
        assert refusal is not None
        assert refusal.code == "move.cycle"


async def test_a_workspace_of_somebody_else_is_closed(server: RunningServer) -> None:
    ann = await sign_up(server.url)
    eve = await sign_up(server.url, "eve")
    async with ann.live() as first, eve.live() as second:
        entity = ann.create("secret")
        await ann.flush(first)
        ops = [
            eve.add(Action.UPDATE, entity, workspace=ann.workspace, fields={"name": "x"}),
            eve.add(Action.DELETE, entity, workspace=ann.workspace),
            eve.add(Action.DELETE, entity, workspace=secrets.token_hex(16)),
        ]
        await eve.flush(second)
        for op in ops:
            refusal = eve.verdicts[op].refusal
            assert refusal is not None
            assert refusal.code == "permission.denied"
        assert not any(isinstance(message, Events) for message in eve.log)


async def test_many_devices_pushing_at_once_end_with_one_truth(start_server: StartServer) -> None:
    async with start_server(devices_per_account=6) as server:
        devices = [await sign_up(server.url)]
        devices += [await sign_in(server.url) for _ in range(5)]
        changes = 40

        async def work(device: Device) -> None:
            async with device.live() as connection:
                for number in range(changes):
                    device.create(f"{number}")
                    await device.push(connection, [device.last_op])
                    if number % 7 == 0:
                        await device.take(connection)
                await device.take_until(connection, device.workspace, changes * len(devices))

        await asyncio.gather(*map(work, devices))
        assert all(device.rows == devices[0].rows for device in devices)
        assert all(not device.outbox for device in devices)


async def test_devices_joining_under_load_miss_nothing(start_server: StartServer) -> None:
    async with start_server(devices_per_account=10) as server:
        writer = await sign_up(server.url)
        readers = [await sign_in(server.url) for _ in range(6)]
        changes = 600

        async def write() -> None:
            async with writer.live() as connection:
                for _ in range(changes):
                    writer.create()
                    await writer.push(connection, [writer.last_op])
                    if writer.last_op % 3 == 0:
                        await writer.take(connection)
                await writer.take_until_settled(connection)

        async def read(reader: Device, start: int) -> None:
            await until(lambda: writer.last_op >= start)
            async with reader.live() as connection:
                await reader.take_until(connection, reader.workspace, changes)

        await asyncio.gather(
            write(), *(read(reader, 60 * number) for number, reader in enumerate(readers))
        )
        assert all(reader.rows == writer.rows for reader in readers)


async def test_prove_answers_in_stream_order_with_the_digest_there(server: RunningServer) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        for _ in range(50):
            one.create(size=100)
            await one.push(first, [one.last_op])
        proof = await two.ask(second, "prove", workspaces=[two.workspace])
        (part,) = proof["workspaces"]
        assert part["sound"]
        assert part["seq"] == two.cursors[two.workspace]
        two.check(two.workspace, bytes.fromhex(part["digest"]))
        await one.take_until_settled(first)


async def test_welcome_says_the_last_decided_op_and_the_running_epoch(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create()
        await one.flush(first)
    async with one.connected():
        assert isinstance(one.welcome, Welcome)
        assert one.welcome.last_op == 1
        (head,) = one.welcome.workspaces
        assert head.head == 1
        assert head.epochs[-1].epoch == one.welcome.epoch
        assert head.epochs[-1].first_seq == 1
        assert head.role == "owner"


@pytest.mark.parametrize("size", [900_000, 5_000_000])
async def test_large_values_cross_whole(server: RunningServer, size: int) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        for _ in range(3):
            one.create(size=size)
            await one.push(first, [one.last_op])
        await one.take_until_settled(first)
        await two.take_until(second, two.workspace, 3)
        assert two.rows == one.rows
    three = await sign_in(server.url)
    async with three.live():
        assert three.rows == one.rows
        assert isinstance(three.log[-1], Checkpoint)
