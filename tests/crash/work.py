"""What one person does at one device, and what of it was acknowledged.

Every name that a hand writes is a marker that exists nowhere else, so that it can be counted later:
in the server's log each stands once. A description repeats the name of its entity: a write that
took effect by half would show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from kafkaman_sync.client import Listed
from kafkaman_sync.formats import Draft
from kafkaman_sync.model.entities import ROOT

Json = dict[str, Any]

# Beyond this a hand rather deletes, so that a cycle stays quick.
ENTITIES_MAX = 40
IMPORTS_MAX = 2
DEPTH_MAX = 4


@dataclass(frozen=True)
class Thing:
    """An entity as a person sees it; `parent` is an id, or a name where the id is not known."""

    kind: str
    parent: str
    name: str


@dataclass
class Attempt:
    """Edits of one call: what they leave of each entity, and what the log must tell of them.

    `steps` counts moves and deletions, for these write no marker.
    """

    after: dict[str, Thing | None] = field(default_factory=dict)
    edits: list[Json] = field(default_factory=list)
    markers: list[str] = field(default_factory=list)
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    shared: tuple[str, str] | None = None
    draft: Draft | None = None
    imported: dict[str, Thing] = field(default_factory=dict)
    dropped: str = ""

    @property
    def kind(self) -> str:
        """What this is called in the story of a cycle."""
        if self.draft is not None:
            return "import"
        if self.shared is not None:
            return "shared"
        return "edit" if len(self.edits) == 1 else "bulk"


def description(name: str, times: int) -> str:
    """Return what stands beside a name."""
    return f"{name}|" * times


def repeats(text: str, name: str) -> bool:
    """Tell whether a text is the description of a name."""
    return text == description(name, text.count("|"))


class Hand:
    """Makes attempts and remembers them; `mine` and `imports` hold what was acknowledged.

    An import's entities are known by name, under the name of its root. `unsure` is the attempt
    whose answer was cut off: whether it took effect is looked up before the next one is made.
    Of each shared entity, `contested` holds the last name given to it and those that came after it
    for which there was no answer; `disputed` are all names that this hand gave to shared ones.
    """

    def __init__(
        self, name: str, random: Random, shared: Collection[str], contests: bool = False
    ) -> None:
        self.name = name
        self.mine: dict[str, Thing] = {}
        self.imports: dict[str, dict[str, Thing]] = {}
        self.markers: set[str] = set()
        self.steps: Counter[tuple[str, str]] = Counter()
        self.contested: dict[str, list[str]] = {}
        self.disputed: set[str] = set()
        self.unsure: Attempt | None = None
        self.acknowledged = 0
        self._shared = shared
        self._contests = contests
        self._random = random
        self._last = 0

    # What to do next

    def think(self) -> Attempt:
        """Return the next attempt."""
        chance = self._random.random()
        if self._contests and chance < 0.1:
            return self._contest(self._random.choice(sorted(self._shared)))
        if chance < 0.2:
            return self._drop_import() if len(self.imports) >= IMPORTS_MAX else self._import()
        attempt = Attempt()
        for _ in range(self._random.choice((1, 1, 1, 1, 1, 3, 20))):
            self._add(attempt)
        return attempt

    def _marker(self, attempt: Attempt) -> str:
        self._last += 1
        marker = f"{self.name}.{self._last}"
        attempt.markers.append(marker)
        return marker

    def _fields(self, attempt: Attempt) -> Json:
        name = self._marker(attempt)
        times = self._random.choice((1, 1, 3, 300))
        return {"name": name, "description": description(name, times)}

    def _contest(self, entity: str) -> Attempt:
        attempt = Attempt()
        marker = self._marker(attempt)
        attempt.shared = (entity, marker)
        attempt.edits.append({"action": "update", "id": entity, "fields": {"name": marker}})
        return attempt

    def _import(self) -> Attempt:
        attempt = Attempt()
        attempt.draft = self._draft(attempt, "collection", ROOT, self._random.choice((5, 40)))
        return attempt

    def _draft(self, attempt: Attempt, kind: str, parent: str, size: int) -> Draft:
        fields = self._fields(attempt)
        attempt.imported[fields["name"]] = Thing(kind, parent, fields["name"])
        folders = size // 10
        children = [self._draft(attempt, "folder", fields["name"], 9) for _ in range(folders)]
        requests = size - 10 * folders
        children += [self._draft(attempt, "request", fields["name"], 0) for _ in range(requests)]
        return Draft(kind, fields, tuple(children))

    def _drop_import(self) -> Attempt:
        # Its id is not known here; at the top of the workspace a name is a path.
        root = self._random.choice(sorted(self.imports))
        attempt = Attempt(dropped=root)
        attempt.edits.append({"action": "delete", "id": root})
        attempt.steps[root, "delete"] += 1
        return attempt

    def _add(self, attempt: Attempt) -> None:
        """Add an edit that builds on those before it."""
        seen = {**self.mine, **attempt.after}
        alive = {entity: thing for entity, thing in seen.items() if thing is not None}
        choices = [self._create, self._create, self._update, self._update, self._move]
        if len(alive) > ENTITIES_MAX:
            choices = [self._update, self._move, self._delete]
        elif len(alive) > ENTITIES_MAX // 2:
            choices.append(self._delete)
        if not self._random.choice(choices)(attempt, alive):
            self._create(attempt, alive)

    def _create(self, attempt: Attempt, alive: Mapping[str, Thing]) -> bool:
        above = [each for each in _parents(alive) if _depth(alive, each) < DEPTH_MAX]
        parent = self._random.choice([ROOT, *above, *above])
        kind = self._random.choice(("folder", "request")) if parent else "collection"
        fields = self._fields(attempt)
        entity = f"{self._random.getrandbits(128):032x}"
        attempt.after[entity] = Thing(kind, parent, fields["name"])
        edit = {"action": "create", "kind": kind, "parent": parent, "fields": fields}
        attempt.edits.append({**edit, "id": entity})
        return True

    def _update(self, attempt: Attempt, alive: Mapping[str, Thing]) -> bool:
        if not alive:
            return False
        entity = self._random.choice(sorted(alive))
        fields = self._fields(attempt)
        before = alive[entity]
        attempt.after[entity] = Thing(before.kind, before.parent, fields["name"])
        attempt.edits.append({"action": "update", "id": entity, "fields": fields})
        return True

    def _move(self, attempt: Attempt, alive: Mapping[str, Thing]) -> bool:
        movable = sorted(each for each, thing in alive.items() if thing.kind == "request")
        if not movable:
            return False
        entity = self._random.choice(movable)
        before = alive[entity]
        targets = [each for each in _parents(alive) if each != before.parent]
        if not targets:
            return False
        parent = self._random.choice(targets)
        attempt.after[entity] = Thing(before.kind, parent, before.name)
        attempt.edits.append({"action": "move", "id": entity, "parent": parent})
        attempt.steps[entity, "move"] += 1
        return True

    def _delete(self, attempt: Attempt, alive: Mapping[str, Thing]) -> bool:
        entity = self._random.choice(sorted(alive))
        gone = [each for each in alive if each == entity or entity in _above(alive, each)]
        attempt.after.update(dict.fromkeys(gone))
        attempt.edits.append({"action": "delete", "id": entity})
        attempt.steps[entity, "delete"] += 1
        return True

    # What became of it

    def acknowledge(self, attempt: Attempt) -> None:
        """Remember that the call returned, or that its edits were found to be there."""
        self.acknowledged += 1
        self.unsure = None
        self._remember(attempt)

    def _remember(self, attempt: Attempt) -> None:
        for entity, thing in attempt.after.items():
            if thing is None:
                self.mine.pop(entity, None)
            else:
                self.mine[entity] = thing
        if attempt.shared is not None:
            entity, marker = attempt.shared
            self.contested[entity] = [marker]
            self.disputed.add(marker)
            return
        self.markers.update(attempt.markers)
        self.steps.update(attempt.steps)
        if attempt.draft is not None:
            self.imports[next(iter(attempt.imported))] = attempt.imported
        if attempt.dropped:
            del self.imports[attempt.dropped]

    def recall(self, listed: Iterable[Listed]) -> None:
        """Compare with what the device shows, and find out about the attempt that was cut off.

        All that was acknowledged is there, and the attempt took effect whole or not at all.
        """
        found = {each.id: each for each in listed if each.id not in self._shared}
        names = {each.id: each.name for each in found.values()}
        seen = {each.id: Thing(each.kind, each.parent, each.name) for each in found.values()}
        by_name = {
            each.name: Thing(each.kind, names.get(each.parent, ROOT), each.name)
            for each in found.values()
        }
        unsure, self.unsure = self.unsure, None
        if unsure is not None and unsure.shared is not None:
            # Others write there too: what the device shows does not tell. The log will.
            entity, marker = unsure.shared
            if entity in self.contested:
                self.contested[entity].append(marker)
            self.disputed.add(marker)
            unsure = None
        before = self.wrong(seen, by_name)
        if unsure is None:
            assert not before, f"{self.name}: acknowledged edits are missing: {before}"
            return
        held = Hand(self.name, self._random, self._shared)
        held.mine, held.imports = dict(self.mine), dict(self.imports)
        held._remember(unsure)
        after = held.wrong(seen, by_name)
        assert not (before and after), (
            f"{self.name}: neither without the last {unsure.kind}: {before}, nor with it: {after}"
        )
        if not after:
            self._remember(unsure)

    def wrong(
        self, seen: Mapping[str, Thing], by_name: Mapping[str, Thing]
    ) -> dict[str, tuple[Thing | None, Thing | None]]:
        """Return (expected, shown) of each entity of this hand that is not as it should be."""
        wanted = {each: thing for tree in self.imports.values() for each, thing in tree.items()}
        prefix = f"{self.name}."
        known = {thing.name for thing in self.mine.values()} | wanted.keys()
        differences: dict[str, tuple[Thing | None, Thing | None]] = {
            entity: (thing, seen.get(entity))
            for entity, thing in self.mine.items()
            if seen.get(entity) != thing
        }
        for name, thing in wanted.items():
            if by_name.get(name) != thing:
                differences[name] = (thing, by_name.get(name))
        for name, thing in by_name.items():
            if name.startswith(prefix) and name not in known:
                differences[name] = (None, thing)
        return differences


def _parents(alive: Mapping[str, Thing]) -> list[str]:
    """Return where requests and folders may lie."""
    return sorted(each for each, thing in alive.items() if thing.kind != "request")


def _above(alive: Mapping[str, Thing], entity: str) -> list[str]:
    above: list[str] = []
    while entity in alive and alive[entity].parent:
        entity = alive[entity].parent
        above.append(entity)
    return above


def _depth(alive: Mapping[str, Thing], entity: str) -> int:
    return len(_above(alive, entity))
