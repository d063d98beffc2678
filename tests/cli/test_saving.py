"""A file is written whole or not at all; a file that cannot be read or written is named."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from kafkaman_sync.cli.reading import read_file
from kafkaman_sync.cli.saving import save_file
from kafkaman_sync.errors import LocalError


def test_a_new_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    before = os.umask(0o027)
    try:
        save_file(target, b"{}")
    finally:
        os.umask(before)
    assert target.read_bytes() == b"{}"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_an_old_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_text("something much longer")
    target.chmod(0o600)
    save_file(target, b"{}")
    assert target.read_bytes() == b"{}"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    save_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    save_file(pipe, b"through")
    reader.join(10)
    assert received == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(
    ("name", "code"), [("", "file.is_directory"), ("absent/out.json", "file.not_found")]
)
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(LocalError) as caught:
        save_file(tmp_path / name, b"{}")
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [("", "file.is_directory"), ("absent.json", "file.not_found"), ("a\0b", "file.unreadable")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(LocalError) as caught:
        read_file(str(tmp_path / name))
    assert caught.value.code == code
    assert caught.value.details["file"] == str(tmp_path / name)


def test_an_endless_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafkaman_sync.cli.reading.FILE_BYTES_MAX", 1000)
    with pytest.raises(LocalError) as caught:
        read_file("/dev/zero")
    assert caught.value.code == "file.too_large"
