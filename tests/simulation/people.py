"""What people do: edits that look like work on collections, each value with a token of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from kafkaman_sync.model.edits import Create, Delete, Edit, Move, Restore, Update
from kafkaman_sync.model.entities import PARENT_KINDS, ROOT, Kind
from kafkaman_sync.model.values import REMOVED, decode_value, encode_value
from kafkaman_sync.model.view import ViewEntity

_KINDS: Final = (Kind.COLLECTION, Kind.FOLDER, Kind.FOLDER, Kind.REQUEST, Kind.REQUEST)
# Long enough for streams to be cut into several messages.
_PADDING: Final = "x" * 120


class Writer:
    """Makes up edits; every token is written once."""

    def __init__(self) -> None:
        self._number = 0

    def edits(self, shown: Sequence[ViewEntity], chance: Random) -> list[Edit]:
        """Return what a person may do to what is shown."""
        count = chance.choice((1, 1, 1, 1, 1, 2, 8))
        return [self.edit(shown, chance) for _ in range(count)]

    def edit(self, shown: Sequence[ViewEntity], chance: Random) -> Edit:
        """Return one edit."""
        roll = chance.random()
        if roll < 0.25 or not shown:
            return self.create(shown, chance)
        entity = chance.choice(shown)
        if roll < 0.78:
            return self.update(entity, chance)
        if roll < 0.88:
            return Move(entity.id, chance.choice([*(each.id for each in shown), ROOT]))
        return Delete(entity.id) if roll < 0.95 else Restore(entity.id)

    def create(self, shown: Sequence[ViewEntity], chance: Random) -> Create:
        """Return a new entity in a parent that fits."""
        kind = chance.choice(_KINDS)
        fitting = [each.id for each in shown if each.kind in PARENT_KINDS[kind]]
        if not fitting and None not in PARENT_KINDS[kind]:
            kind = Kind.COLLECTION
        parent = chance.choice(fitting) if fitting else ROOT
        entity = chance.randbytes(16).hex()
        return Create(entity, kind, parent, {"name": encode_value(self._token())})

    def update(self, entity: ViewEntity, chance: Random) -> Update:
        """Return new values for one field, or for two."""
        names = chance.sample(
            ("name", "url", "header", "body", "description"), chance.choice((1, 1, 2))
        )
        return Update(entity.id, {name: self._value(entity, name, chance) for name in names})

    def _value(self, entity: ViewEntity, name: str, chance: Random) -> bytes:
        data = entity.fields.get(name, REMOVED)
        if chance.random() < 0.04:
            return REMOVED if name != "name" else encode_value("same")
        held: Any = decode_value(data) if data else None
        if name == "header":
            return encode_value(self._headers(held if isinstance(held, list) else [], chance))
        if name == "body":
            return encode_value(self._body(held, chance))
        if name == "description":
            return encode_value(self._lines(held if isinstance(held, str) else "", chance))
        if chance.random() < 0.15:
            return encode_value("same")
        return encode_value(f"{self._token()} {_PADDING}")

    def _headers(self, held: list[Any], chance: Random) -> list[Any]:
        items = list(held)
        if items and chance.random() < 0.5:
            index = chance.randrange(len(items))
            if chance.random() < 0.3:
                del items[index]
            else:
                items[index] = {**items[index], "value": self._token()}
        else:
            key = chance.choice(("Accept", "Host", f"X-{chance.randrange(100)}"))
            items.insert(chance.randint(0, len(items)), {"key": key, "value": self._token()})
        return items

    def _body(self, held: Any, chance: Random) -> dict[str, Any]:
        try:
            content = json.loads(held["raw"])
        except (TypeError, KeyError, ValueError):
            content = {}
        content[chance.choice("abcd")] = self._token()
        return {"mode": "raw", "raw": json.dumps(content, indent=1)}

    def _lines(self, held: str, chance: Random) -> str:
        lines = held.splitlines()
        line = f"line {self._token()}"
        if lines and chance.random() < 0.5:
            lines[chance.randrange(len(lines))] = line
        else:
            lines.insert(chance.randint(0, len(lines)), line)
        return "\n".join(lines)

    def _token(self) -> str:
        self._number += 1
        return f"<{self._number}>"
