"""What must come out when a session is run again, and where the server stood when it began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kafkaman_sync.errors import ModelError, ReplayError, WireError
from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.model.entities import Entity
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    Events,
    Push,
    Verdicts,
    WorkspaceHead,
)
from kafkaman_sync.protocol.records import decode_entity
from kafkaman_sync.replay.outcome import Outcome
from kafkaman_sync.replay.scratch import Seed, WorkspaceSeed
from kafkaman_sync.replay.session import Session, Talk
from kafkaman_sync.replay.source import Source
from kafkaman_sync.replay.state import rows_at


@dataclass(slots=True)
class Script:
    """A session with its outcome.

    `marks` says, for each step of each talk, how many facts had come behind it, and `caught_up`,
    for each talk, how many when its catch-up had ended. `decided` is where among the facts the
    first verdict of each op stands, and `before` the rows at the device's cursor when it all began.
    """

    session: Session
    outcome: Outcome
    seed: Seed
    before: dict[str, tuple[int, dict[str, Entity]]]
    marks: list[list[int]] = field(default_factory=list)
    caught_up: list[int] = field(default_factory=list)
    decided: dict[int, int] = field(default_factory=dict)


def write_script(session: Session, base: Source | None = None) -> Script:
    """Work out what a session must come to; `base` has the rows that were there before it.

    Raises ReplayError `replay.no_state` when those rows are needed and not known, and
    `replay.capture_damaged` for records inside frames that are not legal.
    """
    outcome = Outcome(session.device, session.account)
    before = _before(session, base)
    seed = _seed(session, before)
    for workspace in seed.workspaces:
        outcome.begin(workspace.id, workspace.rows.values())
    script = Script(session, outcome, seed, before)
    try:
        for number, talk in enumerate(session.talks):
            _follow(script, number, talk)
    except (WireError, ModelError) as error:
        raise ReplayError(
            f"{session.label} holds a record that is not legal: {error.message}",
            code="replay.capture_damaged",
            hint="Record again.",
        ) from error
    for index, key in enumerate(outcome.order):
        if key[0] == "verdict":
            script.decided[key[1]] = index
    # Own ops that the capture tells of, but not who pushed them, are decided before the session.
    earlier = [
        event.op
        for event in outcome.events.values()
        if event.device == session.device and event.op not in outcome.pushed
    ]
    seed.last_op = min([seed.last_op, *(op - 1 for op in earlier)])
    seed.others = {
        event.device: event.account
        for event in outcome.events.values()
        if event.device and event.device != session.device
    }
    return script


def _follow(script: Script, number: int, talk: Talk) -> None:
    outcome = script.outcome
    outcome.talk = number
    missing = set() if talk.welcome is None else {each.id for each in talk.welcome.workspaces}
    caught_up = len(outcome.order)
    marks = []
    for step in talk.steps:
        outcome.at_us = step.at_us
        if not step.up:
            outcome.came(step.message)
        elif isinstance(step.message, Push):
            outcome.sent(step.message)
        if isinstance(step.message, Checkpoint) and missing:
            missing.discard(step.message.workspace)
            caught_up = len(outcome.order)
        marks.append(len(outcome.order))
    script.marks.append(marks)
    script.caught_up.append(caught_up)


def needed(session: Session) -> dict[str, int]:
    """Return the cursors of the workspaces whose rows at them must be known from elsewhere."""
    talk, cursors = session.talks[0], _cursors(session)
    found = {}
    for head in session.welcome.workspaces:
        first = _first(talk, head.id)
        if cursors.get(head.id) and not (isinstance(first, Entities) and first.full):
            found[head.id] = cursors[head.id]
    return found


def _cursors(session: Session) -> dict[str, int]:
    return {each.workspace: each.cursor for each in session.talks[0].hello.positions}


def _before(session: Session, base: Source | None) -> dict[str, tuple[int, dict[str, Entity]]]:
    """Return the rows of each workspace at the device's cursor, and that, when it all began."""
    cursors, wanted = _cursors(session), needed(session)
    found: dict[str, tuple[int, dict[str, Entity]]] = {}
    for head in session.welcome.workspaces:
        rows: dict[str, Entity] = {}
        if head.id in wanted:
            rows = _rows_at(base, head.id, wanted[head.id], session)
        found[head.id] = (cursors.get(head.id, 0), rows)
    return found


