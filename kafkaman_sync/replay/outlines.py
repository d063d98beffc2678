"""A workspace in outline: what lies where and is called what, without its fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import attrgetter

from kafkaman_sync.model.entities import ROOT, Entity, Kind
from kafkaman_sync.model.immutable import immutable
from kafkaman_sync.replay.naming import name_of


@immutable
class Outline:
    """An entity without its fields; `deleted` is its own flag."""

    id: str
    kind: Kind
    name: str
    parent: str
    position: str
    deleted: bool

    @property
    def step(self) -> str:
        r"""Its name as a step of a path, a slash in it written `\/`; its id if it has none."""
        return self.name.replace("/", "\\/") or self.id[:8]


def outline_of(entity: Entity) -> Outline:
    """Return the outline of an entity."""
    place = entity.place
    return Outline(
        entity.id, entity.kind, name_of(entity), place.parent, place.position, entity.deleted
    )


@immutable
class Line:
    """An entity where a tree shows it: `level` 1 lies in the workspace itself.

    `hidden` tells that it or something above it is deleted, `adrift` that what it lies in is not
    there.
    """

    outline: Outline
    level: int
    path: str
    hidden: bool
    adrift: bool = False


class Outlines:
    """The outlines of all entities, as a tree."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._all = {entity.id: outline_of(entity) for entity in entities}
        self._children: dict[str, list[Outline]] = {}
        for each in self._all.values():
            self._children.setdefault(each.parent, []).append(each)
        for siblings in self._children.values():
            siblings.sort(key=attrgetter("position", "id"))

    def counts(self) -> tuple[Counter[Kind], int]:
        """Return how many of each kind are shown, and how many are hidden."""
        shown: Counter[Kind] = Counter()
        hidden = 0
        for line in self.lines():
            if line.hidden:
                hidden += 1
            else:
                shown[line.outline.kind] += 1
        return shown, hidden

    def lines(self) -> Iterator[Line]:
        """Yield all, parents before children and siblings in order; what is adrift comes last."""
        seen: set[str] = set()
        yield from self._below(self._children.get(ROOT, []), seen, "", adrift=False)
        for each in self._all.values():
            if each.id not in seen and each.parent not in self._all:
                yield from self._below([each], seen, f"{each.parent[:8]}?", adrift=True)
        # What is left lies in itself.
        for each in self._all.values():
            if each.id not in seen:
                yield from self._below([each], seen, f"{each.parent[:8]}?", adrift=True)

    def _below(
        self, top: list[Outline], seen: set[str], above: str, *, adrift: bool
    ) -> Iterator[Line]:
        waiting = [(each, 1, above, False) for each in reversed(top)]
        while waiting:
            each, level, path, hidden = waiting.pop()
            if each.id in seen:
                continue
            seen.add(each.id)
            line = Line(
                each,
                level,
                f"{path}/{each.step}" if path else each.step,
                hidden or each.deleted,
                adrift,
            )
            yield line
            waiting += [
                (child, level + 1, line.path, line.hidden)
                for child in reversed(self._children.get(each.id, ()))
            ]
