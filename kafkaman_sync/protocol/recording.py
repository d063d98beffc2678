"""What a recorder notes of a conversation: frames as they were, and what happened around them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgpack
from msgspec import MsgspecError, Struct
from msgspec.msgpack import Decoder, Encoder

from kafkaman_sync.errors import WireError


class Sort(StrEnum):
    """What a record is of."""

    OPENED = "opened"  # a connection began; whose it is, where that is known
    UP = "up"  # a frame from a device to its server
    DOWN = "down"  # a frame from a server to a device
    ILLEGIBLE = "illegible"  # a frame that is no legal message: who sent it, and its size
    CLOSED = "closed"  # a connection ended
    STATE = "state"  # a step of a device's life, or of a server's session
    LOST = "lost"  # so many records were dropped here


class Recorded(Struct, frozen=True, array_like=True, gc=False):
    """One record.

    `at_us` counts microseconds on a clock that never goes back, `wall_ms` milliseconds since 1970,
    for people. `connection` tells connections of one recording apart (0: none). `data` is the
    frame, or for the other sorts a MessagePack map.
    """

    sort: Sort
    at_us: int
    wall_ms: int
    connection: int
    data: bytes

    @property
    def facts(self) -> dict[str, Any]:
        """What the map of a record that is no frame says; empty when it says nothing legible."""
        try:
            found = msgpack.unpackb(self.data)
        except (ValueError, msgpack.UnpackException, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


_ENCODER: Final = Encoder()
_DECODER: Final = Decoder(Recorded)
_MANY: Final = Decoder(list[Recorded])


def pack_facts(facts: dict[str, Any]) -> bytes:
    """Return the `data` of a record that is no frame."""
    return _ENCODER.encode(facts)


def encode_recorded(record: Recorded) -> bytes:
    """Return the bytes of a record."""
    return _ENCODER.encode(record)


def decode_recorded(data: bytes) -> Recorded:
    """Return the record of bytes; WireError for anything else."""
    try:
        return _DECODER.decode(data)
    except (MsgspecError, UnicodeDecodeError) as error:
        raise WireError("The bytes are no record of a recording.") from error


def encode_records(records: list[Recorded]) -> bytes:
    """Return the bytes of several records."""
    return _ENCODER.encode(records)


def decode_records(data: bytes) -> list[Recorded]:
    """Return the records of bytes; WireError for anything else."""
    try:
        return _MANY.decode(data)
    except (MsgspecError, UnicodeDecodeError) as error:
        raise WireError("The bytes are no records of a recording.") from error
