"""Stores with known work in them, and ways to damage their files for real."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from kafkaman_sync.model.entities import Kind
from kafkaman_sync.store.pages import PAGE_SIZES
from tests.store.authority import Authority
from tests.store.devices import Device, devices

PAGE = PAGE_SIZES[0]


@dataclass
class Wreck:
    """A store's file as a kill leaves it, and what it must give back: ids of pending creates."""

    path: Path
    pending: list[str] = field(default_factory=list)
    conflict: str = ""
    page: int = PAGE

    @property
    def wal(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def copy(self, folder: Path) -> Wreck:
        """Return the same wreck elsewhere, to damage it otherwise."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in (self.path, self.wal):
            if file.exists():
                shutil.copy(file, folder)
        return replace(self, path=folder / self.path.name)

    def write(self, at: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(data)


async def make_wreck(
    folder: Path, *, edits: int = 200, in_wal: bool = False, page: int = PAGE
) -> Wreck:
    """Return the files of a device that has confirmed rows, pending edits and a conflict.

    `in_wal`: the newest edits are in the WAL only, as after a kill. `page`: the size of its pages,
    which stays what it was when the file was made.
    """
    authority = Authority()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("1.db", "2.db"):
        with closing(sqlite3.connect(folder / name)) as database:
            database.execute(f"PRAGMA page_size={page:d}")
            database.execute("PRAGMA journal_mode=WAL")
    async with devices(folder, authority) as (ada, bob):
        identity = await ada.store.identity()
        assert identity is not None
        await ada.store.save_identity(replace(identity, account="c" * 32))
        await ada.sync()
        await bob.sync()
        shop = await ada.create(Kind.COLLECTION, name="Shop", note="old")
        await ada.sync()
        await bob.sync()
        await _dispute(ada, bob, shop)
        pending = []
        for number in range(edits):
            made = await ada.create(Kind.REQUEST, shop, name=f"R{number}", body="x" * 600)
            pending.append(made)
        wreck = Wreck(folder / "wreck" / "ada.db", pending, shop, page)
        wreck.path.parent.mkdir()
        if in_wal:
            _copy_live(ada, wreck)
    if not in_wal:
        _copy_live(ada, wreck)
    return wreck


async def _dispute(ada: Device, bob: Device, shop: str) -> None:
    ada.disconnect()
    await bob.set(shop, note="Bob's")
    await bob.sync()
    await ada.set(shop, note="Ada's")
    await ada.sync()
    ada.disconnect()


def _copy_live(device: Device, wreck: Wreck) -> None:
    shutil.copy(device.path, wreck.path)
    wal = device.path.with_name(device.path.name + "-wal")
    if wal.exists():
        shutil.copy(wal, wreck.wal)


def _zero_header(wreck: Wreck) -> None:
    wreck.write(0, bytes(100))


def _first_page(wreck: Wreck) -> None:
    wreck.write(0, b"\xa5" * wreck.page)


def _empty(wreck: Wreck) -> None:
    wreck.path.write_bytes(b"")


def _no_database(wreck: Wreck) -> None:
    wreck.path.write_bytes(b"shopping list: milk, bread, cheese and more" * 400)


def _wrong_application(wreck: Wreck) -> None:
    wreck.write(68, b"\0\0\0\x07")


def _noise(wreck: Wreck) -> None:
    size = wreck.path.stat().st_size
    for at in range(3 * wreck.page, size, 5 * wreck.page):
        wreck.write(at, b"\xff" * 200)


def truncated(share: float) -> Callable[[Wreck], None]:
    """Return what cuts the file off after a share of it."""

    def cut(wreck: Wreck) -> None:
        size = wreck.path.stat().st_size
        with wreck.path.open("r+b") as file:
            file.truncate(int(size * share))

    return cut


DAMAGES: dict[str, Callable[[Wreck], None]] = {
    "header zeroed": _zero_header,
    "first page lost": _first_page,
    "empty": _empty,
    "no database": _no_database,
    "wrong application": _wrong_application,
    "noise": _noise,
    **{f"truncated to {share}": truncated(share) for share in (0.02, 0.2, 0.5, 0.9, 0.99)},
}
