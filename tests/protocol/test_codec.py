"""Messages to bytes and back; everything else is a WireError."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.limits import MESSAGE_BYTES_MAX, PUSH_CHANGES_MAX, ROW_BYTES_MAX
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    EpochStart,
    Goodbye,
    Message,
    Push,
    Reply,
    Welcome,
    WorkspaceHead,
)
from tests.protocol.samples import messages

ID = "0" * 32


def packed(**record: Any) -> bytes:
    return bytes(msgpack.packb(record))


@given(messages)
def test_what_is_encoded_is_decoded_again(message: Message) -> None:
    decoded = decode(encode(message))
    if isinstance(message, Reply) and message.result is None and message.error is None:
        message = Reply(message.id, result={})
    assert decoded == message


@given(messages, st.data())
def test_a_mutated_message_is_legal_or_a_wire_error(message: Message, data: st.DataObject) -> None:
    frame = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(frame) - 1))
        match data.draw(st.sampled_from(["change", "drop", "add"])):
            case "change":
                frame[index] = data.draw(st.integers(0, 255))
            case "drop" if len(frame) > 1:
                del frame[index]
            case _:
                frame.insert(index, data.draw(st.integers(0, 255)))
    decode_or_wire_error(bytes(frame))


@given(st.binary(max_size=200))
def test_any_bytes_are_legal_or_a_wire_error(data: bytes) -> None:
    decode_or_wire_error(data)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5)
    | st.binary(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3) | st.integers(0, 3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(messages, st.data())
def test_any_value_in_any_place_is_legal_or_a_wire_error(
    message: Message, data: st.DataObject
) -> None:
    record = msgpack.unpackb(encode(message))
    key = data.draw(st.sampled_from(sorted(record)))
    record[key] = data.draw(json_like)
    decode_or_wire_error(msgpack.packb(record))


def decode_or_wire_error(data: bytes) -> None:
    try:
        encode(decode(data))
    except WireError as error:
        assert error.code  # noqa: PT017 - whether it raises is not the question


def test_unknown_keys_are_ignored_and_unknown_types_are_named() -> None:
    message = decode(packed(type="goodbye", code="a", message="b", colour="red"))
    assert message == Goodbye("a", "b")
    with pytest.raises(WireError) as caught:
        decode(packed(type="colour"))
    assert caught.value.code == "wire.unknown"


def test_retry_after_is_clamped() -> None:
    message = decode(packed(type="goodbye", code="a", message="b", retry_after=86400))
    assert message == Goodbye("a", "b", 600.0)


def test_a_reply_without_result_and_error_is_an_empty_result() -> None:
    assert decode(encode(Reply(1))) == Reply(1, result={})


@pytest.mark.parametrize(
    "data",
    [
        packed(),
        packed(type=1),
        msgpack.packb([]),
        msgpack.packb("text"),
        packed(type="resend", op=1) + b"\x00",
        packed(type="resend", op=1)[:-1],
        b"\x82\xa4type\xa6resend\xa4type\xa6resend",  # the same key twice
        b"\x81\x01\x02",  # keys that are no strings
        b"\x81\xc4\x01a\x02",
        b"\x91" * 2000,  # too deep
        packed(type="resend", op=msgpack.ExtType(1, b"x")),
        packed(type="resend", op=msgpack.Timestamp(0)),
        packed(type="resend", op=True),
        packed(type="resend", op=-1),
        packed(type="resend", op=2**63),
        packed(type="resend"),
        packed(type="goodbye", code="a", message="b", retry_after=float("nan")),
        packed(type="goodbye", code="a", message="b", retry_after=-1),
        packed(type="goodbye", code="a", message="b", retry_after=True),
        packed(type="goodbye", code="a" * 5000, message="b"),
        packed(type="call", id=1, method="m", params=[]),
        packed(type="call", id=1, method="m", params={"x": float("inf")}),
        packed(type="push", changes=[b"x"] * (PUSH_CHANGES_MAX + 1)),
        packed(type="push", changes=["text"]),
        packed(type="push", changes=b"x"),
        packed(type="push", changes=[bytes(ROW_BYTES_MAX + 1)]),
        packed(type="hello", token="t", device="x", lease=""),
        packed(type="hello", token="t", device=ID, lease="", positions=["x"]),
        packed(type="hello", token="t", device=ID, lease="", highest_base={ID: -1}),
        packed(type="hello", token="t", device=ID, lease="", highest_base={ID: True}),
        packed(type="hello", token="t", device=ID, lease="", highest_base=[]),
        packed(type="checkpoint", workspace=ID, seq=1, digest=b"short"),
        packed(type="checkpoint", workspace=ID, seq=1, digest=bytes(17)),
        packed(type="checkpoint", workspace=ID, seq=1),
        packed(type="events", workspace=ID, items=[1]),
        packed(type="verdicts", verdicts=[{"op": 1, "event": True}]),  # an event without a seq
        packed(type="entities", workspace=ID, mark=1, full=1),
        packed(type="entities", workspace=ID, mark=1, purged=[ID]),
        packed(type="entities", workspace=ID, mark=1, purged=[[ID]]),
        packed(
            type="welcome", server="s", epoch="e", lease="l", account="a", device=ID, last_op=0,
            workspaces=[{"id": ID, "name": "n", "role": "r", "head": 0, "epochs": ["e"]}],
        ),
        packed(
            type="welcome", server="s", epoch="e", lease="l", account="a", device=ID, last_op=0,
            workspaces=[{"id": ID, "name": "n", "role": "r", "head": 0, "epochs": [["e"]]}],
        ),
    ],
)  # fmt: skip
def test_illegal_messages_are_wire_errors(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


def test_a_welcome_tells_the_epochs_of_a_workspace() -> None:
    epochs = (EpochStart("a", 1), EpochStart("b", 7))
    workspace = WorkspaceHead(ID, "Personal", "owner", 9, epochs)
    message = Welcome("s", "b", "l", "a", ID, 3, (workspace,))
    assert decode(encode(message)) == message


def test_plain_values_have_a_depth() -> None:
    value: Any = 1
    for _ in range(20):
        value = {"a": [value]}
    with pytest.raises(WireError):
        decode(packed(type="call", id=1, method="m", params={"x": value}))


def test_a_message_over_the_limit_is_not_even_looked_at() -> None:
    with pytest.raises(WireError, match="allowed are"):
        decode(bytes(MESSAGE_BYTES_MAX + 1))


@pytest.mark.parametrize("prefix", [b"\xdd", b"\xdf", b"\xc6", b"\xdb"])
def test_a_length_that_lies_costs_no_memory(prefix: bytes) -> None:
    with pytest.raises(WireError):
        decode(prefix + struct.pack(">I", 2**32 - 1))


@pytest.mark.parametrize("item", [b"\x90", b"\x80", b"\xc0", b"\x91\xc0"])
def test_a_large_message_of_tiny_things_is_refused_early(item: bytes) -> None:
    inner = b"\xdd" + struct.pack(">I", 10_000) + item * 10_000
    whole = b"\x82\xa4type\xa4ping\xa1x\xdd" + struct.pack(">I", 200) + inner * 200
    with pytest.raises(WireError, match="items"):
        decode(whole)


def test_a_large_message_of_few_things_is_read() -> None:
    message = Push((bytes(ROW_BYTES_MAX),), 3)
    assert decode(encode(message)) == message


def test_an_array_may_not_claim_more_than_any_message_holds() -> None:
    with pytest.raises(WireError):
        decode(packed(type="call", id=1, method="m", params={"x": [None] * 100_001}))
