"""An event loop without threads, sockets or a clock of its own: what runs next is asked for.

Each process of the simulated world has a lane: its own queue of callbacks, in asyncio's order.
Lanes run only when they are told to, so every interleaving of processes is the schedule's choice,
and time passes only when it is told to. A process that is killed stops between two callbacks and
never runs again; what Python wants to clean up then happens where nobody can see it.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from random import Random
from traceback import format_exception
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

# A process that goes on for so long without waiting for anything is caught in a circle.
_TURNS_MAX: Final = 200_000
# Tasks that have ended are let go of when so many more have begun.
_TASKS_KEPT: Final = 200


class SimulationError(AssertionError):
    """The simulated world, or what runs in it, does what cannot be."""


class Handle:
    """A callback that waits for its turn, or for its time."""

    __slots__ = ("arguments", "callback", "cancelled_", "context", "lane", "when_")

    def __init__(
        self,
        lane: Lane,
        callback: Callable[..., Any],
        arguments: tuple[Any, ...],
        context: Context | None,
        when: float = 0.0,
    ) -> None:
        self.lane = lane
        self.callback = callback
        self.arguments = arguments
        self.context = context
        self.when_ = when
        self.cancelled_ = False

    def cancel(self) -> None:
        self.cancelled_ = True

    def cancelled(self) -> bool:
        return self.cancelled_

    def when(self) -> float:
        return self.when_


class Lane:
    """One process: what waits to run in it, its tasks, and its own source of chance.

    `owner` is the machine it runs on.
    """

    def __init__(self, name: str, chance: Random, owner: Any = None) -> None:
        self.name = name
        self.chance = chance
        self.owner = owner
        self.ready: deque[Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self.alive = True
        self.buried = False
        self.context = copy_context()
        self.context.run(LANE.set, self)
        self._pruned_at = _TASKS_KEPT

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Remember a task: a kill must find it."""
        if len(self.tasks) > self._pruned_at:
            self.tasks = [each for each in self.tasks if not each.done()]
            self._pruned_at = len(self.tasks) + _TASKS_KEPT
        self.tasks.append(task)

    def kill(self) -> None:
        """End the process now; whoever runs the loop buries it."""
        self.alive = False


LANE: ContextVar[Lane] = ContextVar("lane")


class VirtualLoop:
    """As much of an event loop as code without sockets and threads uses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lane = Lane("nobody", Random(0))
        self.faults: list[str] = []
        """What was raised where nobody waited for it."""
        self._timers: list[tuple[float, int, Handle]] = []
        self._count = 0

    # What asyncio asks.

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., Any], *arguments: Any, context: Context | None = None
    ) -> Handle:
        lane = self.lane if context is None else context.get(LANE, self.lane)
        handle = Handle(lane, callback, arguments, context)
        lane.ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *arguments: Any,
        context: Context | None = None,
    ) -> Handle:
        return self.call_at(self.now + delay, callback, *arguments, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        *arguments: Any,
        context: Context | None = None,
    ) -> Handle:
        lane = self.lane if context is None else context.get(LANE, self.lane)
        handle = Handle(lane, callback, arguments, context, when)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._as_loop())

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._as_loop(), context=context)
        lane = self.lane if context is None else context.get(LANE, self.lane)
        lane.keep(task)
        if lane.buried:
            task.cancel()  # the dead begin nothing
        return task

    def run_in_executor(
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do at once what a thread would do; its result comes a turn later."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's, wherever it runs
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.lane.alive:
            error = context.get("exception")
            told = format_exception(error) if error else [str(context.get("message"))]
            self.faults.append("".join(told))

    def _as_loop(self) -> asyncio.AbstractEventLoop:
        return cast(asyncio.AbstractEventLoop, self)

    # What the world asks.

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop inside the block."""
        asyncio._set_running_loop(self._as_loop())
        # What a killed process had open is not closed by anybody.
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, lambda _: None)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(None)

    def spawn(self, lane: Lane, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task in a lane."""
        task = asyncio.Task(work, loop=self._as_loop(), context=lane.context.copy())
        lane.keep(task)
        return task

    def turn(self, lane: Lane, most: int) -> int:
        """Run up to `most` callbacks of a lane; return how many ran."""
        ready = lane.ready
        outer, self.lane = self.lane, lane
        count = 0
        while ready and count < most and (lane.alive or lane.buried):
            handle = ready.popleft()
            if handle.cancelled_:
                continue
            count += 1
            if handle.context is None:
                handle.callback(*handle.arguments)
            else:
                handle.context.run(handle.callback, *handle.arguments)
        self.lane = outer
        return count

    def exhaust(self, lane: Lane) -> int:
        """Run a lane until nothing in it waits for its turn."""
        count = self.turn(lane, _TURNS_MAX)
        if count >= _TURNS_MAX:
            raise SimulationError(f"{lane.name} never comes to rest")
        return count

    def bury(self, lane: Lane) -> None:
        """Clean up behind a killed process: cancel its tasks, out of sight of all others."""
        lane.buried = True
        for _ in range(20):
            lane.tasks = [task for task in lane.tasks if not task.done()]
            if not lane.tasks:
                break
            for task in lane.tasks:
                task.cancel()
            self.turn(lane, _TURNS_MAX)
        else:
            raise SimulationError(f"{lane.name} cannot be buried: {lane.tasks}")
        lane.buried = False
        lane.ready.clear()

    def next_timer(self) -> Handle | None:
        """Return the timer that is due first."""
        while self._timers:
            handle = self._timers[0][2]
            if handle.lane.alive and not handle.cancelled_:
                return handle
            heapq.heappop(self._timers)
        return None

    def advance(self, to: float) -> None:
        """Let time pass; what becomes due waits for its turn then."""
        self.now = max(self.now, to)
        while (handle := self.next_timer()) is not None and handle.when_ <= self.now:
            heapq.heappop(self._timers)
            handle.lane.ready.append(handle)
