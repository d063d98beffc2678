"""A capture: whole again, usable up to a cut, and never trusted where it is damaged."""

from __future__ import annotations

import resource
import stat
import struct
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaman_sync.errors import ReplayError
from kafkaman_sync.protocol.recording import Recorded, Sort
from kafkaman_sync.replay import capture
from kafkaman_sync.replay.capture import MAGIC, Capture, CaptureWriter, Header
from tests.protocol.test_recording import records

HEADER = Header(what="daemon", began_ms=1_700_000_000_000, values=True, device="d" * 32)
ERRORS = {"replay.foreign", "replay.capture_newer", "replay.capture_damaged", "replay.capture_cut"}


def write(path: Path, several: list[Recorded], *, each: int = 2) -> bytes:
    with CaptureWriter.create(path, HEADER, force=True) as writer:
        for number, record in enumerate(several):
            writer.add(record)
            if number % each == each - 1:
                writer.flush()
    return path.read_bytes()


def read(path: Path) -> tuple[list[Recorded], bool, str]:
    """Return what can be read, whether the file was cut off, and the code of what is wrong."""
    found: list[Recorded] = []
    try:
        with Capture.open(path) as opened:
            found.extend(opened.records())
            return found, opened.cut_off, ""
    except ReplayError as error:
        return found, False, error.code if error.hint else "no hint"


@settings(max_examples=40)
@given(st.lists(records, max_size=8), st.integers(1, 4))
def test_what_was_written_is_read_again(several: list[Recorded], each: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c"
        write(path, several, each=each)
        assert read(path) == (several, False, "")
        with Capture.open(path) as opened:
            assert opened.header == HEADER
            assert list(opened.records()) == list(opened.records())


@settings(max_examples=5, deadline=None)
@given(st.lists(records, max_size=6))
def test_cut_at_any_byte_it_gives_the_records_before_the_cut(several: list[Recorded]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c"
        whole = write(path, several)
        for end in range(1, len(whole)):
            path.write_bytes(whole[:end])
            found, cut_off, code = read(path)
            assert found == several[: len(found)]
            assert cut_off or code == "replay.capture_cut"


@settings(max_examples=3, deadline=None)
@given(st.lists(records, min_size=1, max_size=4), st.integers(1, 255))
def test_any_changed_byte_is_noticed_and_named(several: list[Recorded], flip: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c"
        whole = write(path, several)
        for place in range(len(whole)):
            changed = bytearray(whole)
            changed[place] ^= flip
            path.write_bytes(bytes(changed))
            found, cut_off, code = read(path)
            assert code in ERRORS
            assert not cut_off
            assert found == several[: len(found)]


@pytest.mark.parametrize("data", [b"", b"\x89", MAGIC + b"\x00", MAGIC + b"\x00\x01"])
def test_next_to_nothing_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c"
    path.write_bytes(data)
    assert read(path)[2] in ERRORS


def test_a_capture_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "c"
    whole = write(path, [])
    path.write_bytes(MAGIC + b"\x00\x02" + whole[10:])
    with pytest.raises(ReplayError) as caught, Capture.open(path):
        pass
    assert caught.value.code == "replay.capture_newer"
    assert "version 2" in caught.value.message


def test_damage_is_named_with_its_place_behind_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "c"
    several = [Recorded(Sort.UP, at, 0, 1, bytes(100)) for at in range(4)]
    first = len(write(path, several[:2]))
    whole = bytearray(write(path, several))
    whole[first + 5] ^= 1
    path.write_bytes(bytes(whole))
    found: list[Recorded] = []
    with Capture.open(path) as opened, pytest.raises(ReplayError) as caught:
        found.extend(opened.records())
    assert found == several[:2]
    assert caught.value.code == "replay.capture_damaged"
    at = caught.value.details["byte"]
    assert f"byte {at:,}" in caught.value.message
    assert f"head -c {at} " in caught.value.hint
    path.write_bytes(path.read_bytes()[:at])
    assert read(path) == (several[:2], True, "")


def test_what_follows_the_end_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(write(path, []) + b"x")
    assert read(path)[2] == "replay.capture_damaged"


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    write(path, [Recorded(Sort.UP, 0, 0, 1, bytes(1_000_000))])
    monkeypatch.setattr(capture, "_BLOCK_BYTES_MAX", 100_000)
    assert read(path)[2] == "replay.capture_damaged"


def test_a_block_that_says_to_be_huge_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "c"
    whole = write(path, [])
    head = struct.pack(">BIIII", 1, 2**32 - 1, 100, 0, 0)[:-4]
    end = len(whole) - 17 - len(zlib.compress(bytes(8)))
    path.write_bytes(whole[:end] + head + zlib.crc32(head).to_bytes(4, "big"))
    assert read(path)[2] == "replay.capture_damaged"


def test_a_file_that_is_there_is_not_written_over_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"precious")
    with pytest.raises(ReplayError) as caught, CaptureWriter.create(path, HEADER):
        pass
    assert caught.value.code == "replay.output_exists"
    assert path.read_bytes() == b"precious"
    with pytest.raises(ReplayError) as caught, CaptureWriter.create(tmp_path / "no/c", HEADER):
        pass
    assert caught.value.code == "file.unwritable"


def test_a_capture_is_for_its_owner_only_and_small(tmp_path: Path) -> None:
    path = tmp_path / "c"
    several = [Recorded(Sort.UP, at, at, 1, b"the same frame again " * 20) for at in range(1000)]
    assert len(write(path, several, each=1000)) < 20_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_recorder_that_dies_has_written_what_is_older_than_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    path = tmp_path / "c"
    several = [Recorded(Sort.UP, at, 0, 1, b"x") for at in range(3)]
    with CaptureWriter.create(path, HEADER) as writer:
        for record in several:
            writer.add(record)
            now += 0.6
        assert read(path) == (several[:3], True, "")


def test_what_fails_beside_a_capture_is_not_told_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with pytest.raises(BrokenPipeError), CaptureWriter.create(path, HEADER):
        raise BrokenPipeError
    write(path, [])
    with pytest.raises(BrokenPipeError), Capture.open(path):
        raise BrokenPipeError


def test_a_file_that_can_be_neither_written_nor_read_is_told(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        with pytest.raises(ReplayError) as caught, CaptureWriter.create(tmp_path / "c", HEADER):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == "file.unwritable"
    assert read(tmp_path) == ([], False, "file.unreadable")
    assert read(tmp_path / "no") == ([], False, "file.not_found")