def _seed(session: Session, before: Mapping[str, tuple[int, dict[str, Entity]]]) -> Seed:
    talk, welcome = session.talks[0], session.welcome
    workspaces = [_workspace(talk, head, *before[head.id], session) for head in welcome.workspaces]
    by_state = any(
        isinstance(step.message, Entities) and not step.message.full for step in talk.steps
    )
    return Seed(
        server=welcome.server,
        account=welcome.account,
        device=session.device,
        lease=talk.hello.lease,
        last_op=welcome.last_op,
        workspaces=workspaces,
        others={},
        verdicts=_stored(talk, welcome.last_op),
        by_state=by_state,
    )


def _stored(talk: Talk, last_op: int) -> list[Verdict]:
    """Return the verdicts of the catch-up: the server had them when the session began."""
    found: list[Verdict] = []
    for step in talk.steps:
        if isinstance(step.message, Push):
            break
        if isinstance(step.message, Verdicts):
            found += [each for each in step.message.verdicts if each.op <= last_op]
    return found


def _workspace(
    talk: Talk, head: WorkspaceHead, cursor: int, rows: dict[str, Entity], session: Session
) -> WorkspaceSeed:
    first, through = _first(talk, head.id), _through(talk, head.id)
    whole = isinstance(first, Entities) and first.full
    at = cursor
    if isinstance(first, Entities) and through is not None:
        rows = _with_states(talk, head.id, rows)
        at = through
    elif isinstance(first, Entities):
        raise _unknown(session, "the state that it began to send never came whole")
    return WorkspaceSeed(
        id=head.id,
        name=head.name,
        role=head.role,
        head=at,
        horizon=at if whole else cursor,
        epochs=[each for each in head.epochs if each.first_seq <= at + 1],
        rows=rows,
    )


def _first(talk: Talk, workspace: str) -> Events | Entities | Checkpoint | None:
    for step in talk.steps:
        message = step.message
        if isinstance(message, Events | Entities | Checkpoint) and message.workspace == workspace:
            return message
    return None


def _through(talk: Talk, workspace: str) -> int | None:
    for step in talk.steps:
        message = step.message
        if isinstance(message, Entities) and message.workspace == workspace:
            if message.through is not None:
                return message.through
        elif isinstance(message, Checkpoint) and message.workspace == workspace:
            return None
    return None


def _with_states(talk: Talk, workspace: str, rows: Mapping[str, Entity]) -> dict[str, Entity]:
    """Return rows with those that came by state, until the first checkpoint."""
    found = dict(rows)
    for step in talk.steps:
        message = step.message
        if isinstance(message, Checkpoint) and message.workspace == workspace:
            break
        if isinstance(message, Entities) and message.workspace == workspace:
            found |= {row.id: row for row in map(decode_entity, message.rows)}
            for gone, seq in message.purged:
                if gone in found and found[gone].version < seq:
                    del found[gone]
    return found


def _rows_at(base: Source | None, workspace: str, seq: int, session: Session) -> dict[str, Entity]:
    """Return the rows of a workspace at a seq, of whatever knows them."""
    if session.bases.get(workspace, (0, {}))[0] == seq:
        return session.bases[workspace][1]
    if base is None:
        raise _unknown(session, f"it begins at seq {seq}, and what was there before is not in it")
    log = next((each for each in base.logs() if each.workspace == workspace), None)
    if log is None or log.head < seq or log.horizon > seq:
        raise ReplayError(
            f"{base.label} does not know the workspace {workspace[:8]} at seq {seq}.",
            code="replay.no_state",
            hint="Name the server's database of that time, or of a later one, with --base.",
        )
    return {row.id: row for row in rows_at(base, log, seq)}


def _unknown(session: Session, why: str) -> ReplayError:
    return ReplayError(
        f"{session.label} cannot be run again by itself: {why}.",
        code="replay.no_state",
        hint="Name the server's database, of that time or later, with --base.",
    )
