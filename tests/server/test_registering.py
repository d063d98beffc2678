"""Registering anew: a copy gets an id of its own, and whose id it was keeps it."""

from __future__ import annotations

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from kafkaman_server.server import RunningServer
from kafkaman_sync.errors import RefusedError
from tests.server.device import Device, call_once, dial, sign_in, sign_up, until


async def refused(url: str, device: Device) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await register(url, device)
    return caught.value


async def register(url: str, device: Device) -> Device:
    """Register a copy of a device's store."""
    given = await call_once(url, "register", device=device.id, token=device.token)
    return Device(url, device.account, given["device"], given["token"])


async def ids(device: Device, connection: ClientConnection) -> set[str]:
    """Return the devices that hold the account's places."""
    return {each["id"] for each in (await device.ask(connection, "devices"))["devices"]}


async def goodbye_of(device: Device) -> str:
    """Say hello, and return the code of the goodbye."""
    async with dial(device.url) as connection:
        await device.greet(connection)
        assert device.goodbye is not None
        code, device.goodbye = device.goodbye.code, None
        return code


async def test_a_copy_that_registers_leaves_the_original_its_id(server: RunningServer) -> None:
    original = await sign_up(server.url)
    async with original.live() as first:
        copy = await register(server.url, original)
        with pytest.raises(ConnectionClosed):
            await original.take(first)
    assert original.goodbye is None
    assert copy.id != original.id
    async with copy.live() as second, original.live():
        assert await ids(copy, second) == {copy.id, original.id}


async def test_what_was_decided_before_a_copy_registered_takes_effect_once(
    server: RunningServer,
) -> None:
    original = await sign_up(server.url)
    async with original.live() as first:
        # On the server's side of a connection that has broken: its device does not hear of it.
        original.create()
        await original.push(first)
        (session,) = server.hub.sessions()
        await until(lambda: server.hub.head(original.workspace) == 1)
    await until(lambda: session not in server.hub.sessions())
    copy = await register(server.url, original)
    async with copy.live():
        async with original.live() as again:
            await original.take_until_settled(again)
        assert original.verdicts[1].seq == 1
    async with copy.live():
        assert len(copy.rows[copy.workspace]) == 1
        assert copy.cursors[copy.workspace] == 1


async def test_nothing_of_a_device_is_decided_while_a_copy_has_its_place(
    server: RunningServer,
) -> None:
    original = await sign_up(server.url)
    async with original.live() as first:
        (session,) = server.hub.sessions()
        server.hub.exit(session)  # as if it had not been told yet
        copy = await register(server.url, original)
        original.create()
        await original.push(first)
        with pytest.raises(ConnectionClosed):
            await original.take(first)
    async with copy.live():
        assert copy.cursors[copy.workspace] == 0
    async with original.live() as again:
        await original.push(again)
        await original.take_until_settled(again)


async def test_a_store_with_an_older_lease_is_refused_whoever_has_the_place(
    server: RunningServer,
) -> None:
    original = await sign_up(server.url)
    async with original.live():
        pass
    old = original.lease
    for _ in range(2):
        async with original.live():
            pass
    copy = await register(server.url, original)
    new, original.lease = original.lease, old
    assert await goodbye_of(original) == "lease.stale"
    async with copy.live():
        pass
    assert await goodbye_of(original) == "lease.stale"
    original.lease = new
    async with original.live():
        pass


async def test_an_original_without_a_place_is_told_so_and_comes_back_under_its_id(
    server: RunningServer,
) -> None:
    original, other, _ = await sign_up(server.url), *[await sign_in(server.url) for _ in range(2)]
    async with original.live() as first:
        copy = await register(server.url, original)
        async with copy.live():
            with pytest.raises(ConnectionClosed):
                await original.take(first)
    assert await goodbye_of(original) == "auth.device_limit"
    assert (await refused(server.url, original)).code == "auth.device_limit"
    async with copy.live() as second:
        await copy.ask(second, "devices_sign_out", device=other.id)
        async with original.live():
            assert {original.id, copy.id} < await ids(copy, second)


async def test_a_place_that_nobody_has_used_goes_back_to_the_original(
    server: RunningServer,
) -> None:
    original = await sign_up(server.url)
    for _ in range(2):
        await sign_in(server.url)
    async with original.live():
        pass
    copy = await register(server.url, original)
    async with original.live() as connection:
        assert original.id in await ids(original, connection)
        assert copy.id not in await ids(original, connection)
    assert await goodbye_of(copy) == "auth.device_limit"


async def test_each_copy_that_registers_needs_a_place_of_its_own(server: RunningServer) -> None:
    original = await sign_up(server.url)
    await sign_in(server.url)
    async with (await register(server.url, original)).live():
        pass
    async with (await register(server.url, original)).live() as second:
        assert len((await original.ask(second, "devices"))["devices"]) == 3
    assert (await refused(server.url, original)).code == "auth.device_limit"


async def test_a_registration_whose_answer_was_lost_costs_no_place(server: RunningServer) -> None:
    original = await sign_up(server.url)
    await register(server.url, original)
    copy = await register(server.url, original)
    async with copy.live() as connection:
        assert await ids(copy, connection) == {copy.id}


async def test_registering_needs_the_token_and_a_device_not_signed_out(
    server: RunningServer,
) -> None:
    original = await sign_up(server.url)
    stranger = Device(server.url, original.account, original.id, "0" * 64)
    assert (await refused(server.url, stranger)).code == "device.unknown"
    async with original.live() as first:
        await original.ask(first, "sign_out")
    assert (await refused(server.url, original)).code == "device.revoked"


async def test_an_old_copy_does_not_come_back_in_when_its_successor_was_signed_out(
    server: RunningServer,
) -> None:
    original = await sign_up(server.url)
    other = await sign_in(server.url)
    first = await register(server.url, original)
    async with first.live():
        pass
    second = await register(server.url, first)
    async with second.live(), other.live() as connection:
        await other.ask(connection, "devices_sign_out", device=second.id)
    assert (await refused(server.url, second)).code == "device.revoked"
    for copy in (first, original):
        error = await refused(server.url, copy)
        assert (error.code, error.message) == (
            "device.unknown",
            "The device that took this one's place was signed out.",
        )
    async with other.live() as connection:
        assert await ids(other, connection) == {other.id}


async def test_an_original_keeps_its_id_when_its_copy_was_signed_out(
    server: RunningServer,
) -> None:
    original = await sign_up(server.url)
    async with original.live():
        pass
    copy = await register(server.url, original)
    async with copy.live() as connection:
        await copy.ask(connection, "sign_out")
    async with original.live() as connection:
        assert await ids(original, connection) == {original.id}
