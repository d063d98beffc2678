"""Cycles of work, kill -9, restart and proof, in one set of a server and three devices.

A cycle: all hands work without a pause; at a moment that the seed chooses some processes are
killed; they are started again, and sometimes killed once more while they start or catch up; each
hand looks whether all it was told of is still there, and works on; then everything comes to rest
and is compared (`proof`).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from kafkaman_sync import Client
from kafkaman_sync.errors import ControlError, KafkamanError
from kafkaman_sync.model.entities import ROOT
from tests.crash.log import ServerLog
from tests.crash.processes import DaemonProgram, Program, ServerProgram, removed_at_the_end
from tests.crash.proof import check_closely, check_rest
from tests.crash.work import Hand

DEVICES: Final = ("laptop", "desktop", "tablet")
HANDS_PER_DEVICE: Final = 2
SHARED_ENTITIES: Final = 3
CLOSE_LOOK_EVERY: Final = 10
# A cycle takes a second or two; one that takes this long hangs.
CYCLE_SECONDS_MAX: Final = 100.0

# When the processes are killed: right after a reply; while an edit, a bulk edit or an import is
# under way; while a device fetches everything anew; while one that was away catches up.
MOMENTS: Final = ("reply", "edit", "bulk", "import", "reload", "away")
# How long a daemon or a server takes to start, about.
_START_SECONDS: Final = 0.6


@dataclass(frozen=True)
class Plan:
    """What one cycle does.

    The processes in `victims` are killed at `moment`, after so many replies and `delay` more
    seconds. Those in `starting` are killed again so many seconds after they were started, those in
    `up` so many after they were ready. `more` attempts are made after the kill.
    """

    moment: str
    device: str
    victims: tuple[str, ...]
    replies: int
    delay: float
    starting: dict[str, float]
    up: dict[str, float]
    more: int

    @classmethod
    def draw(cls, random: Random) -> Plan:
        """Return a plan; the same for the same state of `random`."""
        moment, device = random.choice(MOMENTS), random.choice(DEVICES)
        victims: tuple[str, ...] = random.choice(
            2 * [("server",), (device,), ("server", device)] + [DEVICES, ("server", *DEVICES)]
        )
        starting, up = {}, {}
        for victim in victims:
            chance = random.random()
            if chance < 0.15:
                starting[victim] = random.uniform(0.0, _START_SECONDS)
            elif chance < 0.3:
                up[victim] = random.uniform(0.0, 0.1)
        replies, more = random.randint(1, 30), random.randint(0, 20)
        delay = random.choice((0.0, random.uniform(0.0, 0.05)))
        return cls(moment, device, victims, replies, delay, starting, up, more)


class Cycles:
    """A set of processes and of hands that work with them; made by `open_cycles` only."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.number = 0
        self.kills: Counter[str] = Counter()
        self.moments: Counter[str] = Counter()
        self.server = ServerProgram(folder / "server")
        self.devices = {name: DaemonProgram(folder / name) for name in DEVICES}
        self.programs: dict[str, Program] = {"server": self.server, **self.devices}
        self.log = ServerLog(self.server.database)
        self.shared: dict[str, str] = {}
        self.hands: dict[str, list[Hand]] = {}
        self._seed = seed
        self._story: list[str] = []
        self._moment = asyncio.Event()
        self._replies = 0
        self._budget: int | None = None

    @property
    def acknowledged(self) -> int:
        """How many calls have returned."""
        return sum(hand.acknowledged for hands in self.hands.values() for hand in hands)

    async def begin(self) -> None:
        """Sign the devices in, and make what all of them will edit."""
        await asyncio.gather(*map(self._start, self.programs))
        first, *others = self.devices.values()
        await first.sign_up(self.server, "anna")
        for device in others:
            await device.sign_in(self.server, "anna")
        random = Random(f"{self._seed} shared")
        names = [f"shared.{number}" for number in range(SHARED_ENTITIES)]
        self.shared = {f"{random.getrandbits(128):032x}": name for name in names}
        async with first.client() as client:
            create = {"action": "create", "kind": "collection", "parent": ROOT}
            await client.edit(
                [
                    {**create, "id": entity, "fields": {"name": name}}
                    for entity, name in self.shared.items()
                ]
            )
        for name in self.devices:
            self.hands[name] = [
                # One hand of a device contests: two that edit the same thing there have no order.
                Hand(f"{name}-{number}", self._random(name, number), self.shared, number == 0)
                for number in range(HANDS_PER_DEVICE)
            ]
        await check_rest(self)

    async def run(self) -> None:
        """Run one cycle; what it finds wrong is told with the seed and what was done."""
        self.number += 1
        plan = Plan.draw(self._random("cycle", self.number))
        self._story = [str(plan)]
        self.moments[plan.moment] += 1
        try:
            async with asyncio.timeout(CYCLE_SECONDS_MAX):
                await self._work(plan)
                await check_rest(self)
                if self.number % CLOSE_LOOK_EVERY == 0:
                    await check_closely(self)
        except BaseException as error:
            story = "\n  ".join(self._story)
            error.add_note(f"seed {self._seed}, cycle {self.number}:\n  {story}")
            raise

    async def end(self) -> None:
        """Look at everything once more."""
        await check_closely(self)

    def _random(self, *words: object) -> Random:
        return Random(" ".join(map(str, (self._seed, *words))))

    # Working

    async def _work(self, plan: Plan) -> None:
        self._moment.clear()
        self._replies, self._budget = 0, None
        if plan.moment == "away":
            self._kill(plan.device)
        async with asyncio.TaskGroup() as tasks:
            for name, hands in self.hands.items():
                for hand in hands:
                    tasks.create_task(self._lend(name, hand, plan))
            await self._moment.wait()
            if plan.moment == "away":
                await self._start(plan.device)
            elif plan.moment == "reload":
                tasks.create_task(self._reload(self.devices[plan.device]))
            if self._budget is None:
                await asyncio.sleep(plan.delay)  # the moment of the kill, nothing is waited for
                self._strike(plan)
            await asyncio.gather(*(self._restart(name, plan) for name in plan.victims))

    async def _lend(self, name: str, hand: Hand, plan: Plan) -> None:
        """Let a hand work at a device until the cycle's work is done, through all its deaths."""
        device = self.devices[name]
        while True:
            await device.up.wait()
            try:
                async with device.client() as client:
                    hand.recall(await client.ls())
                    while self._goes_on():
                        await self._attempt(client, hand, plan)
                    return
            except ControlError as error:
                if device.up.is_set() or not error.code.startswith("daemon."):
                    raise

    async def _attempt(self, client: Client, hand: Hand, plan: Plan) -> None:
        attempt = hand.unsure = hand.think()
        if self._replies >= plan.replies and plan.moment in (attempt.kind, "reload", "away"):
            self._moment.set()
        if attempt.draft is not None:
            await client.import_drafts([attempt.draft])
        else:
            await client.edit(attempt.edits)
        hand.acknowledge(attempt)
        self._replies += 1
        if self._replies >= plan.replies and plan.moment == "reply" and self._budget is None:
            self._strike(plan)

    def _goes_on(self) -> bool:
        """Tell whether there is one more attempt to make; without an end until the kill."""
        if self._budget is None:
            return True
        self._budget -= 1
        return self._budget >= 0

    async def _reload(self, device: DaemonProgram) -> None:
        try:
            async with device.client() as client:
                await client.reload(full=True)
        except KafkamanError as error:
            if not error.code.startswith(("daemon.", "link.")):
                raise

    # Killing

    def _strike(self, plan: Plan) -> None:
        self._budget = plan.more
        for name in plan.victims:
            self._kill(name)
        self._moment.set()

    def _kill(self, name: str) -> None:
        self._story.append(f"kill {name} after {self._replies} replies")
        self.kills["server" if name == "server" else "daemon"] += 1
        self.programs[name].kill()

    async def _start(self, name: str) -> None:
        self.programs[name].spawn()
        await self.programs[name].ready()

    async def _restart(self, name: str, plan: Plan) -> None:
        program = self.programs[name]
        if name in plan.starting:
            program.spawn()
            await asyncio.sleep(plan.starting[name])
            self._kill(name)
        await self._start(name)
        if name in plan.up:
            await asyncio.sleep(plan.up[name])
            self._kill(name)
            await self._start(name)


@asynccontextmanager
async def open_cycles(seed: int) -> AsyncIterator[Cycles]:
    """Start a set of processes in a temporary folder; both are gone at the end."""
    # A short path: that of a Unix socket is limited.
    with tempfile.TemporaryDirectory(prefix="kfc-") as folder:
        cycles = Cycles(Path(folder), seed)
        with removed_at_the_end(cycles.programs.values()):
            async with asyncio.timeout(CYCLE_SECONDS_MAX):
                await cycles.begin()
            yield cycles
