"""A moment in the past, as a person writes it: a place in the log, or a time."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any, Final

import click

from kafkaman_sync.errors import UsageError
from kafkaman_sync.model.limits import INTEGER_MAX

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(
    r"(\d{1,6})\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)(\s+ago)?"
)


def parse_moment(text: str, now: datetime) -> int | datetime:
    """Read a seq, a time in ISO 8601, a time of today, or how long ago: `2h ago`, `yesterday`.

    A time without a zone is one of `now`'s zone. Raises UsageError `usage.moment`.
    """
    words = text.strip().lower()
    if words.isdecimal() and int(words) <= INTEGER_MAX:
        return int(words)
    if words == "now":
        return now
    if words == "yesterday":
        return now - timedelta(days=1)
    ago = _AGO.fullmatch(words)
    if ago is not None:
        return now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2][0]])
    found = None if words.isdecimal() else _iso(text.strip(), now)
    if found is None:
        raise UsageError(
            f"{text[:40]!r} is no moment.",
            code="usage.moment",
            hint="Write a place in the log (12), a time (2024-05-01T10:00), or how long ago (2h).",
        )
    return found


def _iso(text: str, now: datetime) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = datetime.combine(now.date(), time.fromisoformat(text))
        except ValueError:
            return None
    return found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo)


class Moment(click.ParamType[int | datetime]):
    """A place in the log, or a time."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | datetime:
        """Read a moment."""
        if isinstance(value, int | datetime):
            return value
        return parse_moment(str(value), datetime.now().astimezone())


MOMENT: Final = Moment()
