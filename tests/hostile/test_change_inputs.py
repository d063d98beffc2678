"""Changes that are wrong or at a limit, made by hand, each with the code that it must get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgpack
import pytest

from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.entities import Place
from kafkaman_sync.model.limits import (
    ENTITY_FIELDS_MAX,
    FIELD_NAME_BYTES_MAX,
    FIELD_VALUE_BYTES_MAX,
    INTEGER_MAX,
    PUSH_CHANGES_MAX,
)
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import (
    Call,
    Entities,
    Goodbye,
    Message,
    Push,
    Resend,
)
from kafkaman_sync.protocol.records import encode_change
from tests.hostile.attacker import Identity, honest_change
from tests.hostile.peers import Site
from tests.hostile.talk import ID, code_of, say, verdicts_of


async def push(site: Site, me: Identity, *changes: Change) -> list[Message]:
    if not me.workspace:
        await say(site, me=me)
    placed = [
        replace(change, workspace=me.workspace) if change.workspace == ID else change
        for change in changes
    ]
    return await say(site, encode(Push(tuple(map(encode_change, placed)))), me=me)


FIRST: Final = honest_change(ID, 1, "e" * 32)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (replace(FIRST, base=INTEGER_MAX), "base.unknown"),
        (replace(FIRST, fields={"name": FieldEdit(b"", 9, bytes(16))}), "base.unknown"),
        (replace(FIRST, workspace="f" * 32), "permission.denied"),
        (replace(FIRST, place=Place("d" * 32, "V")), "parent_refused"),
        (replace(FIRST, place=Place(FIRST.entity, "V")), "parent_refused"),
    ],
)
async def test_a_change_that_cannot_be_is_refused_by_name(
    site: Site, me: Identity, change: Change, code: str
) -> None:
    refusal = verdicts_of(await push(site, me, change))[1].refusal
    assert refusal is not None
    assert refusal.code == code


async def test_a_change_of_somebody_elses_workspace_is_refused_and_changes_nothing(
    site: Site, me: Identity, victim: Identity
) -> None:
    await push(site, victim, FIRST)
    entity, theirs = FIRST.entity, victim.workspace
    mine = honest_change(theirs, 1, entity)
    update = replace(mine, op=2, previous=1, action=Action.UPDATE, kind=None, place=None)
    delete = replace(update, op=3, previous=2, action=Action.DELETE, fields={})
    found = verdicts_of(await push(site, me, mine, update, delete))
    assert {each.refusal and each.refusal.code for each in found.values()} == {"permission.denied"}
    said = await say(site, encode(Call(1, "prove")), me=victim)
    states = [one for one in said if isinstance(one, Entities)]
    assert [len(one.rows) for one in states] == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"op": 0},
        {"previous": 1},
        {"action": "purge"},
        {"action": "paint"},
        {"kind": "teapot"},
        {"kind": None},
        {"parent": "x"},
        {"position": ""},
        {"position": "v" * 129},
        {"entity": ""},
        {"base": -1},
        {"fields": {"name": [b"", 0]}},
        {"fields": {"name": [b"", 0, b"short"]}},
        {"fields": {"name": ["text", 0, bytes(16)]}},
        {"fields": {"name": [b"", True, bytes(16)]}},
        {"fields": {"": [b"", 0, bytes(16)]}},
        {"fields": []},
    ],
)
async def test_a_change_that_is_none_is_a_violation(
    site: Site, me: Identity, change: dict[str, Any]
) -> None:
    await say(site, me=me)
    record = msgpack.unpackb(encode_change(replace(FIRST, workspace=me.workspace))) | change
    said = await say(site, encode(Push((bytes(msgpack.packb(record)),))), me=me)
    assert code_of(said) == "protocol.violation"


async def test_op_numbers_of_another_device_are_asked_for_or_refused(
    site: Site, me: Identity
) -> None:
    ahead = replace(FIRST, op=9, previous=8)
    said = await push(site, me, ahead)
    assert said[-1] == Resend(1)
    await push(site, me, FIRST)
    again = replace(FIRST, entity="d" * 32)
    assert code_of(await push(site, me, again)) == "device.reused"


async def test_a_push_out_of_op_order_is_a_violation(site: Site, me: Identity) -> None:
    second = replace(FIRST, op=2, previous=1, entity="d" * 32)
    assert code_of(await push(site, me, second, FIRST)) == "protocol.violation"


async def test_the_same_gap_for_ever_is_asked_for_each_time_and_costs_nothing(
    site: Site, me: Identity
) -> None:
    await say(site, me=me)
    ahead = encode_change(replace(FIRST, workspace=me.workspace, op=9, previous=8))
    said = await say(site, *[encode(Push((ahead,)))] * 50, encode(Call(1, "ping")), me=me)
    assert {one.op for one in said if isinstance(one, Resend)} == {1}
    await site.server.journal.drain()
    assert not site.server.journal._waiting


async def test_a_confirmed_op_that_goes_back_or_lies_loses_nobody_a_verdict(
    site: Site, me: Identity
) -> None:
    await say(site, me=me)
    first = encode_change(replace(FIRST, workspace=me.workspace))
    for confirmed in (INTEGER_MAX, 5, 0):
        said = await say(site, encode(Push((first,), confirmed)), me=me)
        assert verdicts_of(said)[1].accepted == ("name",)


# Limits, to the last unit


def many(count: int) -> list[Change]:
    return [honest_change(ID, op, f"{op:032x}") for op in range(1, count + 1)]


async def test_a_push_of_as_many_changes_as_allowed_is_taken_and_one_more_is_not(
    site: Site, me: Identity
) -> None:
    said = await push(site, me, *many(PUSH_CHANGES_MAX))
    assert len(verdicts_of(said)) == PUSH_CHANGES_MAX
    said = await push(site, me, *many(PUSH_CHANGES_MAX + 1))
    assert code_of(said) == "protocol.violation"
    assert "500" in _words(said)


@pytest.mark.parametrize(
    ("limit", "fields"),
    [
        (FIELD_VALUE_BYTES_MAX, lambda more: {"body": bytes(FIELD_VALUE_BYTES_MAX + more)}),
        (FIELD_NAME_BYTES_MAX, lambda more: {"n" * (FIELD_NAME_BYTES_MAX + more): b""}),
        (ENTITY_FIELDS_MAX, lambda more: {
            f"{number}": b"" for number in range(ENTITY_FIELDS_MAX + more)
        }),
    ],
)  # fmt: skip
async def test_a_change_at_a_limit_is_accepted_and_one_over_it_is_refused_by_name(
    site: Site, me: Identity, limit: int, fields: Any
) -> None:
    change, one_over = (
        replace(FIRST, fields={
            name: FieldEdit(value, 0, bytes(16)) for name, value in fields(more).items()
        })
        for more in (0, 1)
    )  # fmt: skip
    assert verdicts_of(await push(site, me, change))[1].refusal is None
    said = await push(site, me, replace(one_over, op=2, previous=1, entity="d" * 32))
    assert code_of(said) == "protocol.violation"
    assert str(limit) in _words(said)


def _words(said: list[Message]) -> str:
    assert isinstance(said[-1], Goodbye)
    return said[-1].message.replace(",", "")


async def test_an_entity_that_grows_beyond_its_limit_is_refused_by_name(
    site: Site, me: Identity
) -> None:
    half = bytes(FIELD_VALUE_BYTES_MAX - 8)
    first = replace(FIRST, fields={"a": FieldEdit(half, 0, bytes(16))})
    update = replace(first, action=Action.UPDATE, kind=None, place=None)
    changes = [first] + [
        replace(update, op=op, previous=op - 1, fields={name: FieldEdit(half, 0, bytes(16))})
        for op, name in ((2, "b"), (3, "c"))
    ]
    for change in changes[:2]:
        assert verdicts_of(await push(site, me, change))[change.op].refusal is None
    refusal = verdicts_of(await push(site, me, changes[2]))[3].refusal
    assert refusal is not None
    assert refusal.code == "limit.entity"
