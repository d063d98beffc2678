"""A server that says anything: a device's store takes it, or refuses it and keeps what it has.

Half of what it says are its own words of a real catch-up, mutated; the other half is legal, of the
ids that the device holds, and makes no sense. Whatever comes, an own change leaves the outbox only
by a verdict on it.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import pytest

from kafkaman_sync.errors import KafkamanError, WireError
from kafkaman_sync.model.changes import Action, ConflictCode, Disagreement, Event, Verdict
from kafkaman_sync.protocol.codec import decode, encode
from kafkaman_sync.protocol.messages import (
    Checkpoint,
    Entities,
    Events,
    Message,
    Verdicts,
    Welcome,
)
from kafkaman_sync.protocol.records import encode_event
from kafkaman_sync.store import Store
from kafkaman_sync.store.archive import read_archive
from kafkaman_sync.store.ledger import load_ledger
from tests.hostile.frames import Frame, frame_of, mutate
from tests.hostile.speech import Speech
from tests.store.authority import WORKSPACE
from tests.store.test_failing_calls import Scene, _welcome, prepare
from tests.trips import dump

PARTS: Final = 4
STORES: Final = 12
MESSAGES: Final = 60

CODES: Final = {"log.gap", "log.broken", "server.other", "wire.invalid", "wire.unknown",
                "limit.field", "limit.field_name", "limit.fields", "limit.entity",
                "device.reused", "lease.stale"}  # fmt: skip


class Liar:
    """A server of which a device can expect nothing."""

    def __init__(self, random: Random, scene: Scene) -> None:
        assert scene.welcome is not None
        self._random = random
        self._speech = Speech(random)
        self._speech._ids = [WORKSPACE, WORKSPACE, scene.collection, scene.request, "2" * 32]
        honest = (*scene.replay, *scene.answers, *scene.state, scene.welcome)
        self._frames: list[Frame] = [frame_of(encode(message)) for message in honest]

    def message(self) -> Message:
        """Return a legal message for devices."""
        while True:
            message = self._any()
            if isinstance(message, Events | Entities | Verdicts | Checkpoint | Welcome):
                return message

    def _any(self) -> Message | None:
        choice = self._random.random()
        frame = self._random.choice(self._frames)
        if choice < 0.3:
            return self._speech.message()
        try:
            return decode(frame.data if choice < 0.6 else mutate(self._random, frame, self._frames))
        except WireError:
            return None


class Victim:
    """A device's store, and what must hold of it."""

    def __init__(self, store: Store, path: Path) -> None:
        self.store = store
        self.path = path
        self.refused = 0

    async def take(self, message: Message) -> None:
        """Give it a message; a refusal must leave everything as it was."""
        before = dump(self.path)
        try:
            if isinstance(message, Welcome):
                await self.store.welcome(message)
            else:
                assert isinstance(message, Events | Entities | Verdicts | Checkpoint)
                await self.store.receive([message])
        except KafkamanError as error:
            assert error.code in CODES, error  # noqa: PT017  whether it raises is not the question
            assert dump(self.path) == before
            self.refused += 1
        if not isinstance(message, Welcome):
            self._check_outbox(before["outbox"], message)
        books = self.store._books
        assert books.ledger in (None, await self.store._database.read(load_ledger))

    def _check_outbox(self, before: list[tuple[object, ...]], message: Message) -> None:
        answered = {item.op for item in _verdicts(message)}
        now = {row[8] for row in dump(self.path)["outbox"]}
        for row in before:
            waited = row[10] is not None  # for the seq of an earlier verdict
            renumbered = isinstance(message, Entities) and message.full
            assert row[0] in answered or waited or renumbered or row[8] in now, "an edit is lost"


def _verdicts(message: Message) -> list[Verdict]:
    items = message.items if isinstance(message, Events) else ()
    if isinstance(message, Verdicts):
        items = message.verdicts
    return [item for item in items if isinstance(item, Verdict)]


@asynccontextmanager
async def opened(scene: Scene, path: Path) -> AsyncIterator[Victim]:
    shutil.copy(scene.path, path)
    async with Store.open(path) as store:
        assert scene.welcome is not None
        await store.welcome(scene.welcome)
        yield Victim(store, path)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.timeout(1200)  # with a large effort
async def test_whatever_a_server_says_no_edit_is_lost_and_no_refusal_leaves_a_trace(
    part: int, effort: float, tmp_path: Path
) -> None:
    random = Random(f"liar {part}")
    scene = await prepare(tmp_path)
    refused = count = 0
    for number in range(max(1, int(STORES * effort))):
        said: list[str] = []
        async with opened(scene, tmp_path / f"victim {number}.db") as victim:
            liar = Liar(random, scene)
            for _ in range(MESSAGES):
                message = liar.message()
                said.append(encode(message).hex())
                try:
                    await victim.take(message)
                except Exception as error:  # noqa: BLE001  any other error is the find
                    pytest.fail(
                        f"{error!r}\nseed: part {part}, store {number}\n{message}\nsaid:\n"
                        + "\n".join(said)
                    )
            count += MESSAGES
            refused += victim.refused
    assert count / 10 < refused < count * 9 / 10


async def test_values_that_are_none_stop_neither_the_sync_nor_the_views_nor_a_seal(
    tmp_path: Path,
) -> None:
    scene = await prepare(tmp_path)
    rubbish = b"\xc1 no MessagePack"
    async with opened(scene, tmp_path / "victim.db") as victim:
        store = victim.store
        await store.receive(scene.replay)
        event = Event(
            WORKSPACE, 6, Action.UPDATE, scene.request, "account", "1" * 32, 9, 0,
            fields={"name": rubbish, "url": rubbish},
        )  # fmt: skip
        await store.receive([Events(WORKSPACE, (encode_event(event),))])
        shown = await store.show(WORKSPACE, scene.request)
        assert shown.fields["url"] == rubbish
        assert len(await store.conflicts()) == 1
        disputed = Verdict(3, disagreements=(Disagreement(ConflictCode.FIELD, "name", rubbish, 6),))
        await store.receive([Verdicts((Verdict(2, seq=6), disputed))])
        assert [record.theirs for record in await store.conflicts()] == [rubbish, rubbish]
        summary = await store.seal(tmp_path / "sealed", "a test")
        assert summary is not None
        read_archive(summary.path)
        await store.drop_position()
        await store.welcome(_welcome(scene))
        await store.receive(scene.state)
