"""The machines of the simulated world: a server and devices, which start, stop and crash.

A machine has a disk, a wall clock that may be years off, and at most one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgpack

from kafkaman_server.config import Config
from kafkaman_server.connection import Door
from kafkaman_server.hub import Hub
from kafkaman_server.journal import Journal
from kafkaman_server.server import _finish, _shared
from kafkaman_server.storage.sqlite import SqliteStorage
from kafkaman_sync.device.account import Account, finish_leaving
from kafkaman_sync.device.life import Life
from kafkaman_sync.device.memory import Settings
from kafkaman_sync.device.paths import Home
from kafkaman_sync.device.signing import Signing
from kafkaman_sync.engine.states import Input, State
from kafkaman_sync.errors import KafkamanError, LinkError, StoreError
from kafkaman_sync.protocol.codec import decode
from kafkaman_sync.protocol.messages import Goodbye
from kafkaman_sync.store import Store
from tests.simulation.disk import Disk
from tests.simulation.loop import Lane
from tests.simulation.wires import SILENCE_SECONDS, Wire, server_end

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

DEVICES_MAX: Final = 24
PASSWORD: Final = "correct horse battery"
USER: Final = "ada"


class Machine:
    """What server and devices have in common."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.folder = world.folder / name
        self.disk = Disk(world.pool, struck=self._struck)
        self.lane = self._no_lane()
        self.years_off = 0.0
        # How long it was asleep, all in all.
        self.asleep = 0.0
        self.lives = 0

    @property
    def running(self) -> bool:
        return self.lane.alive

    def _no_lane(self) -> Lane:
        lane = Lane(self.name, Random(0), self)
        lane.alive = False
        return lane

    def now(self) -> datetime:
        """Tell the time as this machine has it."""
        off = timedelta(days=365 * self.years_off)
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.world.loop.now) + off

    def milliseconds(self) -> int:
        return int(self.now().timestamp() * 1000)

    def live(self) -> None:
        """Begin a process."""
        self.lives += 1
        chance = Random(f"{self.world.seed} {self.name} {self.lives}")
        self.lane = Lane(self.name, chance, self)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.world.loop.spawn(self.lane, work)

    def die(self) -> None:
        """Be killed, in the middle of whatever goes on."""
        if self.lane.alive:
            self.lane.kill()
        self.bury()

    def bury(self) -> None:
        """Clean up behind a process that was killed; a new one may follow."""
        self.world.loop.bury(self.lane)
        self.disk.power_off()

    def _struck(self, fault: str) -> None:
        self.world.struck(self, fault)


