"""Events become state, once, whatever arrives twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.apply import accepted_event, apply_event
from kafkaman_sync.model.changes import Action, Change, Event, FieldEdit, Verdict, hash_change
from kafkaman_sync.model.entities import Entity, Field, Kind, Place

ENTITY = "1" * 32
HERE = Place("2" * 32, "V1")
THERE = Place("3" * 32, "V2")


def event(seq: int, action: Action, **parts: object) -> Event:
    facts: dict[str, object] = {"account": "a", "device": "d", "op": seq, "at": 0, **parts}
    return Event("a" * 32, seq, action, ENTITY, **facts)  # type: ignore[arg-type] # by name


CREATED = event(1, Action.CREATE, kind=Kind.REQUEST, place=HERE, fields={"name": b"\x01"})
LOG = [
    CREATED,
    event(2, Action.UPDATE, fields={"name": b"\x02", "url": b"\x03"}),
    event(3, Action.MOVE, place=THERE),
    event(4, Action.DELETE),
    event(5, Action.RESTORE, place=HERE),
    event(6, Action.UPDATE, fields={"url": b""}),
    event(7, Action.DELETE),
    event(8, Action.RESTORE),
]


def applied(log: list[Event], entity: Entity | None = None) -> Entity | None:
    for each in log:
        entity = apply_event(entity, each)
    return entity


def test_a_log_becomes_the_state_that_it_says() -> None:
    assert applied(LOG) == Entity(
        id=ENTITY,
        kind=Kind.REQUEST,
        place=HERE,
        place_version=5,
        deleted=False,
        deleted_version=8,
        version=8,
        fields={"name": Field(b"\x02", 2), "url": Field(b"", 6)},
    )


def test_a_deleted_entity_keeps_its_place_and_fields() -> None:
    deleted = applied(LOG[:4])
    assert deleted is not None
    assert deleted.deleted
    assert deleted.place == THERE
    assert deleted.fields["name"].value == b"\x02"


@given(st.integers(0, len(LOG)), st.integers(0, len(LOG)))
def test_events_that_a_row_includes_change_nothing(first: int, again: int) -> None:
    state = applied(LOG[:first])
    overlap = LOG[min(first, again) : first]
    assert applied(overlap, state) == state


def test_a_purge_removes_the_row() -> None:
    assert apply_event(applied(LOG), event(9, Action.PURGE)) is None


@pytest.mark.parametrize("action", [Action.UPDATE, Action.MOVE, Action.DELETE, Action.RESTORE])
def test_an_event_for_an_absent_entity_means_a_broken_log(action: Action) -> None:
    with pytest.raises(ModelError) as caught:
        apply_event(None, event(2, action, place=HERE))
    assert caught.value.code == "log.broken"


@pytest.mark.parametrize("part", ["kind", "place"])
def test_a_create_without_kind_or_place_means_a_broken_log(part: str) -> None:
    broken = replace(CREATED, **{part: None})  # type: ignore[arg-type] # by name
    with pytest.raises(ModelError) as caught:
        apply_event(None, broken)
    assert caught.value.code == "log.broken"


def test_an_accepted_change_becomes_the_event_of_its_accepted_fields() -> None:
    fields = {"name": FieldEdit(b"\x01", 0, bytes(16)), "url": FieldEdit(b"\x02", 0, bytes(16))}
    change = Change(4, 3, "a" * 32, Action.UPDATE, ENTITY, 2, fields=fields)
    verdict = Verdict(4, seq=9, event=True, at=77, accepted=("url",))
    assert accepted_event(change, verdict, account="x", device="y") == Event(
        "a" * 32, 9, Action.UPDATE, ENTITY, "x", "y", 4, 77, fields={"url": b"\x02"}
    )


@pytest.mark.parametrize("verdict", [Verdict(4), Verdict(4, seq=9)])
def test_a_verdict_without_an_event_gives_none(verdict: Verdict) -> None:
    change = Change(4, 3, "a" * 32, Action.DELETE, ENTITY, 2)
    assert accepted_event(change, verdict, account="x", device="y") is None


def test_a_change_s_hash_has_16_bytes() -> None:
    assert len(hash_change(b"a change")) == 16
    assert hash_change(b"a change") != hash_change(b"another")
