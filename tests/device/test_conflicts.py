"""The queue of conflicts over real daemons and a real server: looking, choosing, taking back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from kafkaman_sync import Conflict, KafkamanError
from kafkaman_sync.model.values import Value
from tests.device.world import SECONDS, Device, Server, World

Pair = tuple[Server, Device, Device]


async def settled(*devices: Device) -> None:
    for device in devices:
        await device.client.wait("in-sync", SECONDS)


async def caught_up(device: Device) -> None:
    await settled(device)
    await device.client.reload()


async def offline(device: Device) -> None:
    await caught_up(device)
    await device.client.sync(False)
    await device.client.wait("offline", SECONDS)


async def online(device: Device) -> None:
    await device.client.sync(True)
    await settled(device)


async def refusal(call: Any) -> str:
    with pytest.raises(KafkamanError) as caught:
        await call
    assert caught.value.hint
    return caught.value.code


async def shared(world: World, **fields: Value) -> tuple[Device, Device, str]:
    """Return two devices, the second one offline, and a request that both hold."""
    _, laptop, desktop = await world.pair()
    api = await laptop.client.create("collection", fields={"name": "API"})
    request = await laptop.client.create("request", api, {"name": "Get", **fields})
    await settled(laptop)
    await offline(desktop)
    return laptop, desktop, request


async def clash(
    world: World, mine: Value = "/desktop", theirs: Value = "/laptop"
) -> tuple[Device, Device, Conflict]:
    """Return two devices, and the conflict that the second one has with the first."""
    laptop, desktop, request = await shared(world, url="/old")
    await desktop.client.update(request, {"url": mine})
    await laptop.client.update(request, {"url": theirs})
    await settled(laptop)
    await online(desktop)
    (conflict,) = await desktop.client.conflicts()
    return laptop, desktop, conflict


async def test_a_conflict_says_what_happened_and_what_can_be_done(world: World) -> None:
    _, desktop, conflict = await clash(world)
    assert conflict.reason == "edited_by_both"
    assert conflict.explanation == 'You and another device both changed url of the request "Get".'
    assert list(conflict.choices) == ["mine", "theirs", "both", "value"]
    assert (conflict.path, conflict.state, conflict.action) == (["API", "Get"], "open", "update")
    own = (await desktop.client.status()).device
    assert own is not None
    assert conflict.by["theirs"] is None
    written = conflict.by["mine"]
    assert written is not None
    assert (written["device"], written["device_name"]) == (own["id"], "desktop")
    assert written["at"]


async def test_the_server_is_asked_who_wrote_theirs_and_its_answer_is_kept(world: World) -> None:
    laptop, desktop, conflict = await clash(world)
    other = (await laptop.client.status()).device
    assert other is not None
    shown = await desktop.client.conflict(conflict.id[:8])
    written = shown.by["theirs"]
    assert written is not None
    assert (written["device"], written["device_name"]) == (other["id"], "laptop")
    assert (written["username"], written["seq"]) == ("anna", conflict.version)
    assert shown.explanation.startswith('You and your device "laptop" both')
    assert shown.note == ""
    await offline(desktop)
    again = await desktop.client.conflict(conflict.id)
    assert (again.by, again.note) == (shown.by, "")


async def test_offline_it_says_that_the_other_side_s_writer_is_not_known(world: World) -> None:
    _, desktop, conflict = await clash(world)
    await offline(desktop)
    shown = await desktop.client.conflict(conflict.id)
    assert shown.by["theirs"] is None
    assert "not known while offline" in shown.note
    assert shown.theirs == "/laptop"


async def test_a_later_edit_of_the_field_is_told_as_one_s_own(world: World) -> None:
    _, desktop, conflict = await clash(world)
    await desktop.client.update(conflict.entity, {"url": "/third"})
    await settled(desktop)
    shown = await desktop.client.conflict(conflict.id)
    assert (shown.mine, shown.theirs) == ("/desktop", "/third")
    assert shown.explanation.endswith("you have changed it again since.")
    await desktop.client.resolve(conflict.id, mine=False)
    assert (await desktop.client.show(conflict.entity)).fields["url"] == "/third"


async def test_another_value_may_be_any_json(world: World) -> None:
    laptop, desktop, conflict = await clash(world)
    assert await desktop.client.resolve_with(conflict.id[:6], None) == conflict.id
    await settled(desktop)
    await caught_up(laptop)
    assert (await laptop.client.show(conflict.entity)).fields["url"] is None


async def test_a_version_that_is_no_longer_the_one_seen_is_refused(world: World) -> None:
    laptop, desktop, conflict = await clash(world)
    await laptop.client.update(conflict.entity, {"url": "/newer"})
    await settled(laptop)
    await caught_up(desktop)
    client = desktop.client
    seen = conflict.version
    code = await refusal(client.resolve(conflict.id, mine=True, version=seen))
    assert code == "conflict.changed"
    code = await refusal(client.resolve_with(conflict.id, "/x", version=seen))
    assert code == "conflict.changed"
    (now,) = await client.conflicts()
    assert (now.theirs, now.version > seen) == ("/newer", True)
    await client.resolve(conflict.id, mine=True, version=now.version)


async def test_a_resolution_is_taken_back_while_offline_and_not_later(world: World) -> None:
    laptop, desktop, conflict = await clash(world)
    await offline(desktop)
    await desktop.client.resolve(conflict.id, mine=True)
    (resolved,) = await desktop.client.conflicts(resolved=True)
    assert (resolved.id, resolved.state, resolved.theirs) == (conflict.id, "mine", "/laptop")
    assert await desktop.client.reopen(conflict.id[:8]) == conflict.id
    assert (await desktop.client.show(conflict.entity)).fields["url"] == "/laptop"
    assert (await desktop.client.status()).conflicts == 1
    await online(desktop)
    assert [each.id for each in await desktop.client.conflicts()] == [conflict.id]
    await desktop.client.resolve(conflict.id, mine=True)
    await settled(desktop)
    assert await refusal(desktop.client.reopen(conflict.id)) == "conflict.synced"
    await caught_up(laptop)
    assert (await laptop.client.show(conflict.entity)).fields["url"] == "/desktop"


async def test_all_at_once_by_the_newest(world: World) -> None:
    laptop, desktop, request = await shared(world, url="/old", method="GET")
    await desktop.client.update(request, {"url": "/older"})
    await laptop.client.update(request, {"url": "/newer", "method": "PUT"})
    await settled(laptop)
    await desktop.client.update(request, {"method": "POST"})
    await online(desktop)
    done = await desktop.client.resolve_all("newest")
    assert {each.field: each.choice for each in done} == {"url": "theirs", "method": "mine"}
    assert all(each.why and each.error is None for each in done)
    assert (await desktop.client.status()).conflicts == 0
    shown = await desktop.client.show(request)
    assert (shown.fields["url"], shown.fields["method"]) == ("/newer", "POST")


async def test_the_newest_is_theirs_where_nobody_knows_when_it_was(world: World) -> None:
    _, desktop, conflict = await clash(world)
    await offline(desktop)
    (done,) = await desktop.client.resolve_all("newest")
    assert (done.id, done.choice) == (conflict.id, "theirs")
    assert "later to the log" in done.why


async def test_what_cannot_be_resolved_stays_open_and_says_why(world: World) -> None:
    laptop, desktop, request = await shared(world, a="", b="")
    half = "x" * (8 * 1024 * 1024 - 100)
    await laptop.client.update(request, {"a": half})
    await settled(laptop)
    await desktop.client.update(request, {"b": half, "c": "x" * 2000})
    await online(desktop)
    (found,) = await desktop.client.conflicts()
    assert (found.reason, found.refusal) == ("over_limit", "limit.entity")
    (skipped,) = await desktop.client.resolve_all("newest")
    assert (skipped.choice, skipped.error) == (None, None)
    assert "no two sides" in skipped.why
    (failed,) = await desktop.client.resolve_all("mine")
    assert failed.choice is None
    assert failed.error is not None
    assert failed.error["code"] == "limit.entity"
    (dropped,) = await desktop.client.resolve_all("theirs")
    assert dropped.choice == "theirs"


def set_role(server: Server, role: str) -> None:
    """Change everybody's role in the files of a server that is stopped."""
    with closing(sqlite3.connect(server.data / "kafkaman.db")) as database, database:
        database.execute("UPDATE members SET role = ?", (role,))


