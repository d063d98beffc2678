"""Whose store this is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgpack

from kafkaman_sync.database import Reader, Writer
from kafkaman_sync.errors import StoreError
from kafkaman_sync.protocol.messages import Welcome
from kafkaman_sync.store.facts import Identity
from kafkaman_sync.store.rows import load_meta, save_meta


async def load_identity(reader: Reader) -> Identity | None:
    """Return whose store this is, None before a sign-in."""
    data = await load_meta(reader, "identity")
    return Identity(**msgpack.unpackb(data)) if data else None


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
