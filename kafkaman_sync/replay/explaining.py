"""Why an entity, or a field of it, is what it is: every change of it, by which rule it fared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kafkaman_sync.errors import ModelError, ReplayError
from kafkaman_sync.model.apply import apply_event
from kafkaman_sync.model.changes import Action, Dispute, Event, FieldEdit
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.model.values import REMOVED, hash_value
from kafkaman_sync.replay.again import change_of
from kafkaman_sync.replay.records import Log, Logged
from kafkaman_sync.replay.rules import field_rule, whole_rule
from kafkaman_sync.replay.source import Source

PLACE, DELETED = "place", "deleted"
"""What stands for an entity's place and deleted flag where a field is named."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a change wrote, and the rule by which it was accepted.

    `name` is a field's, PLACE or DELETED, empty for the whole of a purge. `replaced` is the version
    that stood before (0: none), `base` and `seen` the seq up to which the author had seen the log
    and that of the value they saw: None where it is not known, 0 for none.
    """

    name: str
    rule: str
    value: bytes | None = None
    replaced: int = 0
    before: bytes | None = None
    base: int | None = None
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that was not accepted: by `rule`, for what was written at `against` (0: gone).

    `base` and `seen` are as in a Part. `stands_at` is a later seq at which the same value was
    accepted, `again_at` the next one at which the same device wrote the same field.
    """

    name: str
    rule: str
    told: str = ""
    against: int = 0
    by: Event | None = None
    value_hash: bytes = b""
    base: int | None = None
    seen: int | None = None
    stands_at: int = 0
    again_at: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the entity: `event` is what was accepted of it, `dispute` what was not."""

    seq: int
    action: Action
    account: str
    device: str
    op: int
    at: int
    event: Event | None = None
    dispute: Dispute | None = None
    parts: tuple[Part, ...] = ()
    losses: tuple[Loss, ...] = ()


@dataclass(slots=True)
class Story:
    """All changes of an entity in the order of their decision.

    `entity` is what they led to, None when it is gone or never was; `last` is what it was last.
    `older`: what was before `horizon` is no longer kept.
    """

    log: Log
    id: str
    part: str
    steps: list[Step] = field(default_factory=list)
    entity: Entity | None = None
    last: Entity | None = None
    older: bool = False


@dataclass(slots=True)
class _Known:
    """What was ever written to one field: (seq, hash, device, op)."""

    written: list[tuple[int, bytes, str, int]] = field(default_factory=list)

    def seen(self, prior: bytes, base: int, device: str, op: int) -> int | None:
        """Return the seq of the value that a prior names; None if none has it, 0 for no value."""
        if prior == hash_value(REMOVED) and not any(seq <= base for seq, *_ in self.written):
            return 0
        matching = [each for each in self.written if each[1] == prior]
        # An edit on top of an own pending one names that one's value.
        own = [seq for seq, _, who, number in matching if who == device and number < op]
        in_view = [seq for seq, *_ in matching if seq <= base]
        return max(in_view, default=None) or max(own, default=None)


def explain(source: Source, log: Log, entity: str, name: str = "") -> Story:
    """Tell what happened to an entity or, with a name, to that part of it."""
    story = Story(log, entity, name)
    base = next(iter(source.bases(log, entity)), None)
    story.older = base is not None
    state, known = base, _known_of(base)
    disputes = sorted(source.disputes(log, entity), key=lambda each: each.seq)
    for logged in source.events(log, entity=entity):
        while disputes and _before(disputes[0], logged.event):
            _add(story, _disputed(disputes.pop(0), known))
        dispute = None
        if disputes and _same(disputes[0], logged.event):
            dispute = disputes.pop(0)
        _add(story, _accepted(logged, state, known, dispute))
        _note(known, logged.event)
        state = _applied(state, logged.event)
        story.last = state or story.last
    for dispute in disputes:
        _add(story, _disputed(dispute, known))
    story.entity = state
    story.last = story.last or base
    if not story.steps and story.last is None and not _heard_of(source, log, entity):
        raise ReplayError(
            f"There is no entity {entity} in {source.label}.",
            code="entity.not_found",
            hint="`kafkaman replay log` shows the entities of a log.",
        )
    _follow_losses(source, log, story, known)
    return story


def _known_of(base: Entity | None) -> dict[str, _Known]:
    if base is None:
        return {}
    return {
        name: _Known([(held.version, hash_value(held.value), "", 0)])
        for name, held in base.fields.items()
    }


def _heard_of(source: Source, log: Log, entity: str) -> bool:
    try:
        return next(source.rows(log, entity), None) is not None
    except ReplayError as error:
        if error.code != "replay.no_rows":
            raise
        return False


def _before(dispute: Dispute, event: Event) -> bool:
    return dispute.seq < event.seq and not _same(dispute, event)


def _same(dispute: Dispute, event: Event) -> bool:
    return (dispute.seq, dispute.device, dispute.op) == (event.seq, event.device, event.op)


def _add(story: Story, step: Step) -> None:
    """Keep a step, if it is about what is asked for."""
    name = story.part
    if name:
        step_parts = tuple(part for part in step.parts if part.name in (name, ""))
        losses = tuple(loss for loss in step.losses if loss.name in (name, ""))
        if not step_parts and not losses:
            return
        step = _with(step, step_parts, losses)
    story.steps.append(step)


def _with(step: Step, parts: tuple[Part, ...], losses: tuple[Loss, ...]) -> Step:
    return Step(
        step.seq, step.action, step.account, step.device, step.op, step.at, step.event,
        step.dispute, parts, losses,
    )  # fmt: skip


def _applied(state: Entity | None, event: Event) -> Entity | None:
    try:
        return apply_event(state, event)
    except ModelError:
        return state  # a gap, or worse: what is left of the log is told all the same


def _note(known: dict[str, _Known], event: Event) -> None:
    for name, value in event.fields.items():
        known.setdefault(name, _Known()).written.append(
            (event.seq, hash_value(value), event.device, event.op)
        )


def _accepted(
    logged: Logged, before: Entity | None, known: dict[str, _Known], dispute: Dispute | None
) -> Step:
    event = logged.event
    change = change_of(logged) if logged.basis is not None else None
    base = None if logged.basis is None else logged.basis.base
    parts: list[Part] = []
    if event.action is Action.UPDATE:
        for name, value in sorted(event.fields.items()):
            edit = change.fields[name] if change is not None else None
            seen = None
            if edit is not None:
                history = known.get(name, _Known())
                seen = history.seen(edit.prior, edit.base, event.device, event.op)
            parts.append(_field_part(name, value, edit, before, seen))
    else:
        rule = whole_rule(event, before, logged.basis)
        parts += [Part(name, rule, value) for name, value in sorted(event.fields.items())]
        if event.place is not None:
            replaced = before.place_version if before else 0
            parts.append(Part(PLACE, rule, replaced=replaced, base=base))
        if event.action in (Action.DELETE, Action.RESTORE):
            replaced = before.deleted_version if before else 0
            parts.append(Part(DELETED, rule, replaced=replaced, base=base))
        if event.action is Action.PURGE:
            parts.append(Part("", rule))
    losses = () if dispute is None else _losses(dispute, known)
    return Step(
        event.seq, event.action, event.account, event.device, event.op, event.at, event, dispute,
        tuple(parts), losses,
    )  # fmt: skip


def _field_part(
    name: str, value: bytes, edit: FieldEdit | None, before: Entity | None, seen: int | None
) -> Part:
    held = before.fields.get(name) if before is not None else None
    rule = "none" if before is None else field_rule(held, edit, value)
    return Part(
        name,
        rule,
        value,
        held.version if held else 0,
        held.value if held else None,
        edit.base if edit else None,
        seen,
    )


def _disputed(dispute: Dispute, known: dict[str, _Known]) -> Step:
    return Step(
        dispute.seq, dispute.action, dispute.account, dispute.device, dispute.op, dispute.at,
        dispute=dispute, losses=_losses(dispute, known),
    )  # fmt: skip


def _losses(dispute: Dispute, known: dict[str, _Known]) -> tuple[Loss, ...]:
    found = [_loss(dispute, name, known) for name in sorted(dispute.fields)]
    if not found:
        name = {Action.MOVE: PLACE, Action.DELETE: DELETED, Action.RESTORE: DELETED}
        found = [_loss(dispute, name.get(dispute.action, ""), known)]
    return tuple(found)


def _loss(dispute: Dispute, name: str, known: dict[str, _Known]) -> Loss:
    edit = dispute.fields.get(name)
    seen = None
    if edit is not None:
        history = known.get(name, _Known())
        seen = history.seen(edit.prior, edit.base, dispute.device, dispute.op)
    refusal = dispute.refusal
    rule, told, against = "refused", "", 0
    if refusal is not None:
        rule, told = refusal.code, refusal.message
    else:
        for each in dispute.disagreements:
            if each.field in (name, ""):
                rule, against = each.code.value, each.version
    return Loss(
        name,
        rule,
        told,
        against,
        value_hash=edit.value_hash if edit else b"",
        base=edit.base if edit else dispute.base,
        seen=seen,
    )


def _follow_losses(source: Source, log: Log, story: Story, known: dict[str, _Known]) -> None:
    """Find out who stood in the way of each loss, and what became of it in the log."""
    for index, step in enumerate(story.steps):
        if not step.losses:
            continue
        followed = tuple(
            Loss(
                loss.name, loss.rule, loss.told, loss.against,
                _event_at(source, log, loss.against), loss.value_hash, loss.base, loss.seen,
                *_afterwards(known.get(loss.name, _Known()), step, loss),
            )
            for loss in step.losses
        )  # fmt: skip
        story.steps[index] = _with(step, step.parts, followed)


def _event_at(source: Source, log: Log, seq: int) -> Event | None:
    if seq <= log.horizon:
        return None
    found: Iterator[Logged] = source.events(log, after=seq - 1, upto=seq)
    return next((each.event for each in found), None)


def _afterwards(history: _Known, step: Step, loss: Loss) -> tuple[int, int]:
    later = [each for each in history.written if each[0] > step.seq]
    if not loss.value_hash:
        return 0, 0
    same = [seq for seq, value, _, _ in later if value == loss.value_hash]
    again = [seq for seq, _, who, op in later if who == step.device and op > step.op]
    return min(same, default=0), min(again, default=0)
