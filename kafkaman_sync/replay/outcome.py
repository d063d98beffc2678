"""What came of a session, however it was cut into messages; and where two of them first differ.

A fact is what the server decided or said: the verdict of an op, the event at a seq, the digest
there, a row of a state, an answer, a goodbye. When and in which message it came is no fact; nor are
times, leases, epochs and tokens, which differ whenever anything is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kafkaman_sync.errors import ModelError
from kafkaman_sync.model.apply import accepted_event, apply_event
from kafkaman_sync.model.changes import Change, Event, Verdict
from kafkaman_sync.model.digest import EMPTY_DIGEST, compute_digest, update_digest
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    Events,
    Goodbye,
    Message,
    Push,
    Reply,
    Verdicts,
)
from kafkaman_sync.protocol.records import decode_change, decode_entity, decode_event

Key = tuple[Any, ...]
"""What a fact is about: ("verdict", op), ("event", workspace, seq), ..."""

# What ends a connection for reasons that do not come again: the machine's, or another connection.
# What others did to the device is not part of its session either.
_PASSING: Final = frozenset(
    {
        "server.stopping", "server.busy", "server.failed", "device.replaced", "network.slow",
        "device.revoked", "device.unknown",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """The first fact that differs: what it is about, as it was recorded and as it is now."""

    key: Key
    message: str
    recorded: Any
    now: Any
    seconds: float = 0.0
    """When it was recorded, from the beginning of the session."""

    def as_dict(self) -> dict[str, Any]:
        """The difference as JSON shows it."""
        return {
            "what": self.key[0],
            "of": list(self.key[1:]),
            "message": self.message,
            "seconds": round(self.seconds, 3),
            "recorded": self.recorded,
            "now": self.now,
        }


@dataclass(slots=True)
class _Copy:
    """A workspace's rows as the facts lead to them; `known` unless some of them are missing."""

    rows: dict[str, Entity] = field(default_factory=dict)
    digest: bytes = EMPTY_DIGEST
    known: bool = True
    staged: dict[str, Entity] | None = None


