"""Archives of what was not acknowledged."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import simplejson

from kafkaman_sync.errors import FormatError, StoreError, UsageError
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.model.edits import Delete, Update
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.model.values import REMOVED, Value
from kafkaman_sync.protocol.messages import Events
from kafkaman_sync.protocol.records import encode_event
from kafkaman_sync.store import SealSummary
from kafkaman_sync.store.archive import read_archive
from tests.store.authority import WORKSPACE
from tests.store.devices import Device, values


async def test_nothing_to_seal_makes_no_file(ada: Device, tmp_path: Path) -> None:
    assert await ada.store.seal(tmp_path / "sealed", "sign-out") is None
    assert not (tmp_path / "sealed").exists()


async def test_an_archive_holds_the_outbox_with_names_paths_and_values(
    ada: Device, tmp_path: Path
) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    odd: Value = {
        "n": Decimal("1E+400"),
        "i": 2**70,
        "raw": b"\x00",
        "map": {"$bytes": "no"},
        "l": [1.5],
    }
    request = await ada.create(Kind.REQUEST, shop, name="List \ud800", odd=odd)
    await ada.edit(Update(shop, {"name": REMOVED}))
    summary = await ada.store.seal(tmp_path / "sealed", "sign-out")
    assert isinstance(summary, SealSummary)
    assert (summary.changes, summary.conflicts) == (2, 0)
    assert stat.S_IMODE(summary.path.stat().st_mode) == 0o600
    assert [each.name for each in summary.path.parent.iterdir()] == [summary.path.name]
    text = summary.path.read_text()
    assert "a token" not in text
    document = simplejson.loads(text, use_decimal=True)
    assert (document["format"], document["version"]) == ("kafkaman.sealed", 1)
    assert (document["reason"], document["username"]) == ("sign-out", "ada")
    create, update = document["changes"]
    assert (create["action"], create["entity"], create["kind"]) == ("create", request, "request")
    assert create["parent"] == shop
    assert create["fields"]["odd"] == {
        "n": Decimal("1E+400"),
        "i": 2**70,
        "raw": {"$bytes": "AA=="},
        "map": {"$map": {"$bytes": "no"}},
        "l": [Decimal("1.5")],
    }
    assert create["fields"]["name"] == "List \ud800"
    assert update["removed"] == ["name"]
    assert update["seen"] == {"name": "Shop"}
    assert (await ada.store.counts()).pending == 2


async def test_an_archive_holds_conflicts_and_losing_values(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop", note="old")
    await ada.sync()
    await bob.sync()
    bob.disconnect()
    await ada.set(shop, note="Ada's")
    await ada.sync()
    await bob.set(shop, note="Bob's")
    await bob.sync()
    (record,) = await bob.store.conflicts()
    await bob.store.resolve(record.id, mine=False)
    bob.disconnect()
    await ada.edit(Delete(shop))
    await ada.sync()
    await bob.set(shop, name="Bob's shop")
    await bob.sync()
    summary = await bob.store.seal(tmp_path, "revoked")
    assert summary is not None
    assert (summary.changes, summary.conflicts) == (0, 2)
    lost, deleted = simplejson.loads(summary.path.read_text())["conflicts"]
    assert (lost["state"], lost["mine"], lost["theirs"], lost["base"]) == (
        "theirs",
        "Bob's",
        "Ada's",
        "old",
    )
    assert (deleted["state"], deleted["code"]) == ("open", "deleted")
    assert deleted["change"]["fields"] == {"name": "Bob's shop"}
    assert deleted["change"]["path"] == ["Shop"]
    assert deleted["entity"]["fields"] == {"name": "Shop", "note": "Ada's"}


async def test_an_archive_holds_what_was_purged_before_the_verdict_came(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop", note="long ago")
    await ada.sync()
    await bob.sync()
    await bob.set(shop, name="Store")
    purge = Event(WORKSPACE, ada.authority.head + 1, Action.PURGE, shop, "", "", 0, 0)
    await bob.store.receive([Events(WORKSPACE, (encode_event(purge),))])
    summary = await bob.store.seal(tmp_path / "sealed", "sign-out")
    assert summary is not None
    (change,) = simplejson.loads(summary.path.read_text())["changes"]
    assert (change["kind"], change["path"]) == ("collection", ["Shop"])
    assert change["fields"] == {"name": "Store"}
    assert change["entity_values"] == {"name": "Shop", "note": "long ago"}


async def test_archives_never_overwrite_each_other(ada: Device, tmp_path: Path) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    paths = {(await ada.store.seal(tmp_path / "s", "test")).path for _ in range(3)}  # type: ignore[union-attr] # there is work
    assert len(paths) == 3
    assert all(path.exists() for path in paths)


async def test_an_archive_that_cannot_be_written_is_an_error(ada: Device, tmp_path: Path) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        await ada.store.seal(tmp_path / "file" / "folder", "test")
    assert caught.value.code == "seal.failed"


async def lose_access(device: Device) -> None:
    welcome = device.authority.welcome(device.device)
    device.disconnect()
    await device.store.welcome(replace(welcome, workspaces=()))


async def test_work_in_a_workspace_that_was_lost_is_sealed_once(
    ada: Device, tmp_path: Path
) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    ada.disconnect()
    await ada.create(Kind.REQUEST, shop, name="Unsent")
    await lose_access(ada)
    ((name, summary),) = await ada.store.seal_lost(tmp_path / "sealed")
    assert (name, summary.changes, summary.names) == ("Personal", 1, ("Shop/Unsent",))
    assert "access_lost" in summary.path.read_text()
    assert await ada.store.seal_lost(tmp_path / "sealed") == []
    assert (await ada.store.counts()).pending == 1, "only a verdict takes it out of the outbox"


async def test_a_lost_workspace_without_open_work_goes_at_once(ada: Device, tmp_path: Path) -> None:
    await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    await lose_access(ada)
    assert await ada.store.seal_lost(tmp_path / "sealed") == []
    assert await ada.store.workspaces() == []
    assert not (tmp_path / "sealed").exists()
    await ada.sync()
    assert await ada.names() == ["Shop"]


async def test_access_that_comes_back_and_goes_again_seals_again(
    ada: Device, tmp_path: Path
) -> None:
    await ada.sync()
    ada.disconnect()
    await ada.create(Kind.COLLECTION, name="First")
    await lose_access(ada)
    assert len(await ada.store.seal_lost(tmp_path)) == 1
    await ada.sync()
    assert await ada.store.seal_lost(tmp_path) == []
    ada.disconnect()
    await ada.create(Kind.COLLECTION, name="Second")
    await lose_access(ada)
    ((_, summary),) = await ada.store.seal_lost(tmp_path)
    assert summary.names == ("Second",)


async def test_an_archive_is_read_as_it_was_written(ada: Device, tmp_path: Path) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    await ada.sync()
    odd: Value = {
        "n": Decimal("1E+400"),
        "i": 2**70,
        "raw": b"\x00",
        "map": {"$bytes": "no"},
        "deeper": {"$map": {"$map": 1}},
        "l": [1.5, None, True],
    }
    await ada.create(Kind.REQUEST, shop, name="List \ud800", odd=odd)
    await ada.edit(Update(shop, {"name": REMOVED}))
    summary = await ada.store.seal(tmp_path / "sealed", "signed_out")
    assert summary is not None
    archive = read_archive(summary.path)
    create, update = archive.changes
    assert create.fields == values(name="List \ud800", odd=odd)
    assert [(each.id, each.name) for each in create.above] == [(shop, shop[:8])]
    assert (update.fields, update.seen) == ({"name": REMOVED}, values(name="Shop"))
    assert dict(archive.kinds) == {"request": 1, "collection": 1}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "other"}', "[" * 100_000, '{"format": "kafkaman.sealed"}', "\xff"],
)
def test_what_is_no_archive_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "unsynced-x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError) as caught:
        read_archive(path)
    assert caught.value.code == "archive.invalid"


def test_an_archive_that_cannot_be_read_is_the_disks_fault(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        read_archive(tmp_path / "unsynced-absent.json")
    assert caught.value.code == "store.unreachable"


async def test_what_a_restored_server_forgot_is_sealed_until_it_is_in_the_outbox(
    ada: Device, bob: Device, tmp_path: Path
) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    old = await ada.create(Kind.FOLDER, shop, name="Old")
    await ada.sync()
    backup = ada.authority.backup()
    order = await ada.create(Kind.REQUEST, shop, name="Order", url="/orders")
    await ada.edit(Delete(old))
    await ada.sync()
    await ada.set(order, url="/v2")
    backup.restart()
    ada.disconnect()
    ada.authority = backup
    await ada.connect()
    archives = []
    for whole, known in ((False, [order]), (True, [shop, order])):
        summary = await ada.store.seal(tmp_path, "revoked", whole=whole)
        assert summary is not None
        archives.append(read_archive(summary.path))
        waiting, *confirmed = archives[-1].changes
        assert (waiting.action, waiting.confirmed) == (Action.UPDATE, False)
        assert all(each.confirmed for each in confirmed)
        made = [each for each in confirmed if each.action is Action.CREATE]
        assert [each.entity for each in made] == known
        assert (made[-1].path, made[-1].parent) == (("Shop", "Order"), shop)
        (gone,) = [each.entity for each in confirmed if each.action is Action.DELETE]
        assert gone == old
    await ada.deliver()
    summary = await ada.store.seal(tmp_path, "revoked")
    assert summary is not None
    assert not any(each.confirmed for each in read_archive(summary.path).changes)
    bob.authority = backup
    await bob.sync()
    await bob.store.restore(archives[0], WORKSPACE, deletes=True, today=date(2026, 1, 1))
    assert await bob.names(shop) == ["Order"]
    assert await bob.read(order) == {"name": "Order", "url": "/v2"}


async def test_nothing_is_edited_while_the_account_leaves(ada: Device, tmp_path: Path) -> None:
    shop = await ada.create(Kind.COLLECTION, name="Shop")
    stage = await ada.store.stage_begin(WORKSPACE)
    summary = await ada.store.seal(tmp_path, "signed_out")
    assert summary is not None
    archive = read_archive(summary.path)
    ada.store.leaving = True
    for changing in (
        ada.set(shop, name="Late"),
        ada.store.stage_commit(stage),
        ada.store.resolve("1", mine=True),
        ada.store.reopen("1"),
        ada.store.restore(archive, WORKSPACE, deletes=True, today=date(2026, 1, 1)),
    ):
        with pytest.raises(UsageError) as caught:
            await changing
        assert caught.value.code == "account.leaving"
    assert await ada.read(shop) == {"name": "Shop"}
    ada.store.leaving = False
    await ada.set(shop, name="Stayed")
    assert await ada.read(shop) == {"name": "Stayed"}
