"""A store of the first release opens, with its outbox and its conflicts."""

from __future__ import annotations

from pathlib import Path

import msgpack

from kafkaman_sync.database import Database, Writer
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.digest import EMPTY_DIGEST
from kafkaman_sync.model.values import encode_value, hash_value
from kafkaman_sync.protocol.records import encode_change
from kafkaman_sync.store import Store
from kafkaman_sync.store.rows import pack_seen
from kafkaman_sync.store.schema import APPLICATION_ID, MIGRATIONS
from tests.store.authority import WORKSPACE

REQUEST = "1" * 32
OLD, MINE, THEIRS = (encode_value(each) for each in ("/old", "/mine", "/theirs"))


def change(op: int) -> bytes:
    edit = FieldEdit(MINE, 1, hash_value(OLD))
    return encode_change(Change(op, 0, WORKSPACE, Action.UPDATE, REQUEST, 1, fields={"url": edit}))


async def first_release(writer: Writer) -> None:
    await writer.run(
        "INSERT INTO workspaces (id, name, role, digest, epochs, copy) VALUES (?, ?, ?, ?, ?, ?)",
        (WORKSPACE, "Personal", "owner", EMPTY_DIGEST, msgpack.packb([]), 1),
    )
    await writer.run(
        "INSERT INTO outbox (op, workspace, entity, action, base, lowest_base, change, seen)"
        " VALUES (2, ?, ?, 'update', 1, 1, ?, ?)",
        (WORKSPACE, REQUEST, change(2), pack_seen({"url": OLD})),
    )
    await writer.run(
        "INSERT INTO conflicts (id, state, workspace, entity, kind, code, field, refusal, message,"
        " device, op, base, mine, theirs, theirs_version, change, seen, path)"
        " VALUES (?, 'open', ?, ?, 'request', 'field', 'url', '', '', 'd', 1, ?, ?, ?, 3, ?, ?, ?)",
        (
            "c" * 32,
            WORKSPACE,
            REQUEST,
            OLD,
            MINE,
            THEIRS,
            change(1),
            pack_seen({"url": OLD}),
            msgpack.packb(["Shop", "List"]),
        ),
    )


async def test_what_the_first_release_kept_is_still_there(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    released = Database.open(path, application_id=APPLICATION_ID, migrations=MIGRATIONS[:1])
    async with released as database:
        await database.transact(first_release)
    async with Store.open(path) as store:
        counts = await store.counts()
        assert (counts.pending, counts.conflicts) == (1, 1)
        (standing,) = await store.standings()
        record = standing.record
        assert (record.base, record.mine, record.theirs) == (OLD, MINE, THEIRS)
        assert (record.at, record.head, record.writer, standing.version) == (0, "", None, 3)
        assert await store.outbox_after(0, changes_max=9, bytes_max=1 << 20) == [(2, change(2))]
        await store.resolve(record.id, mine=False)
        await store.reopen(record.id)
        assert len(await store.conflicts()) == 1