class Outcome:
    """The facts of one session, in the order in which they came."""

    def __init__(self, device: str, account: str) -> None:
        self.device = device
        self.account = account
        self.facts: dict[Key, Any] = {}
        self.order: list[Key] = []
        self.events: dict[tuple[str, int], Event] = {}
        self.pushed: dict[int, Change] = {}
        self.cursors: dict[str, int] = {}
        self.led_to: dict[Key, bytes] = {}
        """For each digest, the one to which the facts before it lead, where that is known."""
        self.digests: dict[tuple[str, int], bytes] = {}
        """The digest to which the events lead at each seq, where that is known."""
        self.talk = 0
        self.at_us = 0
        self.times: list[int] = []
        """When each fact of `order` came, in microseconds; `at_us` is when it is now."""
        self._copies: dict[str, _Copy] = {}

    def begin(self, workspace: str, rows: Iterable[Entity] | None) -> None:
        """Set the rows of a workspace before the first fact; None where they are not known."""
        copy = _Copy(known=rows is not None)
        for row in rows or ():
            copy.rows[row.id] = row
        copy.digest = compute_digest(workspace, copy.rows.values())
        self._copies[workspace] = copy

    def sent(self, push: Push) -> None:
        """Take in what the device pushed."""
        for change in map(decode_change, push.changes):
            self.pushed[change.op] = change

    def came(self, message: Message) -> None:
        """Take in what the server said. Raises WireError, ModelError for what is not legal."""
        if isinstance(message, Events):
            self._events(message)
        elif isinstance(message, Verdicts):
            for verdict in message.verdicts:
                self._verdict(verdict)
        elif isinstance(message, Entities):
            self._entities(message)
        elif isinstance(message, Checkpoint):
            self.cursors[message.workspace] = message.seq
            self._digest(message.workspace, message.seq, message.digest)
        elif isinstance(message, Reply):
            code = "ok" if message.error is None else str(message.error.get("code", ""))
            self._add(("answer", self.talk, message.id), code)
        elif isinstance(message, Goodbye) and message.code not in _PASSING:
            self._add(("goodbye", self.talk), message.code)

    def _add(self, key: Key, fact: Any) -> bool:
        if key in self.facts:
            return False
        self.facts[key] = fact
        self.order.append(key)
        self.times.append(self.at_us)
        return True

    def _events(self, message: Events) -> None:
        workspace, seq = message.workspace, 0
        for item in message.items:
            if isinstance(item, Verdict):
                self._verdict(item)
                seq = item.seq or seq
            else:
                event = decode_event(item)
                seq = event.seq
                self._event(event)
        self.cursors[workspace] = max(seq, self.cursors.get(workspace, 0))
        if message.digest is not None:
            self._digest(workspace, seq, message.digest)

    def _verdict(self, verdict: Verdict) -> None:
        self._add(("verdict", verdict.op), verdict_facts(verdict))
        change = self.pushed.get(verdict.op)
        if change is None:
            return
        event = accepted_event(change, verdict, account=self.account, device=self.device)
        if event is not None:
            self._event(event)

    def _event(self, event: Event) -> None:
        if not self._add(("event", event.workspace, event.seq), event_facts(event)):
            return
        self.events[event.workspace, event.seq] = event
        copy = self._copies.setdefault(event.workspace, _Copy())
        before = copy.rows.get(event.entity)
        try:
            after = apply_event(before, event)
        except ModelError:
            copy.known = False
            return
        copy.digest = update_digest(copy.digest, event.workspace, before, after)
        if copy.known:
            self.digests[event.workspace, event.seq] = copy.digest
        if after is None:
            copy.rows.pop(event.entity, None)
        else:
            copy.rows[event.entity] = after

    def _entities(self, message: Entities) -> None:
        workspace = message.workspace
        copy = self._copies.setdefault(workspace, _Copy())
        if message.full and copy.staged is None:
            copy.staged = {}
        rows = copy.rows if copy.staged is None else copy.staged
        for row in map(decode_entity, message.rows):
            rows[row.id] = row
            self._add(("row", workspace, row.id, row.version), row_facts(row))
        for gone, seq in message.purged:
            if gone in rows and rows[gone].version < seq:
                del rows[gone]
        if message.through is None:
            return
        if copy.staged is not None:
            copy.rows, copy.staged, copy.known = copy.staged, None, True
        copy.digest = compute_digest(workspace, copy.rows.values())
        self.digests[workspace, message.through] = copy.digest
        self.cursors[workspace] = message.through

    def _digest(self, workspace: str, seq: int, digest: bytes) -> None:
        key = ("digest", workspace, seq)
        self._add(key, digest)
        copy = self._copies.setdefault(workspace, _Copy())
        if copy.known and copy.staged is None:
            self.led_to.setdefault(key, copy.digest)


def verdict_facts(verdict: Verdict) -> dict[str, Any]:
    """Return what of a verdict must come out again."""
    return {
        "refusal": None if verdict.refusal is None else verdict.refusal.code,
        "disagreements": [
            {
                "code": each.code.value,
                "field": each.field,
                "theirs": each.theirs,
                "version": each.version,
            }
            for each in verdict.disagreements
        ],
        "accepted": list(verdict.accepted),
        "event": verdict.event,
        "seq": verdict.seq,
    }


def event_facts(event: Event) -> dict[str, Any]:
    """Return what of an event must come out again: all but its time."""
    return {
        "action": event.action.value,
        "entity": event.entity,
        "account": event.account,
        "device": event.device,
        "op": event.op,
        "kind": None if event.kind is None else event.kind.value,
        "parent": None if event.place is None else event.place.parent,
        "position": None if event.place is None else event.place.position,
        "fields": dict(event.fields),
    }


def row_facts(row: Entity) -> dict[str, Any]:
    """Return what of a row must come out again: everything."""
    return {
        "kind": row.kind.value,
        "parent": row.place.parent,
        "position": row.place.position,
        "place_version": row.place_version,
        "deleted": row.deleted,
        "deleted_version": row.deleted_version,
        "fields": {name: (each.value, each.version) for name, each in row.fields.items()},
    }


