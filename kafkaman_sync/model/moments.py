"""A moment in the past, as a person writes it: a place in the log, or a time."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Final

from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.limits import INTEGER_MAX

_SEQ_DIGITS_MAX: Final = 19
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(
    r"(\d{1,6})\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)(\s+ago)?"
)


def parse_moment(text: str, now: datetime) -> int | datetime:
    """Read a seq, a time in ISO 8601, a time of today, or how long ago: `2h ago`, `yesterday`.

    A time without a zone is one of `now`'s zone. Raises UsageError `usage.moment`.
    """
    words = text.strip().lower()
    digits = words.isdecimal()
    # Measured first: turning digits into an integer takes time that grows with their square.
    if digits and len(words) <= _SEQ_DIGITS_MAX and int(words) <= INTEGER_MAX:
        return int(words)
    if words == "now":
        return now
    if words == "yesterday":
        return now - timedelta(days=1)
    ago = _AGO.fullmatch(words)
    found = None if digits else _iso(text.strip(), now)
    if ago is not None:
        found = _before(now, int(ago[1]) * _SECONDS[ago[2][0]])
    if found is None:
        raise UsageError(
            f"{text[:40]!r} is no moment.",
            code="usage.moment",
            hint="Write a place in the log (12), a time (2024-05-01T10:00), or how long ago (2h).",
        )
    return found


def _before(now: datetime, seconds: int) -> datetime | None:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:  # before the year 1
        return None


def _iso(text: str, now: datetime) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = datetime.combine(now.date(), time.fromisoformat(text))
        except ValueError:
            return None
    return found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo)
