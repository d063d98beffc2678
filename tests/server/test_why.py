"""The log keeps beside each event what it was judged by, and what was not accepted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kafkaman_server.server import RunningServer
from kafkaman_server.storage import sqlite_writes
from kafkaman_sync.model.changes import Action, Basis, ConflictCode, Dispute
from kafkaman_sync.model.values import encode_value, hash_value
from kafkaman_sync.protocol.records import decode_basis, decode_dispute, decode_event
from tests.server.device import Device, sign_in, sign_up

SECRET = "a losing value that nobody else may see"


def rows(folder: Path, query: str) -> list[tuple[bytes, ...]]:
    with closing(sqlite3.connect(folder / "data" / "kafkaman.db")) as database:
        return database.execute(query).fetchall()


def disputes(folder: Path) -> list[Dispute]:
    return [decode_dispute(body) for (body,) in rows(folder, "SELECT body FROM disputes")]


async def one_field_edited_by_both(server: RunningServer) -> tuple[Device, str]:
    """Let two devices edit one field of one entity; return the first, and the entity."""
    one, two = await sign_up(server.url), await sign_in(server.url)
    async with one.live() as first, two.live() as second:
        entity = one.create("a")
        await one.flush(first)
        await two.take_until(second, two.workspace, 1)
        one.add(Action.UPDATE, entity, fields={"name": "b"}, prior="a")
        await one.flush(first)
        two.add(Action.UPDATE, entity, fields={"name": SECRET, "url": "u"}, prior="a", base=1)
        await two.flush(second)
    return one, entity


async def test_an_event_stands_with_the_base_and_prior_it_was_judged_by(
    server: RunningServer, tmp_path: Path
) -> None:
    await one_field_edited_by_both(server)
    found = rows(tmp_path, "SELECT body, basis FROM events ORDER BY seq")
    assert [decode_event(body).action for body, _ in found] == ["create", "update", "update"]
    created, updated, partly = (decode_basis(basis) for _, basis in found)
    assert created == Basis(0, 0)
    assert updated == Basis(1, 1, ((1, hash_value(encode_value("a"))),))
    assert [base for base, _ in partly.fields] == [1], "only of what was accepted"


async def test_the_last_event_of_each_commit_has_the_digest_there(
    server: RunningServer, tmp_path: Path
) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        one.create("a")
        await one.flush(first)
        for name in ("b", "c", "d"):
            one.create(name)
        await one.flush(first)
    digests = [row[0] for row in rows(tmp_path, "SELECT digest FROM events ORDER BY seq")]
    assert [digest is not None for digest in digests] == [True, False, False, True]
    assert rows(tmp_path, "SELECT digest FROM workspaces") == [(digests[-1],)]


async def test_what_was_not_accepted_is_remembered_without_its_value(
    server: RunningServer, tmp_path: Path
) -> None:
    one, entity = await one_field_edited_by_both(server)
    (dispute,) = disputes(tmp_path)
    assert (dispute.seq, dispute.action, dispute.entity) == (3, Action.UPDATE, entity)
    assert dispute.account == one.account
    (lost,) = dispute.fields.items()
    assert lost[0] == "name"
    assert lost[1].value_hash == hash_value(encode_value(SECRET))
    (disagreement,) = dispute.disagreements
    assert (disagreement.code, disagreement.field) == (ConflictCode.FIELD, "name")
    assert (disagreement.version, disagreement.theirs) == (2, b"")
    (body,) = rows(tmp_path, "SELECT body FROM disputes")[0]
    assert SECRET.encode() not in body


async def test_a_refusal_is_remembered_with_its_code(server: RunningServer, tmp_path: Path) -> None:
    one = await sign_up(server.url)
    async with one.live() as first:
        entity = one.create("a")
        one.create("b", entity=entity)
        await one.flush(first)
    (dispute,) = disputes(tmp_path)
    assert dispute.refusal is not None
    assert (dispute.refusal.code, dispute.seq) == ("entity.exists", 1)


async def test_only_the_latest_disputes_are_remembered(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writes, "DISPUTES_KEPT_MAX", 2)
    one = await sign_up(server.url)
    async with one.live() as first:
        entity = one.create("a")
        await one.flush(first)
        for _ in range(5):
            one.create("b", entity=entity)
            await one.flush(first)
    assert [dispute.op for dispute in disputes(tmp_path)] == [5, 6]
