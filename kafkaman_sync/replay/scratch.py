"""A server of its own for a session that is run again: in a temporary folder, on the loopback.

It begins where the server was when the session began, as far as that is known: the same ids and
epochs, and the rows at the device's cursor. What other devices did meanwhile is submitted to its
journal as theirs, each in its turn, for which `Scratch.inject` is asked.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from kafkaman_server.accounts import hash_token
from kafkaman_server.config import Config
from kafkaman_server.hub import Decided, News
from kafkaman_server.journal import Submission
from kafkaman_server.purging import Piece
from kafkaman_server.server import RunningServer, run_server
from kafkaman_server.storage.interface import Transaction
from kafkaman_server.storage.records import Commit
from kafkaman_server.storage.schema import APPLICATION_ID, MIGRATIONS
from kafkaman_sync.model.changes import Action, Event, Verdict
from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.model.entities import Entity, pack_fields
from kafkaman_sync.model.limits import INTEGER_MAX
from kafkaman_sync.protocol.messages import EpochStart, Goodbye, Hello, Message
from kafkaman_sync.protocol.records import encode_change, encode_verdict
from kafkaman_sync.replay.again import change_of
from kafkaman_sync.replay.records import Logged
from kafkaman_sync.replay.silence import silence


@dataclass(slots=True)
class WorkspaceSeed:
    """A workspace at its beginning; `horizon` is the seq from which on its events are there."""

    id: str
    name: str
    role: str
    head: int
    horizon: int
    epochs: Sequence[EpochStart]
    rows: Mapping[str, Entity]


@dataclass(slots=True)
class Seed:
    """A server at its beginning. `others` are the accounts of the other devices, by device."""

    server: str
    account: str
    device: str
    lease: str
    last_op: int
    workspaces: Sequence[WorkspaceSeed]
    others: Mapping[str, str]
    verdicts: Sequence[Verdict] = ()
    by_state: bool = False
    """Whether devices catch up by state, however little they are behind."""
    token: str = field(default_factory=lambda: secrets.token_hex(32))


class Scratch:
    """A running scratch server."""

    def __init__(self, server: RunningServer, seed: Seed) -> None:
        self.url = server.url
        self.seed = seed
        self._server = server

    def greeting(self, hello: Hello) -> Hello:
        """Return a hello with the token that this server knows."""
        return replace(hello, token=self.seed.token)

    def up(self, message: Message) -> Message:
        """Return what the device said: here it needs no change."""
        return message

    def down(self, message: Message) -> Message:
        """Return what the server said: here it needs no change."""
        return message

    async def inject(self, event: Event) -> None:
        """Let another device, or the server itself, do what led to an event."""
        if event.action is Action.PURGE:
            piece = Piece(event.workspace, [event.entity], INTEGER_MAX)
            await self._server.journal.purge(piece)
            return
        change = change_of(Logged(event))
        assert change is not None
        # Ops before it that came to nothing are not in the log.
        change = replace(change, previous=0)
        ghost = _Ghost(event.device)
        self._server.journal.submit(
            Submission(
                session=ghost,
                account=event.account,
                device=event.device,
                lease="",
                changes=((change, encode_change(change)),),
                size=0,
                confirmed_op=0,
            )
        )
        await ghost.answered.wait()

    async def decided_upto(self, op: int) -> None:
        """Let the device's last op be this one, of which the session does not tell."""
        storage = self._server.storage
        device = self.seed.device
        commit = Commit("", last_ops={device: op}, leases={device: self.seed.lease})

        async def work(transaction: Transaction) -> None:
            await transaction.write(commit)

        await storage.transact(work)


class _Ghost:
    """Stands for another device's connection, while one change of its is decided."""

    leaving = False

    def __init__(self, device: str) -> None:
        self.device = device
        self.answered = asyncio.Event()

    def settled(self, changes: int, size: int) -> None:
        """Note that it was decided, or failed."""
        del changes, size
        self.answered.set()

    def hear(self, news: News) -> None:
        """Hear nothing."""

    def hear_own(self, decided: Sequence[Decided], digests: Mapping[str, bytes]) -> None:
        """Hear nothing."""

    def ask_again(self, op: int) -> None:
        """Take it as the answer: what does not come out differs from what was recorded."""
        del op
        self.answered.set()

    def say_goodbye(self, message: Goodbye | None) -> None:
        """Take it as the answer, as above."""
        del message
        self.answered.set()


