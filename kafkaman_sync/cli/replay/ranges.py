"""Ranges of seqs and times as a person writes them: `5..9`, `5..`, `..9`, `7`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from kafkaman_sync.errors import ReplayError, UsageError
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.replay.records import Log

_RANGE: Final = re.compile(r"([0-9]{0,19})(\.\.)?([0-9]{0,19})")


@dataclass(frozen=True, slots=True)
class SeqRange:
    """Seqs from `first` to `last`, both included; `last` None: to the head."""

    first: int
    last: int | None


def parse_range(text: str) -> SeqRange:
    """Read a range. Raises UsageError `usage.range`, also for one that goes backwards."""
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found[1] or found[3]) or (found[3] and not found[2]):
        raise UsageError(
            f"{text[:40]!r} is no range of seqs.",
            code="usage.range",
            hint="Write A..B, A.., ..B or one seq.",
        )
    first = int(found[1] or 1)
    last = int(found[3]) if found[3] else (None if found[2] else first)
    if first > INTEGER_MAX or (last is not None and last > INTEGER_MAX):
        raise UsageError("No log is that long.", code="usage.range", hint="Write smaller seqs.")
    if last == 0:
        raise UsageError("There is no event 0.", code="usage.range", hint="Seqs begin at 1.")
    if last is not None and last < first:
        raise UsageError(
            f"The range {text.strip()} goes backwards.",
            code="usage.range",
            hint=f"Write {last}..{first}.",
        )
    return SeqRange(max(first, 1), last)


def check_range(found: SeqRange, log: Log, *, growing: bool = False) -> None:
    """Raise ReplayError for a range of which the log has nothing; `growing`: it may get it yet."""
    if found.first > log.head and not growing:
        raise ReplayError(
            f"The log ends at {log.head}; {found.first} has not been written yet.",
            code="replay.future",
            hint="Name a seq up to that.",
            head=log.head,
        )
    if found.last is not None and found.last <= log.horizon:
        raise ReplayError(
            f"The log is kept from {log.horizon + 1} on; what was before has been removed.",
            code="replay.purged",
            hint="Name later seqs, or read a backup of then.",
            horizon=log.horizon,
        )


def milliseconds(moment: int | datetime, option: str) -> int:
    """Return a time as milliseconds since 1970. Raises UsageError for a seq."""
    if isinstance(moment, int):
        raise UsageError(
            f"{option} takes a time, and {moment} is a place in the log.",
            code="usage.moment",
            hint="Name seqs with --seq A..B.",
        )
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return min(max(since // timedelta(milliseconds=1), 0), INTEGER_MAX)


class RangeType(click.ParamType[SeqRange]):
    """A range of seqs."""

    name = "range"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> SeqRange:
        """Read a range."""
        return value if isinstance(value, SeqRange) else parse_range(str(value))


class Positive(click.FloatRange):
    """A finite number above 0."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value} is no number to go by.", param, ctx)
        return found


SEQS: Final = RangeType()
