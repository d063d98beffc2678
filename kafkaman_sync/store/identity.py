"""Whose store this is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import msgpack

from kafkaman_sync.database import Reader, Row, Writer
from kafkaman_sync.errors import StoreError
from kafkaman_sync.protocol.messages import Welcome
from kafkaman_sync.store.facts import Identity
from kafkaman_sync.store.rows import damaged_row, save_meta

IDENTITY: Final = "SELECT value FROM meta WHERE key = 'identity'"


async def load_identity(reader: Reader) -> Identity | None:
    """Return whose store this is, None before a sign-in."""
    return identity_from_rows(await reader.fetch(IDENTITY))


def identity_from_rows(rows: Sequence[Row]) -> Identity | None:
    """Return the identity that IDENTITY found, None if there is none."""
    try:
        return Identity(**msgpack.unpackb(rows[0][0])) if rows else None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise damaged_row() from error


async def save_identity(writer: Writer, identity: Identity) -> None:
    """Keep whose store this is."""
    record: dict[str, Any] = asdict(identity)
    await save_meta(writer, "identity", bytes(msgpack.packb(record)))


def check_welcome(identity: Identity, message: Welcome) -> None:
    """Raise StoreError `server.other` when a welcome is not meant for this store."""
    known = not identity.server or identity.server == message.server
    if known and message.device == identity.device:
        return
    raise StoreError(
        "The server is not the one that this account's data came from.",
        code="server.other",
        hint="Everything is kept. Check the server's address, or sign out and in again.",
    )
