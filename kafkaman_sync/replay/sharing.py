"""Verifies a long log on two processors: each share of its entities by a process of its own.

The digest of a commit is the sum of the row hashes of both shares, so that the sums of one process
and those of the other must come to what is stored. This proves a log sound; what is wrong with one
that is not is told by judging it once more, in one piece.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import zlib
from array import array
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.msgpack import Encoder

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.model.digest import hash_packed
from kafkaman_sync.replay.placing import OP_BITS
from kafkaman_sync.replay.proving import Prover, Share, Unproved
from kafkaman_sync.replay.records import Log
from kafkaman_sync.replay.server_log import ServerLog

EVENTS_MIN: Final = 100_000
"""So many events take longer than it takes to start a process."""

# The first process begins while the other one starts, and ends with comparing all rows: as much.
_PART: Final = 0.5
_WINDOW: Final = 1 << 16

_pack: Final = Encoder().encode


class Proof(Struct, frozen=True):
    """What was looked at in a log that is proved to be sound."""

    digests: int
    rows: int
    without_basis: int
    unjudged: int


class Half(Struct, frozen=True):
    """What a process found of its share.

    `marks` and `sums` are those of its Prover, the marks compressed in windows; `rows` is how many
    it has, `total` the sum of what they are at the end (see `_whole_row`), `unsure` those of which
    it is not known who wrote them.
    """

    marks: list[bytes]
    sums: bytes
    digests: int
    without_basis: int
    unjudged: int
    rows: int
    total: int
    unsure: list[str]


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
    """Tell whether a log is long and has no gap, and whether there are two processors."""
    events = log.head - log.horizon
    if events < EVENTS_MIN or _processors() < 2:
        return False
    # By the index: whoever looks for an event by its seq finds it, too.
    return source.event_count(log, log.head, after=log.horizon) == events


def _processors() -> int:
    # Not every system says which of them a process may use.
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable is not None else os.cpu_count() or 1


def prove(source: ServerLog, log: Log) -> Proof | None:
    """Prove a log sound on two processors; None if it cannot be proved, for whatever reason."""
    share = Share(source.pivot(log, _PART), low=True)
    try:
        with other_half(source, log, share.pivot) as other:
            prover = judged(source, log, share)
            return come_together(source, log, prover, other.result())
    except (BrokenProcessPool, Unproved):
        return None


@contextmanager
def other_half(source: ServerLog, log: Log, pivot: str) -> Iterator[Future[Half]]:
    """Begin to judge the other share of a log's entities in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool.submit(judge_half, str(source.file.path), log, pivot, devices_of(source))


def judge_half(path: str, log: Log, pivot: str, devices: Mapping[str, str]) -> Half:
    """Judge the entities from `pivot` on; runs in a process of its own. Raises Unproved.

    A server that has folded events meanwhile leaves less to judge: that is not sound.
    """
    with without_collection(), ServerLog.open(Path(path)) as source:
        found = next(each for each in source.logs() if each.workspace == log.workspace)
        if found.horizon != log.horizon:
            raise Unproved
        prover = judged(source, log, Share(pivot, low=False), devices)
        total, count, unsure = 0, 0, list[str]()
        for entity in prover.rows.ids():
            if prover.share.owns(entity):
                row = prover.rows.peek(entity)
                assert row is not None
                count += 1
                if row.unsure:
                    unsure.append(entity)
                writer = ("", 0) if row.unsure else (row.writer, row.foreign_version)
                total += _whole_row(log, row.head, row.packed(), (row.version, *writer))
        return Half(
            [zlib.compress(window.tobytes(), 1) for window in _windows(prover.marks)],
            prover.sums.digest(),
            prover.digests,
            prover.without_basis,
            prover.trial.unjudged,
            count,
            total,
            unsure,
        )


def judged(
    source: ServerLog, log: Log, share: Share, devices: Mapping[str, str] | None = None
) -> Prover:
    """Judge a share of a log's entities; Unproved when that is not sound."""
    prover = Prover(
        log,
        share,
        devices=devices_of(source) if devices is None else devices,
        past=lambda entity, after, upto: source.events(log, entity=entity, after=after, upto=upto),
    )
    try:
        prover.load(source.bases(log))
        prover.run(source.shared_events(log, share.pivot, low=share.low, upto=log.head))
    except (ReplayError, DecodeError, UnicodeDecodeError, TypeError) as error:
        # Even what is stored may be of another type than a server would store.
        raise Unproved from error
    prover.close(log.digest)
    return prover


def devices_of(source: ServerLog) -> dict[str, str]:
    """Return the account of each device."""
    return {each.id: each.account for each in source.names().devices.values() if each.account}


def come_together(source: ServerLog, log: Log, prover: Prover, half: Half) -> Proof | None:
    """Return the proof that both shares make together, None if they do not."""
    if (prover.sums.digest(), prover.digests) != (half.sums, half.digests):
        return None
    if not _in_order(source, prover, half):
        return None
    count = _rows_agree(source, log, prover, half)
    if count is None:
        return None
    return Proof(
        prover.digests - 1,
        count,
        prover.without_basis + half.without_basis,
        prover.trial.unjudged + half.unjudged,
    )


def _in_order(source: ServerLog, prover: Prover, half: Half) -> bool:
    """Tell whether no seq is missing, and the ops of each device come in their order."""
    last, others = [0] * (1 + len(prover.numbers)), 0
    for mine, packed in zip(_windows(prover.marks), half.marks, strict=True):
        theirs = array("Q", zlib.decompress(packed))
        others += mine.count(0) + theirs.count(0)
        both = _number(mine) | _number(theirs)
        for mark in array("Q", both.to_bytes(8 * len(mine), sys.byteorder)):
            device = mark >> OP_BITS
            if mark <= last[device]:
                return False
            last[device] = mark
    # Each seq is known to one of them, and no one to both.
    if others != len(prover.marks):
        return False
    ops = source.last_ops()
    # None is known where the log came from a file.
    return not any(
        0 < ops.get(name, 0) < last[number] & ((1 << OP_BITS) - 1)
        for name, number in prover.numbers.items()
    )


def _windows(marks: array[int]) -> Iterator[array[int]]:
    for start in range(0, len(marks), _WINDOW):
        yield marks[start : start + _WINDOW]


def _number(marks: array[int]) -> int:
    return int.from_bytes(marks.tobytes(), sys.byteorder)


def _rows_agree(source: ServerLog, log: Log, prover: Prover, half: Half) -> int | None:
    """Return how many rows are stored if they are those of both shares, None if not."""
    count = total = others = 0
    unsure, owns = frozenset(half.unsure), prover.share.owns
    for row in source.stored_rows(log):
        count += 1
        entity = str(row[0])
        if type(row[8]) is not bytes:
            return None
        if owns(entity):
            known = prover.rows.peek(entity)
            if known is None or not known.is_row(row):
                return None
            if not known.unsure and (row[9], row[10]) != (known.writer, known.foreign_version):
                return None
        else:
            others += 1
            writer = ("", 0) if entity in unsure else row[9:11]
            head = _pack((*row[:5], bool(row[5]), row[6]))
            total += _whole_row(log, head, row[8], (row[7], *writer))
    agree = others == half.rows and total == half.total and count == prover.rows.count
    return count if agree else None


def _whole_row(log: Log, head: bytes, packed: bytes, written: tuple[int, str, int]) -> int:
    """Return the hash of all that is stored of a row: version and writers, too."""
    return hash_packed(log.workspace, head + packed + _pack(written))
