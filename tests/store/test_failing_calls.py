"""Every call of the store that writes, with each of its statements failing in turn, in six ways.

Whatever fails: the caller gets the StoreError that says what it was, the file holds what it held
before or what a run without faults leaves, the store's memory agrees with it, no transaction is
left open, and the same call succeeds afterwards.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from kafkaman_sync.errors import StoreError
from kafkaman_sync.model.edits import Create, Delete, Move, Update
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.protocol.messages import Entities, Welcome
from kafkaman_sync.store import SCRATCH_PAD, Store
from kafkaman_sync.store.archive import Archive, read_archive
from kafkaman_sync.store.facts import TheirWriter
from kafkaman_sync.store.ledger import load_ledger
from kafkaman_sync.store.rescue import rescue
from kafkaman_sync.store.scope import Incoming
from tests.store.authority import WORKSPACE, Authority
from tests.store.devices import Device, devices, identity_of, values
from tests.trips import FAULTS, Fault, Trial, Trips, check_connections, dump


@dataclass
class Scene:
    """A store with a bit of everything in it, closed, and what its server would say next."""

    path: Path
    folder: Path
    local: bool = False
    collection: str = ""
    request: str = ""
    conflict: str = ""
    welcome: Welcome | None = None
    forked: Welcome | None = None
    replay: Sequence[Incoming] = ()
    answers: Sequence[Incoming] = ()
    state: Sequence[Incoming] = ()
    archive: Archive | None = None


async def prepare(folder: Path) -> Scene:
    """Let two devices work and clash; return the scene of the second one."""
    authority = Authority()
    async with devices(folder, authority) as (ada, bob):
        for device in (ada, bob):
            await device.sync()
        collection = await ada.create(Kind.COLLECTION, name="Shop")
        request = await ada.create(Kind.REQUEST, collection, name="List", url="/old")
        for device in (ada, bob):
            await device.sync()
        bob.disconnect()
        await ada.set(request, url="/ada")
        await ada.sync()
        await bob.set(request, url="/bob")
        await bob.sync()
        (conflict,) = await bob.store.conflicts()
        bob.disconnect()
        await ada.set(request, name="Ada's")
        await ada.create(Kind.FOLDER, collection, name="New")
        await ada.sync()
        await bob.set(request, name="Bob's")
        await bob.create(Kind.FOLDER, collection, name="Mine")
        scene = Scene(bob.path, folder, False, collection, request, conflict.id)
        await _listen(scene, bob, authority)
        other = authority.backup()
        other.restart()
        scene.forked = other.welcome(bob.device)
    return scene


async def _listen(scene: Scene, bob: Device, authority: Authority) -> None:
    """Note what the server says to a device that comes back, and to one that holds nothing."""
    scene.welcome = authority.welcome(bob.device)
    facts = await bob.store.hello()
    connection = authority.connect(bob.device, facts)
    scene.replay = connection.take()
    changes = await bob.store.outbox_after(0, changes_max=500, bytes_max=1 << 20)
    authority.push(connection, [data for _, data in changes], commit=1)
    scene.answers = connection.take()
    authority.rows_at_once = 2
    scene.state = authority.connect(bob.device, replace(facts, positions=())).take()


async def prepare_local(folder: Path) -> Scene:
    async with Store.open(folder / "local.db", local=True) as store:
        made = Create("1" * 32, Kind.COLLECTION, ROOT, values(name="Shop"))
        await store.edit(SCRATCH_PAD, [made])
    return Scene(folder / "local.db", folder, local=True, collection="1" * 32)


class Entropy:
    """The same random bytes for each attempt."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, count: int) -> bytes:
        if count > 16:  # suffixes, for many positions at a time: let them be all the same
            return bytes(count)
        self.drawn += 1
        return hashlib.blake2b(bytes([self.drawn]), digest_size=count).digest()


