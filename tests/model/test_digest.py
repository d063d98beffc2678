"""The digest: the same whatever way a state came about, different for different states."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.model.digest import (
    DIGEST_BYTES,
    EMPTY_DIGEST,
    compute_digest,
    hash_packed,
    row_hash,
    row_head,
    update_digest,
)
from kafkaman_sync.model.entities import Entity, Field, Kind, Place, pack_fields
from tests.model.strategies import entities

WORKSPACE = "a" * 32
states = st.lists(entities(), max_size=6, unique_by=lambda entity: entity.id)


@given(states, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(state: list[Entity], random: object) -> None:
    shuffled = sorted(state, key=lambda entity: entity.id)
    assert compute_digest(WORKSPACE, shuffled) == compute_digest(WORKSPACE, state)


@given(entities())
def test_a_row_kept_as_bytes_has_the_same_hash(entity: Entity) -> None:
    packed = pack_fields(entity.fields)
    assert hash_packed(WORKSPACE, row_head(entity) + packed) == row_hash(WORKSPACE, entity)


@given(states, states)
def test_keeping_it_up_row_by_row_equals_computing_it(
    before: list[Entity], after: list[Entity]
) -> None:
    digest = EMPTY_DIGEST
    for entity in before:
        digest = update_digest(digest, WORKSPACE, None, entity)
    assert digest == compute_digest(WORKSPACE, before)
    for old, new in zip(before, after, strict=False):
        digest = update_digest(digest, WORKSPACE, old, replace(new, id=old.id))
    changed = [replace(new, id=old.id) for old, new in zip(before, after, strict=False)]
    assert digest == compute_digest(WORKSPACE, changed + before[len(changed) :])
    for entity in changed + before[len(changed) :]:
        digest = update_digest(digest, WORKSPACE, entity, None)
    assert digest == EMPTY_DIGEST


def test_no_rows_have_the_empty_digest() -> None:
    assert compute_digest(WORKSPACE, []) == EMPTY_DIGEST
    assert len(EMPTY_DIGEST) == DIGEST_BYTES


def test_every_part_of_a_row_counts_and_so_does_the_workspace() -> None:
    entity = Entity(
        id="1" * 32,
        kind=Kind.FOLDER,
        place=Place("2" * 32, "V1"),
        place_version=1,
        deleted=False,
        deleted_version=1,
        version=2,
        fields={"name": Field(b"\xa1a", 2)},
    )
    variants = [
        entity,
        replace(entity, id="3" * 32),
        replace(entity, kind=Kind.REQUEST),
        replace(entity, place=Place("", "V1")),
        replace(entity, place=Place("2" * 32, "V2")),
        replace(entity, place_version=2),
        replace(entity, deleted=True),
        replace(entity, deleted_version=2),
        replace(entity, fields={}),
        replace(entity, fields={"nam": Field(b"\xa1a", 2)}),
        replace(entity, fields={"name": Field(b"\xa1b", 2)}),
        replace(entity, fields={"name": Field(b"\xa1a", 1)}),
        replace(entity, fields={"name": Field(b"\xa1a", 2), "b": Field(b"", 2)}),
    ]
    hashes = {row_hash(WORKSPACE, each) for each in variants}
    assert len(hashes) == len(variants)
    assert row_hash("b" * 32, entity) not in hashes
