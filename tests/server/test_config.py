"""Settings: where they come from, and errors that name the key and the place."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

import kafkaman_server
from kafkaman_server.config import _RULES, Config, ConfigError, load_config


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        'data = "/from/file"\nlisten = "[::1]:1"\ndevices_per_account = 7\nsign_up_open = false\n'
        'trusted_proxies = ["10.0.0.0/8", "::1"]\n'
    )
    config = load_config(
        {"config": str(file), "data": "/from/flag", "listen": None},
        {"KAFKAMAN_SERVER_LISTEN": "0.0.0.0:2", "KAFKAMAN_SERVER_DATA": "/from/env", "HOME": "/"},
    )
    assert config.data == Path("/from/flag")
    assert (config.host, config.port) == ("0.0.0.0", 2)
    assert config.devices_per_account == 7
    assert not config.sign_up_open
    assert config.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert config.sources == {
        "data": "the flag --data",
        "listen": "the environment variable KAFKAMAN_SERVER_LISTEN",
        "devices_per_account": f"the file {file}",
        "sign_up_open": f"the file {file}",
        "trusted_proxies": f"the file {file}",
    }


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('data = "/d"\nlisten = "[::1]:0"\n')
    config = load_config({}, {"KAFKAMAN_SERVER_CONFIG": str(file)})
    assert (config.data, config.host) == (Path("/d"), "::1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("listen", "8765"),
        ("listen", ":8765"),
        ("listen", "host:70000"),
        ("listen", "host:x"),
        ("data", ""),
        ("devices_per_account", "0"),
        ("devices_per_account", "three"),
        ("sign_up_open", "yes"),
        ("trusted_proxies", "proxy.example"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("log_format", "xml"),
        ("log_level", "loud"),
        ("connections_max", "-1"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_source(key: str, value: str) -> None:
    name = f"KAFKAMAN_SERVER_{key.upper()}"
    with pytest.raises(ConfigError) as caught:
        load_config({"data": None if key == "data" else "/d"}, {name: value})
    assert key in caught.value.message
    assert name in caught.value.message
    assert caught.value.code == "config.invalid"
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["devices_per_account = true", "devices_per_account = 1.5", "sign_up_open = 1",
             "listen = 80", "trusted_proxies = 5", "trusted_proxies = [5]"]
)  # fmt: skip
def test_a_wrong_type_in_the_file_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"from the file .*server\.toml"):
        load_config({"config": str(file), "data": "/d"}, {})


def test_an_unknown_setting_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"data": "/d"}, {"KAFKAMAN_SERVER_DEVICE_PER_ACCOUNT": "3"})
    assert "device_per_account" in caught.value.message
    assert "devices_per_account" in caught.value.hint


def test_a_missing_data_directory_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="No data directory"):
        load_config({}, {})


def test_a_file_that_is_missing_or_no_toml_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config({"config": str(tmp_path / "none.toml")}, {})
    for content in (b"listen = ", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ConfigError, match="is not TOML"):
            load_config({"config": str(tmp_path / "bad.toml")}, {})


DEPLOY = Path(kafkaman_server.__file__).parent.parent / "deploy"


def test_the_example_file_names_every_setting_with_its_default() -> None:
    example = load_config({"config": str(DEPLOY / "kafkaman-server.toml")}, {})
    assert example == Config(data=example.data)
    assert set(example.sources) == set(_RULES)


@pytest.mark.parametrize("name", ["kafkaman-server.service", "Dockerfile", "compose.yaml"])
def test_the_deployment_examples_use_settings_that_exist(name: str) -> None:
    text = (DEPLOY / name).read_text()
    found = dict(re.findall(r"(KAFKAMAN_SERVER_[A-Z_]+)[=:] ?([^\s\\]+)", text))
    assert found
    load_config({"data": "/d"}, found)
