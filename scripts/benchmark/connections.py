"""Idle devices on a server: many connections that said hello and then say nothing."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from kafkaman_server.storage import records
from kafkaman_server.storage.interface import Transaction
from kafkaman_server.storage.sqlite import SqliteStorage
from kafkaman_sync.model.limits import DEVICES_PER_ACCOUNT
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import SUBPROTOCOL, Checkpoint, Hello
from scripts.benchmark.system import Server

WARM_UP: Final = 100
"""Connections that stand before the counting begins: what all share is paid by then."""

_AT_ONCE: Final = 20
_ANSWER_SECONDS_MAX: Final = 20.0
_LOOK_SECONDS: Final = 0.5
_LOOKS_MAX: Final = 20
_FILES_BESIDE: Final = 200


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a hello needs."""

    device: str
    token: str


async def idle_connections(folder: Path, count: int) -> float:
    """Return the bytes of the server's memory that each of `count` idle devices costs."""
    _allow_files(WARM_UP + count + _FILES_BESIDE)
    data = folder / "server"
    data.mkdir()
    credentials = await _sign_up(data / "kafkaman.db", WARM_UP + count)
    async with Server.start(data) as server, AsyncExitStack() as stack:
        await _connect(stack, server.url, credentials[:WARM_UP])
        before = await _settled_memory(server.process)
        await _connect(stack, server.url, credentials[WARM_UP:])
        after = await _settled_memory(server.process)
        return (after - before) / count


async def _sign_up(database: Path, count: int) -> list[Credentials]:
    """Put accounts and devices into a server's storage; hashing their passwords takes too long."""
    found: list[Credentials] = []
    async with SqliteStorage.open(database) as storage:
        while len(found) < count:
            number = len(found)
            account = records.Account(
                secrets.token_hex(16), f"u{number}@example.com", f"u{number}", "no password"
            )
            devices = [
                Credentials(secrets.token_hex(16), secrets.token_hex(32))
                for _ in range(DEVICES_PER_ACCOUNT)
            ]

            async def work(
                transaction: Transaction,
                account: records.Account = account,
                devices: Sequence[Credentials] = devices,
            ) -> None:
                await transaction.add_account(account, secrets.token_hex(16), 0)
                for device in devices:
                    await transaction.add_device(
                        records.Device(
                            id=device.device,
                            account=account.id,
                            name="bench",
                            platform="bench",
                            token_hash=_token_hash(device.token),
                            created_at=0,
                        )
                    )

            await storage.transact(work)
            found += devices
    return found[:count]


def _token_hash(token: str) -> bytes:
    # As kafkaman_server.accounts does it; were it done otherwise, the hello would be refused.
    return hashlib.blake2b(token.encode(), digest_size=32).digest()


async def _connect(stack: AsyncExitStack, url: str, credentials: Sequence[Credentials]) -> None:
    """Connect every device and bring it to its first checkpoint, a few at a time."""
    for first in range(0, len(credentials), _AT_ONCE):
        group = credentials[first : first + _AT_ONCE]
        connections = [
            await stack.enter_async_context(
                connect(
                    url,
                    subprotocols=[Subprotocol(SUBPROTOCOL)],
                    compression=None,
                    proxy=None,
                    ping_interval=None,
                )
            )
            for _ in group
        ]
        await asyncio.gather(*map(_greet, connections, group))


async def _greet(connection: ClientConnection, device: Credentials) -> None:
    hello = Hello(token=device.token, device=device.device, lease="", positions=())
    await connection.send(encode(hello))
    async with asyncio.timeout(_ANSWER_SECONDS_MAX):
        while True:
            data = await connection.recv()
            assert isinstance(data, bytes)
            if isinstance(decode(data), Checkpoint):
                return


async def _settled_memory(process: psutil.Process) -> int:
    """Return the resident memory once it stands still between two looks."""
    held = process.memory_info().rss
    for _ in range(_LOOKS_MAX):
        await asyncio.sleep(_LOOK_SECONDS)
        now = process.memory_info().rss
        if now == held:
            break
        held = now
    return int(held)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
