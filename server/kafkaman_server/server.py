"""The server: everything put together, from the data directory to the listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import serve
from websockets.typing import Subprotocol

from kafkaman_server.accounts import AccountRules, Accounts
from kafkaman_server.address import peer_address
from kafkaman_server.calls import Calls
from kafkaman_server.config import Config
from kafkaman_server.connection import STOPPING, Door
from kafkaman_server.http import Front
from kafkaman_server.hub import Hub
from kafkaman_server.journal import Journal
from kafkaman_server.passwords import Passwords
from kafkaman_server.retention import Retention
from kafkaman_server.shared import Shared
from kafkaman_server.storage.sqlite import SqliteStorage
from kafkaman_server.watching import WatchedConnection
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.limits import MESSAGE_BYTES_ANONYMOUS_MAX
from kafkaman_sync.protocol.messages import SUBPROTOCOL

# Proxies usually close what is silent for a minute.
PING_SECONDS: Final = 30.0
PONG_SECONDS: Final = 20.0
OPEN_SECONDS: Final = 10.0
# Whole messages that wait undecoded, per connection.
_RECEIVED_MAX: Final = 4
# What the transport may hold of a peer that does not read.
_WRITTEN_BYTES_MAX: Final = 64 * 1024
# Accepted changes are decided within this when the server stops; the devices send the rest again.
_DRAIN_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 3.0

_log = structlog.get_logger("server")


class ServerError(KafkamanError):
    """The server cannot start or go on."""

    default_code = "server.failed"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens."""

    host: str
    port: int
    storage: SqliteStorage
    hub: Hub
    journal: Journal
    retention: Retention

    @property
    def url(self) -> str:
        """Where devices find it, without the proxy's TLS."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}"


@asynccontextmanager
async def run_server(
    config: Config,
    *,
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    running: Callable[[], float] = time.monotonic,
) -> AsyncIterator[RunningServer]:
    """Run a server until the block ends; then finish what is being committed and say goodbye.

    `clock` is the time in milliseconds since 1970, for people; `running` counts seconds, for ages.
    Raises ServerError and StoreError with the cause and the next step.
    """
    with _data_lock(config.data):
        async with SqliteStorage.open(config.data / "kafkaman.db") as storage:
            hub = Hub()
            epoch = secrets.token_hex(16)
            journal = Journal(storage, hub, epoch=epoch, clock=clock)
            door = Door(
                shared=_shared(config, storage, hub, journal),
                epoch=epoch,
                devices_max=config.devices_per_account,
                clock=clock,
                address_of=partial(peer_address, trusted_proxies=config.trusted_proxies),
            )
            retention = Retention(
                storage,
                journal,
                events_days=config.event_retention_days,
                trash_days=config.trash_retention_days,
                clock=clock,
                running=running,
            )
            async with asyncio.TaskGroup() as tasks:
                work = [tasks.create_task(journal.run()), tasks.create_task(retention.run())]
                try:
                    async with _listening(config, door, journal) as listener:
                        host, port = listener.sockets[0].getsockname()[:2]
                        async with door.watchers.serve(
                            config.data, storage.server, lambda: listener.connections
                        ):
                            yield RunningServer(host, port, storage, hub, journal, retention)
                            await _finish(hub, journal)
                finally:
                    for task in work:
                        task.cancel()


def _shared(config: Config, storage: SqliteStorage, hub: Hub, journal: Journal) -> Shared:
    rules = AccountRules(
        config.devices_per_account,
        config.sign_up_open,
        config.sign_in_attempts_per_minute,
        config.address_attempts_per_minute,
    )
    passwords = Passwords(config.password_hashes_at_once)
    accounts = Accounts(storage, passwords, rules, connected=hub.connected, clock=journal.clock)
    return Shared(
        storage=storage,
        hub=hub,
        journal=journal,
        calls=Calls(accounts, storage, hub),
        replay_events_max=config.replay_events_max,
        queue_bytes_max=config.queue_bytes_max,
    )


@asynccontextmanager
async def _listening(
    config: Config, door: Door, journal: Journal
) -> AsyncIterator[WebSocketServer]:
    front = Front(
        failing=lambda: journal.failing,
        full=lambda: door.shared.hub.closed or door.open_connections >= config.connections_max,
    )
    try:
        listener = await serve(
            door.serve,
            config.host,
            config.port,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            create_connection=WatchedConnection,
            process_request=front.process,
            server_header=None,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            close_timeout=1.0,
            max_size=MESSAGE_BYTES_ANONYMOUS_MAX,
            max_queue=_RECEIVED_MAX,
            write_limit=_WRITTEN_BYTES_MAX,
        )
    except OSError as error:
        raise ServerError(
            f"Cannot listen on {config.host}:{config.port}: {os.strerror(error.errno or 0)}.",
            code="server.listen",
            hint="Choose another address with --listen, or stop what uses this one.",
        ) from error
    try:
        yield listener
    finally:
        listener.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await listener.wait_closed()


async def _finish(hub: Hub, journal: Journal) -> None:
    """Decide what was submitted, and say goodbye to everybody."""
    _log.info("stopping")
    hub.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await journal.drain()
    for session in hub.sessions():
        # Not all come back at once.
        retry_after = 1 + secrets.randbelow(1000) / 1000
        session.say_goodbye(replace(STOPPING, retry_after=retry_after))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await hub.wait_empty()


@contextmanager
def _data_lock(data: Path) -> Iterator[None]:
    """Hold the data directory: two servers on the same data would destroy it."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "lock").open("a")
    except OSError as error:
        raise ServerError(
            f"The data directory {data} cannot be used: {error.strerror}.",
            code="server.data",
            hint="Check that it is a directory and that you may write to it.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ServerError(
                f"Another server runs on the data directory {data}.",
                code="server.data_in_use",
                hint="Stop it first, or choose another directory with --data.",
            ) from error
        yield
