"""Mutated frames through the codec: a message or a WireError, and nothing else ever.

500,000 frames whole and, of a part of them, every prefix; `--effort` multiplies both. The same part
is the same run; a failure prints the part, the frame in hex, and the shortest one that fails alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import pytest

from kafkaman_sync.errors import WireError
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import Entities, Events, Push
from kafkaman_sync.protocol.records import (
    decode_change,
    decode_entity,
    decode_event,
    decode_verdict,
    encode_change,
    encode_entity,
    encode_event,
    encode_verdict,
)
from tests.hostile.frames import Frame, frame_of, minimise, mutate
from tests.hostile.speech import legal_frames

PARTS: Final = 10
FRAMES: Final = 50_000
CORPUS: Final = 400
# Every so many frames one is also read byte by byte.
BY_BYTE_EVERY: Final = 50

# The codes of the codec; a limit of the model keeps its own.
CODES: Final = {"wire.invalid", "wire.unknown", "limit.field", "limit.field_name", "limit.fields",
                "limit.entity"}  # fmt: skip
RECORDS: Final[Sequence[tuple[Callable[[bytes], Any], Callable[[Any], bytes]]]] = (
    (decode_change, encode_change),
    (decode_event, encode_event),
    (decode_entity, encode_entity),
    (decode_verdict, encode_verdict),
)


def read(data: bytes) -> bool:
    """Read a frame as a message and everything inside it; return whether all of it is legal.

    What is legal must survive being written and read again.
    """
    try:
        message = decode(data)
    except WireError as error:
        assert error.code in CODES, error.code  # noqa: PT017  whether it raises is not the question
        return False
    assert same(decode, encode(message), message)
    for record in _inside(message):
        read_record(record)
    return True


def same(read_again: Callable[[bytes], Any], data: bytes, value: Any) -> bool:
    """Tell whether what was legal is read back as it was; to be refused now is a fault too."""
    try:
        return bool(read_again(data) == value)
    except WireError as error:
        raise AssertionError(f"no longer legal: {error.message}") from error


def _inside(message: object) -> Sequence[bytes]:
    if isinstance(message, Push):
        return message.changes
    if isinstance(message, Events):
        return [item for item in message.items if isinstance(item, bytes)]
    return message.rows if isinstance(message, Entities) else ()


def read_record(data: bytes) -> int:
    """Read a frame as each kind of record; return as how many it is legal."""
    legal = 0
    for decode_record, encode_record in RECORDS:
        try:
            record = decode_record(data)
        except WireError as error:
            assert error.code in CODES, error.code  # noqa: PT017
            continue
        assert same(decode_record, encode_record(record), record)
        legal += 1
    return legal


def check(data: bytes, seed: str) -> bool:
    """Read a frame both ways; what is not as it should be fails with all that helps to find it."""
    try:
        return read(data) | bool(read_record(data))
    except Exception as error:  # noqa: BLE001  any error but one is the find
        kind = type(error)

        def fails(shorter: bytes) -> bool:
            try:
                read(shorter)
                read_record(shorter)
            except kind:
                return True
            except Exception:  # noqa: BLE001  another fault than the one being made smaller
                return False
            return False

        pytest.fail(
            f"{kind.__name__}: {error}\nseed: {seed}\nframe: {data.hex()}\n"
            f"minimised: {minimise(data, fails).hex()}"
        )


def corpus(random: Random) -> list[Frame]:
    return [frame_of(data) for data in legal_frames(random, CORPUS)]


def test_every_frame_of_the_corpus_is_legal() -> None:
    for frame in corpus(Random(0)):
        assert check(frame.data, "0")


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(1200)  # with a large effort
def test_a_mutated_frame_is_legal_or_a_wire_error(part: int, effort: float) -> None:
    random = Random(f"frames {part}")
    frames = corpus(random)
    legal = 0
    for index in range(int(FRAMES * effort)):
        data = mutate(random, random.choice(frames), frames)
        seed = f"part {part}, frame {index}"
        legal += check(data, seed)
        if index % BY_BYTE_EVERY == 0:
            for end in range(min(len(data), 300)):
                check(data[:end], f"{seed}, the first {end} bytes")
    # Mutations that are nearly always refused, or nearly never, would test little.
    assert 0.05 < legal / (FRAMES * effort) < 0.6
