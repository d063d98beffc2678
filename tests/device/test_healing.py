"""Stores that were damaged for real: set aside, rescued from, rebuilt, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from kafkaman_sync import KafkamanError, State
from kafkaman_sync.device import healing
from kafkaman_sync.device.healing import heal, reports, unfinished
from kafkaman_sync.device.memory import write_durably
from kafkaman_sync.store.archive import archive_paths
from tests.device.world import SECONDS, Device, Server, World
from tests.store.wreckage import DAMAGES, PAGE, Wreck, truncated


async def signed_in(world: World, *, edits: int = 30) -> tuple[Server, Device, Device, Wreck]:
    """A pair in sync, the laptop stopped like a kill would, with edits that no server has."""
    server, laptop, desktop = await world.pair()
    root = await laptop.client.create("collection", fields={"name": "API"})
    for number in range(20):
        await laptop.client.create("request", root, {"name": f"old {number}", "body": "x" * 900})
    await laptop.client.wait("in-sync", SECONDS)
    account = (await laptop.client.status()).account
    assert account is not None
    await server.stop()
    for number in range(edits):
        await laptop.client.create("request", root, {"name": f"new {number}", "body": "y" * 900})
    await laptop.stop()
    wreck = Wreck(laptop.home.account(account["id"]))
    mark_unclean(wreck.path)
    return server, laptop, desktop, wreck


def mark_unclean(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE meta SET value = 1 WHERE key = 'running'")
        database.commit()


async def everything_is_back(
    server: Server, laptop: Device, desktop: Device, *, new: int, old: int = 20
) -> None:
    await server.start()
    for device in (laptop, desktop):
        await device.client.retry()
        await device.client.wait("in-sync", SECONDS)
    await desktop.client.reload()
    names = await desktop.names()
    assert sorted(names) == sorted(await laptop.names())
    assert len([name for name in names if name.startswith("old")]) == 20
    assert len([name for name in names if name.startswith("new")]) == new
    for device in (laptop, desktop):
        assert all(proof.equal for proof in await device.client.prove())


async def test_a_zeroed_header_loses_nothing(world: World) -> None:
    server, laptop, desktop, wreck = await signed_in(world)
    DAMAGES["header zeroed"](wreck)
    damaged = wreck.path.read_bytes()
    await laptop.start()
    status = await laptop.client.status()
    assert (status.signed_in, status.pending) == (True, 30)
    await everything_is_back(server, laptop, desktop, new=30)
    (report,) = reports(laptop.home)
    assert (report.changes, report.requeued, report.signed_in) == (30, 30, True)
    kept = Path(report.folder) / wreck.path.name
    assert kept.read_bytes() == damaged, "set aside as it was"
    (archive,) = archive_paths(laptop.home.sealed)
    assert report.archive in archive.name
    assert "new 29" in archive.read_text()


async def test_a_database_removed_without_its_log_is_rescued_from_that(world: World) -> None:
    server, laptop, _ = await world.pair()
    await server.stop()
    await laptop.client.create("collection", fields={"name": "new"})
    (path,) = laptop.home.accounts.glob("*.db")
    log = path.with_name(f"{path.name}-wal").read_bytes()
    await laptop.stop()
    path.unlink()
    path.with_name(f"{path.name}-wal").write_bytes(log)
    await laptop.start()
    (report,) = reports(laptop.home)
    assert report.changes == 1
    await server.start()
    if not report.signed_in:
        await laptop.sign_in(server)
    await laptop.reconnected()
    await laptop.client.restore_unsynced(report.archive)
    await laptop.reconnected()
    assert await laptop.names() == ["new"]


@pytest.mark.parametrize("name", [b"outbox", b"meta"])
async def test_a_table_whose_name_is_no_text_any_more_is_healed(world: World, name: bytes) -> None:
    server, laptop, desktop, wreck = await signed_in(world)
    data = bytearray(wreck.path.read_bytes())
    data[data.index(b"table" + name + name) + 6] = 0x8B
    wreck.path.write_bytes(data)
    await laptop.start()
    assert (await laptop.client.status()).pending == 30
    await everything_is_back(server, laptop, desktop, new=30)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
async def test_a_store_that_is_cut_off_loses_no_more_than_the_end(
    world: World, share: float
) -> None:
    server, laptop, desktop, wreck = await signed_in(world)
    truncated(share)(wreck)
    await laptop.start()
    (report,) = reports(laptop.home)
    if not report.signed_in:
        assert (await laptop.client.status()).cause == "store.lost"
        return
    await everything_is_back(server, laptop, desktop, new=report.requeued)


@pytest.mark.parametrize("name", ["noise", "wrong application"])
async def test_what_can_be_read_goes_on_by_itself(world: World, name: str) -> None:
    server, laptop, desktop, wreck = await signed_in(world)
    DAMAGES[name](wreck)
    await laptop.start()
    (report,) = reports(laptop.home)
    assert report.signed_in
    await everything_is_back(server, laptop, desktop, new=report.requeued)


@pytest.mark.parametrize("name", ["empty", "no database", "folder"])
async def test_a_lost_sign_in_is_an_error_that_says_what_to_do(world: World, name: str) -> None:
    server, laptop, _, wreck = await signed_in(world, edits=1)
    if name == "folder":
        wreck.path.unlink()
        wreck.path.mkdir()
    elif name == "empty":
        # An empty file is a new database to SQLite: there is nothing to tell it from.
        DAMAGES[name](wreck)
    else:
        DAMAGES[name](wreck)
    await laptop.start()
    status = await laptop.client.status()
    assert not status.signed_in
    if name != "empty":
        assert (status.state, status.cause) == (State.ERROR, "store.lost")
        assert "kafkaman sign-in" in status.hint
        assert len(list(laptop.home.damaged.iterdir())) == 1
    await server.start()
    await laptop.sign_in(server)
    assert len(await laptop.names()) == 21


async def test_with_the_sign_in_lost_the_work_is_in_the_archive(world: World) -> None:
    _, laptop, _, wreck = await signed_in(world)
    with closing(sqlite3.connect(wreck.path)) as database:
        database.execute("DELETE FROM meta WHERE key = 'identity'")
        database.commit()
    DAMAGES["header zeroed"](wreck)
    await laptop.start()
    status = await laptop.client.status()
    assert (status.cause, status.signed_in) == ("store.lost", False)
    (archive,) = archive_paths(laptop.home.sealed)
    assert len(json.loads(archive.read_text())["changes"]) == 30


async def test_damage_that_is_met_while_working_is_healed_at_once(world: World) -> None:
    server, laptop, desktop = await world.pair()
    root = await laptop.client.create("collection", fields={"name": "API"})
    for number in range(200):
        await laptop.client.create("request", root, {"name": f"old {number}", "body": "x" * 900})
    await laptop.client.wait("in-sync", SECONDS)
    account = (await laptop.client.status()).account
    assert account is not None
    path = laptop.home.account(account["id"])
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # Behind the daemon's back, and larger than what it has in memory.
    wreck = Wreck(path)
    for page in range(4, path.stat().st_size // PAGE):
        wreck.write(page * PAGE, b"\xff" * PAGE)
    with suppress(KafkamanError):
        for _ in range(3):
            await laptop.client.ls()
            await laptop.client.create("collection", fields={"name": "more"})
            await laptop.client.wait("in-sync", SECONDS)
            await laptop.client.prove()
    async with asyncio.timeout(SECONDS):
        while not reports(laptop.home):  # noqa: ASYNC110  a folder has no event
            await asyncio.sleep(0.01)
    (report,) = reports(laptop.home)
    if not report.signed_in:
        await laptop.sign_in(server)
    await laptop.client.wait("in-sync", SECONDS)
    assert len([name for name in await laptop.names() if name.startswith("old")]) == 200
    assert all(proof.equal for proof in await laptop.client.prove())
    await desktop.client.reload()
    assert sorted(await desktop.names()) == sorted(await laptop.names())


async def test_a_damaged_scratch_pad_keeps_nothing_from_starting(world: World) -> None:
    laptop = await world.device("laptop")
    root = await laptop.client.create("collection", fields={"name": "Sketches"})
    for number in range(40):
        await laptop.client.create("request", root, {"name": f"S{number}", "body": "x" * 900})
    await laptop.stop()
    mark_unclean(laptop.home.scratch)
    DAMAGES["noise"](Wreck(laptop.home.scratch))
    await laptop.start()
    names = await laptop.names()
    (report,) = reports(laptop.home)
    assert (report.scratch, report.rows) == (True, len(names) - names.count("Restored"))
    assert len(names) > 5
    assert await laptop.client.create("collection", fields={"name": "Goes on"})


async def test_what_lost_its_parent_in_the_scratch_pad_gets_another(world: World) -> None:
    laptop = await world.device("laptop")
    root = await laptop.client.create("collection", fields={"name": "Lost"})
    request = await laptop.client.create("request", root, {"name": "Kept"})
    await laptop.client.create("response", request, {"name": "Answer"})
    environment = await laptop.client.create("environment", fields={"name": "Lost too"})
    await laptop.client.create("environment_variable", environment, {"key": "Kept variable"})
    await laptop.stop()
    with closing(sqlite3.connect(laptop.home.scratch)) as database:
        for lost in (root, environment):
            database.execute("DELETE FROM entities WHERE id = ?", (lost,))
        database.commit()
    DAMAGES["header zeroed"](Wreck(laptop.home.scratch))
    await laptop.start()
    names = await laptop.names()
    assert names[1:3] == ["Kept", "Answer"]
    assert names[0].startswith("Restored ")
    assert names[3].startswith("Restored ")
    assert names[4] == "Kept variable"


async def test_a_store_of_a_newer_release_is_left_alone(world: World) -> None:
    server, laptop, desktop, wreck = await signed_in(world)
    with closing(sqlite3.connect(wreck.path)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        database.execute("PRAGMA user_version=9999")
    before = wreck.path.read_bytes()
    await laptop.start()
    status = await laptop.client.status()
    assert (status.state, status.cause) == (State.ERROR, "store.newer")
    assert "newer release" in status.message
    with pytest.raises(KafkamanError) as caught:
        await laptop.client.create("collection", fields={"name": "x"})
    assert caught.value.code == "store.newer"
    assert reports(laptop.home) == []
    await laptop.stop()
    assert wreck.path.read_bytes() == before
    with closing(sqlite3.connect(wreck.path)) as database:
        database.execute(f"PRAGMA user_version={version:d}")
    await laptop.start()
    await everything_is_back(server, laptop, desktop, new=30)


@pytest.mark.parametrize("step", ["_set_aside", "_read", "_rebuild", "_archive", "write_durably"])
async def test_a_healing_cut_off_half_way_is_finished_at_the_next_start(
    world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, laptop, desktop, wreck = await signed_in(world)
    DAMAGES["header zeroed"](wreck)

    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    def die_at_the_report(path: Path, data: bytes) -> None:
        if path.name == healing.REPORT:
            raise Died
        write_durably(path, data)

    with monkeypatch.context() as dying:
        if step == "write_durably":
            dying.setattr(healing, step, die_at_the_report)
        else:
            dying.setattr(healing, step, die)
        with pytest.raises(Died):
            await heal(laptop.home, wreck.path, cause="damaged")
    assert unfinished(wreck.path)
    await laptop.start()
    assert not unfinished(wreck.path)
    assert (await laptop.client.status()).pending == 30
    assert len(archive_paths(laptop.home.sealed)) == 1
    await everything_is_back(server, laptop, desktop, new=30)


async def test_a_damaged_marker_or_report_stops_nothing(world: World) -> None:
    laptop = await world.device("laptop")
    await laptop.client.create("collection", fields={"name": "Kept"})
    await laptop.stop()
    laptop.home.scratch.with_suffix(healing.MARKER).write_text("no JSON")
    (laptop.home.damaged / "x").mkdir()
    (laptop.home.damaged / "x" / healing.REPORT).write_text("[]")
    await laptop.start()
    assert await laptop.names() == ["Kept"]


async def test_a_row_that_only_we_find_damaged_is_healed_too(world: World) -> None:
    server, laptop, desktop, wreck = await signed_in(world, edits=5)
    with closing(sqlite3.connect(wreck.path)) as database:
        database.execute("UPDATE outbox SET change = x'00' WHERE op = (SELECT min(op) FROM outbox)")
        database.commit()
    await laptop.start()
    with pytest.raises(KafkamanError) as caught:
        await laptop.client.ls()
    assert caught.value.code == "store.damaged"
    async with asyncio.timeout(SECONDS):
        while not reports(laptop.home):  # noqa: ASYNC110  a folder has no event
            await asyncio.sleep(0.01)
    (report,) = reports(laptop.home)
    assert (report.requeued, report.lost) == (4, 1)
    assert "1 other was unreadable" in report.cause_for_people().message
    await everything_is_back(server, laptop, desktop, new=4)


@pytest.mark.parametrize(
    ("sql", "signed_in"),
    [
        ("UPDATE workspaces SET epochs = x'c1'", True),
        ("UPDATE meta SET value = x'81' WHERE key = 'identity'", False),
    ],
)
async def test_a_store_that_cannot_say_what_it_is_is_healed_when_it_is_opened(
    world: World, sql: str, signed_in: bool
) -> None:
    _, laptop, _, wreck = await signed_in_pair(world)
    with closing(sqlite3.connect(wreck.path)) as database:
        assert database.execute(sql).rowcount == 1
        database.commit()
    await laptop.start()
    (report,) = reports(laptop.home)
    assert (report.signed_in, report.changes) == (signed_in, 3)
    assert (await laptop.client.status()).signed_in is signed_in


async def signed_in_pair(world: World) -> tuple[Server, Device, Device, Wreck]:
    return await signed_in(world, edits=3)
