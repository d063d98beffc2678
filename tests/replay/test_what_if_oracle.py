"""To skip a change comes out as a server decides that never saw it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaman_sync.model.changes import Action
from kafkaman_sync.model.entities import Entity, Kind, Place
from kafkaman_sync.model.values import REMOVED, encode_value, hash_value
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.order import Skip
from kafkaman_sync.replay.otherwise import EntityDifference, Shape, Word, judged
from kafkaman_sync.replay.seen import hash_of_unknown
from kafkaman_sync.replay.source import choose_log
from kafkaman_sync.replay.what_if import what_if
from tests.replay.logs import LogFile, id_of

DEVICES = ("laptop", "phone", "tablet")


@dataclass(frozen=True)
class Step:
    """What a person does, having seen all but the last `behind` events; `value` may be anything."""

    action: Action
    entity: int
    by: str
    behind: int
    parent: int = 0
    value: str = ""
    seen: str | None = None


ENTITIES = st.integers(1, 4)
STEPS = st.builds(
    Step,
    action=st.sampled_from([each for each in Action if each is not Action.PURGE]),
    entity=ENTITIES,
    by=st.sampled_from(DEVICES),
    behind=st.sampled_from([0, 0, 0, 1, 2, 4]),
    parent=st.integers(0, 4),
    value=st.sampled_from("abc"),
    seen=st.sampled_from(["a", "b", "c", None]),
)


class Told:
    """A log, what became of each step of it, and which step each of its events was."""

    def __init__(self, path: Path) -> None:
        self.log = LogFile(path)
        self.words: dict[int, Word] = {}
        self.steps: list[int] = []  # of the events, in their order

    def push(self, index: int, step: Step, seen: int) -> None:
        """Decide a step by who has seen the events of the steps before `seen`."""
        base = sum(each < seen for each in self.steps)
        kind = Kind.COLLECTION if step.entity == 1 else Kind.FOLDER
        place = Place(id_of(step.parent) if step.parent else "", f"{step.entity}V")
        placed = step.action in (Action.CREATE, Action.MOVE)
        value = {"name": encode_value(step.value)}
        fields = value if step.action in (Action.CREATE, Action.UPDATE) else {}
        if step.action is Action.UPDATE:
            fields["url"] = encode_value(f"{step.value}/")
        prior = REMOVED if step.seen is None else encode_value(step.seen)
        decision = self.log.push(
            step.action,
            id_of(step.entity),
            by=step.by,
            base=base,
            kind=kind if step.action is Action.CREATE else None,
            place=place if placed else None,
            fields=fields,
            priors={"name": prior, "url": prior},
        )
        self.words[index] = judged(decision.verdict, lambda seq: seq).word
        if decision.event is not None:
            self.steps.append(index)


def tell(path: Path, steps: list[Step], sights: dict[int, int], without: int | None) -> Told:
    told = Told(path)
    for index, step in enumerate(steps):
        if index != without:
            told.push(index, step, sights[index])
        else:
            told.log.writer(step.by).op += 1
    return told


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=14), st.data())
def test_a_skipped_change_leaves_what_a_server_makes_of_the_others(
    drawn: list[Step], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = Step(Action.CREATE, 1, "laptop", 0, value="a")
        steps = [first, replace(first, entity=2, parent=1), *drawn]
        # What had nothing left to do is in no log: nobody does it here.
        sights: dict[int, int] = {}
        real = Told(Path(folder) / "real.db")
        kept: list[Step] = []
        for step in steps:
            index = len(kept)
            trial = tell(Path(folder) / "trial.db", [*kept, step], {**sights, index: 0}, None)
            if trial.words[index] is Word.NOTHING:
                continue
            kept.append(step)
            # Who has seen an event has seen all before it; of what comes right after it, a base
            # does not tell.
            seen = [each for each in real.steps if each < index - step.behind]
            sights[index] = seen[-1] + 1 if seen else 0
            real.push(index, step, sights[index])
        skipped = data.draw(st.integers(1, real.log.head))
        without = tell(Path(folder) / "then.db", kept, sights, real.steps[skipped - 1])
        with open_source(str(real.log.save())) as source:
            outcome = what_if(source, choose_log(source, None), [Skip(skipped)])
        assert outcome.head_then == without.log.head
        ops = [op_of(kept, index) for index in range(len(kept))]
        changed = {(each.device, each.op): each.then.word for each in outcome.changes}
        for index, word in without.words.items():
            device = real.log.writer(kept[index].by).author.device
            if word is not real.words[index]:
                assert changed.pop((device, ops[index])) is word
            else:
                changed.pop((device, ops[index]), None)  # other fields of it
        assert changed == {}
        check_ends(outcome.entities, real.log, without.log)


def op_of(steps: list[Step], index: int) -> int:
    return sum(step.by == steps[index].by for step in steps[: index + 1])


def check_ends(differences: list[EntityDifference], real: LogFile, then: LogFile) -> None:
    found = {each.id: each for each in differences}
    for number in range(1, 5):
        was, now = (log.world.get(id_of(number)) for log in (real, then))
        each = found.pop(id_of(number), None)
        if each is None:
            assert shape(was) == shape(now)
            assert values(was) == values(now)
            continue
        assert (shape(each.was), shape(each.then)) == (shape(was), shape(now))
        told = {field.name: field for field in each.fields}
        for name in values(was).keys() | values(now).keys():
            before, after = values(was).get(name), values(now).get(name)
            if name not in told:
                assert before == after
                continue
            assert told[name].was == before
            known = told[name].then
            hidden = None if known is None else hash_of_unknown(known)
            assert known == after or (after is not None and hidden == hash_value(after))
    assert found == {}


def shape(side: Entity | Shape | None) -> tuple[str, bool] | None:
    return None if side is None else (side.place.parent, side.deleted)


def values(entity: Entity | None) -> dict[str, bytes]:
    return {} if entity is None else entity.values
