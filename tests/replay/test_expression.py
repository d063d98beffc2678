"""Expressions: what they say of an event, that they read back as printed, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.changes import Action, Basis, Event
from kafkaman_sync.model.entities import Entity, Field, Kind, Place
from kafkaman_sync.model.values import REMOVED, Value, encode_value
from kafkaman_sync.replay.expression import EXPRESSION_CHARS_MAX, Moment, parse_expression
from kafkaman_sync.replay.records import DeviceName, Logged, Names
from kafkaman_sync.replay.terms import TERMS

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp() * 1000) - 3_600_000
NAMES = Names(
    accounts={"ac" * 16: "ann"}, devices={"de" * 16: DeviceName("de" * 16, "Laptop", "Linux")}
)


def entity(**values: Any) -> Entity:
    fields = {name: Field(encode_value(value), 3) for name, value in values.items()}
    return Entity("e1" * 16, Kind.REQUEST, Place("f0" * 16, "V"), 1, False, 1, 3, fields)


def event(**values: Any) -> Event:
    return Event(
        "11" * 16, 7, Action.UPDATE, "e1" * 16, "ac" * 16, "de" * 16, 4, AT,
        fields={name: encode_value(value) for name, value in values.items()},
    )  # fmt: skip


BODY = {"mode": "raw", "raw": '{"amount": 12}', "tags": ["a", {"b": True}]}
MOMENT = Moment(
    Logged(event(url="/pay", body=BODY, count=1), Basis(3, 6), None, 120),
    before=entity(name="Ping", url="/ping", body=None),
    after=entity(name="Ping", url="/pay", body=BODY, count=1),
    names=NAMES,
)


def holds(text: str, moment: Moment = MOMENT) -> bool:
    return parse_expression(text, NOW).matches(moment)


@pytest.mark.parametrize(
    "text",
    [
        "seq == 7", "seq != 8", "seq > 6 and seq >= 7 and seq < 8 and seq <= 7", "7 == seq",
        "op == 4", "base < 7", "size in (1, 120)", "size not in (1, 2)", "seq > 6.5",
        "action == update", 'action == "update"', "action in (move, update)", "not action == move",
        "action matches '^up'",
        "kind == request", "kind != folder", "kind in (request, response)",
        "entity == e1e1e1", f"entity == {'e1' * 16}", "parent == f0f0", "parent != entity",
        "account == ANN", "account == acac", "device == laptop", "device == dede",
        "device in (phone, laptop)", "device contains 'apto'", "device matches '^Lap'",
        "device matches '^dede'",
        "at > 2h", "at < now", "at >= 2026-05-01T11:00:00Z", "at == 11:00", 'at > "90 min ago"',
        "name == 'Ping'", "name contains 'in'", "name matches '^P.*g$'", "name < 'Q'",
        "fields contains 'url'", "not fields contains 'name'", "fields matches '^u'",
        "field.url == '/pay'", "field.body.mode == 'raw'", "field.body.raw matches '\\d+'",
        'field."body"."raw" contains "amount"', "field.body.tags.0 == 'a'",
        "field.body.tags.1.b", "field.body.tags contains 'a'", "field.body contains 'mode'",
        "field.count == 1", "field.count != true", "field.count > 0", "not field.count == 'x'",
        "field.url exists", "not field.name exists", "field.name != 'x'", "not field.name == null",
        "before.url == '/ping'", "before.url != after.url", "before.name == after.name",
        "before.body == null", "before.body exists", "not before.count exists",
        "after.body == field.body", "after.count == field.count",
        "not deleted", "deleted == false", "deleted or seq == 7",
        "seq == 1 or seq == 7 and op == 4",
        "(seq == 1 or seq == 7) and (op == 4)",
    ],
)  # fmt: skip
def test_it_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("stored", [0.1, Decimal("0.1")], ids=["float", "decimal"])
def test_a_number_is_the_one_that_is_written_however_it_is_stored(stored: Value) -> None:
    moment = Moment(Logged(event(ratio=stored, all=[stored], other=0.25)))
    for text in (
        "field.ratio == 0.1", "0.1 == field.ratio", "field.ratio in (0.1, 7)",
        "field.ratio <= 0.1", "field.ratio >= 0.1", "field.all contains 0.1",
        "field.ratio < field.other", "field.other == 0.250", "field.ratio != 0.10001",
    ):  # fmt: skip
        assert holds(text, moment), text
    for text in ("field.ratio < 0.1", "field.ratio > 0.1", "field.ratio == 1"):
        assert not holds(text, moment), text


@pytest.mark.parametrize(
    "text",
    [
        "entity == e2e2", "entity == e1", "device == lap", "name == 'ping'", "deleted",
        "field.url > 1", "field.body.tags.7 == 1", "field.body.x.y exists", "field.url.x exists",
        "field.count contains 1", "field.count == true", "field.none < 1", "after.none exists",
        "field.body == field.url", "before.body == after.body", "device == field.count",
        "field.count matches '1'",
    ],
)  # fmt: skip
def test_it_does_not_hold(text: str) -> None:
    assert not holds(text)


def test_where_states_are_not_tracked_they_say_nothing() -> None:
    bare = Moment(MOMENT.logged)
    for text in ("before.url exists", "deleted", "name exists", "parent exists", "kind exists"):
        assert not holds(text, bare)
        assert not holds(text.replace(" exists", " == 'x'"), bare) if "kind" not in text else True
    assert holds("kind == request", replace(bare, kind=Kind.REQUEST))
    assert not holds("base exists", Moment(Logged(event())))


def test_what_was_purged_is_deleted() -> None:
    purge = Event("11" * 16, 8, Action.PURGE, "e1" * 16, "", "", 0, AT)
    assert holds("deleted and name == 'Ping'", Moment(Logged(purge), before=MOMENT.before))


def test_a_field_that_is_removed_is_written_but_not_there() -> None:
    removed = replace(event(), fields={"url": REMOVED})
    assert holds("fields contains 'url' and not field.url exists", Moment(Logged(removed)))


def test_a_damaged_value_is_equal_to_nothing() -> None:
    forged = replace(event(), fields={"url": b"\xc1"})
    assert not holds("field.url == '/pay'", Moment(Logged(forged)))
    assert holds("field.url exists", Moment(Logged(forged)))


def test_variables_go_by_their_key() -> None:
    made = replace(event(key="token", name="x"), kind=Kind.GLOBAL_VARIABLE, place=Place("", "V"))
    assert holds("name == 'token' and parent == ''", Moment(Logged(made)))


@pytest.mark.parametrize(
    ("text", "state", "kind"),
    [
        ("seq == 1", False, False), ("kind == folder", False, True), ("deleted", True, False),
        ("field.x exists", False, False), ("not (seq == 1 or before.x exists)", True, False),
        ("name == 'x' and kind == folder", True, True), ("entity == parent", True, False),
    ],
)  # fmt: skip
def test_it_tells_what_it_looks_at(text: str, state: bool, kind: bool) -> None:
    found = parse_expression(text)
    assert (found.needs_state, found.needs_kind) == (state, kind)


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("", 1, "It is empty"), ("(seq == 1", 10, "ends too early"), ("seq == 1 &&", 10, "and"),
        ("seq = 1", 5, "=="), ("name == 'x", 9, "does not end"), ("seq == 1 2", 10, "expected"),
        ("nmae == 'x'", 1, "name"), ("name == ping", 9, '"ping"'), ("seq", 1, "seq exists"),
        ("action == updat", 11, "create, delete"), ("kind in (folder, 5)", 18, "folder"),
        ("action < create", 8, "neither less"), ("seq == 'x'", 8, "a number"),
        ("at == 12", 7, "seq"), ("at > soon", 6, "no time"), ("at > 999999w", 6, "no time"),
        ("field == 1", 1, "field.url"), ("fields == 'x'", 11, "contains"),
        ("at contains 'x'", 1, "contains nothing"), ("account contains before", 18, "no name"),
        ("name contains 5", 15, "text only"), ("seq matches '1'", 1, "no pattern"),
        ("name matches '('", 14, "missing )"), ("name matches '(?=a)'", 14, "RE2"),
        (f"name matches '{'a' * 501}'", 14, "501"), ("name matches '((a{999}){999})'", 14, "RE2"),
        ("not " * 60 + "deleted", 205, "50 levels"), ("'a' == 'b'", 1, "no name"),
        ("seq == 1 " * 1000, 1, f"{EXPRESSION_CHARS_MAX:,}"), ("field.x == True", 12, "no name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, column: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_expression(text, NOW)
    assert caught.value.code == "usage.expression"
    assert caught.value.details["column"] == column
    assert f"column {column}" in caught.value.message
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_no_pattern_takes_forever() -> None:
    evil = Moment(Logged(event(url="a" * 100_000 + "b")))
    assert not holds("field.url matches '^(a+)+$'", evil)
    assert holds("field.url matches '^(a|a)*b$'", evil)


texts = st.text(st.characters(), max_size=12)


def spelled(text: str) -> str:
    return "".join(f"\\u{ord(each):04x}" if ord(each) < 0x10000 else each for each in text)


literals = st.one_of(
    texts.map(spelled).map('"{}"'.format),
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(-1000, 1000, places=3).map(lambda number: format(number, "f")),
    st.sampled_from(["true", "false", "null", "before.x", 'field."a b".0.c']),
)
fields = st.builds(
    "{}.{}".format,
    st.sampled_from(["field", "before", "after"]),
    st.lists(st.sampled_from(["url", "a-b", '"x y"', '"\\n\\""', "0"]), min_size=1).map(".".join),
)
atoms = st.one_of(
    st.builds("{} {} {}".format, fields, st.sampled_from(["==", "!=", "contains"]), literals),
    st.builds("{} {}in ({}, 1)".format, fields, st.sampled_from(["", "not "]), literals),
    st.builds("seq {} {}".format, st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 2**63)),
    st.builds("at > {}".format, st.datetimes(timezones=st.just(UTC)).map(lambda at: f'"{at}"')),
    st.sampled_from(["deleted", "name exists", "kind == folder", "name matches '\\d'", "2h > at"]),
)
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({}) and {}".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=12,
)


@given(expressions)
def test_what_is_printed_reads_back_as_the_same(text: str) -> None:
    found = parse_expression(text, NOW)
    again = parse_expression(str(found), NOW)
    assert again == found
    assert str(again) == str(found)
    assert again.matches(MOMENT) is found.matches(MOMENT)


words = st.sampled_from(
    [*TERMS, "field.x", "before.", "and", "or", "not", "in", "exists", "contains", "matches", "==",
     "=", "<", "(", ")", ",", '"', "'x'", '"("', "1", "-2.5", "true", "null", "2h", "create", "\\"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(words, max_size=12).map(" ".join)))
def test_no_text_does_anything_but_read_or_be_refused_with_its_place(text: str) -> None:
    try:
        found = parse_expression(text, NOW)
    except UsageError as error:
        told = (error.code, 1 <= error.details["column"] <= len(text) + 1)
    else:
        told = ("usage.expression", found.matches(MOMENT) in (True, False))
    assert told == ("usage.expression", True)
