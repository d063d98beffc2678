"""What programs take from their machine, here under control: clocks, chance, disk, network.

Inside `simulated_nature` the real code opens simulated databases and connections, and every clock
and every source of randomness that it reaches is the simulated world's.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from traceback import format_exception
from typing import Any, Final
from unittest.mock import patch

import structlog
from argon2.exceptions import VerificationError
from websockets.asyncio.client import ClientConnection

from kafkaman_server import catch_up, hub, passwords
from kafkaman_sync.database import Database
from kafkaman_sync.device import divergence, healing, link, network
from kafkaman_sync.engine import rush, states
from kafkaman_sync.model import planning
from kafkaman_sync.model.limits import MESSAGE_BYTES_TARGET
from kafkaman_sync.store import editing, sealing
from tests.simulation.disk import SimulatedDatabase
from tests.simulation.loop import LANE, VirtualLoop
from tests.simulation.wires import client_end
from tests.simulation.witness import ATTEMPT

_ERROR: Final = 40


def _keep_faults(_logger: Any, _method: str, event: Any) -> Any:
    """Keep what the code logs with a traceback: that is a fault of its own."""
    if event.get("exc_info"):
        error = event["exc_info"]
        error = error if isinstance(error, BaseException) else sys.exc_info()[1]
        loop = _simulated_loop()
        if loop is not None and LANE.get().alive:
            loop.faults.append("".join(format_exception(error)))
    raise structlog.DropEvent


class PlainHasher:
    """Stands in for Argon2, which is slow on purpose."""

    def hash(self, password: str) -> str:
        return f"plain {password}"

    def verify(self, stored: str, password: str) -> bool:
        if stored != f"plain {password}":
            raise VerificationError
        return True


class MachineTime(datetime):
    """Tells the time that the running process's machine has."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> MachineTime:
        return cls.fromtimestamp(_owner().now().timestamp(), tz)


def _owner() -> Any:
    """Return the machine whose process is running."""
    return LANE.get().owner


def _open_database(
    path: Path, *, application_id: int, migrations: Any
) -> AbstractAsyncContextManager[SimulatedDatabase]:
    return SimulatedDatabase.open(path, _owner().disk, migrations)


async def _connect(url: str) -> ClientConnection:
    await asyncio.sleep(0)
    return client_end(_owner().connect())


def _entropy(size: int) -> bytes:
    return LANE.get().chance.randbytes(size)


def _simulated_loop() -> VirtualLoop | None:
    loop: object = asyncio._get_running_loop()
    return loop if isinstance(loop, VirtualLoop) else None


def _instead(real: Callable[[], float], simulated: Callable[[VirtualLoop], float]) -> Any:
    """Return a clock that tells the simulated time wherever the simulated loop runs."""

    def clock() -> Any:
        loop = _simulated_loop()
        return real() if loop is None else simulated(loop)

    return clock


def _observed(
    real: Callable[[states.State, states.Input], states.State],
) -> Callable[[states.State, states.Input], states.State]:
    def next_state(state: states.State, happened: states.Input) -> states.State:
        _owner().happened(state, happened)
        return real(state, happened)

    return next_state


def _heard(real: Any) -> Any:
    """Note why devices come into their states."""

    def take(machine: Any, happened: states.Input, cause: states.Cause, **options: Any) -> Any:
        _owner().heard(cause.code)
        return real(machine, happened, cause, **options)

    return take


def _witnessed(real: Any) -> Any:
    """Let who asked for edits learn what the view showed in the transaction that made them."""

    def plan(scene: Any, edits: Any, **options: Any) -> Any:
        attempt = ATTEMPT.get()
        if attempt is not None:
            attempt.edits = tuple(edits)
            attempt.seen = {
                (shown.id, name): value
                for shown in scene.entities.values()
                for name, value in shown.fields.items()
            }
            attempt.noted(attempt)
        return real(scene, edits, **options)

    return plan


@contextmanager
def simulated_nature() -> Iterator[None]:
    """Let all that runs inside the block live in simulated worlds."""
    logging = structlog.get_config()
    with ExitStack() as stack:

        def instead(target: Any, name: str, value: Any) -> None:
            stack.enter_context(patch.object(target, name, value))

        instead(Database, "open", staticmethod(_open_database))
        instead(link, "_connect", _connect)
        instead(random, "_urandom", _entropy)
        instead(os, "urandom", _entropy)
        instead(time, "monotonic", _instead(time.monotonic, lambda loop: loop.now))
        instead(time, "time", _instead(time.time, lambda _: _owner().now().timestamp()))
        instead(time, "time_ns", _instead(time.time_ns, lambda _: _owner().milliseconds() * 10**6))
        for module in (divergence, healing, sealing):
            instead(module, "datetime", MachineTime)
        instead(network, "_asleep_seconds", lambda: _owner().asleep)
        instead(passwords, "HASHER", PlainHasher())
        instead(editing, "plan", _witnessed(planning.plan))
        instead(states.StateMachine, "take", _heard(states.StateMachine.take))
        instead(states, "next_state", _observed(states.next_state))
        # Worlds set these as their traits want them.
        instead(catch_up, "MESSAGE_BYTES_TARGET", MESSAGE_BYTES_TARGET)
        instead(hub, "MESSAGE_BYTES_TARGET", MESSAGE_BYTES_TARGET)
        instead(rush, "RUSH_CHANGES_MIN", rush.RUSH_CHANGES_MIN)
        # So small that people who edit a little now and then come to them.
        instead(rush, "HELD_CHANGES_MAX", 6)
        instead(rush, "SETTLED_AT_ONCE", 2)
        structlog.configure(
            processors=[_keep_faults], wrapper_class=structlog.make_filtering_bound_logger(_ERROR)
        )
        try:
            yield
        finally:
            structlog.configure(**logging)


def set_message_size(size: int) -> None:
    """Set how much the server puts into one message of a stream."""
    setattr(catch_up, "MESSAGE_BYTES_TARGET", size)  # noqa: B010 - a Final of the real code
    setattr(hub, "MESSAGE_BYTES_TARGET", size)  # noqa: B010


def set_rush(changes_min: int) -> None:
    """Set how many unsettled changes make edits that are close together a rush."""
    setattr(rush, "RUSH_CHANGES_MIN", changes_min)  # noqa: B010 - a Final of the real code
