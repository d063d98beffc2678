"""Everything that the server stores or reads, with each statement failing in turn, in six ways.

Whatever fails: the caller gets the StoreError that says what it was, the database holds what it
held before or what a run without faults leaves, and the same thing succeeds afterwards.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from kafkaman_server import passwords
from kafkaman_server.accounts import AccountRules, Accounts
from kafkaman_server.catch_up import Start, catch_up
from kafkaman_server.greeting import Greeting, greet
from kafkaman_server.hub import Decided, Hub, News
from kafkaman_server.journal import Journal, Submission
from kafkaman_server.passwords import Passwords
from kafkaman_server.proof import is_sound
from kafkaman_server.retention import DAY_MS, Retention
from kafkaman_server.storage.sqlite import SqliteStorage
from kafkaman_sync.errors import StoreError
from kafkaman_sync.model.changes import Action, Change, FieldEdit
from kafkaman_sync.model.entities import ROOT, Kind, Place
from kafkaman_sync.model.values import encode_value, hash_value
from kafkaman_sync.protocol.messages import Goodbye, Hello, Position
from kafkaman_sync.protocol.records import encode_change
from tests.server.conftest import CHEAP_HASHER
from tests.trips import FAULTS, Fault, Trial, Trips, check_connections, dump

PASSWORD: Final = "correct horse battery"
RULES: Final = AccountRules(3, True, 10**6, 10**6)


class Ear:
    """A session as the journal knows it, that only remembers."""

    leaving = False

    def __init__(self, device: str) -> None:
        self.device = device
        self.goodbye: Goodbye | None = None
        self.decided: list[Decided] = []

    def settled(self, changes: int, size: int) -> None:
        pass

    def hear(self, news: News) -> None:
        pass

    def hear_own(self, decided: Sequence[Decided], digests: Mapping[str, bytes]) -> None:
        self.decided += decided

    def ask_again(self, op: int) -> None:
        raise AssertionError("no op is missing")

    def say_goodbye(self, message: Goodbye | None) -> None:
        self.goodbye = message


@dataclass
class House:
    """A server's insides, without its connections."""

    storage: SqliteStorage
    devices: list[tuple[str, str]] = field(default_factory=list)
    """(id, token), in the order in which they signed in."""
    account: str = ""
    workspace: str = ""
    seconds: float = 0.0

    @property
    def accounts(self) -> Accounts:
        return Accounts(
            self.storage, Passwords(1), RULES, connected=lambda _: False, clock=lambda: 7
        )

    async def sign_up(self, name: str) -> None:
        signed_in = await self.accounts.sign_up(
            email=f"{name}@example.org", username=name, password=PASSWORD, device_name=name,
            platform="test", address="",
        )  # fmt: skip
        self.account = signed_in.account.id
        self.devices.append((signed_in.device.id, signed_in.token))

    async def sign_in(self, replaced: str | None = None) -> None:
        signed_in = await self.accounts.sign_in(
            user="ann", password=PASSWORD, device_name="more", platform="test", address="",
            replaced=replaced,
        )  # fmt: skip
        self.devices.append((signed_in.device.id, signed_in.token))

    async def greet(self, epoch: str, confirmed_op: int = 0) -> Greeting:
        device, token = self.devices[0]
        found = await self.storage.read(lambda snapshot: snapshot.device(device))
        assert found is not None
        hello = Hello(token, device, found.lease, (Position(self.workspace or "0" * 32),),
                      confirmed_op)  # fmt: skip
        answer = await greet(
            self.storage,
            hello,
            epoch=epoch,
            devices_max=3,
            clock=lambda: 7,
            replaced=lambda device: None,
        )
        assert isinstance(answer, Greeting)
        self.workspace = answer.welcome.workspaces[0].id
        return answer

    async def push(self, *changes: Change) -> None:
        """Let the journal decide; StoreError with what it met when it says goodbye instead."""
        ear = Ear(self.devices[0][0])
        journal = Journal(self.storage, Hub(), epoch="first", clock=lambda: 7)
        running = asyncio.create_task(journal.run())
        try:
            encoded = tuple((change, encode_change(change)) for change in changes)
            size = sum(len(data) for _, data in encoded)
            journal.submit(
                Submission(ear, self.account, ear.device, "", encoded, size, confirmed_op=0)
            )
            await journal.drain()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if ear.goodbye is not None:
            assert ear.goodbye.code == "server.failed"
            assert not ear.decided, "nothing is answered before the commit"
            raise StoreError(ear.goodbye.message, code=journal.failing)
        assert [each.verdict.op for each in ear.decided] == [change.op for change in changes]

    async def look(self, *, days: float) -> None:
        """Let time pass, and retention do its work."""
        self.seconds = days * DAY_MS / 1000
        journal = Journal(self.storage, Hub(), epoch="first", clock=lambda: 7)
        running = asyncio.create_task(journal.run())
        retention = Retention(
            self.storage, journal, events_days=9, trash_days=5, clock=lambda: 7,
            running=lambda: self.seconds,
        )  # fmt: skip
        retention._began = (0, 0.0)
        try:
            await retention.work()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def catch_up(self, start: Start) -> None:
        async def take(data: bytes, seq: int | None) -> None:
            assert data

        await catch_up(self.storage, start, take, events_max=100)


