"""Nothing that leaves a recorder holds a password, a token or a lease."""

from __future__ import annotations

import pytest
from hypothesis import given

from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Call,
    Events,
    Hello,
    Message,
    Notice,
    Push,
    Reply,
    Welcome,
)
from kafkaman_sync.protocol.secrets import HIDDEN, Veil
from tests.protocol.samples import messages

VEIL = Veil(b"key")
SECRET = "correct horse"

HOLDERS = [
    Hello(SECRET, "d" * 32, SECRET, ()),
    Welcome("s", "e", SECRET, "a", "d" * 32, 0, ()),
    Call(1, "sign_in", {"user": "ada", "password": SECRET}),
    Call(1, "register", {"device": "d", "token": SECRET}),
    Call(1, "later", {"deep": [{"new_Password": SECRET, "tokens": [SECRET]}]}),
    Reply(1, result={"account": "a", "token": SECRET}),
    Reply(1, error={"code": "c", "message": "m", "hint": "", "token": SECRET}),
    Notice("c", "m", {"lease": SECRET}),
]


@pytest.mark.parametrize("message", HOLDERS, ids=lambda each: type(each).__name__)
def test_a_secret_is_hidden_and_the_rest_stays(message: Message) -> None:
    frame = VEIL.frame(encode(message))
    assert frame is not None
    assert SECRET.encode() not in frame
    assert type(decode(frame)) is type(message)


def test_equal_secrets_stay_equal_under_one_key_and_others_do_not() -> None:
    hello = VEIL.message(Hello("t", "d" * 32, "l", ()))
    welcome = VEIL.message(Welcome("s", "e", "l", "a", "d" * 32, 0, ()))
    assert isinstance(hello, Hello)
    assert isinstance(welcome, Welcome)
    assert hello.lease == welcome.lease != hello.token
    assert Veil(b"another").text("l") != VEIL.text("l")


def test_what_is_empty_or_hidden_already_stays() -> None:
    assert VEIL.text("") == ""
    once = VEIL.text("t")
    assert once.startswith(HIDDEN)
    assert VEIL.text(once) == once


@pytest.mark.parametrize("message", [Push((b"x",)), Events("w" * 32, (b"y",))])
def test_what_never_holds_one_passes_as_it_is(message: Message) -> None:
    frame = encode(message)
    assert VEIL.frame(frame) is frame
    assert VEIL.message(message) is message


def test_a_frame_that_is_no_message_does_not_pass() -> None:
    assert VEIL.frame(b"\x81\xa4type\xa5dance") is None
    assert VEIL.frame(b"") is None


@given(messages)
def test_a_message_without_its_secrets_is_still_a_message(message: Message) -> None:
    frame = VEIL.frame(encode(message))
    assert frame is not None
    again = VEIL.frame(frame)
    assert again == frame
    assert type(decode(frame)) is type(message)
