"""Records in their usual spelling: read in one step exactly as the patient reader reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.changes import Action, Change, FieldEdit, Verdict
from kafkaman_sync.model.entities import Kind, Place
from kafkaman_sync.protocol import codec, records, usual
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Events
from kafkaman_sync.protocol.records import (
    decode_change,
    decode_entity,
    decode_event,
    decode_verdict,
    encode_change,
    encode_entity,
    encode_event,
    encode_verdict,
)
from tests.protocol.samples import changes, entities, events, verdicts

ID = "0" * 32
READERS: dict[str, tuple[Callable[[bytes], object], Callable[[bytes], object]]] = {
    "read_change": (usual.read_change, decode_change),
    "read_event": (usual.read_event, decode_event),
    "read_entity": (usual.read_entity, decode_entity),
    "read_whole_verdict": (usual.read_whole_verdict, decode_verdict),
}
some_record = st.one_of(
    changes().map(lambda each: ("read_change", encode_change(each))),
    events.map(lambda each: ("read_event", encode_event(each))),
    entities.map(lambda each: ("read_entity", encode_entity(each))),
    verdicts().map(lambda each: ("read_whole_verdict", encode_verdict(each))),
)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[bytes], object]]:
    """The readers of `records` without the quick way."""
    for name in READERS:
        monkeypatch.setattr(records, name, lambda _: None)
    return {name: decoder for name, (_, decoder) in READERS.items()}


@given(some_record)
def test_what_we_write_is_usual(record: tuple[str, bytes]) -> None:
    name, data = record
    assert READERS[name][0](data) is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(some_record, st.data())
def test_the_usual_and_the_patient_reader_agree(
    patient: dict[str, Callable[[bytes], object]],
    record: tuple[str, bytes],
    data: st.DataObject,
) -> None:
    name, written = record
    frame = bytearray(written)
    for _ in range(data.draw(st.integers(0, 2))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    quick = READERS[name][0](bytes(frame))
    if quick is not None:
        assert quick == patient[name](bytes(frame))


@given(changes())
def test_another_order_of_keys_is_legal_and_not_usual(change: Change) -> None:
    record = list(msgpack.unpackb(encode_change(change)).items())
    turned = record[1:] + record[:1]
    data = msgpack.packb(dict(turned))
    assert usual.read_change(data) is None
    assert decode_change(data) == change


def test_a_key_that_comes_twice_is_not_usual() -> None:
    change = Change(1, 0, ID, Action.UPDATE, ID, 0, fields={"a": FieldEdit(b"v", 0, bytes(16))})
    data = encode_change(change)
    entry = data[data.index(b"\xa1a") :]
    twice = data[: -len(entry) - 1] + b"\x82" + entry + entry
    assert usual.read_change(twice) is None
    with pytest.raises(WireError, match="twice"):
        decode_change(twice)


def test_a_long_field_name_takes_the_patient_way() -> None:
    change = Change(1, 0, ID, Action.UPDATE, ID, 0, fields={"é" * 33: FieldEdit(b"", 0, bytes(16))})
    assert usual.read_change(encode_change(change)) is None
    assert decode_change(encode_change(change)) == change


EDIT = FieldEdit(b"v", 0, bytes(16))
PLACE = Place("", "V")


@pytest.mark.parametrize(
    "change",
    [
        Change(1, 1, ID, Action.DELETE, ID),
        Change(0, 0, ID, Action.DELETE, ID),
        Change(1, 0, ID, Action.PURGE, ID),
        Change(1, 0, "X" * 32, Action.DELETE, ID),
        Change(1, 0, ID, Action.DELETE, ID, place=PLACE),
        Change(1, 0, ID, Action.DELETE, ID, fields={"a": EDIT}),
        Change(1, 0, ID, Action.UPDATE, ID),
        Change(1, 0, ID, Action.CREATE, ID, place=PLACE),
        Change(1, 0, ID, Action.CREATE, ID, kind=Kind.FOLDER),
        Change(1, 0, ID, Action.MOVE, ID, place=Place("x", "V")),
        Change(1, 0, ID, Action.MOVE, ID, place=Place("X" * 32, "V")),
        Change(1, 0, ID, Action.MOVE, ID, place=Place("", "V0")),
    ],
)
def test_what_is_illegal_is_not_usual(change: Change) -> None:
    assert usual.read_change(encode_change(change)) is None
    with pytest.raises(WireError):
        decode_change(encode_change(change))


@pytest.mark.parametrize("name", ["read_event", "read_entity"])
def test_an_illegal_place_is_not_usual(name: str) -> None:
    record = {"position": "V"} if name == "read_event" else {"parent": ID, "position": ""}
    heads: dict[str, dict[str, Any]] = {
        "read_event": {
            "workspace": ID, "seq": 1, "action": "create", "entity": ID, "account": ID,
            "device": ID, "op": 1, "at": 1, **record,
        },
        "read_entity": {
            "id": ID, "kind": "folder", **record, "place_version": 1, "deleted": False,
            "deleted_version": 1, "version": 1, "fields": {},
        },
    }  # fmt: skip
    assert READERS[name][0](msgpack.packb(heads[name])) is None


def test_a_verdict_of_an_event_without_a_seq_is_not_usual() -> None:
    data = encode_verdict(Verdict(1, event=True))
    assert usual.read_whole_verdict(data) is None
    with pytest.raises(WireError):
        decode_verdict(data)


@given(st.lists(verdicts() | st.binary(max_size=9), max_size=4).map(tuple), st.booleans())
def test_messages_of_events_are_read_in_one_step(
    items: tuple[bytes | Verdict, ...], proved: bool
) -> None:
    message = Events(ID, items, bytes(16) if proved else None)
    frame = encode(message)
    assert frame.startswith(codec._EVENTS_STARTS)
    assert usual.read_events(frame) is not None
    assert decode(frame) == message


@pytest.mark.parametrize(
    "frame",
    [
        encode(Events("X" * 32, ())),
        encode(Events(ID, (Verdict(1, event=True),))),
        encode(Events(ID, (bytes(9),), bytes(15))),
        encode(Events(ID, (bytes(3 << 20),), bytes(16))),
    ],
    ids=["no id", "no seq", "no digest", "large"],
)
def test_messages_of_events_that_are_not_usual(frame: bytes) -> None:
    assert usual.read_events(frame) is None
