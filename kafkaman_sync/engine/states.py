"""The states of a device, every transition between them in one table, and what watchers see.

    OFFLINE      not signed in, no network, or sync switched off
    CONNECTING   an attempt to reach the server is under way
    SYNCING      online: catching up, or the outbox is not empty
    IN_SYNC      online and proved equal: caught up, outbox empty, digests equal
    ERROR        the server was reached, or the store asked, and something is wrong

A pair that the table lacks is a bug of ours and raises. `render_table` writes it for the docs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class State(StrEnum):
    """Where a device is in its life."""

    OFFLINE = "OFFLINE"
    CONNECTING = "CONNECTING"
    SYNCING = "SYNCING"
    IN_SYNC = "IN_SYNC"
    ERROR = "ERROR"

    @property
    def online(self) -> bool:
        """Whether the server has welcomed this device and the connection stands."""
        return self in (State.SYNCING, State.IN_SYNC)


class Input(StrEnum):
    """What can happen to a device, seen from its state machine."""

    ATTEMPT = "attempt"  # an attempt to connect begins
    UNREACHABLE = "unreachable"  # the attempt did not reach a server
    WELCOMED = "welcomed"  # the server answered our hello
    SETTLED = "settled"  # caught up, outbox empty, digests equal
    UNSETTLED = "unsettled"  # an edit was made, or something arrived that no digest proves yet
    DROPPED = "dropped"  # a standing connection broke or was closed
    FAILED = "failed"  # the server was reached, or the store asked, and something is wrong
    SIGNED_OUT = "signed_out"  # there is no account on this device
    SWITCHED_OFF = "switched_off"  # a person or a policy wants no network


TABLE: Final[dict[tuple[State, Input], State]] = {
    (State.OFFLINE, Input.ATTEMPT): State.CONNECTING,
    (State.OFFLINE, Input.FAILED): State.ERROR,
    (State.OFFLINE, Input.SIGNED_OUT): State.OFFLINE,
    (State.OFFLINE, Input.SWITCHED_OFF): State.OFFLINE,
    (State.CONNECTING, Input.ATTEMPT): State.CONNECTING,
    (State.CONNECTING, Input.UNREACHABLE): State.OFFLINE,
    (State.CONNECTING, Input.WELCOMED): State.SYNCING,
    (State.CONNECTING, Input.FAILED): State.ERROR,
    (State.CONNECTING, Input.SIGNED_OUT): State.OFFLINE,
    (State.CONNECTING, Input.SWITCHED_OFF): State.OFFLINE,
    (State.SYNCING, Input.SETTLED): State.IN_SYNC,
    (State.SYNCING, Input.UNSETTLED): State.SYNCING,
    (State.SYNCING, Input.DROPPED): State.CONNECTING,
    (State.SYNCING, Input.FAILED): State.ERROR,
    (State.SYNCING, Input.SIGNED_OUT): State.OFFLINE,
    (State.SYNCING, Input.SWITCHED_OFF): State.OFFLINE,
    (State.IN_SYNC, Input.SETTLED): State.IN_SYNC,
    (State.IN_SYNC, Input.UNSETTLED): State.SYNCING,
    (State.IN_SYNC, Input.DROPPED): State.CONNECTING,
    (State.IN_SYNC, Input.FAILED): State.ERROR,
    (State.IN_SYNC, Input.SIGNED_OUT): State.OFFLINE,
    (State.IN_SYNC, Input.SWITCHED_OFF): State.OFFLINE,
    (State.ERROR, Input.ATTEMPT): State.CONNECTING,
    (State.ERROR, Input.FAILED): State.ERROR,
    (State.ERROR, Input.SIGNED_OUT): State.OFFLINE,
    (State.ERROR, Input.SWITCHED_OFF): State.OFFLINE,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the steps of a sync are done; a step is a row, an event or a pushed change."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a device is in its state: a stable code, a sentence, and the command that helps."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands beside a state: ops without a verdict, open conflicts, progress."""

    pending: int = 0
    conflicts: int = 0
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of a device's life; the first of all has equal `before` and `after`.

    `since` is when the device came into `after`; `retry_at` when it will try to connect by itself.
    """

    before: State
    after: State
    cause: Cause
    since: datetime
    facts: Facts = Facts()
    retry_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The transition as the control socket and `--json` show it."""
        progress = self.facts.progress
        return {
            "from": self.before.value,
            "to": self.after.value,
            "online": self.after.online,
            "cause": self.cause.code,
            "message": self.cause.message,
            "hint": self.cause.hint,
            "since": self.since.isoformat(),
            "pending": self.facts.pending,
            "conflicts": self.facts.conflicts,
            "progress": {"done": progress.done, "total": progress.total} if progress else None,
            "retry_at": self.retry_at.isoformat() if self.retry_at else None,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Transition:
        """Return the transition that `as_dict` wrote."""
        progress, retry_at = values.get("progress"), values.get("retry_at")
        return cls(
            before=State(values["from"]),
            after=State(values["to"]),
            cause=Cause(values["cause"], values["message"], values.get("hint", "")),
            since=datetime.fromisoformat(values["since"]),
            facts=Facts(
                pending=values.get("pending", 0),
                conflicts=values.get("conflicts", 0),
                progress=Progress(progress["done"], progress["total"]) if progress else None,
            ),
            retry_at=datetime.fromisoformat(retry_at) if retry_at else None,
        )


def next_state(state: State, happened: Input) -> State:
    """Return the state after `happened`; a pair that cannot occur raises, for it is our bug."""
    try:
        return TABLE[state, happened]
    except KeyError:
        raise AssertionError(f"{happened.value} cannot happen in {state.value}") from None


class StateMachine:
    """Holds the current state and turns what happens into transitions."""

    def __init__(self, now: datetime, cause: Cause) -> None:
        self.latest = Transition(State.OFFLINE, State.OFFLINE, cause, now)

    @property
    def state(self) -> State:
        """The current state."""
        return self.latest.after

    def take(
        self,
        happened: Input,
        cause: Cause,
        *,
        now: datetime,
        facts: Facts,
        retry_at: datetime | None = None,
    ) -> Transition | None:
        """Return the transition, or None when nothing changed that a person would act on.

        Staying OFFLINE or in ERROR is a step when the cause or the retry time differ; staying in
        another state never is, for their causes vary with every edit.
        """
        latest = self.latest
        after = next_state(latest.after, happened)
        if after is latest.after:
            resting = after in (State.OFFLINE, State.ERROR)
            if not resting or (latest.cause, latest.retry_at) == (cause, retry_at):
                return None
        since = latest.since if after is latest.after else now
        self.latest = Transition(latest.after, after, cause, since, facts, retry_at)
        return self.latest


def render_table() -> str:
    """Return the table as Markdown: a row for each state, a column for each input."""
    heads = [happened.value for happened in Input]
    lines = [
        "| state | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for state in State:
        cells = [TABLE.get((state, happened)) for happened in Input]
        lines.append(f"| {state} | " + " | ".join(cell or "" for cell in cells) + " |")
    return "\n".join(lines) + "\n"