Act = Callable[[Store, Scene], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """A call of the store; `before` is done without faults after each opening.

    `scratch` are tables that each opening empties: what nobody knows of may stay there till then.
    """

    act: Act
    before: Act | None = None
    local: bool = False
    scratch: tuple[str, ...] = ()
    in_steps: bool = False
    new: bool = False
    """Whether it is done in a new store instead of the scene's."""


def edits(scene: Scene) -> list[Any]:
    return [
        Create("c" * 32, Kind.FOLDER, scene.collection, values(name="Made")),
        Create("d" * 32, Kind.REQUEST, "c" * 32, values(name="In it", url="/x")),
        Update("d" * 32, values(url="/y")),
        Move("d" * 32, parent=scene.collection),
        Delete("c" * 32),
    ]


CREATES: Final = [
    Create(f"{number:032x}", Kind.COLLECTION, ROOT, values(name=f"{number}"))
    for number in range(1, 4)
]


async def welcomed(store: Store, scene: Scene) -> None:
    assert scene.welcome is not None
    await store.welcome(scene.welcome)


async def welcomed_by_a_fork(store: Store, scene: Scene) -> None:
    assert scene.forked is not None
    await store.welcome(scene.forked)


async def begun(store: Store, scene: Scene) -> None:
    await store.stage_begin(SCRATCH_PAD if scene.local else WORKSPACE)


async def staged(store: Store, scene: Scene) -> None:
    await begun(store, scene)
    await store.stage(1, CREATES)


async def imported(store: Store, scene: Scene) -> None:
    """Do as the daemon does: what cannot be finished is dropped."""
    stage = await store.stage_begin(WORKSPACE)
    try:
        await store.stage(stage, CREATES[:2])
        await store.stage(stage, CREATES[2:])
        await store.stage_commit(stage)
    except BaseException:
        await store.stage_drop(stage)
        raise


async def replayed(store: Store, scene: Scene) -> None:
    await welcomed(store, scene)
    await store.receive(scene.replay)


async def lost_its_position(store: Store, scene: Scene) -> None:
    await store.drop_position()
    await welcomed(store, scene)


async def began_a_full_state(store: Store, scene: Scene) -> None:
    await lost_its_position(store, scene)
    await store.receive(scene.state[:1])


async def sealed(store: Store, scene: Scene) -> None:
    if scene.archive is None:
        summary = await store.seal(scene.folder / "sealed", "a test")
        assert summary is not None
        scene.archive = read_archive(summary.path)


async def restored(store: Store, scene: Scene) -> None:
    assert scene.archive is not None
    await store.restore(scene.archive, WORKSPACE, deletes=True, today=date(2026, 1, 1))


async def refilled(store: Store, scene: Scene) -> None:
    rescued = rescue(scene.path, local=scene.local)
    if not scene.local:
        rescued.identity = identity_of("2" * 32)  # the scene's account has no real id
    await store.refill(rescued, "a damaged store", today=date(2026, 1, 1))


async def without_the_workspace(store: Store, scene: Scene) -> None:
    await store.welcome(replace(_welcome(scene), workspaces=()))


def partial_state(scene: Scene) -> list[Incoming]:
    """Return the state as one that updates what is held instead of replacing it."""
    return [
        replace(message, full=False) if isinstance(message, Entities) else message
        for message in scene.state
    ]


OPERATIONS: Final[dict[str, Operation]] = {
    "edit": Operation(lambda store, scene: store.edit(WORKSPACE, edits(scene))),
    "edit the Scratch Pad": Operation(
        lambda store, scene: store.edit(SCRATCH_PAD, edits(scene)), local=True
    ),
    "welcome": Operation(welcomed),
    "welcome of a restored server": Operation(welcomed_by_a_fork),
    "welcome without the workspace": Operation(without_the_workspace),
    "receive a replay": Operation(lambda store, scene: store.receive(scene.replay), welcomed),
    "receive the verdicts": Operation(lambda store, scene: store.receive(scene.answers), replayed),
    "receive all at once": Operation(
        lambda store, scene: store.receive([*scene.replay, *scene.answers]), welcomed
    ),
    "receive a full state": Operation(
        lambda store, scene: store.receive(scene.state), lost_its_position
    ),
    "receive the rest of a full state": Operation(
        lambda store, scene: store.receive(scene.state[1:]), began_a_full_state
    ),
    "receive newer rows": Operation(
        lambda store, scene: store.receive(partial_state(scene)), welcomed
    ),
    "receive a full state behind a fork": Operation(
        lambda store, scene: store.receive(scene.state[:-1]), welcomed_by_a_fork
    ),
    "save_identity": Operation(
        lambda store, scene: store.save_identity(identity_of("2" * 32))
    ),
    "save_lease": Operation(lambda store, scene: store.save_lease("another")),
    "register": Operation(lambda store, scene: store.register("9" * 32, "token")),
    "drop_position": Operation(lambda store, scene: store.drop_position(), began_a_full_state),
    "stage_begin": Operation(begun),
    "an import": Operation(imported, scratch=("stages", "staged")),
    "stage_commit": Operation(lambda store, scene: store.stage_commit(1), staged),
    "stage_commit in the Scratch Pad": Operation(
        lambda store, scene: store.stage_commit(1), staged, local=True
    ),
    "stage_drop": Operation(lambda store, scene: store.stage_drop(1), staged),
    "resolve with mine": Operation(lambda store, scene: store.resolve(scene.conflict, mine=True)),
    "resolve with theirs": Operation(
        lambda store, scene: store.resolve(scene.conflict, mine=False)
    ),
    "reopen": Operation(
        lambda store, scene: store.reopen(scene.conflict),
        lambda store, scene: store.resolve(scene.conflict, mine=True),
    ),
    "note_writer": Operation(
        lambda store, scene: store.note_writer(
            scene.conflict, TheirWriter(3, "ada", "1" * 32, "a device", 7)
        )
    ),
    "restore": Operation(restored, sealed),
    "seal_lost": Operation(
        lambda store, scene: store.seal_lost(scene.folder / "sealed"), without_the_workspace,
        in_steps=True,
    ),
    "refill": Operation(refilled, new=True),
    "refill the Scratch Pad": Operation(refilled, new=True, local=True),
    "seal": Operation(lambda store, scene: store.seal(scene.folder / "sealed", "a test")),
    "hello": Operation(lambda store, scene: store.hello()),
    "show": Operation(lambda store, scene: store.show(WORKSPACE, scene.request)),
    "digest_from_rows": Operation(lambda store, scene: store.digest_from_rows(WORKSPACE)),
}  # fmt: skip


def _welcome(scene: Scene) -> Welcome:
    assert scene.welcome is not None
    return scene.welcome


class StoreTrial(Trial[Store]):
    """A call of the store on copies of a scene."""

    def __init__(self, operation: Operation, scene: Scene, trips: Trips) -> None:
        super().__init__(trips)
        self.in_steps = operation.in_steps
        self.operation = operation
        self.scene = scene
        self.path = scene.folder / "trial.db"
        self.entropy = Entropy()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        """Open a fresh copy of the scene's store, with everything done that comes before."""
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        if not self.operation.new:
            shutil.copy(self.scene.path, self.path)
        self.trips.disarm()
        async with Store.open(
            self.path, local=self.scene.local, entropy=self.entropy, clock=lambda: 1.0
        ) as store:
            if self.operation.before is not None:
                await self.operation.before(store, self.scene)
            yield store

    async def act(self, store: Store) -> None:
        self.entropy.drawn = 0
        await self.operation.act(store, self.scene)

    def dump(self) -> dict[str, Any]:
        tables = dump(self.path)
        return {name: tables[name] for name in tables if name not in self.operation.scratch}

    async def check_sound(self, store: Store) -> None:
        database, books = store._database, store._books
        check_connections(database)
        assert books.ledger in (None, await database.read(load_ledger))
        rows = await database.fetch("SELECT op, change FROM outbox WHERE verdict IS NULL")
        held: dict[int, bytes] = dict(rows)
        for op in books.recent._changes:
            assert held[op] == books.recent._changes[op].data
        for entity, (copy, stored) in books.confirmed._rows.items():
            found = await database.fetch(
                "SELECT fields, rowid FROM entities WHERE copy = ? AND id = ?", (copy, entity)
            )
            assert found == ([] if stored is None else [(stored.packed, stored.rowid)])


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_call_that_fails_leaves_all_or_nothing_and_succeeds_later(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = OPERATIONS[name]
    scene = await (prepare_local if operation.local else prepare)(tmp_path)
    monkeypatch.setattr(secrets, "token_hex", lambda count: "f" * 2 * count)
    with Trips().installed(monkeypatch) as trips:
        trial = StoreTrial(operation, scene, trips)
        after = await trial.clean()
        for fault in FAULTS:
            assert await trial.fail_in_turn(fault, after) > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("new", [True, False], ids=["a new store", "a store"])
async def test_an_opening_that_fails_harms_nothing_and_succeeds_later(
    new: bool, fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "opened.db"
    before: dict[str, Any] = {}
    if not new:
        scene = await prepare_local(tmp_path)
        scene.path.rename(path)
        before = dump(path)

    async def open_and_close() -> None:
        async with Store.open(path, local=True) as store:
            await store.counts()

    with Trips().installed(monkeypatch) as trips:
        at = 0
        while at == 0 or trips.struck:
            at += 1
            task = asyncio.create_task(open_and_close())
            trips.arm(fault, at, task)
            try:
                await task
            except StoreError as error:
                assert error.code == fault.code, error  # noqa: PT017  whether it raises varies
            except asyncio.CancelledError:
                assert fault.cancels
            trips.disarm()
        assert at > 10
        await open_and_close()
    async with Store.open(path, local=True) as store:
        assert len(await store.workspaces()) == 1
    if not new:
        assert dump(path) == before