async def test_an_edit_that_comes_after_the_permission_has_gone_waits(world: World) -> None:
    server = await world.server()
    laptop = await world.device("laptop")
    await laptop.sign_up(server)
    await laptop.client.create("collection", fields={"name": "API"})
    await settled(laptop)
    await server.stop()
    await laptop.client.wait("offline", SECONDS)
    await laptop.client.update("API", {"name": "Mine"})
    set_role(server, "viewer")
    await server.start()
    await laptop.reconnected()
    (conflict,) = await laptop.client.conflicts()
    assert (conflict.reason, conflict.refusal) == ("permission_gone", "permission.denied")
    assert 'no longer change the workspace "Personal"' in conflict.explanation
    code = await refusal(laptop.client.resolve(conflict.id, mine=True))
    assert code == "permission.denied"
    assert await laptop.names() == ["API"]
    await server.stop()
    set_role(server, "owner")
    await server.start()
    await laptop.reconnected()
    await laptop.client.resolve(conflict.id, mine=True)
    await settled(laptop)
    assert await laptop.names() == ["Mine"]
    assert await laptop.client.conflicts() == []


async def test_a_place_is_named_as_everywhere(world: World) -> None:
    laptop, desktop, request = await shared(world)
    other = await desktop.client.create("collection", fields={"name": "Other"})
    await desktop.client.create(
        "folder", (await desktop.client.show(request)).parent, {"name": "F"}
    )
    await desktop.client.create("request", "API/F", {"name": "R"})
    await laptop.client.delete("API")
    await settled(laptop)
    await online(desktop)
    (conflict,) = await desktop.client.conflicts()
    assert (conflict.reason, conflict.name, conflict.more) == ("parent_deleted", "F", 1)
    assert (await desktop.client.status()).conflicts == 1
    shown = await desktop.client.conflict(conflict.id)
    assert [member["name"] for member in shown.group] == ["R"]
    code = await refusal(desktop.client.resolve(conflict.id, mine=True, to="Nowhere"))
    assert code == "entity.not_found"
    assert await refusal(desktop.client.resolve(conflict.id, mine=True, to="/")) == "parent.kind"
    await desktop.client.resolve(conflict.id, mine=True, to="Other")
    await settled(desktop)
    await caught_up(laptop)
    assert await laptop.names() == ["Other", "F", "R"]
    assert (await laptop.client.show("Other/F")).parent == other


