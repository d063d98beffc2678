"""The error tree."""

from __future__ import annotations

import pytest

from kafkaman_sync import errors
from kafkaman_sync.errors import KafkamanError, LocalError, RefusedError, RemoteError


def test_an_error_survives_the_way_to_the_other_side() -> None:
    sent = KafkamanError("Three devices.", code="auth.device_limit", hint="Pick one.", devices=[1])
    received = RefusedError.from_dict(sent.as_dict())
    assert received.as_dict() == sent.as_dict()
    assert str(received) == "Three devices."


def test_an_incomplete_error_from_the_peer_is_still_an_error() -> None:
    assert RefusedError.from_dict({"self": 1, "retry-after": 2}).as_dict() == {
        "code": "refused",
        "message": "refused",
        "hint": "",
        "retry_after": 2,
    }


@pytest.mark.parametrize(
    "error",
    [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, LocalError | RemoteError)
    ],
)
def test_every_error_is_either_local_or_remote_and_has_a_code(error: type[KafkamanError]) -> None:
    assert issubclass(error, LocalError) != issubclass(error, RemoteError)
    assert error("x").code