class Server(Machine):
    """The server's machine."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "server")
        self.path = self.folder / "kafkaman.db"
        self.config = Config(
            data=self.folder,
            devices_per_account=DEVICES_MAX,
            sign_in_attempts_per_minute=10**9,
            address_attempts_per_minute=10**9,
            replay_events_max=world.traits.replay_events_max,
            queue_bytes_max=6000,
        )
        self.storage: SqliteStorage
        self._door: Door
        self._hub: Hub
        self._journal: Journal
        self.listening = False

    def start(self) -> None:
        self.live()
        self.spawn(self._serve())

    async def _serve(self) -> None:
        try:
            async with SqliteStorage.open(self.path) as self.storage:
                await self._run()
        except StoreError:
            self.lane.kill()  # it cannot start; whoever runs it tries again

    async def _run(self) -> None:
        self._hub = Hub()
        epoch = self.lane.chance.randbytes(16).hex()
        self._journal = Journal(self.storage, self._hub, epoch=epoch, clock=self.milliseconds)
        shared = _shared(self.config, self.storage, self._hub, self._journal)
        self._door = Door(shared, epoch, DEVICES_MAX, self.milliseconds, lambda _: "nowhere")
        self.listening = True
        await self._journal.run()

    def connect(self, wire: Wire) -> None:
        async def serve() -> None:
            connection = server_end(wire)
            await self._door.serve(connection)
            await connection.close()

        self.spawn(serve())

    def notice_silence(self, wire: Wire) -> None:
        """Let its WebSocket find out, after a while, that the other end does not answer."""

        def look() -> None:
            if wire.silent:
                server_end(wire).transport.abort()

        self.world.loop.call_later(SILENCE_SECONDS, look, context=self.lane.context.copy())

    async def stop(self) -> None:
        """Stop in good order, as far as all peers let it."""
        self.listening = False
        await _finish(self._hub, self._journal)
        self.lane.kill()

    def die(self) -> None:
        self.listening = False
        super().die()

    def bury(self) -> None:
        self.listening = False
        for wire in self.world.wires:
            wire.cut(self.lane.chance)
        super().bury()


class Device(Machine):
    """A device's machine, with the person who uses it."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, f"device{number}")
        self.number = number
        self.online = True
        self.home = Home(self.folder)
        self.life: Life
        self.signing: Signing
        self.busy = False
        self.ready = False
        self.attempts = 0
        # Whether a server has said, and this device may hear, that it was signed out elsewhere.
        self.told_to_leave = False

    @property
    def account(self) -> Account | None:
        return self.signing.account if self.running and self.ready else None

    @property
    def state(self) -> State:
        return self.life.state if self.running and self.ready else State.OFFLINE

    def start(self) -> None:
        self.live()
        self.ready = False
        self.spawn(self._serve())

    async def _serve(self) -> None:
        await finish_leaving(self.home)
        self.life = Life(self.now)
        self.signing = Signing(self.home, self.life, Settings(self.name), lambda _: None)
        await self.signing.restore()
        self.ready = True

    async def stop(self) -> None:
        """Stop in good order, or with an error; it is over either way."""
        try:
            await self.signing.close()
        except KafkamanError as error:
            self.world.told(self, error)
        finally:
            self.lane.kill()

    def bury(self) -> None:
        self.ready = self.busy = False
        for wire in self.world.wires:
            if wire.device == self.name:
                wire.cut(self.lane.chance)
        super().bury()

    def happened(self, state: State, happened: Input) -> None:
        """Note a step of its state machine."""
        self.world.ledger.rows[state, happened] += 1
        if happened is Input.ATTEMPT:
            self.attempts += 1

    def heard(self, code: str) -> None:
        """Note the cause of a state."""
        self.world.codes[code] += 1

    def connect(self) -> Wire:
        """Return a connection to the server. Raises LinkError `network.unreachable`."""
        server = self.world.server
        if not (self.online and server.running and server.listening):
            raise LinkError("There is no network.", code="network.unreachable")
        wire = Wire(self.name, self._note_frame)
        self.world.wires.append(wire)
        server.connect(wire)
        return wire

    def _note_frame(self, frame: bytes) -> None:
        self.world.note_frame(frame)
        if b"device.revoked" in frame and isinstance(decode(frame), Goodbye):
            self.told_to_leave = True

    async def sign_in(self) -> None:
        await self.signing.sign_in("ws://server/", USER, PASSWORD, self.name, None)

    async def sign_up(self) -> None:
        await self.signing.sign_up("ws://server/", "ada@example.org", USER, PASSWORD, self.name)

    def databases(self) -> list[Path]:
        """Return the paths of the accounts' databases that are on its disk."""
        return sorted(path for path in self.disk.files if path.exists())

    def identities(self) -> set[str]:
        """Return the ids that the server knows, or knew, this device by."""
        query = "SELECT value FROM meta WHERE key = 'identity'"
        found = [
            row[0]
            for path in self.databases()
            for row in self.disk.files[path].connection.execute(query)
        ]
        return {str(msgpack.unpackb(data)["device"]) for data in found}

    def store(self) -> Store | None:
        account = self.account
        return account.store if account is not None else None

    def begin(self, work: Callable[[], Awaitable[object]]) -> None:
        """Let the person do something, one thing at a time; what fails is told to them."""
        self.busy = True
        self.spawn(self._attempt(work))

    async def _attempt(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except KafkamanError as error:
            self.world.told(self, error)
        finally:
            self.busy = False