@asynccontextmanager
async def scratch_server(seed: Seed) -> AsyncIterator[Scratch]:
    """Run a server that begins as `seed` says, inside the block; nothing of it stays."""
    with TemporaryDirectory(prefix="kafkaman-replay-") as folder, silence():
        data = Path(folder)
        _write(data / "kafkaman.db", seed)
        config = Config(
            data=data,
            port=0,
            devices_per_account=1000,
            event_retention_days=0,
            trash_retention_days=0,
            replay_events_max=0 if seed.by_state else 1_000_000,
        )
        try:
            async with run_server(config) as server:
                yield Scratch(server, seed)
        except BaseExceptionGroup as group:
            raise _only(group) from None


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what went wrong, out of the groups in which tasks wrap it."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


def _write(path: Path, seed: Seed) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
        for script in MIGRATIONS:
            database.executescript(script)
        database.execute(f"PRAGMA user_version={len(MIGRATIONS):d}")
        database.execute("BEGIN")
        database.execute("UPDATE server SET id = ?", (seed.server,))
        _write_people(database, seed)
        for number, workspace in enumerate(seed.workspaces, 1):
            _write_workspace(database, number, workspace)
        database.executemany(
            "INSERT INTO verdicts VALUES (?, ?, ?, ?)",
            [(seed.device, each.op, b"", encode_verdict(each)) for each in seed.verdicts],
        )
        database.execute("COMMIT")


def _write_people(database: sqlite3.Connection, seed: Seed) -> None:
    accounts = sorted({seed.account, *seed.others.values()})
    database.executemany(
        "INSERT INTO accounts VALUES (?1, ?1, ?1, ?1, ?1, '', 0)", [(each,) for each in accounts]
    )
    # Only the session's own device can connect: of the others nobody has a token.
    owners = {**seed.others, seed.device: seed.account}
    database.executemany(
        "INSERT INTO devices (id, account, name, platform, token_hash, created_at, lease,"
        " next_lease, last_op) VALUES (?1, ?2, ?1, '', ?3, 0, ?4, ?4, ?5)",
        [
            (device, account, *_own(device == seed.device, seed))
            for device, account in sorted(owners.items())
        ],
    )
    roles: dict[int, str] = {}
    for number, workspace in enumerate(seed.workspaces, 1):
        roles[number] = workspace.role
    database.executemany(
        "INSERT INTO members VALUES (?, ?, ?)",
        [
            (account, number, role if account == seed.account else "owner")
            for number, role in roles.items()
            for account in accounts
        ],
    )


def _own(own: bool, seed: Seed) -> tuple[bytes, str, int]:
    return (hash_token(seed.token), seed.lease, seed.last_op) if own else (b"", "", 0)


def _write_workspace(database: sqlite3.Connection, number: int, workspace: WorkspaceSeed) -> None:
    kind = "personal" if number == 1 else "team"
    digest = compute_digest(workspace.id, workspace.rows.values())
    database.execute(
        "INSERT INTO workspaces VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
        (number, workspace.id, workspace.name, kind, workspace.head, digest, workspace.horizon),
    )
    database.executemany(
        "INSERT INTO epochs (workspace, epoch, first_seq) VALUES (?, ?, ?)",
        [(number, each.epoch, each.first_seq) for each in workspace.epochs],
    )
    database.executemany(
        "INSERT INTO entities (workspace, id, kind, parent, position, place_version, deleted,"
        " deleted_version, version, writer, foreign_version, fields)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)",
        [
            (
                number, row.id, row.kind.value, row.place.parent, row.place.position,
                row.place_version, row.deleted, row.deleted_version, row.version, row.version,
                pack_fields(row.fields),
            )
            for row in sorted(workspace.rows.values(), key=lambda each: each.version)
        ],
    )  # fmt: skip
