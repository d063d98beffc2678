"""The device's state machine with a clock, its watchers, and those who wait for a state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from kafkaman_sync.device.feed import Feed
from kafkaman_sync.device.tape import Tape
from kafkaman_sync.engine.states import Cause, Facts, Input, State, StateMachine, Transition

_log: Final = structlog.get_logger(__name__)

STARTING: Final = Cause("starting", "The daemon is starting.")
SIGNED_OUT: Final = Cause(
    "signed_out",
    "Nobody is signed in on this device.",
    "Run `kafkaman sign-in --server ws://HOST:PORT --user NAME`, or `kafkaman sign-up`.",
)
SYNC_OFF: Final = Cause(
    "sync.off", "Sync is switched off on this device.", "Run `kafkaman sync on`."
)
CATCHING_UP: Final = Cause("sync.catching_up", "Catching up with the server.")
PENDING: Final = Cause("sync.pending", "Changes are on their way to the server.")
RECEIVING: Final = Cause("sync.receiving", "Changes are arriving from the server.")
EQUAL: Final = Cause("sync.equal", "Everything is in sync: this device and the server are equal.")
REGISTERED: Final = Cause(
    "device.registered", "This device's files were copied or restored: it has a new id now."
)
RELOADING: Final = Cause("sync.reloading", "Connecting anew, to fetch and compare everything.")


def utc_now() -> datetime:
    """Return the time for people; nothing is decided by it."""
    return datetime.now(UTC)


class Life:
    """Takes what happens in, tells everybody who watches."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._machine = StateMachine(clock(), STARTING)
        self._news = asyncio.Event()
        self.feed = Feed("transition")
        self.tape = Tape()

    @property
    def latest(self) -> Transition:
        """The last transition: the current state and why."""
        return self._machine.latest

    @property
    def state(self) -> State:
        """The current state."""
        return self._machine.state

    def take(
        self, happened: Input, cause: Cause, facts: Facts, *, retry_in: float | None = None
    ) -> None:
        """Let something happen; every real transition is told to all watchers at once."""
        now = self._clock()
        retry_at = None if retry_in is None else now + timedelta(seconds=retry_in)
        transition = self._machine.take(happened, cause, now=now, facts=facts, retry_at=retry_at)
        if transition is None:
            return
        step = transition.as_dict()
        self.tape.stepped(step)
        self.feed.publish(step)
        if {transition.before, transition.after} != {State.SYNCING, State.IN_SYNC}:
            # Every edit goes back and forth between these two: no news, and not for free.
            self._note(transition)
        self.tell()

    def _note(self, transition: Transition) -> None:
        cause = transition.cause
        _log.info(
            "transition",
            state=transition.after.value,
            before=transition.before.value,
            cause=cause.code,
            message=cause.message,
        )

    def tell(self) -> None:
        """Let everybody who waits look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def until(self, reached: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until `reached` holds after some transition; False after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not reached():
                    await self._news.wait()
        return reached()
