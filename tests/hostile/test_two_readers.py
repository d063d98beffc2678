"""What is spelt as usual is read by a quick way, the rest by a careful one: both must agree.

Whatever the quick one accepts, the careful one accepts as the same; what only the careful one takes
must come through all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import ModuleType
from typing import Any, Final

import pytest

from kafkaman_sync.errors import WireError
from kafkaman_sync.protocol import codec, records
from kafkaman_sync.protocol.codec import decode
from kafkaman_sync.protocol.records import (
    decode_change,
    decode_entity,
    decode_event,
    decode_verdict,
)
from tests.hostile.frames import frame_of, mutate
from tests.hostile.speech import legal_frames

PARTS: Final = 4
FRAMES: Final = 10_000

QUICK: Final[tuple[tuple[ModuleType, str], ...]] = (
    (codec, "read_events"),
    (records, "read_change"),
    (records, "read_event"),
    (records, "read_entity"),
    (records, "read_whole_verdict"),
)
READERS: Final[tuple[Callable[[bytes], Any], ...]] = (
    decode,
    decode_change,
    decode_event,
    decode_entity,
    decode_verdict,
)


def outcomes(data: bytes) -> list[Any]:
    """Return what each reader makes of a frame: a message or record, or a code."""
    found: list[Any] = []
    for read in READERS:
        try:
            found.append(read(data))
        except WireError as error:
            found.append(error.code)
    return found


@contextmanager
def carefully() -> Iterator[None]:
    """Switch the quick readers off."""
    before = [getattr(module, name) for module, name in QUICK]
    for module, name in QUICK:
        setattr(module, name, lambda _: None)
    try:
        yield
    finally:
        for (module, name), reader in zip(QUICK, before, strict=True):
            setattr(module, name, reader)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(1200)  # with a large effort
def test_the_quick_and_the_careful_reader_agree(part: int, effort: float) -> None:
    random = Random(f"readers {part}")
    frames = [frame_of(data) for data in legal_frames(random, 300)]
    for index in range(int(FRAMES * effort)):
        frame = random.choice(frames)
        data = mutate(random, frame, frames) if index % 5 else frame.data
        quick = outcomes(data)
        with carefully():
            careful = outcomes(data)
        assert quick == careful, f"part {part}, frame {index}: {data.hex()}"