async def test_what_changed_in_several_fields_is_shown_as_maps(world: World) -> None:
    laptop, desktop, request = await shared(world, url="/old", method="GET")
    await desktop.client.update(request, {"url": "/new"}, ["method"])
    await laptop.client.delete(request)
    await settled(laptop)
    await online(desktop)
    (conflict,) = await desktop.client.conflicts()
    assert (conflict.reason, conflict.field) == ("theirs_deleted", "")
    assert conflict.base == {"url": "/old", "method": "GET"}
    assert (conflict.mine, conflict.theirs) == ({"url": "/new"}, None)
    assert "value" not in conflict.choices
    call = desktop.client.resolve_with(conflict.id, "x")
    assert await refusal(call) == "conflict.no_field"


async def test_without_an_account_there_is_no_conflict(world: World) -> None:
    device = await world.device("laptop")
    calls: list[Callable[[], Any]] = [
        lambda: device.client.conflict("1"),
        lambda: device.client.resolve("1", mine=True),
        lambda: device.client.resolve_all("mine"),
        lambda: device.client.reopen("1"),
    ]
    assert await device.client.conflicts() == []
    for call in calls:
        assert await refusal(call()) == "conflict.not_found"


async def test_wrong_words_are_refused(world: World) -> None:
    _, desktop, conflict = await clash(world)
    connection = desktop.client._connection
    for method, params in (
        ("resolve", {"id": conflict.id, "take": "ours"}),
        ("resolve", {"id": conflict.id, "take": "value"}),
        ("resolve_all", {"take": "both"}),
    ):
        with pytest.raises(KafkamanError) as caught:
            await connection.call(method, **params)
        assert caught.value.code == "control.invalid_params"
