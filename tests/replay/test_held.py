"""A row held as bytes is the row: its fields, its hash, what is written to it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import encode

from kafkaman_sync.model.digest import row_hash
from kafkaman_sync.model.entities import Entity, Field, pack_fields
from kafkaman_sync.replay.held import Held, hold
from tests.model.strategies import entities

WORKSPACE = "a" * 32


def held(entity: Entity) -> Held:
    return hold(entity, "d", 0, pack_fields(entity.fields))


@given(entities())
def test_it_gives_back_the_row_and_its_hash(entity: Entity) -> None:
    row = held(entity)
    assert row.entity() == entity
    assert row.entity(whole=False) == replace(entity, fields={})
    assert row.packed() == pack_fields(entity.fields)
    assert row.hash(WORKSPACE) == row_hash(WORKSPACE, entity)


@given(entities(), st.dictionaries(st.text(min_size=1, max_size=20), st.binary(), max_size=20))
def test_what_is_written_is_packed_as_if_all_were(entity: Entity, values: dict[str, bytes]) -> None:
    row, fields = held(entity), dict(entity.fields)
    for seq, (name, value) in enumerate(values.items(), entity.version + 1):
        row.write(name, encode(name) + encode((value, seq)))
        fields[name] = Field(value, seq)
        assert row.field(name) == fields[name]
    assert row.field("no such field that anybody has") is None
    assert row.packed() == pack_fields(fields)
