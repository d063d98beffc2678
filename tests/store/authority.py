"""A server in memory: the real rules of decide.py, a log, and connections that deliver later."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from kafkaman_server.decide import Author, World, decide
from kafkaman_sync.model.changes import Verdict, hash_change
from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    EpochStart,
    Events,
    Verdicts,
    Welcome,
    WorkspaceHead,
)
from kafkaman_sync.protocol.records import decode_change, encode_entity, encode_event
from kafkaman_sync.store import HelloFacts
from kafkaman_sync.store.scope import Incoming

WORKSPACE = "a" * 32
SERVER = "the server"
_NUMBERS = count(1)  # no two epochs share a name, whatever is restored


@dataclass
class Connection:
    """What the server still has to deliver to one device."""

    device: str
    account: str = "account"
    role: str = "owner"
    waiting: list[Incoming] = field(default_factory=list)

    def take(self, count: int | None = None) -> list[Incoming]:
        """Return the next messages, through the real codec."""
        taken, self.waiting = self.waiting[:count], self.waiting[count:] if count else []
        return [_coded(message) for message in taken]


class Authority:
    """Decides changes of one workspace and keeps log, rows and verdicts."""

    def __init__(self, workspace: str = WORKSPACE) -> None:
        self.workspace = workspace
        self.world = World(workspace)
        self.log: list[bytes] = []
        self.verdicts: dict[tuple[str, int], tuple[bytes, Verdict]] = {}
        self.epochs = [EpochStart(f"epoch-{next(_NUMBERS)}", 1)]
        self.connections: dict[str, Connection] = {}
        self.replays_at_most = 10_000
        self.rows_at_once = 10_000

    @property
    def head(self) -> int:
        return self.world.head

    @property
    def entities(self) -> list[Entity]:
        return [entry.entity for entry in self.world.entries.values()]

    def digest(self) -> bytes:
        assert compute_digest(self.workspace, self.entities) == self.world.digest
        return self.world.digest

    def restart(self) -> None:
        """Begin a new epoch; every connection is gone."""
        self.connections.clear()
        epoch = EpochStart(f"epoch-{next(_NUMBERS)}", self.head + 1)
        self.epochs = [each for each in self.epochs if each.first_seq <= self.head] + [epoch]

    def welcome(self, device: str, *, role: str = "owner") -> Welcome:
        head = WorkspaceHead(self.workspace, "Personal", role, self.head, tuple(self.epochs))
        last = max((op for owner, op in self.verdicts if owner == device), default=0)
        return Welcome(SERVER, self.epochs[-1].epoch, "lease", "account", device, last, (head,))

    def connect(self, device: str, facts: HelloFacts, *, role: str = "owner") -> Connection:
        """Answer a hello: catch-up, stored verdicts, checkpoint, then live."""
        connection = self.connections[device] = Connection(device, role=role)
        waiting = connection.waiting
        position = next((at for at in facts.positions if at.workspace == self.workspace), None)
        known = position is not None and self._knows(position.epoch, position.cursor)
        if position is None or not known:
            waiting += self._rows(0, full=True)
        elif position.mark or self.head - position.cursor > self.replays_at_most:
            waiting += self._rows(max(position.mark, position.cursor), full=False)
        elif self.head > position.cursor:
            waiting.append(Events(self.workspace, tuple(self.log[position.cursor :])))
        stored = sorted(
            (op, verdict)
            for (owner, op), (_, verdict) in self.verdicts.items()
            if owner == device and op > facts.confirmed_op
        )
        waiting.append(Verdicts(tuple(verdict for _, verdict in stored)))
        waiting.append(Checkpoint(self.workspace, self.head, self.digest()))
        return connection

    def _knows(self, epoch: str, cursor: int) -> bool:
        ends = [start.first_seq - 1 for start in self.epochs[1:]] + [self.head]
        return any(
            start.epoch == epoch and cursor <= end
            for start, end in zip(self.epochs, ends, strict=True)
        )

    def _rows(self, after: int, *, full: bool) -> list[Incoming]:
        rows = sorted(
            (each for each in self.entities if full or each.version > after),
            key=lambda each: each.version,
        )
        chunks = [
            rows[start : start + self.rows_at_once]
            for start in range(0, len(rows), self.rows_at_once)
        ]
        messages: list[Incoming] = [
            Entities(
                self.workspace,
                tuple(encode_entity(each) for each in chunk),
                mark=chunk[-1].version,
                full=full,
                total=len(rows),
            )
            for chunk in chunks
        ]
        through = self.head
        messages.append(Entities(self.workspace, (), through, full, len(rows), through=through))
        return messages

    def push(self, connection: Connection, changes: list[bytes], *, commit: int = 3) -> None:
        """Decide changes, commit after every few, and fan the events out."""
        for start in range(0, len(changes), commit):
            self._commit(connection, changes[start : start + commit])

    def _commit(self, connection: Connection, changes: list[bytes]) -> None:
        assert self.connections.get(connection.device) is connection
        author = Author(connection.account, connection.device, connection.role)
        first = len(self.log)
        own: dict[int, Verdict] = {}
        silent: list[Verdict] = []
        for data in changes:
            verdict, event = self._decide(author, data)
            if event is not None:
                self.log.append(event)
                own[len(self.log) - 1] = verdict
            else:
                silent.append(verdict)
        for other in self.connections.values():
            items = tuple(
                own[index] if other is connection else self.log[index]
                for index in range(first, len(self.log))
            )
            if items:
                other.waiting.append(Events(self.workspace, items, self.digest()))
        if silent:
            connection.waiting.append(Verdicts(tuple(silent)))

    def _decide(self, author: Author, data: bytes) -> tuple[Verdict, bytes | None]:
        change = decode_change(data)
        stored = self.verdicts.get((author.device, change.op))
        if stored is not None:
            assert stored[0] == hash_change(data), "a device used an op number twice"
            return stored[1], None
        if change.previous:
            assert (author.device, change.previous) in self.verdicts, "an op is missing"
        decision = decide(self.world, change, author, at=0)
        self.verdicts[author.device, change.op] = hash_change(data), decision.verdict
        return decision.verdict, encode_event(decision.event) if decision.event else None

    def backup(self) -> Authority:
        """Return a copy of all that is on the disk."""
        copy = Authority(self.workspace)
        for entry in self.world.entries.values():
            copy.world.put(entry)
        copy.world.head, copy.world.digest = self.world.head, self.world.digest
        copy.log, copy.verdicts = list(self.log), dict(self.verdicts)
        copy.epochs = list(self.epochs)
        return copy


def _coded(message: Incoming) -> Incoming:
    decoded = decode(encode(message))
    assert decoded == message
    assert isinstance(decoded, Events | Entities | Checkpoint | Verdicts)
    return decoded
