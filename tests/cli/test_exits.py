"""An exit code follows from the error's code."""

from __future__ import annotations

import pytest

from kafkaman_sync.cli.exits import exit_of
from kafkaman_sync.errors import KafkamanError, LinkError, RefusedError, UsageError


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("wait.timeout", 1),
        ("format.truncated", 1),
        ("limit.field", 1),
        ("move.cycle", 1),
        ("internal.error", 1),
        ("usage.field", 2),
        ("daemon.not_started", 3),
        ("network.unreachable", 3),
        ("link.offline", 3),
        ("auth.failed", 4),
        ("auth.device_limit", 4),
        ("account.exists", 4),
        ("device.revoked", 4),
        ("entity.not_found", 5),
        ("entity.ambiguous", 5),
        ("conflict.not_found", 5),
        ("device.not_found", 5),
        ("workspace.not_found", 5),
        ("file.not_found", 5),
    ],
)
def test_a_code_has_an_exit_code(code: str, number: int) -> None:
    assert exit_of(RefusedError("no", code=code)) == number


def test_an_unknown_code_goes_by_the_kind_of_error() -> None:
    assert exit_of(UsageError("no", code="home.unusable")) == 2
    assert exit_of(LinkError("no", code="tls.expired")) == 3
    assert exit_of(KafkamanError("no", code="new.reason")) == 1
