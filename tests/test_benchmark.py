"""The benchmark's arithmetic, its records, and one small run of its bare pipeline."""

from __future__ import annotations

import gc
from pathlib import Path

import msgpack
import pytest

from kafkaman_sync.model.digest import compute_digest
from kafkaman_sync.replay.opening import open_source
from kafkaman_sync.replay.state import rows_at
from scripts.benchmark.bare import messages, rows_anew, rows_in
from scripts.benchmark.figures import absolute_figure, latencies, percentile, ratio_figure
from scripts.benchmark.long_log import write_long_log
from scripts.benchmark.pipeline import Pipeline
from scripts.benchmark.records import creations, made, mixture, updates


def test_a_rate_reaches_its_target_from_the_ratio_of_the_medians_up() -> None:
    figure = ratio_figure(
        "burst", ours=[10, 40, 1000], baseline=[90, 100, 5], limit=0.4, at_least=True, unit="/s"
    )
    assert figure.value == pytest.approx(40 / 90)
    assert figure.reached
    assert figure.target == "≥ 0.4 x baseline"


def test_a_latency_reaches_its_target_from_the_ratio_of_the_medians_down() -> None:
    figure = ratio_figure("live", ours=[6.1], baseline=[2.0], limit=3.0, at_least=False, unit="ms")
    assert not figure.reached


def test_the_batched_baseline_decides_nothing() -> None:
    figure = ratio_figure(
        "burst",
        ours=[50],
        baseline=[100],
        batched=[1000],
        limit=0.4,
        at_least=True,
        unit="/s",
    )
    assert figure.value == 0.5
    assert figure.reached
    assert figure.batched == 1000


def test_a_figure_without_a_baseline_is_held_against_its_limit() -> None:
    assert absolute_figure("memory", 20.0, limit=20.0, unit="KiB").reached
    assert not absolute_figure("memory", 20.1, limit=20.0, unit="KiB").reached


def test_each_record_s_latency_is_counted_from_its_own_call() -> None:
    assert latencies([1.0, 2.0, 3.0], [(2.5, 2), (3.25, 3)]) == [1.5, 0.5, 0.25]


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile(list(range(1, 101)), 95) == 95
    assert percentile([7.0], 95) == 7.0


def test_records_have_about_one_kilobyte() -> None:
    sizes = [len(msgpack.packb(record.fields)) for record in creations("run", 0, 200)]
    assert 850 < sum(sizes) / len(sizes) < 1150


def test_half_of_a_mixture_is_new_and_its_last_record_too() -> None:
    records = list(mixture("run", 100, 50, revision=1))
    assert [record.create for record in records] == [False, True] * 25
    older = {record.id for record in creations("run", 0, 100)}
    assert all((record.id in older) is not record.create for record in records)


def test_the_collector_of_cycles_leaves_records_alone_that_are_made_before_the_clock_runs() -> None:
    try:
        records = made(creations("run", 0, 10))
        assert records == list(creations("run", 0, 10))
        watched = {id(each) for each in gc.get_objects()}
        assert not any(id(record.fields) in watched for record in records)
    finally:
        gc.unfreeze()


def test_every_update_of_a_record_differs_from_the_one_before() -> None:
    records = list(updates("run", range(3), 9, revision=1))
    assert len({str(record.fields) for record in records}) == 9
    assert len({record.id for record in records}) == 3


def test_a_message_carries_as_many_records_as_it_may() -> None:
    encoded = [msgpack.packb({"id": str(number)}) for number in range(3)]
    assert [len(rows_in(message)) for message in messages(encoded, 1)] == [1, 1, 1]
    assert [len(rows_in(message)) for message in messages(encoded, 2)] == [2, 1]


def test_a_record_is_the_same_after_a_hop() -> None:
    (record,) = creations("run", 0, 1)
    encoded = msgpack.packb({"id": record.id, **record.fields})
    (message,) = messages([encoded], 1)
    assert rows_anew(message) == rows_in(message) == [(record.id, encoded)]


@pytest.mark.parametrize("size", [1, 7])
async def test_a_bare_pipeline_moves_every_record(tmp_path: Path, size: int) -> None:
    async with Pipeline.start(tmp_path / "bare", size=size) as pipeline:
        await pipeline.fill(40)
        assert await pipeline.burst(20) > 0
        assert len(await pipeline.live(4, rate=100)) == 4
        assert await pipeline.restore() > 0


def test_a_long_log_is_one_that_a_server_could_have_written(tmp_path: Path) -> None:
    write_long_log(tmp_path / "kafkaman.db", events=1_000, entities=250)
    with open_source(str(tmp_path)) as source:
        (log,) = source.logs()
        assert log.head == 1_000
        sizes = [logged.size for logged in source.events(log)]
        assert 300 < sum(sizes) / len(sizes) < 1_000
        rows = list(source.rows(log))
        assert rows == list(rows_at(source, log, log.head, from_log=True))
        assert compute_digest(log.workspace, rows) == log.digest
