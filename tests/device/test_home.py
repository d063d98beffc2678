"""The home's folders, settings, memory and log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from pathlib import Path

import pytest
import structlog

from kafkaman_sync import UsageError
from kafkaman_sync.device import log as logs
from kafkaman_sync.device import network, paths
from kafkaman_sync.device.launch import connect, connect_or_start
from kafkaman_sync.device.memory import Memory, Settings
from kafkaman_sync.device.network import SleepWatch
from kafkaman_sync.device.paths import SOCKET_PATH_BYTES_MAX, Home


def test_the_environment_names_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKAMAN_HOME", str(folder / "there"))
    assert Home.find().root == folder / "there"
    assert Home.find(folder / "here").root == folder / "here"


def test_without_it_the_platform_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKAMAN_HOME", raising=False)
    assert Home.find().root.is_absolute()
    assert Home.find().root.name == "kafkaman"


def test_everything_lies_in_the_home_and_is_its_owners(folder: Path) -> None:
    home = Home.find(folder / "home")
    home.create()
    places = (home.config, home.memory, home.lock, home.log, home.scratch, home.socket)
    assert all(place.parent == home.root for place in places)
    for made in (home.root, home.accounts, home.sealed):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_long_path_gets_a_short_socket_that_everybody_finds(folder: Path) -> None:
    long = folder / ("x" * 200)
    socket = Home.find(long).socket
    assert len(str(socket)) <= SOCKET_PATH_BYTES_MAX
    assert socket == Home.find(str(long)).socket
    assert socket != Home.find(folder / ("y" * 200)).socket


@pytest.mark.parametrize("trap", ["a folder of another user", "a link"])
async def test_nobody_connects_where_another_user_may_listen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    place, elsewhere = folder / "runtime", folder / "elsewhere"
    monkeypatch.setattr(paths, "_runtime_folder", lambda: place)
    home = Home.find(folder / ("x" * 200))
    assert await connect(home) is None, "there is no folder yet"
    elsewhere.mkdir()
    met: list[object] = []
    listening = elsewhere / home.socket.name
    server = await asyncio.start_unix_server(lambda *streams: met.append(streams), listening)
    if trap == "a link":
        place.symlink_to(elsewhere)
    else:
        elsewhere.rename(place)
        another = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: another)
    async with server:
        for opening in (connect(home), connect_or_start(home)):
            with pytest.raises(UsageError) as caught:
                await opening
            assert caught.value.code == "home.foreign"
    with pytest.raises(UsageError) as caught:
        home.create()
    assert caught.value.code == "home.foreign"
    assert not met


def test_a_home_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        Home.find(folder / "file" / "home").create()
    assert caught.value.code == "home.unusable"


def test_memory_survives_and_tolerates_damage(folder: Path) -> None:
    path = folder / "device.json"
    assert Memory.load(path) == Memory(sync=True)
    Memory(sync=False).save(path)
    assert Memory.load(path) == Memory(sync=False)
    for damage in ("", "{", "[]", "null"):
        path.write_text(damage)
        assert Memory.load(path) == Memory(sync=True)


def test_settings_are_read_and_faults_named(folder: Path) -> None:
    path = folder / "config.toml"
    assert Settings.load(path).device_name
    path.write_text('device_name = "Anna\'s laptop"')
    assert Settings.load(path).device_name == "Anna's laptop"
    for text in ("device_name = 7", "device_name = ''", "colour = 'red'", "= broken"):
        path.write_text(text)
        with pytest.raises(UsageError) as caught:
            Settings.load(path)
        assert caught.value.code == "config.invalid"
        assert str(path) in caught.value.message


def test_the_log_is_json_and_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 10_000)
    umask = os.umask(0o077)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.open_log(folder / "daemon.log")
        log = structlog.get_logger("test")
        for number in range(500):
            log.info("happened", number=number)
        logging.getLogger("foreign").warning("from elsewhere")
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        os.umask(umask)
    files = sorted(folder.glob("daemon.log*"))
    assert len(files) == 2
    assert all(file.stat().st_size <= 10_000 for file in files)
    lines = [json.loads(line) for line in (folder / "daemon.log").read_text().splitlines()]
    assert lines[-1]["event"] == "from elsewhere"
    assert lines[-2]["number"] == 499
    assert stat.S_IMODE((folder / "daemon.log").stat().st_mode) == 0o600


def test_a_sleep_is_noticed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = 100.0
    monkeypatch.setattr(network, "_asleep_seconds", lambda: asleep)
    watch = SleepWatch()
    assert not watch.woke_up()
    asleep += 60
    assert watch.woke_up()
    assert not watch.woke_up()
