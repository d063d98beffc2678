"""`kafkaman replay bisect`: the event that first made an expression true."""

from __future__ import annotations

from typing import Any

import click

from kafkaman_sync.cli.command import command
from kafkaman_sync.cli.exits import Exit
from kafkaman_sync.cli.invocation import Invocation
from kafkaman_sync.cli.output import note, print_json, print_row, printable
from kafkaman_sync.cli.replay.points import find_in, signed, writer_of
from kafkaman_sync.cli.replay.ranges import SEQS, SeqRange, check_range
from kafkaman_sync.cli.replay.selection import read_where
from kafkaman_sync.cli.replay.sources import SOURCE, WORKSPACE, reading
from kafkaman_sync.cli.wording import ago, clock_time, plural
from kafkaman_sync.errors import ReplayError
from kafkaman_sync.replay.bisecting import Bisection, Found
from kafkaman_sync.replay.naming import name_of
from kafkaman_sync.replay.records import Log, Logged, Names
from kafkaman_sync.replay.source import Source, choose_log
from kafkaman_sync.replay.state import State, entity_at


@command(
    "bisect",
    examples=(
        "kafkaman replay bisect ./srv --where 'after.url contains \"staging\"'",
        "kafkaman replay bisect ./srv 'My API/Ping' --where deleted",
        "kafkaman replay bisect ./srv --where 'action == delete and device == phone'",
    ),
)
@SOURCE
@click.argument("entity", metavar="[ENTITY]", required=False)
@click.option("--where", metavar="EXPR", required=True, help="What became true.")
@click.option("--seq", "seqs", metavar="A..B", type=SEQS, help="Only among these events.")
@click.option(
    "--assume-monotone",
    "assumed",
    is_flag=True,
    help="It became true once and stayed so: look at few states instead of all events.",
)
@WORKSPACE
def bisect_command(
    invocation: Invocation,
    *,
    source: str,
    entity: str | None,
    where: str,
    seqs: SeqRange | None,
    assumed: bool,
    workspace: str | None,
) -> None:
    """Find the event that first made an expression true.

    Ends with 0 when there is one, and with 1 when there is none. Without --assume-monotone all
    events are read, and it is told when it turned more than once.
    """
    expression = read_where(where)
    with reading(source) as opened:
        log, names = choose_log(opened, workspace), opened.names()
        after, upto = _bounds(log, seqs)
        one = None if entity is None else _entity(opened, log, entity)
        bisection = Bisection(opened, log, names, expression, one)
        with invocation.working(f"Looking from seq {after + 1:,} to {upto:,}"):
            found = bisection.bisect(after, upto) if assumed else bisection.scan(after, upto)
        told = _Told(opened, log, names, found, str(expression))
        if invocation.json:
            print_json({"source": source, "entity": one, **told.as_dict()})
        else:
            told.show(decorated=invocation.decorated)
    if found.first is None:
        raise click.exceptions.Exit(Exit.FAILED)


def _bounds(log: Log, seqs: SeqRange | None) -> tuple[int, int]:
    if seqs is None:
        return log.horizon, log.head
    check_range(seqs, log)
    upto = log.head if seqs.last is None else min(seqs.last, log.head)
    return max(seqs.first - 1, log.horizon), upto


def _entity(source: Source, log: Log, text: str) -> str:
    """Return the id of what a person names as it is now; by its whole id, also what is gone."""
    entity = find_in(State(source, log, log.head), text)
    known = next(source.bases(log, entity), None)
    if known is None and next(source.events(log, entity=entity), None) is None:
        raise ReplayError(
            f"The log knows nothing of the entity {entity}.",
            code="entity.not_found",
            hint="Is it in another workspace? Name that with --workspace.",
        )
    return entity


class _Told:
    """What was found, for a person or a program."""

    def __init__(self, source: Source, log: Log, names: Names, found: Found, where: str) -> None:
        self._source = source
        self._log = log
        self._names = names
        self._found = found
        self._where = where

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found = self._found
        return {
            "workspace": self._log.workspace,
            "where": self._where,
            "of": "state" if found.of_state else "events",
            "from": found.after + 1,
            "to": found.upto,
            "before": found.before if found.of_state else None,
            "holds": found.holds if found.of_state else None,
            "first": None if found.first is None else self._event(found.first),
            "turned": None if found.assumed else found.turned,
            "turns": [{"seq": turn.logged.event.seq, "holds": turn.holds} for turn in found.turns],
            "read": found.read,
            "assumed": found.assumed,
        }

    def _event(self, logged: Logged) -> dict[str, Any]:
        event = logged.event
        return {
            "seq": event.seq,
            "entity": event.entity,
            "name": self._name(logged),
            "fields": sorted(event.fields),
            "by": signed(self._names, event),
        }

    def _name(self, logged: Logged) -> str:
        event = logged.event
        for seq in (event.seq, event.seq - 1):
            entity = entity_at(self._source, self._log, event.entity, max(seq, self._log.horizon))
            if entity is not None:
                return name_of(entity)
        return ""

    def show(self, *, decorated: bool) -> None:
        """Show it, and what a person has to be warned of."""
        found = self._found
        if found.first is not None:
            if decorated:
                click.echo(self._sentence(found.first))
            else:
                event, by = found.first.event, signed(self._names, found.first.event) or {}
                cells = (event.seq, by["at"], event.action, event.entity, self._name(found.first))
                print_row(*cells, by["username"], by["device_name"], ",".join(sorted(event.fields)))
        for text in self._notes():
            note(text)

    def _sentence(self, logged: Logged) -> str:
        event, found = logged.event, self._found
        name = printable(self._name(logged) or event.entity[:8])
        what = "It became true at" if found.of_state else "It is first true of"
        when = f"{clock_time(event.at)} ({ago(event.at)})"
        fields = f" ({', '.join(sorted(event.fields))})" if event.fields else ""
        seq = click.style(f"seq {event.seq:,}", bold=True)
        who = writer_of(self._names, event)
        did = f"{event.action} of {name} ({event.entity[:8]}){fields} by {who}"
        return f"{what} {seq}, {when}: {printable(did)}."

    def _notes(self) -> list[str]:
        found = self._found
        if not found.of_state:
            return self._notes_of_events()
        notes = []
        if found.before:
            began = found.after <= self._log.horizon
            where = "the log begins" if began else f"seq {found.after + 1:,}"
            notes.append(f"It was true already before {where}.")
        if found.first is None and not found.before:
            notes.append(f"It was not true at any seq up to {found.upto:,}.")
        elif found.first is None:
            held = "and still was" if found.holds else "and became false"
            at = found.turns[0].logged.event.seq if found.turns else found.upto
            notes.append(f"No event made it true again {held} at seq {at:,}.")
        if found.turned > 1:
            turns = ", ".join(
                f"{'true' if turn.holds else 'false'} at {turn.logged.event.seq:,}"
                for turn in found.turns
            )
            more = found.turned - len(found.turns)
            rest = f" and {more:,} times more" if more else ""
            now = f"it is {'true' if found.holds else 'false'} at the end"
            notes.append(f"Careful: it turned {found.turned:,} times ({turns}{rest}); {now}.")
        if found.assumed and found.first is not None:
            notes.append(
                f"Taken to have become true once: {plural(found.read, 'event')} read, no others."
            )
        return notes

    def _notes_of_events(self) -> list[str]:
        found = self._found
        if found.first is None:
            return [f"It is true of no event up to seq {found.upto:,}."]
        if found.assumed:
            return ["It may be true of later ones, too."]
        if found.turned > 1:
            return [f"It is true of {plural(found.turned - 1, 'later event')}, too."]
        return []
