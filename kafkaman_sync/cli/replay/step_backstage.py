"""What the stepper does behind its screen: one thread has the source, and does one thing at a time.

A source belongs to the thread that opened it. Nothing that is asked of this one takes long: what
would, comes in pieces, so that a key press never waits for more than one of them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from kafkaman_sync.errors import LocalError
from kafkaman_sync.faults import illegible, store_error
from kafkaman_sync.model.entities import ROOT, Entity
from kafkaman_sync.replay.branches import Branch, Node
from kafkaman_sync.replay.order import Edit
from kafkaman_sync.replay.otherwise import Outcome
from kafkaman_sync.replay.records import Log, Names
from kafkaman_sync.replay.source import Source, choose_log
from kafkaman_sync.replay.state import entity_at
from kafkaman_sync.replay.stepping import Listed, Step, Stepper
from kafkaman_sync.replay.what_if import what_if

BRANCHES_MAX: Final = 1000
_INDEXED_AT_ONCE: Final = 1000

_T = TypeVar("_T")


class StoppedError(LocalError):
    """What took long was stopped by the person."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the screen shows of a place."""

    step: Step
    listed: Sequence[Listed]
    path: Sequence[Node]
    branches: Sequence[Branch] | None
    """The tree; None while the index has not come so far."""
    indexed: int
    places: dict[str, str]


class Backstage:
    """Opens a source in a thread of its own, and asks it from there."""

    def __init__(
        self, opening: Callable[[], AbstractContextManager[Source]], workspace: str | None
    ) -> None:
        self._opening = opening
        self.label = ""
        self._workspace = workspace
        self._thread = ThreadPoolExecutor(1, "replay")
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._source: Source
        self.stepper: Stepper
        self.log: Log
        self.names: Names

    async def call(self, work: Callable[[], _T]) -> _T:
        """Do something in the thread, after all that was asked before.

        Raises StoreError for what SQLite says of the source.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work)
        except UnicodeDecodeError as error:
            raise store_error(illegible(error), Path(self.label)) from error
        except sqlite3.Error as error:
            raise store_error(error, Path(self.label)) from error

    async def open(self, at: int | datetime | None) -> None:
        """Open the source and go to a place, the end unless told. Raises what opening raises."""
        await self.call(lambda: self._open(at))

    async def close(self) -> None:
        """Let go of the source, and of the thread."""
        self.stop()
        await self.call(self._stack.close)
        self._thread.shutdown(wait=False)

    def stop(self) -> None:
        """Let what takes long come to its end."""
        self._stop.set()

    async def index(self) -> bool:
        """Make some more of the tree's index; return whether there is still more."""
        return await self.call(lambda: self.stepper.branches.read(_INDEXED_AT_ONCE))

    async def look(self, lines: int, opened: set[str], closed: set[str]) -> Seen:
        """Return what is to be shown: so many lines before and after the present event."""
        return await self.call(lambda: self._look(lines, opened, closed))

    async def entity(self, entity: str) -> Entity | None:
        """Return an entity as it was at the present place."""
        return await self.call(lambda: entity_at(self._source, self.log, entity, self.stepper.at))

    async def jump(self, where: int | datetime) -> None:
        """Go to a seq or a time."""
        await self.call(lambda: self._jump(where))

    async def decide(self, edits: Sequence[Edit]) -> Outcome:
        """Return what would have come out. Raises StoppedError after `stop`, or for the next."""
        self.stop()
        self._stop = stop = threading.Event()

        def told(_count: int) -> None:
            if stop.is_set():
                raise StoppedError("Stopped.", code="interrupted")

        return await self.call(lambda: what_if(self._source, self.log, edits, told=told))

    def _open(self, at: int | datetime | None) -> None:
        try:
            self._source = source = self._stack.enter_context(self._opening())
            self.label = source.label
            self.log, self.names = choose_log(source, self._workspace), source.names()
            self.stepper = Stepper(source, self.log, self.names)
            self._stack.enter_context(closing(self.stepper))
            if at is not None:
                self._jump(at)
        except BaseException:
            self._stack.close()
            raise

    def _jump(self, where: int | datetime) -> None:
        if isinstance(where, int):
            self.stepper.jump(where)
        else:
            self.stepper.jump_to_time(int(where.timestamp() * 1000))

    def _look(self, lines: int, opened: set[str], closed: set[str]) -> Seen:
        stepper = self.stepper
        step, branches = stepper.here(), stepper.branches
        entity = step.after or step.before
        at = min(step.seq, branches.upto)
        path = [] if entity is None else branches.path(entity.id, at)
        if entity is not None and not path and entity.place.parent != ROOT:
            parent = branches.node(entity.place.parent, at)
            path = [] if parent is None else [*branches.path(parent.id, at), parent]
        shown = None
        if branches.upto >= step.seq:
            wanted = ({node.id for node in path} | opened) - closed
            shown = branches.visible(step.seq, wanted, BRANCHES_MAX)
        places = {}
        for side in (step.before, step.after):
            node = None if side is None else branches.node(side.place.parent, at)
            if node is not None:
                places[node.id] = node.name
        return Seen(step, stepper.around(lines, lines), path, shown, branches.upto, places)
