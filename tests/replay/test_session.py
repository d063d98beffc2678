"""Which session of a capture is run again, and which captures cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafkaman_sync.errors import KafkamanError, ReplayError
from kafkaman_sync.model.entities import Kind
from kafkaman_sync.protocol.codec import encode
from kafkaman_sync.protocol.messages import (
    EpochStart,
    Hello,
    Message,
    Position,
    Push,
    Welcome,
    WorkspaceHead,
)
from kafkaman_sync.protocol.recording import Recorded, Sort, pack_facts
from kafkaman_sync.replay import session
from kafkaman_sync.replay.as_device import Pace
from kafkaman_sync.replay.capture import CaptureWriter, Header
from kafkaman_sync.replay.recorder import Summary, Target, Wanted, record, record_last
from kafkaman_sync.replay.rerun import load_script, rerun_device, rerun_scratch
from kafkaman_sync.replay.session import Step, load_session
from tests.device.conftest import folder, world
from tests.device.world import World
from tests.protocol.samples import messages
from tests.replay.captures import capture_of
from tests.replay.logs import WORKSPACE, LogFile
from tests.replay.stores import rows_of, store_of
from tests.replay.test_rerun import has, settled

__all__ = ["folder", "world"]

W, A = "b" * 32, "a" * 32


def welcome(device: str) -> Welcome:
    return Welcome("s", "e", "", A, device, 0, (WorkspaceHead(W, "w", "owner", 0, ()),))


def write(path: Path, *said: tuple[int, Sort, Message | dict[str, int]]) -> Path:
    with CaptureWriter.create(path, Header(what="daemon", began_ms=0), force=True) as writer:
        for at, (connection, sort, message) in enumerate(said):
            data = pack_facts(message) if isinstance(message, dict) else encode(message)
            writer.add(Recorded(sort, at, at, connection, data))
    return path


def greeting(number: int, device: str) -> list[tuple[int, Sort, Message | dict[str, int]]]:
    return [
        (number, Sort.UP, Hello("", device, "", ())),
        (number, Sort.DOWN, welcome(device)),
    ]


def test_the_only_device_is_taken_and_one_of_several_must_be_named(tmp_path: Path) -> None:
    one, two = "1" * 32, "2" * 32
    path = write(tmp_path / "c", *greeting(1, one))
    assert load_session(path).device == one
    path = write(tmp_path / "c", *greeting(1, one), *greeting(2, two), *greeting(3, one))
    with pytest.raises(ReplayError) as caught:
        load_session(path)
    assert caught.value.code == "replay.which_device"
    assert "11111111, 22222222" in caught.value.hint
    assert len(load_session(path, "11").talks) == 2


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([], "replay.no_session"),
        ([(1, Sort.UP, Push(()))], "replay.no_session"),
        ([(1, Sort.UP, Hello("", "1" * 32, "", ()))], "replay.no_session"),
        ([*greeting(1, "1" * 32), (0, Sort.LOST, {"records": 3})], "replay.gap"),
    ],
)
def test_a_capture_without_a_whole_session_is_refused(
    tmp_path: Path, said: list[tuple[int, Sort, Message | dict[str, int]]], code: str
) -> None:
    with pytest.raises(ReplayError) as caught:
        load_session(write(tmp_path / "c", *said))
    assert caught.value.code == code
    assert caught.value.hint


def test_what_was_lost_before_the_session_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "c", (0, Sort.LOST, {"records": 9}), *greeting(1, "1" * 32))
    assert len(load_session(path).talks) == 1


def test_what_was_there_before_is_told_by_any_source_that_has_come_so_far(tmp_path: Path) -> None:
    device = "1" * 32
    hello = Hello("", device, "", (Position(WORKSPACE, "e", 2),))
    heads = (WorkspaceHead(WORKSPACE, "w", "owner", 2, (EpochStart("e", 1),)),)
    greeted = (1, Sort.UP, hello), (1, Sort.DOWN, Welcome("s", "e", "", A, device, 0, heads))
    path = write(tmp_path / "c", *greeted)
    log = LogFile(tmp_path / "log.db")
    entity = log.create(Kind.COLLECTION, {"name": "a"})
    log.update(entity, {"name": "b"})
    rows, then = {row.id: row for row in rows_of(log)}, capture_of(log, tmp_path / "then")
    store = store_of(log, tmp_path / "store.db")
    log.update(entity, {"name": "c"})
    for base in (then, store, log.save(), capture_of(log, tmp_path / "later")):
        assert load_script(path, base=str(base)).before == {WORKSPACE: (2, rows)}


def test_a_session_that_does_not_fit_into_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SESSION_BYTES_MAX", 10)
    with pytest.raises(ReplayError) as caught:
        load_session(write(tmp_path / "c", *greeting(1, "1" * 32)))
    assert caught.value.code == "replay.too_large"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(1, 2), st.sampled_from([Sort.UP, Sort.DOWN]), messages)))
def test_whatever_was_said_it_is_worked_out_or_refused_by_name(
    tmp_path: Path, said: list[tuple[int, Sort, Message | dict[str, int]]]
) -> None:
    path = write(tmp_path / "c", *greeting(1, "1" * 32), *said)
    with suppress(ReplayError):
        load_script(path, device="1")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(said=st.lists(st.tuples(st.just(1), st.sampled_from([Sort.UP, Sort.DOWN]), messages)))
def test_whatever_was_said_it_is_run_or_refused_by_name(
    tmp_path: Path, said: list[tuple[int, Sort, Message | dict[str, int]]]
) -> None:
    path = write(tmp_path / "c", *greeting(1, "1" * 32), *said)
    (tmp_path / "empty").mkdir(exist_ok=True)

    async def run() -> None:
        for rerun in (rerun_scratch(path), rerun_device(path, tmp_path / "empty")):
            with suppress(KafkamanError):
                await rerun

    with pytest.MonkeyPatch.context() as patched:
        for module in ("as_device", "as_server"):
            patched.setattr(f"kafkaman_sync.replay.{module}.ANSWER_SECONDS", 0.2)
        asyncio.run(run())


async def test_of_a_server_s_capture_each_device_s_session_can_be_run(
    world: World, tmp_path: Path
) -> None:
    server, laptop, desktop = (
        await world.server(), await world.device("laptop"), await world.device("desktop"),
    )  # fmt: skip
    path = tmp_path / "srv"
    recording = asyncio.create_task(record(Target(data=server.data), Wanted(path), None))
    await until(path.exists)
    await laptop.sign_up(server)
    await desktop.sign_in(server)
    entity = await laptop.client.create("collection", fields={"name": "a"})
    await has(desktop, "a")
    await desktop.client.update(entity, {"name": "b"})
    await has(laptop, "b")
    await settled(laptop, desktop)
    assert (await end(recording)).frames > 10
    for device in (laptop, desktop):
        report = await rerun_scratch(path, device=device.daemon._signing.required().identity.device)
        assert report.same, report.difference


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)


async def end(task: asyncio.Task[Summary]) -> Summary:
    task.cancel()
    return await task


async def test_it_keeps_the_original_spacing_and_asks_before_each_message(
    world: World, tmp_path: Path
) -> None:
    server, laptop = await world.server(), await world.device("laptop")
    await laptop.sign_up(server)
    await laptop.client.create("collection", fields={"name": "a"})
    await settled(laptop)
    await asyncio.sleep(0.5)
    await laptop.client.create("collection", fields={"name": "b"})
    await settled(laptop)
    await record_last(laptop.home, Wanted(tmp_path / "c"))
    (tmp_path / "empty").mkdir()
    asked: list[str] = []

    async def ask(step: Step) -> None:
        asked.append(type(step.message).__name__)

    loop = asyncio.get_running_loop()
    for rerun, names in (
        (rerun_scratch(tmp_path / "c", pace=Pace(1.0, ask)), ["Push", "Push"]),
        (
            rerun_device(tmp_path / "c", tmp_path / "empty", pace=Pace(1.0, ask)),
            ["Welcome", "Entities", "Verdicts", "Checkpoint", "Events", "Events"],
        ),
    ):
        began = loop.time()
        assert (await rerun).same
        assert loop.time() - began > 0.5
        assert asked == names
        asked.clear()
