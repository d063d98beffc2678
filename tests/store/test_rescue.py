"""What is read from damaged files: everything that is left, and never anything else."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kafkaman_sync.store.pages import PAGE_SIZES
from kafkaman_sync.store.rescue import Rescued, rescue
from tests.store.wreckage import DAMAGES, Wreck, make_wreck


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wrecks")


@pytest.fixture(params=PAGE_SIZES)
def page(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def wreck(folder: Path, tmp_path: Path, page: int) -> Wreck:
    return await _wreck(folder / f"closed-{page}", tmp_path, page)


@pytest.fixture
async def killed(folder: Path, tmp_path: Path, page: int) -> Wreck:
    return await _wreck(folder / f"killed-{page}", tmp_path, page, in_wal=True)


async def _wreck(folder: Path, tmp_path: Path, page: int, *, in_wal: bool = False) -> Wreck:
    kept = Wreck(folder / "wreck" / "ada.db", page=page)
    if not kept.path.exists():
        await make_wreck(folder, in_wal=in_wal, page=page)
    return _known(kept).copy(tmp_path / "here")


def _known(wreck: Wreck) -> Wreck:
    """Ask the undamaged file itself what is in it."""
    with closing(sqlite3.connect(f"{wreck.path.as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT entity FROM outbox WHERE action = 'create' ORDER BY op")
        wreck.pending = [entity for (entity,) in rows]
        ((wreck.conflict,),) = database.execute("SELECT entity FROM conflicts")
        ((size,),) = database.execute("PRAGMA page_size")
    assert size == wreck.page
    return wreck


def found(rescued: Rescued) -> set[str]:
    return {op.change.entity for op in (*rescued.outbox, *rescued.old)}


def test_a_sound_file_gives_everything(wreck: Wreck) -> None:
    rescued = rescue(wreck.path)
    assert rescued.whole
    assert rescued.identity is not None
    assert [op.change.entity for op in rescued.requeued] == wreck.pending
    assert [record.entity for record, _ in rescued.conflicts] == [wreck.conflict]
    assert rescued.old == []


def test_what_is_only_in_the_wal_is_found(killed: Wreck) -> None:
    assert killed.wal.stat().st_size > 0
    assert found(rescue(killed.path)) == set(killed.pending)


def test_a_lost_header_loses_nothing(wreck: Wreck) -> None:
    DAMAGES["header zeroed"](wreck)
    rescued = rescue(wreck.path)
    assert rescued.identity is not None
    assert [op.change.entity for op in rescued.outbox] == wreck.pending


def test_a_lost_header_beside_a_wal_loses_nothing(killed: Wreck) -> None:
    DAMAGES["header zeroed"](killed)
    assert found(rescue(killed.path)) == set(killed.pending)


@pytest.mark.parametrize("size", [0, 1, 99, 600, PAGE_SIZES[-1], PAGE_SIZES[0]])
def test_a_file_of_which_next_to_nothing_is_left_loses_nothing_that_its_wal_has(
    killed: Wreck, size: int
) -> None:
    with killed.path.open("r+b") as file:
        file.truncate(size)
    assert found(rescue(killed.path)) == set(killed.pending)
    assert killed.wal.stat().st_size > 0


def test_with_the_first_page_lost_the_others_still_give_their_rows(wreck: Wreck) -> None:
    DAMAGES["first page lost"](wreck)
    rescued = rescue(wreck.path)
    assert rescued.outbox == []
    assert set(wreck.pending) <= found(rescued)
    assert rescued.identity is not None
    assert wreck.conflict in {record.entity for record, _ in rescued.conflicts}


@pytest.mark.parametrize("name", DAMAGES)
def test_no_damage_makes_a_rescue_fail_or_invent_anything(wreck: Wreck, name: str) -> None:
    pending = set(wreck.pending)
    DAMAGES[name](wreck)
    before = wreck.path.read_bytes()
    rescued = rescue(wreck.path)
    assert {op.change.entity for op in rescued.outbox} <= pending
    assert wreck.path.read_bytes() == before, "what is damaged is never written to"


def test_most_of_a_noisy_file_is_read(wreck: Wreck) -> None:
    DAMAGES["noise"](wreck)
    assert len(found(rescue(wreck.path))) > len(wreck.pending) // 2


@pytest.mark.parametrize("seed", range(20))
def test_pages_overwritten_at_random_cost_their_own_rows_only(wreck: Wreck, seed: int) -> None:
    chance = random.Random(seed)
    pages = wreck.path.stat().st_size // wreck.page
    lost = chance.sample(range(1, pages), 3)
    for page in lost:
        wreck.write(page * wreck.page, chance.randbytes(wreck.page))
    rescued = rescue(wreck.path)
    assert {op.change.entity for op in rescued.outbox} <= set(wreck.pending)
    # A leaf of 4 KB holds at most five of these edits; an overflow page belongs to one of them.
    cost = 8 * wreck.page // 4096 * len(lost)
    assert len(set(wreck.pending) & found(rescued)) >= len(wreck.pending) - cost


@pytest.mark.parametrize("seed", range(10))
def test_a_wal_that_is_cut_or_overwritten_gives_a_beginning_of_the_work(
    killed: Wreck, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(killed.wal.read_bytes())
    at = chance.randrange(len(data))
    killed.wal.write_bytes(data[:at] if seed % 2 else data[:at] + chance.randbytes(len(data) - at))
    rescued = rescue(killed.path)
    read = [op.change.entity for op in rescued.outbox]
    assert read == killed.pending[: len(read)]


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    rescued = rescue(tmp_path / "absent.db")
    assert (rescued.identity, rescued.outbox, rescued.whole) == (None, [], False)
