"""Verifies a long log on two processors: each half of its entities by a process of its own.

Both read the whole log. The digest of a commit is the sum of the row hashes of both halves, so that
the sums of one process and those of the other must come to what is stored. This proves a log sound;
what is wrong with one that is not is told by judging it once more, in one piece.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from kafkaman_sync.model.digest import DIGEST_BYTES, hash_parts
from kafkaman_sync.replay.findings import Findings
from kafkaman_sync.replay.judging import MODULUS, SHARES, Judge
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.server_log import ServerLog

EVENTS_MIN: Final = 100_000
"""So many events take longer than it takes to start a process."""


class Half(Struct):
    """What a process found: whether its half is sound, and its sum of hashes at each commit."""

    sound: bool
    seq: int
    sums: bytes
    unjudged: int


@contextmanager
def without_collection() -> Iterator[None]:
    """Work without the collector of cycles: a million small objects, and no cycle among them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def worthwhile(source: ServerLog, log: Log) -> bool:
    """Tell whether a log is long enough, and whether there are two processors."""
    return log.head - log.horizon >= EVENTS_MIN and len(os.sched_getaffinity(0)) > 1


@contextmanager
def other_half(source: ServerLog, log: Log) -> Iterator[Future[Half]]:
    """Begin to judge the second half of a log's entities in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool.submit(judge_half, str(source.file.path), log.workspace, log.horizon, log.head)


def judge_half(path: str, workspace: str, horizon: int, head: int) -> Half:
    """Judge the second half of a log's entities up to `head`; runs in a process of its own.

    A server that has folded events meanwhile leaves less to judge: that is not sound.
    """
    with without_collection(), ServerLog.open(Path(path)) as source:
        log = next(each for each in source.logs() if each.workspace == workspace)
        if log.horizon != horizon:
            return Half(False, 0, b"", 0)
        findings = Findings()
        judge = begin(source, log, findings, share=1)
        judge.run(source.stored_events(log, after=horizon, upto=head))
        judge.close()
        return Half(findings.count == 0, judge.seq, bytes(judge.sums), judge.trial.unjudged)


def begin(source: ServerLog, log: Log, findings: Findings, *, share: int | None = None) -> Judge:
    """Return a judge of a server's log, or of a share of it, at its horizon."""
    names = source.names()
    judge = Judge(
        log.workspace,
        log.horizon,
        findings,
        horizon=log.horizon,
        devices={each.id: each.account for each in names.devices.values() if each.account},
        past=lambda entity, after, upto: source.events(log, entity=entity, after=after, upto=upto),
        share=share,
    )
    judge.load(source.bases(log))
    return judge


def add_up(judge: Judge, half: Half, log: Log) -> bool:
    """Tell whether the sums of both halves are the stored digests, at each commit and the head."""
    judge.close()
    mine, theirs, stored = judge.sums, half.sums, judge.stored + (log.digest or b"")
    if not half.sound or half.seq != judge.seq or not len(mine) == len(theirs) == len(stored):
        return False
    read = int.from_bytes
    for start in range(0, len(stored), DIGEST_BYTES):
        end = start + DIGEST_BYTES
        total = read(mine[start:end], "big") + read(theirs[start:end], "big")
        if total % MODULUS != read(stored[start:end], "big"):
            return False
    return True


def rows_agree(source: ServerLog, judge: Judge, half: Half, log: Log) -> bool:
    """Tell whether the stored rows are those of both halves."""
    others, count, total = SHARES[1], 0, 0
    for row in source.stored_rows(log):
        count += 1
        known = judge.rows.peek(row[0])
        if known is None:
            return False
        if row[0][-1:] in others:
            if not known.lies_as(row):
                return False
            total += hash_parts(log.workspace, known.head, row[8])
        elif not known.is_row(row):
            return False
        if not known.unsure and (row[9], row[10]) != (known.writer, known.foreign_version):
            return False
    return count == judge.rows.count and total % MODULUS == int.from_bytes(
        half.sums[-DIGEST_BYTES:], "big"
    )
