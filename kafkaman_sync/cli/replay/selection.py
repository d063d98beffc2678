"""What `log` and `stats` have in common: which part of a log is meant."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from kafkaman_sync.cli.replay.ranges import SeqRange, check_range, milliseconds
from kafkaman_sync.errors import UsageError
from kafkaman_sync.replay.extra import extra
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.source import Source
from kafkaman_sync.replay.state import seq_at

if TYPE_CHECKING:
    from kafkaman_sync.replay.expression import Expression


def where_option(text: str | None) -> Expression | None:
    """Read `--where`, if it was given."""
    return None if text is None else read_where(text)


def read_where(text: str) -> Expression:
    """Read what `--where` says. Raises ReplayError where the package that reads it is missing."""
    with extra("--where"):
        from kafkaman_sync.replay.expression import (  # noqa: PLC0415 - lark is optional
            parse_expression,
        )

        return parse_expression(text)


def bounds(
    source: Source,
    log: Log,
    seqs: SeqRange | None,
    since: int | datetime | None,
    until: int | datetime | None,
    *,
    growing: bool = False,
) -> tuple[int, int]:
    """Return the seqs (after, upto) that options bound; `growing`: more may be written yet.

    Raises UsageError `usage.range` and `usage.moment`, ReplayError `replay.future` and
    `replay.purged`.
    """
    first = None if since is None else milliseconds(since, "--since")
    last = None if until is None else milliseconds(until, "--until")
    if first is not None and last is not None and last < first:
        raise UsageError("--until is before --since.", code="usage.range", hint="Exchange the two.")
    after, upto = 0, log.head
    if seqs is not None:
        check_range(seqs, log, growing=growing)
        after = seqs.first - 1
        upto = log.head if seqs.last is None else min(seqs.last, log.head)
    if first is not None and not (log.horizon and first <= log.horizon_at):
        after = max(after, seq_at(source, log, first - 1))
    if last is not None:
        upto = min(upto, seq_at(source, log, last))
    return after, upto
