"""A change takes effect once, whatever is sent again, cut, cloned or failed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kafkaman_server.server import RunningServer
from kafkaman_server.session import Session
from kafkaman_sync.model.changes import Action
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import Events, Push, Verdicts, Welcome
from kafkaman_sync.protocol.records import encode_change
from tests.server.conftest import StartServer
from tests.server.device import Device, dial, sign_in, sign_up, until


async def test_a_repeated_op_gets_its_stored_verdict_and_no_second_event(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create("a")
        sent = dict(one.outbox)
        await one.flush(first)
        verdict = one.verdicts[1]
        one.outbox.update(sent)
        one.log.clear()
        await one.flush(first)
        assert one.verdicts[1] == verdict
        assert [type(message) for message in one.log] == [Verdicts]
        assert one.cursors[one.workspace] == 1


async def test_an_op_twice_in_one_push_is_decided_once(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create("a")
        data = one.outbox[1][1]
        await first.send(encode(Push((data, data))))
        await one.take_until_settled(first)
        one.create("b")
        await one.flush(first)
        assert one.cursors[one.workspace] == 2


async def test_verdicts_lost_with_the_connection_come_after_the_next_catch_up(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    two = await sign_in(server.url)
    async with two.live() as second:
        async with one.live() as first:
            one.create("a")
            op = one.add(Action.DELETE, "e" * 32)
            await one.push(first)
            await two.take_until(second, two.workspace, 1)
        async with one.live():
            assert not one.outbox
            assert one.verdicts[op].seq is not None
            assert isinstance(one.log[-2], Verdicts)
            assert [verdict.op for verdict in one.log[-2].verdicts] == [1, 2]


async def test_another_change_under_a_used_op_is_device_reused(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create("a")
        change = one.outbox[1][0]
        await one.flush(first)
        other = encode_change(replace(change, entity="f" * 32))
        later = encode_change(replace(change, op=2, previous=1, entity="e" * 32))
        await first.send(encode(Push((other, later))))
        assert (await one.take_goodbye(first)).code == "device.reused"
    async with one.live():
        assert one.cursors[one.workspace] == 1, "neither it nor what followed was decided"


async def test_an_old_op_whose_verdict_was_dropped_is_device_reused(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create("a")
        sent = dict(one.outbox)
        await one.flush(first)
    async with one.live() as first:  # says that op 1 is confirmed
        await first.send(encode(Push((sent[1][1],))))
        assert (await one.take_goodbye(first)).code == "device.reused"


async def test_an_op_behind_a_missing_one_is_asked_for_again(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        for number in range(3):
            one.create(f"{number}")
        await one.push(first, [1, 3])
        while not one.resends:
            await one.take(first)
        assert one.resends == [2]
        await one.push(first, [2, 3])
        await one.take_until_settled(first)
        assert one.cursors[one.workspace] == 3


async def test_gaps_in_op_numbers_are_fine_when_the_previous_op_is_decided(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create("a")
        await one.flush(first)
        one.create("b")
        change, _ = one.outbox.pop(2)
        jump = replace(change, op=9, previous=1)
        one.outbox[9] = (jump, encode_change(jump))
        await one.flush(first)
        assert one.verdicts[9].seq == 2


async def test_confirmed_verdicts_are_dropped_as_ops_go_on(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        for _ in range(600):
            one.create()
            await one.push(first, [one.last_op])
            await one.take_until_settled(first)
    ((count,),) = await server.storage._database.fetch("SELECT count(*) FROM verdicts")
    assert count <= 256 + 88


async def test_a_failed_commit_acknowledges_nothing_and_later_all_goes_well(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    database = server.storage._database
    async with one.live() as first:
        one.create("small")
        await one.flush(first)
        ((pages,),) = await database.fetch("PRAGMA page_count")
        # The disk is full now.
        await database._writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
        for _ in range(5):
            one.create(size=100_000)
        await one.push(first)
        goodbye = await one.take_goodbye(first)
        assert goodbye.code == "server.failed"
        assert goodbye.retry_after > 0
        assert server.journal.failing == "store.full"
    one.goodbye = None
    await database._writer.execute_fetchall("PRAGMA max_page_count = 1000000")
    async with one.live() as first:
        assert one.cursors[one.workspace] == 1
        await one.flush(first)
        assert one.cursors[one.workspace] == 6
        assert server.journal.failing == ""


async def test_a_fault_that_one_push_causes_closes_only_its_connection(
    server: RunningServer,
) -> None:
    good = await sign_up(server.url)
    bad = await sign_in(server.url)
    async with good.live() as first, bad.live() as second:
        entity = bad.create("poison")
        # Some fault that only this entity meets.
        await server.storage._database._writer.execute_fetchall(
            "CREATE TRIGGER fault BEFORE INSERT ON entities"
            f" WHEN NEW.id = '{entity}' BEGIN SELECT RAISE(ABORT, 'fault'); END"
        )
        # The journal is kept busy, so that both pushes meet in one commit.
        lock = server.storage._database._write_lock
        async with lock:
            good.create("before")
            await good.push(first, [1])
            await until(lambda: bool(server.journal._waiting or lock._waiters))
            good.create("with it")
            await good.push(first, [2])
            await bad.push(second)
            await until(lambda: len(server.journal._waiting) >= 2)
        await good.take_until_settled(first)
        assert (await bad.take_goodbye(second)).code == "server.failed"
        assert good.cursors[good.workspace] == 2
        good.create("after")
        await good.flush(first)


async def test_what_a_replaced_connection_had_pushed_undecided_is_dropped(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        lock = server.storage._database._write_lock
        async with lock:
            for _ in range(3):
                one.create()
                await one.push(first, [one.last_op])
            await until(lambda: bool(server.journal._waiting))
            server.journal.drop(one.id)
            assert not server.journal._waiting
    again = replace(one, log=[], verdicts={})
    async with again.live() as second:
        await again.flush(second)
        assert again.cursors[again.workspace] == 3


async def test_a_crash_between_welcome_and_its_storing_does_not_brick_the_device(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    for _ in range(3):
        async with one.connected(keep_lease=False):
            pass
    async with one.live() as first:
        one.create()
        await one.flush(first)
    held = one.lease
    for _ in range(3):
        async with one.connected(keep_lease=False):
            assert one.goodbye is None
    assert one.lease == held


async def test_a_copied_store_is_told_that_its_lease_is_stale(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live():
        pass
    clone = replace(one, log=[])
    for _ in range(2):
        async with one.live():
            pass
    async with dial(clone.url) as connection:
        await clone.greet(connection)
        assert clone.goodbye is not None
        assert clone.goodbye.code == "lease.stale"


async def test_a_store_restored_after_pushing_is_stale_at_once(server: RunningServer) -> None:
    one = await sign_up(server.url)
    async with one.live():
        pass
    restored = Device(one.url, one.account, one.id, one.token, lease=one.lease)
    async with one.live() as first:
        one.create()
        await one.flush(first)
    async with dial(one.url) as connection:
        await restored.greet(connection)
        assert restored.goodbye is not None
        assert restored.goodbye.code == "lease.stale"


async def test_a_push_window_is_never_exceeded_by_more_than_one_push(
    start_server: StartServer,
) -> None:
    async with start_server() as server:
        one = await sign_up(server.url)
        async with one.live() as first:
            for _ in range(5000):
                one.create()
            async with server.storage._database._write_lock:
                pushing = asyncio.create_task(one.push(first))
                (session,) = server.hub.sessions()
                assert isinstance(session, Session)
                await until(lambda: session._undecided.changes > 2000)
                for _ in range(200):
                    await asyncio.sleep(0)  # it would read on now if it did
                assert session._undecided.changes <= 2500
            await one.take_until_settled(first)
            await pushing
        assert isinstance(one.log[-1], Events)


async def test_a_welcome_knows_all_that_an_older_connection_has_got_decided(
    server: RunningServer,
) -> None:
    one = await sign_up(server.url)
    async with one.live():
        pass
    restored = replace(one, log=[], outbox={}, verdicts={})
    lock = server.storage._database._write_lock
    async with dial(one.url) as second:
        async with one.live() as first:
            restored.lease = one.lease
            async with lock:
                await second.send(encode(restored.hello()))
                await until(lambda: bool(lock._waiters))
                one.create()
                await one.push(first)
                await until(lambda: len(lock._waiters or ()) == 2)
                first.transport.abort()
                await until(lambda: not server.hub.sessions())
            await server.journal.drain()
        message = await restored.take(second)
        assert isinstance(message, Welcome)
        ((last_op,),) = await server.storage._database.fetch(
            "SELECT last_op FROM devices WHERE id = ?", (one.id,)
        )
        assert message.last_op == last_op
