"""Changes, events, entity rows and verdicts to bytes and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    Event,
    Refusal,
    Verdict,
    basis_of,
    dispute_of,
)
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.limits import FIELD_VALUE_BYTES_MAX, INTEGER_MAX, ROW_BYTES_MAX
from kafkaman_sync.protocol.records import (
    EVENT_HEAD_BYTES,
    decode_basis,
    decode_change,
    decode_dispute,
    decode_entity,
    decode_event,
    decode_event_head,
    decode_verdict,
    encode_basis,
    encode_change,
    encode_dispute,
    encode_entity,
    encode_event,
    encode_verdict,
)
from tests.protocol.samples import changes, entities, events, verdicts

ID = "0" * 32
DECODERS: dict[str, Callable[[bytes], object]] = {
    "change": decode_change,
    "event": decode_event,
    "entity": decode_entity,
    "verdict": decode_verdict,
    "basis": decode_basis,
    "dispute": decode_dispute,
}


@given(changes())
def test_a_change_comes_back(change: Change) -> None:
    assert decode_change(encode_change(change)) == change


@given(events)
def test_an_event_comes_back(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@given(events)
def test_the_head_of_an_event_says_whose_it_was(event: Event) -> None:
    whole = replace(
        event, account="a" * 32, device="d" * 32, seq=INTEGER_MAX, op=INTEGER_MAX, at=INTEGER_MAX
    )
    head = decode_event_head(encode_event(whole)[:EVENT_HEAD_BYTES])
    assert head == replace(whole, kind=None, place=None, fields={})


@given(entities)
def test_an_entity_row_comes_back(entity: Entity) -> None:
    assert decode_entity(encode_entity(entity)) == entity


@given(verdicts())
def test_a_verdict_comes_back(verdict: Verdict) -> None:
    assert decode_verdict(encode_verdict(verdict)) == verdict


@given(changes())
def test_a_basis_comes_back_with_the_fields_that_were_accepted(change: Change) -> None:
    basis = basis_of(change, sorted(change.fields))
    assert decode_basis(encode_basis(basis)) == basis
    judged = [change.fields[name] for name in sorted(change.fields)]
    seen = [(edit.base, edit.prior) for edit in judged]
    assert list(basis.fields) == (seen if change.action is Action.UPDATE else [])


@given(changes(), st.integers(0, 9))
def test_a_refused_change_is_remembered_without_its_values(change: Change, head: int) -> None:
    refused = Verdict(change.op, refusal=Refusal("limit.entity", "Too large."))
    dispute = dispute_of(change, refused, account="a", device="d", head=head)
    assert dispute is not None
    assert decode_dispute(encode_dispute(dispute)) == dispute
    assert (dispute.seq, dispute.op, set(dispute.fields)) == (head, change.op, set(change.fields))
    assert dispute.parent == (change.place.parent if change.place else None)


@given(changes())
def test_what_was_accepted_whole_is_no_dispute(change: Change) -> None:
    accepted = Verdict(change.op, seq=3, event=True, accepted=tuple(sorted(change.fields)))
    assert dispute_of(change, accepted, account="a", device="d", head=2) is None


@given(changes().filter(lambda change: change.action is Action.UPDATE))
def test_a_dispute_keeps_what_stood_in_the_way_but_not_its_value(change: Change) -> None:
    lost, *accepted = sorted(change.fields)
    partly = Verdict(
        change.op,
        seq=3,
        event=True,
        accepted=tuple(accepted),
        disagreements=(Disagreement(ConflictCode.FIELD, lost, b"theirs", 2),),
    )
    dispute = dispute_of(change, partly, account="a", device="d", head=9)
    assert dispute is not None
    assert (dispute.seq, set(dispute.fields)) == (3, {lost})
    assert dispute.disagreements == (Disagreement(ConflictCode.FIELD, lost, version=2),)


@given(
    changes().map(encode_change)
    | events.map(encode_event)
    | entities.map(encode_entity)
    | verdicts().map(encode_verdict),
    st.sampled_from(sorted(DECODERS)),
    st.data(),
)
def test_mutated_records_are_legal_or_a_wire_error(
    record: bytes, decoder: str, data: st.DataObject
) -> None:
    frame = bytearray(record)
    for _ in range(data.draw(st.integers(0, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        DECODERS[decoder](bytes(frame))
    except WireError as error:
        assert error.code  # noqa: PT017 - whether it raises is not the question


def change(**parts: Any) -> bytes:
    record = {"op": 1, "previous": 0, "workspace": ID, "entity": ID, "base": 0, **parts}
    return bytes(msgpack.packb(record))


EDIT = [b"v", 0, bytes(16)]
PLACE = {"parent": "", "position": "V"}


@pytest.mark.parametrize(
    "data",
    [
        change(action="purge"),
        change(action="explode"),
        change(action="delete", op=0),
        change(action="delete", previous=1),
        change(action="delete", entity="x"),
        change(action="delete", kind="folder"),
        change(action="create", **PLACE),
        change(action="create", kind="folder"),
        change(action="create", kind="planet", **PLACE),
        change(action="move"),
        change(action="delete", **PLACE),
        change(action="update", fields={"a": EDIT}, **PLACE),
        change(action="move", fields={"a": EDIT}, **PLACE),
        change(action="update"),
        change(action="move", parent="x", position="V"),
        change(action="move", parent=""),
        change(action="move", parent="", position="0"),
        change(action="move", parent="", position="V" * 200),
        change(action="update", fields={"a": b"v"}),
        change(action="update", fields={"a": [b"v", 0]}),
        change(action="update", fields={"a": [b"v", -1, bytes(16)]}),
        change(action="update", fields={"a": [b"v", True, bytes(16)]}),
        change(action="update", fields={"a": [b"v", 0, bytes(15)]}),
        change(action="update", fields={"a": [b"v", 0, "x"]}),
        change(action="update", fields={"a": ["v", 0, bytes(16)]}),
        change(action="update", fields={"": EDIT}),
        change(action="update", fields={"a" * 129: EDIT}),
        change(action="update", fields=[EDIT]),
        msgpack.packb({}),
        bytes(ROW_BYTES_MAX + 1),
    ],
)
def test_illegal_changes_are_wire_errors(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_change(data)


def test_what_is_too_large_is_named() -> None:
    large = [bytes(FIELD_VALUE_BYTES_MAX + 1), 0, bytes(16)]
    with pytest.raises(WireError) as caught:
        decode_change(change(action="update", fields={"a": large}))
    assert caught.value.code == "limit.field"
    full = [bytes(FIELD_VALUE_BYTES_MAX), 0, bytes(16)]
    with pytest.raises(WireError) as caught:
        decode_change(change(action="update", fields={"a": full, "b": full}))
    assert caught.value.code == "limit.entity"


def entity(**parts: Any) -> bytes:
    record = {
        "id": ID,
        "kind": "folder",
        **PLACE,
        "place_version": 1,
        "deleted": False,
        "deleted_version": 1,
        "version": 1,
        **parts,
    }
    return bytes(msgpack.packb(record))


@pytest.mark.parametrize(
    "data",
    [
        entity(kind=None),
        entity(parent=None),
        entity(deleted=1),
        entity(fields={"a": b"v"}),
        entity(fields={"a": [b"v"]}),
        entity(fields={"a": [b"v", -1]}),
        entity(fields={"a": [b"v", False]}),
        entity(fields={"a": [1, 1]}),
    ],
)
def test_illegal_rows_are_wire_errors(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_entity(data)


@pytest.mark.parametrize(
    "record",
    [
        {"op": 1, "accepted": [""]},
        {"op": 1, "accepted": [1]},
        {"op": 1, "disagreements": [{"code": "colour"}]},
        {"op": 1, "disagreements": ["x"]},
        {"op": 1, "refusal": {"code": "a"}},
        {"op": 1, "refusal": "no"},
        {},
    ],
)
def test_illegal_verdicts_are_wire_errors(record: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        decode_verdict(msgpack.packb(record))
