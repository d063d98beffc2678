"""What one frame may cost, whatever it claims: memory and work in proportion to its bytes.

Work is counted in calls, not in seconds, so that a slow machine proves the same as a quick one.
"""

from __future__ import annotations

import struct
import sys
import tracemalloc
from random import Random
from types import FrameType
from typing import Any, Final

import msgpack
import pytest

from kafkaman_sync.errors import WireError
from kafkaman_sync.model.limits import MESSAGE_BYTES_ANONYMOUS_MAX, MESSAGE_BYTES_MAX, MIB
from kafkaman_sync.protocol.codec import decode
from tests.hostile.frames import CLAIMS, frame_of, mutate
from tests.hostile.speech import legal_frames

# An empty list takes 72 bytes of memory and one on the wire. What a list claims to hold is believed
# as far as an array may go, until it turns out otherwise.
MEMORY_PER_BYTE: Final = 160
MEMORY_AT_LEAST: Final = MIB
CALLS_PER_BYTE: Final = 5
CALLS_AT_LEAST: Final = 200
# Whatever the frame: what its most items take, or claims within claims, which are never filled.
MEMORY_AT_MOST: Final = 256 * MIB
CALLS_AT_MOST: Final = 3_000_000


def nested(header: bytes, depth: int, rest: int) -> bytes:
    return b"\x81\xa4type" + header * depth + bytes(rest)


def huge(head: int, count: int) -> bytes:
    return bytes([head]) + struct.pack(">I", count)


SMALL: Final = MESSAGE_BYTES_ANONYMOUS_MAX - 4000
HAND_MADE: Final = {
    "lists of lists of nothing": nested(huge(0xDD, 60_000), 1, 0) + b"\x90" * 60_000,
    "lists of maps of nothing": nested(huge(0xDD, 60_000), 1, 0) + b"\x80" * 60_000,
    "nothing but openings of lists": b"\x91" * 60_000,
    "nothing but openings of maps": b"\x81\xa1a" * 20_000,
    "a map of all different keys": b"\xde\x27\x10" + b"".join(
        msgpack.packb(f"{number:x}") + b"\xc0" for number in range(0x2710)
    ),
    **{f"a claim of {claim.hex()}": b"\x81\xa4type" + claim + bytes(100) for claim in CLAIMS},
}  # fmt: skip
LARGE: Final = {
    "a list in a list, each as long as the frame": nested(huge(0xDD, SMALL), 500, SMALL),
    "a map in a map, each as long as the frame": nested(huge(0xDF, SMALL) + b"\xa0", 500, SMALL),
    "a long list in a long list": nested(huge(0xDD, 18_000_000), 500, 18_000_000),
    "as many empty lists as fit": nested(huge(0xDD, 180), 1, 0)
    + (huge(0xDD, 99_000) + b"\x90" * 99_000) * 180,
    "as many short texts as fit": nested(huge(0xDD, 180), 1, 0)
    + (huge(0xDD, 33_000) + b"\xa2aa" * 33_000) * 180,
    "one map of very many keys": b"\xdf" + struct.pack(">I", 1_000_000) + bytes(4_000_000),
}


def cost(data: bytes) -> tuple[int, int]:
    """Return the peak of the memory that reading a frame takes, and the calls that it makes."""
    calls = 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        decode(data)
    except WireError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    earlier = sys.getprofile()
    sys.setprofile(count)
    try:
        decode(data)
    except WireError:
        pass
    finally:
        sys.setprofile(earlier)
    return peak, calls


@pytest.mark.parametrize("name", HAND_MADE)
def test_a_small_frame_costs_in_proportion_to_its_bytes(name: str) -> None:
    data = HAND_MADE[name]
    assert len(data) <= MESSAGE_BYTES_ANONYMOUS_MAX
    peak, calls = cost(data)
    assert peak <= MEMORY_AT_LEAST + MEMORY_PER_BYTE * len(data)
    assert calls <= CALLS_AT_LEAST + CALLS_PER_BYTE * len(data)


@pytest.mark.parametrize("name", LARGE)
def test_no_frame_costs_more_than_its_most_items(name: str) -> None:
    data = LARGE[name]
    assert len(data) <= MESSAGE_BYTES_MAX
    peak, calls = cost(data)
    assert peak <= MEMORY_AT_MOST
    assert calls <= CALLS_AT_MOST


def test_mutated_frames_cost_in_proportion_to_their_bytes(effort: float) -> None:
    random = Random("cost")
    frames = [frame_of(data) for data in legal_frames(random, 200)]
    for index in range(int(2000 * effort)):
        data = mutate(random, random.choice(frames), frames)
        peak, calls = cost(data)
        what = f"frame {index}: {data.hex()}"
        assert peak <= MEMORY_AT_LEAST + MEMORY_PER_BYTE * len(data), what
        assert calls <= CALLS_AT_LEAST + CALLS_PER_BYTE * len(data), what
