"""Which item of a list is which item of the other two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from kafkaman_sync.model.merge.lines import differences
from kafkaman_sync.model.merge.parts import Name
from kafkaman_sync.model.values import Value, encode_value

Named = dict[Name, Value]

# The items that are known by one text: their places in the list, and their bytes.
_Group = dict[int, bytes]


def name_items(
    base: Sequence[Value],
    mine: Sequence[Value],
    theirs: Sequence[Value],
    known_by: Callable[[Value], str],
) -> list[Named]:
    """Name the items of three lists, in their order, so that an item has one name in all of them.

    Several may be known by the same, as two headers of one name are. Of these, equal ones are the
    same item, and so is what stands in the place of another. A name is: what the item is known by;
    0 for one that the base has, 1 for one that both sides added, 2 for another added one; the bytes
    of the second sort; a number.
    """
    lists = (base, mine, theirs)
    groups = [_group(items, known_by) for items in lists]
    names: list[dict[int, Name]] = [{}, {}, {}]
    for text in {text for group in groups for text in group}:
        ours, *sides = [group.get(text, {}) for group in groups]
        names[0].update((index, (text, 0, b"", number)) for number, index in enumerate(ours))
        added: list[_Group] = []
        for side, named in zip(sides, names[1:], strict=True):
            known = _align(list(ours.values()), side)
            named.update((index, (text, 0, b"", number)) for index, number in known.items())
            added.append({index: data for index, data in side.items() if index not in known})
        common = Counter(added[0].values()) & Counter(added[1].values())
        for new, named in zip(added, names[1:], strict=True):
            named.update(_name_added(text, new, common))
    return [
        {named[index]: item for index, item in enumerate(items)}
        for items, named in zip(lists, names, strict=True)
    ]


def _group(items: Sequence[Value], known_by: Callable[[Value], str]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for index, item in enumerate(items):
        groups.setdefault(known_by(item), {})[index] = encode_value(item)
    return groups


def _align(base: Sequence[bytes], side: _Group) -> dict[int, int]:
    """Tell which items of a side stand for which of the base."""
    places = list(side)
    found: dict[int, int] = {}
    base_done = done = 0
    hunks = differences(base, list(side.values()))
    for base_start, base_end, start, end in [*hunks, (len(base), len(base), len(side), len(side))]:
        # Equal up to here; then one by one, as far as both reach.
        pairs = [*zip(range(done, start), range(base_done, base_start), strict=True)]
        pairs += zip(range(start, end), range(base_start, base_end), strict=False)
        found.update((places[number], base_number) for number, base_number in pairs)
        base_done, done = base_end, end
    return found


def _name_added(text: str, added: _Group, common: Counter[bytes]) -> dict[int, Name]:
    names: dict[int, Name] = {}
    equal: Counter[bytes] = Counter()
    others = 0
    for index, data in added.items():
        if equal[data] < common[data]:
            names[index] = (text, 1, data, equal[data])
            equal[data] += 1
        else:
            names[index] = (text, 2, b"", others)
            others += 1
    return names
