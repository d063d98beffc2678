"""Power loss: whatever is left of the log, a database holds the commits before it, each whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from random import Random

import pytest

from kafkaman_server.proof import is_sound
from kafkaman_server.storage.sqlite import SqliteStorage
from kafkaman_sync.model.edits import Create
from kafkaman_sync.model.entities import ROOT, Kind
from kafkaman_sync.store import Store
from tests.crash.images import Image, at_every_frame, at_random
from tests.crash.recording import MOMENTS_AT, Content, Moment, content_of
from tests.crash.workloads import work_on_a_server, work_on_a_store
from tests.store.authority import WORKSPACE
from tests.store.devices import values

pytestmark = pytest.mark.timeout(1800)

IMAGES = 500
# So many are opened by SQLite alone before one is by the program itself.
REAL_EVERY = 4
# Where an opened store notes that it is open, and forgets imports that were under way.
OPENING = frozenset({"meta", "stages", "staged"})


def read(path: Path) -> Content:
    """Open an image with SQLite, and return what it holds."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous=OFF")
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return content_of(database)


def look(path: Path) -> Content:
    """Return what a database holds that the program has open."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return content_of(database)


async def open_store(path: Path, image: Image) -> None:
    """Open an image as a device does: all is there, the books are right, and work goes on."""
    async with Store.open(path) as store:
        held = look(path)
        assert _but_opening(held) == _but_opening(image.content)
        for workspace in await store.workspaces():
            said = workspace.cursor, workspace.digest
            assert await store.digest_from_rows(workspace.id) == said
        created = Create("f" * 32, Kind.COLLECTION, ROOT, values(name="after"))
        await store.edit(WORKSPACE, [created])
        shown = await store.show(WORKSPACE, created.id)
        assert shown.pending


async def open_server(path: Path, image: Image) -> None:
    """Open an image as a server does: all is there, and the digests are those of the rows."""
    async with SqliteStorage.open(path) as storage:
        assert look(path) == image.content
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            workspaces = database.execute("SELECT number, id, head FROM workspaces").fetchall()
            for number, workspace, head in workspaces:
                assert await is_sound(storage, workspace)
                seqs = database.execute(
                    "SELECT seq FROM events WHERE workspace = ? ORDER BY seq", (number,)
                )
                assert [seq for (seq,) in seqs] == list(range(1, head + 1))


def _but_opening(content: Content) -> Content:
    return {table: digest for table, digest in content.items() if table not in OPENING}


Work = Callable[[Path, Random], Awaitable[list[Moment]]]
Open = Callable[[Path, Image], Awaitable[None]]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("work", "opened"), [(work_on_a_store, open_store), (work_on_a_server, open_server)]
)
async def test_a_cut_log_gives_back_each_commit_before_the_cut_and_nothing_else(
    work: Work, opened: Open, seed: int, effort: float, tmp_path: Path
) -> None:
    random = Random(seed)
    original, folder = tmp_path / "original", tmp_path / "image"
    original.mkdir()
    folder.mkdir()
    moments = await work(original, random)
    for moment in moments:
        noted = [commit for commit in moment.commits() if commit >= min(moment.contents)]
        assert moment.contents.keys() - {0} == set(noted), "what is one step is one commit"
    older = [moment for moment in moments if moment.older]
    every = at_every_frame(next(moment for moment in older if moment.frames >= MOMENTS_AT[1]))
    for number, image in enumerate(
        islice(chain(every, at_random(moments, random)), round(IMAGES * effort))
    ):
        path = folder / "database.db"
        image.lay(path, random)
        try:
            if number % REAL_EVERY:
                assert read(path) == image.content
            else:
                await opened(path, image)
        except BaseException as error:
            error.add_note(f"seed {seed}, image {number}: {image.story}")
            raise
