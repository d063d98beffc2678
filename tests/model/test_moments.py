"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.moments import parse_moment

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2024, 5, 1, 12, 0, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12", 12),
        (" 0 ", 0),
        ("now", NOW),
        ("yesterday", datetime(2024, 4, 30, 12, 0, tzinfo=ZONE)),
        ("2h ago", datetime(2024, 5, 1, 10, 0, tzinfo=ZONE)),
        ("2 Hours Ago", datetime(2024, 5, 1, 10, 0, tzinfo=ZONE)),
        ("90s", datetime(2024, 5, 1, 11, 58, 30, tzinfo=ZONE)),
        ("5 min", datetime(2024, 5, 1, 11, 55, tzinfo=ZONE)),
        ("1 minute ago", datetime(2024, 5, 1, 11, 59, tzinfo=ZONE)),
        ("3d", datetime(2024, 4, 28, 12, 0, tzinfo=ZONE)),
        ("1 week ago", datetime(2024, 4, 24, 12, 0, tzinfo=ZONE)),
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10, 0, tzinfo=UTC)),
        ("2024-05-01 10:00", datetime(2024, 5, 1, 10, 0, tzinfo=ZONE)),
        ("2024-05-01", datetime(2024, 5, 1, 0, 0, tzinfo=ZONE)),
        ("09:30", datetime(2024, 5, 1, 9, 30, tzinfo=ZONE)),
    ],
)
def test_a_moment_is_read(text: str, moment: int | datetime) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "2 fortnights ago", "2024-13-01", "9" * 20, "9" * 5000, "999999w", "²"],
)
def test_anything_else_is_refused_with_what_may_be_written(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment(text, NOW)
    assert caught.value.code == "usage.moment"
    assert "2h" in caught.value.hint
