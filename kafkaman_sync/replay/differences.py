"""How two rows of one entity differ: part by part, each with the version that it has."""

from __future__ import annotations

from collections.abc import Iterator

from kafkaman_sync.model.entities import Entity
from kafkaman_sync.replay.findings import Finding


def row_differences(stored: Entity | None, replayed: Entity | None) -> Iterator[Finding]:
    """Yield how a stored row differs from that to which the log leads."""
    if stored is None:
        assert replayed is not None
        told = "The log leads to this entity; there is no row of it."
        yield Finding("row", replayed.version, told, replayed.id)
        return
    if replayed is None:
        told = "There is a row of this entity; the log does not lead to one."
        yield Finding("row", stored.version, told, stored.id)
        return
    for part, (version, value), (other_version, other) in parts_of(stored, replayed):
        entity = stored.id
        if version == other_version and value == other:
            continue
        seq = max(version, other_version)
        if version == other_version:
            told = f"The row has another {part} of version {version} than the log."
            yield Finding("value", seq, told, entity, part)
        else:
            told = f"The row has {part} of version {version}, the log of {other_version}."
            yield Finding("row", seq, told, entity, part)
    if stored.version != replayed.version:
        told = f"The row has version {stored.version}, the log {replayed.version}."
        yield Finding("row", max(stored.version, replayed.version), told, stored.id, "version")


def parts_of(
    one: Entity, two: Entity
) -> Iterator[tuple[str, tuple[int, object], tuple[int, object]]]:
    """Yield each part with its version and value on both sides."""
    yield "kind", (0, one.kind), (0, two.kind)
    yield "place", (one.place_version, one.place), (two.place_version, two.place)
    yield "deleted", (one.deleted_version, one.deleted), (two.deleted_version, two.deleted)
    for name in sorted(one.fields.keys() | two.fields.keys()):
        mine, theirs = one.fields.get(name), two.fields.get(name)
        yield (
            name,
            (mine.version, mine.value) if mine else (0, None),
            (theirs.version, theirs.value) if theirs else (0, None),
        )
