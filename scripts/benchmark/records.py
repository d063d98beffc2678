"""The records that both sides of the comparison move: API requests of about 1 KB each."""

from __future__ import annotations

import gc
import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

KIND: Final = "request"
BATCH: Final = 500
"""Records in one bulk edit or put, and in one message of the batched baseline: PUSH_CHANGES_MAX of
the real pipeline."""

_TEXT: Final = """
    account address balance batch card charge customer currency date description email event
    expand filter invoice item limit metadata order page payment period plan price product
    quantity refund region request response search status subscription token total user value
"""
_WORDS: Final = _TEXT.split()


@dataclass(frozen=True, slots=True)
class Record:
    """One write of one record: a new one, or every field of an old one."""

    id: str
    create: bool
    fields: dict[str, Any]


def record_id(run: str, number: int) -> str:
    """Return the id of a run's record, spread like a random one but the same every time."""
    return hashlib.blake2b(f"{run}/{number}".encode(), digest_size=16).hexdigest()


def record_fields(number: int, revision: int) -> dict[str, Any]:
    """Return about 1 KB of a request's fields; another revision differs in all but the method."""
    words = random.Random(number * 1_000_003 + revision)  # noqa: S311 - filler, not a secret
    return {
        "name": f"{_text(words, 3)} {number}",
        "method": "POST",
        "url": f"https://api.example.com/v{revision}/{'/'.join(words.choices(_WORDS, k=5))}",
        "headers": [
            {"key": "Content-Type", "value": "application/json"},
            {"key": "X-Request", "value": f"{words.getrandbits(128):032x}"},
        ],
        "body": {"mode": "raw", "raw": _text(words, 70)},
        "description": _text(words, 25),
    }


def creations(run: str, first: int, count: int) -> Iterator[Record]:
    """Yield `count` new records."""
    for number in range(first, first + count):
        yield Record(record_id(run, number), True, record_fields(number, 0))


def updates(run: str, numbers: range, count: int, revision: int) -> Iterator[Record]:
    """Yield `count` updates of the records `numbers`, one after the other and around again."""
    for index in range(count):
        number = numbers[index % len(numbers)]
        turn = revision + index // len(numbers)
        yield Record(record_id(run, number), False, record_fields(number, turn))


def mixture(run: str, first: int, count: int, revision: int) -> Iterator[Record]:
    """Yield writes of which every second one, the last too, is new; the others update old records.

    Numbers below `first` must have been created, at least half of `count` of them.
    """
    half = count // 2
    old = updates(run, range(first - half, first), half, revision)
    for new in creations(run, first, count - half):
        if (updated := next(old, None)) is not None:
            yield updated
        yield new


def made(records: Iterable[Record]) -> list[Record]:
    """Return records that are all there before the clock runs.

    The collector of cycles is told to leave them alone: it would look through all of them again and
    again while they are written, which neither side of the comparison is to pay for.
    """
    found = list(records)
    gc.collect()
    gc.freeze()
    return found


def _text(words: random.Random, count: int) -> str:
    return " ".join(words.choices(_WORDS, k=count))
