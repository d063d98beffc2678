"""What a recorded server says to a device that comes back in the middle of a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kafkaman_sync.model.changes import Verdict
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    Events,
    Hello,
    Message,
    Verdicts,
    Welcome,
)
from kafkaman_sync.protocol.records import encode_event
from kafkaman_sync.replay.outcome import Outcome
from kafkaman_sync.replay.script import Script
from kafkaman_sync.replay.session import Step


def resume(script: Script, talk: int, step: int, hello: Hello) -> Iterator[Message]:
    """Yield what brings a device from its hello to where it was before a step of a talk.

    The welcome, the events that it has not got, the verdicts above its confirmed op, and a
    checkpoint for each workspace.
    """
    told = script.session.talks[talk].steps[:step]
    welcome = script.session.talks[talk].welcome
    assert welcome is not None, "who is cut off was welcomed"
    reached = _reached(script, told)
    yield _now(welcome, reached, told)
    cursors = {each.workspace: each.cursor for each in hello.positions}
    for workspace in welcome.workspaces:
        cursor, seq = cursors.get(workspace.id, 0), reached.get(workspace.id, 0)
        states = [each for each in _states(told, workspace.id) if cursor < (each.through or 1)]
        if states and states[-1].through is not None:
            yield from states
            cursor = states[-1].through
        events = tuple(
            encode_event(event)
            for (where, at), event in sorted(script.outcome.events.items())
            if where == workspace.id and cursor < at <= seq
        )
        if events:
            yield Events(workspace.id, events)
    yield Verdicts(tuple(each for each in _verdicts(told) if each.op > hello.confirmed_op))
    for workspace in welcome.workspaces:
        seq = reached.get(workspace.id, 0)
        yield Checkpoint(workspace.id, seq, digest_at(script.outcome, workspace.id, seq))


def digest_at(outcome: Outcome, workspace: str, seq: int) -> bytes:
    """Return the digest at a seq, as it was recorded or as the events lead to it."""
    key = ("digest", workspace, seq)
    found = outcome.digests.get((workspace, seq)) or outcome.led_to.get(key)
    recorded: bytes = outcome.facts.get(key, bytes(16))
    return recorded if found is None else found


def _reached(script: Script, told: list[Step]) -> dict[str, int]:
    """Return how far each workspace had come."""
    so_far = Outcome(script.session.device, script.session.account)
    so_far.pushed = script.outcome.pushed
    for workspace in script.seed.workspaces:
        so_far.begin(workspace.id, None)
        so_far.cursors[workspace.id] = workspace.head
    for step in told:
        if not step.up:
            so_far.came(step.message)
    return so_far.cursors


def _now(welcome: Welcome, reached: dict[str, int], told: list[Step]) -> Welcome:
    ops = [each.op for each in _verdicts(told)]
    heads = tuple(
        replace(each, head=max(each.head, reached.get(each.id, 0))) for each in welcome.workspaces
    )
    last_op = max([welcome.last_op, *ops])
    change = welcome.last_change if last_op == welcome.last_op else b""
    return replace(welcome, workspaces=heads, last_op=last_op, last_change=change)


def _states(told: list[Step], workspace: str) -> list[Entities]:
    return [
        step.message
        for step in told
        if isinstance(step.message, Entities) and step.message.workspace == workspace
    ]


def _verdicts(told: list[Step]) -> list[Verdict]:
    found: list[Verdict] = []
    for step in told:
        if isinstance(step.message, Verdicts):
            found += step.message.verdicts
        elif isinstance(step.message, Events):
            found += [item for item in step.message.items if isinstance(item, Verdict)]
    return sorted(found, key=lambda each: each.op)