def change(op: int, action: Action, entity: str, workspace: str, **fields: str) -> Change:
    created = action is Action.CREATE
    return Change(
        op=op,
        previous=op - 1,
        workspace=workspace,
        action=action,
        entity=entity * 32,
        base=0 if created else op - 1,
        kind=Kind.COLLECTION if created else None,
        place=Place(ROOT, "V") if action in (Action.CREATE, Action.MOVE) else None,
        fields={
            name: FieldEdit(encode_value(value), op - 1, hash_value(b""))
            for name, value in fields.items()
        },
    )


async def furnish(path: Path) -> House:
    """Make a database with two accounts, two devices, a log, a trash, and some age."""
    async with SqliteStorage.open(path) as storage:
        house = House(storage)
        await house.sign_up("bob")
        house.devices.clear()
        await house.sign_up("ann")
        await house.sign_in()
        await house.greet("first")
        workspace = house.workspace
        await house.push(
            change(1, Action.CREATE, "a", workspace, name="A"),
            change(2, Action.CREATE, "b", workspace, name="B"),
            change(3, Action.UPDATE, "a", workspace, name="A2"),
            change(4, Action.DELETE, "b", workspace),
        )
        await house.look(days=1)
        return house


Act = Callable[[House], Awaitable[Any]]


def pushed(house: House) -> Awaitable[None]:
    workspace = house.workspace
    return house.push(
        change(3, Action.UPDATE, "a", workspace, name="A2"),  # comes again
        change(4, Action.DELETE, "b", workspace),
        change(5, Action.CREATE, "c", workspace, name="C"),
        change(6, Action.MOVE, "a", workspace),
        change(7, Action.UPDATE, "a", workspace, url="/"),
        change(8, Action.RESTORE, "b", workspace),
        change(9, Action.DELETE, "c", workspace),
        replace(change(10, Action.CREATE, "d", "f" * 32, name="refused")),
    )


WRITES: Final[dict[str, Act]] = {
    "sign_up": lambda house: house.sign_up("cat"),
    "sign_in": lambda house: house.sign_in(),
    "sign_in in another's place": lambda house: house.sign_in(house.devices[1][0]),
    "register": lambda house: house.accounts.register(
        device=house.devices[1][0], token=house.devices[1][1]
    ),
    "sign_out": lambda house: house.accounts.sign_out(house.account, house.devices[1][0]),
    "a hello": lambda house: house.greet("first", confirmed_op=2),
    "the first hello of an epoch": lambda house: house.greet("second", confirmed_op=4),
    "a commit of the journal": pushed,
    "emptying the trash": lambda house: house.look(days=8),
    "emptying the trash and folding the log": lambda house: house.look(days=30),
}
IN_STEPS: Final = [act for name, act in WRITES.items() if name.startswith("emptying")]
READS: Final[dict[str, Act]] = {
    "a replay": lambda house: house.catch_up(Start(house.workspace, 1)),
    "a catch-up by state": lambda house: house.catch_up(Start(house.workspace, full=True)),
    "a proof": lambda house: is_sound(house.storage, house.workspace),
    "the list of devices": lambda house: house.accounts.devices(house.account),
}


class HouseTrial(Trial[House]):
    """Something that happens in copies of a house."""

    def __init__(
        self, act: Act, house: House, path: Path, trips: Trips, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        super().__init__(trips)
        self.in_steps = act in IN_STEPS
        self._act = act
        self._house = house
        self._template = path
        self._path = path.with_name("trial.db")
        self._drawn = 0
        monkeypatch.setattr(secrets, "token_hex", self._token)

    def _token(self, count: int) -> str:
        """The same random ids for each try."""
        self._drawn += 1
        return f"{self._drawn:0{2 * count}x}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[House]:
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        shutil.copy(self._template, self._path)
        self.trips.disarm()
        async with SqliteStorage.open(self._path) as storage:
            yield replace(self._house, storage=storage, devices=list(self._house.devices))

    async def act(self, subject: House) -> None:
        self._drawn = 1000
        await self._act(subject)

    def dump(self) -> dict[str, Any]:
        tables: dict[str, Any] = dump(self._path)
        # A hash has a salt.
        tables["accounts"] = [(*row[:5], *row[6:]) for row in tables["accounts"]]
        if self.in_steps:
            del tables["samples"]  # whoever looks twice notes twice how far the log has come
        return tables

    async def check_sound(self, subject: House) -> None:
        check_connections(subject.storage._database)
        assert await is_sound(subject.storage, subject.workspace)


@pytest.mark.parametrize("name", [*WRITES, *READS])
async def test_what_fails_leaves_all_or_nothing_and_succeeds_later(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "HASHER", CHEAP_HASHER)
    path = tmp_path / "house.db"
    with Trips().installed(monkeypatch) as trips:
        house = await furnish(path)
        before = dump(path)
        trial = HouseTrial((WRITES | READS)[name], house, path, trips, monkeypatch)
        after = await trial.clean()
        assert (dump(path.with_name("trial.db")) != before) == (name in WRITES)
        for fault in FAULTS:
            assert await trial.fail_in_turn(fault, after) > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_an_opening_that_fails_harms_nothing_and_succeeds_later(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_and_close() -> None:
        async with SqliteStorage.open(tmp_path / "new.db") as storage:
            assert storage.server

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
        await open_and_close()
    assert at > 10