@dataclass(frozen=True, slots=True)
class Rules:
    """What of two outcomes is compared.

    `digests`: as they were recorded, else as the recorded facts lead to them. `whole`: rows and
    digests at all. `theirs`: the values that stood in a conflict's way. `ignored` names parts of
    facts that are not compared.
    """

    digests: bool = True
    whole: bool = True
    theirs: bool = True
    ignored: frozenset[str] = frozenset()


def differs(key: Key, recorded: Outcome, now: Outcome, rules: Rules) -> Difference | None:
    """Compare one recorded fact with what there is now; None where they are alike."""
    kind, was = key[0], recorded.facts[key]
    if kind in ("digest", "row") and not rules.whole:
        return None
    if kind == "digest":
        return _digest_differs(key, recorded, now, rules)
    if key not in now.facts:
        return Difference(key, f"{told(key)} did not come.", shown(was), None)
    found = now.facts[key]
    if kind in ("answer", "goodbye"):
        if was == found:
            return None
        return Difference(key, f"{told(key)} was {was}, and is {found}.", was, found)
    if kind == "verdict" and not rules.theirs:
        was, found = _without_theirs(was), _without_theirs(found)
    for part, value in was.items():
        if part not in rules.ignored and found[part] != value:
            message = f"{told(key)} differs in its {_part_told(part, value, found[part])}."
            return Difference(key, message, shown(was), shown(found))
    return None


def _digest_differs(key: Key, recorded: Outcome, now: Outcome, rules: Rules) -> Difference | None:
    was, led_to = recorded.facts[key], recorded.led_to.get(key)
    if rules.digests and led_to is not None and was != led_to:
        message = (
            f"{told(key)} was recorded as other than what the recorded events lead to: "
            "the state that it stands for is not theirs."
        )
        return Difference(key, message, was.hex(), led_to.hex())
    # Commits need not end where they did.
    found = now.facts.get(key)
    wanted = was if rules.digests else led_to
    if found is None or wanted is None or found == wanted:
        return None
    return Difference(key, f"{told(key)} is another.", wanted.hex(), found.hex())


def first_extra(recorded: Outcome, now: Outcome) -> Difference | None:
    """Return the first event or verdict that was not recorded, and would have been."""
    decided = max((key[1] for key in recorded.facts if key[0] == "verdict"), default=0)
    for key in now.order:
        if key in recorded.facts:
            continue
        known = recorded.cursors.get(key[1], 0) if key[0] == "event" else decided
        if key[0] in ("event", "verdict") and key[-1] <= known:
            message = f"{told(key)} came, and was not recorded."
            return Difference(key, message, None, shown(now.facts[key]))
    return None


def told(key: Key) -> str:
    """Name what a fact is about, for people."""
    name: Callable[[], str] = {
        "verdict": lambda: f"The verdict of op {key[1]}",
        "event": lambda: f"The event {key[-1]}",
        "digest": lambda: f"The digest at seq {key[-1]}",
        "row": lambda: f"The row of {key[2][:8]} at version {key[-1]}",
        "answer": lambda: f"The answer to call {key[-1]}",
        "goodbye": lambda: "The goodbye",
        "hello": lambda: "The hello",
        "change": lambda: f"The change of op {key[1]}",
        "state": lambda: "The state of the device",
    }[key[0]]
    return name()


def shown(fact: Any) -> Any:
    """Return a fact for people and JSON: of values only whether they are equal can be seen."""
    if isinstance(fact, bytes):
        return f"{len(fact)} bytes"
    if isinstance(fact, Mapping):
        return {name: shown(part) for name, part in fact.items()}
    if isinstance(fact, list | tuple):
        return [shown(part) for part in fact]
    return fact


def _part_told(part: str, was: Any, found: Any) -> str:
    """Name a part that differs; of a map also the first entry of it that does."""
    if isinstance(was, Mapping):
        for name in sorted(was.keys() | found.keys()):
            if was.get(name) != found.get(name):
                return f"{part[:-1]} {name!r}"
    return part


def _without_theirs(verdict: Mapping[str, Any]) -> dict[str, Any]:
    parts = [{**each, "theirs": b""} for each in verdict["disagreements"]]
    return {**verdict, "disagreements": parts}
