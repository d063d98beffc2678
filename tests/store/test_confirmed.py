"""Rows that edits have read are known until something else is written there, and never too many."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaman_sync.model.entities import ROOT, Entity, Kind, Place
from kafkaman_sync.store import confirmed
from kafkaman_sync.store.confirmed import Confirmed, Stored
from tests.store.authority import Authority
from tests.store.devices import Device, devices


def stored(number: int, size: int = 10) -> Stored:
    row = Entity(f"{number:032x}", Kind.COLLECTION, Place(ROOT, "V"), 1, False, 1, 1)
    return Stored(row, bytes(size), number)


def known(device: Device) -> set[str]:
    return set(device.store._books.confirmed._rows)


def test_a_row_is_known_of_its_copy_only() -> None:
    rows = Confirmed()
    rows.add(1, {"a": stored(1), "b": None})
    assert rows.rows(1, ["a", "b", "c"]) == ({"a": stored(1)}, ["c"])
    assert rows.rows(2, ["a", "b"]) == ({}, ["a", "b"])


def test_what_is_dropped_is_not_known_any_more() -> None:
    rows = Confirmed()
    rows.add(1, {"a": stored(1), "b": None, "c": stored(2)})
    rows.drop(["a", "b", "unknown"])
    assert rows.rows(1, ["a", "b", "c"]) == ({"c": stored(2)}, ["a", "b"])
    rows.clear()
    assert rows.rows(1, ["c"]) == ({}, ["c"])


def test_only_so_many_rows_and_bytes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmed, "_ROWS_MAX", 3)
    monkeypatch.setattr(confirmed, "_BYTES_MAX", 100)
    rows = Confirmed()
    rows.add(1, {f"{number}": None for number in range(5)})
    assert rows.rows(1, "01234")[1] == ["3", "4"]
    rows.drop("012")
    rows.add(1, {"a": stored(1, 100), "b": stored(2)})
    assert rows.rows(1, "ab")[1] == ["b"]
    rows.drop("a")
    rows.add(1, {"b": stored(2)})
    assert rows.rows(1, "b")[1] == []


async def test_what_an_edit_reads_is_known_until_its_verdict(tmp_path: Path) -> None:
    async with devices(tmp_path, Authority()) as (ada, bob):
        await ada.sync()
        await bob.sync()
        api = await ada.create(Kind.COLLECTION, name="API")
        assert known(ada) == {api}
        await ada.sync()
        assert known(ada) == set()
        await bob.sync()
        await ada.set(api, name="mine")
        assert known(ada) == {api}
        await bob.set(api, note="theirs")
        await bob.sync()
        await ada.deliver()
        assert known(ada) == set(), "another device has written the row"
        await ada.check_books()
        await ada.sync()
        await ada.check_books()


async def test_nothing_is_known_after_other_work_on_the_store(tmp_path: Path) -> None:
    async with devices(tmp_path, Authority(), 1) as (ada,):
        await ada.sync()
        api = await ada.create(Kind.COLLECTION, name="API")
        assert known(ada) == {api}
        await ada.store.drop_position()
        assert known(ada) == set()
