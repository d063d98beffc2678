"""A redacted recording gives nothing away, and can still be decided as the real one was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaman_server.decide import Author, World, decide
from kafkaman_sync.model.changes import (
    Action,
    Change,
    ConflictCode,
    Disagreement,
    Event,
    FieldEdit,
    Verdict,
    hash_change,
)
from kafkaman_sync.model.entities import ROOT, Entity, Field, Kind, Place
from kafkaman_sync.model.values import REMOVED, decode_value, encode_value, hash_value
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Call,
    Entities,
    Events,
    Message,
    Notice,
    Push,
    Reply,
    Verdicts,
    Welcome,
    WorkspaceHead,
)
from kafkaman_sync.protocol.recording import Recorded, Sort, pack_facts
from kafkaman_sync.protocol.records import (
    decode_change,
    decode_entity,
    encode_change,
    encode_entity,
    encode_event,
)
from kafkaman_sync.replay.redaction import Redaction
from tests.protocol.samples import changes, entities, events, verdicts

W, E = "a" * 32, "e" * 32
TELLTALE = encode_value("a telltale value")


def redacted(message: Message, redaction: Redaction | None = None) -> Message:
    redaction = redaction or Redaction(values=False, names=True)
    record = redaction.record(Recorded(Sort.UP, 1, 2, 3, encode(message)))
    assert record.sort is Sort.UP
    assert (record.at_us, record.wall_ms, record.connection) == (1, 2, 3)
    assert b"telltale" not in record.data
    return decode(record.data)


def telltales() -> list[Message]:
    change = Change(
        1, 0, W, Action.UPDATE, E, fields={"name": FieldEdit(TELLTALE, 0, hash_value(b""))}
    )
    row = Entity(E, Kind.FOLDER, Place(ROOT, "V"), 1, False, 1, 1, {"name": Field(TELLTALE, 1)})
    disputed = Verdict(1, disagreements=(Disagreement(ConflictCode.FIELD, "name", TELLTALE, 3),))
    return [
        Push((encode_change(change),)),
        Events(W, (disputed,)),
        Verdicts((disputed,)),
        Entities(W, (encode_entity(row),), 1),
        Reply(1, result={"events": [{"fields": {"name": TELLTALE}}]}),
        Reply(1, result={"entity": encode_entity(row), "seq": 4}),
        Reply(1, error={"code": "c", "message": "m", "hint": "", "value": TELLTALE}),
        Notice("c", "m", {"value": TELLTALE}),
        Call(1, "later", {"value": TELLTALE}),
    ]


@pytest.mark.parametrize("message", telltales(), ids=lambda each: type(each).__name__)
def test_no_value_is_kept_anywhere(message: Message) -> None:
    assert b"telltale" in encode(message)
    redacted(message)


@given(st.lists(changes(), max_size=3), st.lists(events, max_size=3), st.lists(entities))
def test_what_is_redacted_is_still_legal(
    several: list[Change], log: list[Event], rows: list[Entity]
) -> None:
    redacted(Push(tuple(map(encode_change, several))))
    redacted(Events(W, tuple(encode_event(each) for each in log)))
    redacted(Entities(W, tuple(map(encode_entity, rows)), 1))


@given(verdicts())
def test_a_verdict_keeps_all_but_the_values(verdict: Verdict) -> None:
    message = redacted(Verdicts((verdict,)))
    assert isinstance(message, Verdicts)
    (kept,) = message.verdicts
    assert (kept.op, kept.seq, kept.event, kept.accepted) == (
        verdict.op, verdict.seq, verdict.event, verdict.accepted,
    )  # fmt: skip
    assert [each.version for each in kept.disagreements] == [
        each.version for each in verdict.disagreements
    ]


def test_equal_values_stay_equal_and_priors_that_fitted_still_fit() -> None:
    one, other = Redaction(values=False, names=True), Redaction(values=False, names=True)
    assert one.value(TELLTALE) == one.value(TELLTALE) != one.value(encode_value("another"))
    assert other.value(TELLTALE) != one.value(TELLTALE)
    assert one.prior(hash_value(TELLTALE)) == hash_value(one.value(TELLTALE))
    assert isinstance(decode_value(one.value(TELLTALE)), str)


def test_what_was_removed_or_never_there_stays_so() -> None:
    redaction = Redaction(values=False, names=True)
    assert redaction.value(REMOVED) == REMOVED
    assert redaction.prior(hash_value(REMOVED)) == hash_value(REMOVED)


texts = st.sampled_from([encode_value(text) for text in "abc"] + [REMOVED])
small_edits = st.builds(FieldEdit, texts, st.integers(0, 6), texts.map(hash_value))
small_changes = st.builds(
    Change,
    st.just(1), st.just(0), st.just(W), st.just(Action.UPDATE), st.just(E),
    st.integers(0, 6), st.none(), st.none(),
    st.dictionaries(st.sampled_from("xy"), small_edits, min_size=1),
)  # fmt: skip


def decide_all(several: Sequence[Change]) -> list[Verdict]:
    world, found = World(W), []
    create = Change(
        1, 0, W, Action.CREATE, E, kind=Kind.COLLECTION, place=Place(ROOT, "V"), fields={}
    )
    for op, change in enumerate([create, *several], 1):
        author = Author("a", f"device {op % 2}", "owner")
        found.append(decide(world, replace(change, op=op, previous=op - 1), author, at=0).verdict)
    return found


@settings(max_examples=200)
@given(st.lists(small_changes, max_size=6))
def test_the_server_decides_about_redacted_changes_as_about_the_real_ones(
    several: list[Change],
) -> None:
    redaction = Redaction(values=False, names=True)
    message = redacted(Push(tuple(map(encode_change, several))), redaction)
    assert isinstance(message, Push)
    again = decide_all([decode_change(data) for data in message.changes])
    real = redacted(Verdicts(tuple(decide_all(several))), redaction)
    assert real == Verdicts(tuple(again))


def test_a_welcome_names_the_last_change_as_it_is_redacted() -> None:
    redaction = Redaction(values=False, names=True)
    (push, *_) = telltales()
    assert isinstance(push, Push)
    kept = redacted(push, redaction)
    assert isinstance(kept, Push)
    welcome = Welcome("s", "e", "", "a", "d" * 32, 1, (), {}, hash_change(push.changes[0]))
    seen = redacted(welcome, redaction)
    assert isinstance(seen, Welcome)
    assert seen.last_change == hash_change(kept.changes[0])
    fresh = redacted(welcome)
    assert isinstance(fresh, Welcome)
    assert fresh.last_change == b""


def test_values_are_kept_where_they_were_asked_for_and_secrets_never() -> None:
    redaction = Redaction(values=True, names=True)
    for message in telltales():
        frame = encode(message)
        assert redaction.record(Recorded(Sort.DOWN, 0, 0, 1, frame)).data == frame
    call = encode(Call(1, "sign_in", {"user": "ada", "password": "correct horse"}))
    kept = redaction.record(Recorded(Sort.UP, 0, 0, 1, call)).data
    assert b"correct horse" not in kept
    assert b"ada" in kept


@pytest.mark.parametrize(
    "message",
    [
        Call(1, "sign_in", {"user": "telltale", "device_name": "telltale"}),
        Reply(1, result={"username": "telltale", "email": "telltale@example.org"}),
        Reply(1, error={"code": "c", "devices": [{"id": "d", "name": "telltale"}]}),
        Reply(1, result={"name": "n", "accounts": {"a" * 32: "telltale"}, "devices": []}),
        Reply(1, result={"accounts": {}, "devices": [["d" * 32, "telltale", "test", "a" * 32]]}),
        Notice("c", "m", {"username": "telltale"}),
        Welcome(
            "s", "e", "", "a", "d" * 32, 1, (WorkspaceHead(W, "telltale", "owner", 1, ()),)
        ),
    ],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
def test_names_are_hidden_when_that_is_asked_for(message: Message) -> None:
    assert (
        b"telltale"
        in Redaction(values=False, names=True)
        .record(Recorded(Sort.DOWN, 0, 0, 1, encode(message)))
        .data
    )
    redacted(message, Redaction(values=False, names=False))


@pytest.mark.parametrize("values", [True, False])
def test_a_frame_that_is_no_message_leaves_its_size_only(values: bool) -> None:
    redaction = Redaction(values=values, names=True)
    kept = redaction.record(Recorded(Sort.DOWN, 0, 0, 1, b"a telltale"))
    assert kept.sort is Sort.ILLEGIBLE
    assert kept.facts == {"from": "server", "bytes": 10}


def test_a_step_of_a_life_keeps_its_codes_and_not_its_words() -> None:
    step = Recorded(
        Sort.STATE, 0, 0, 0, pack_facts({"to": "ERROR", "cause": "device.revoked",
                                         "message": "telltale", "hint": "telltale"}),
    )  # fmt: skip
    kept = Redaction(values=False, names=True).record(step)
    assert kept.facts == {"to": "ERROR", "cause": "device.revoked"}
    assert Redaction(values=True, names=True).record(step) == step
    row = Reply(1, result={"entity": encode_entity(
        Entity(E, Kind.FOLDER, Place(ROOT, "V"), 1, False, 1, 1, {"name": Field(TELLTALE, 1)})
    )})  # fmt: skip
    message = redacted(row)
    assert isinstance(message, Reply)
    assert message.result is not None
    assert decode_entity(message.result["entity"]).fields["name"].version == 1
