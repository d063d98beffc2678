"""The settings: from flags, else the environment, else a TOML file, else their defaults.

All are checked at the start, and an error names the key, where it came from and what it may be.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from kafkaman_server.address import Network
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.limits import DEVICES_PER_ACCOUNT, MIB, REPLAY_EVENTS_MAX

ENVIRONMENT_PREFIX: Final = "KAFKAMAN_SERVER_"


class ConfigError(KafkamanError):
    """A setting is wrong."""

    default_code = "config.invalid"


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force; `sources` tells where each came from."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8765
    devices_per_account: int = DEVICES_PER_ACCOUNT
    sign_up_open: bool = True
    sign_in_attempts_per_minute: int = 20
    address_attempts_per_minute: int = 120
    password_hashes_at_once: int = 2
    connections_max: int = 10_000
    trusted_proxies: tuple[Network, ...] = ()
    replay_events_max: int = REPLAY_EVENTS_MAX
    event_retention_days: int = 90
    trash_retention_days: int = 30
    queue_bytes_max: int = 4 * MIB
    log_format: str = "auto"
    log_level: str = "info"
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


def load_config(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Config:
    """Return the settings of flags (by setting name), environment and file. Raises ConfigError."""
    given: dict[str, tuple[Any, str]] = {}
    path = flags.get("config") or environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    if path:
        for key, value in _read_file(Path(path)).items():
            given[key] = (value, f"the file {path}")
    for name, text in environment.items():
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name.startswith(ENVIRONMENT_PREFIX) and key != "config":
            given[key] = (text, f"the environment variable {name}")
    for key, flag in flags.items():
        if flag is not None and key != "config":
            given[key] = (flag, f"the flag --{key.replace('_', '-')}")
    return _checked(given)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read: {error.strerror}.",
            hint="Check the path that --config or KAFKAMAN_SERVER_CONFIG gives.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The configuration file {path} is not TOML: {error}.", hint="Correct the file."
        ) from error


def _checked(given: Mapping[str, tuple[Any, str]]) -> Config:
    settings: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, (value, source) in given.items():
        rule = _RULES.get(key)
        if rule is None:
            raise ConfigError(
                f"There is no setting {key!r}, which {source} gives.",
                hint=f"Settings are: {', '.join(sorted(_RULES))}.",
                key=key,
                source=source,
            )
        read, expected = rule
        try:
            settings |= read(key, value)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"The setting {key} = {value!r}, from {source}, is not {expected}.",
                hint=f"Set {key} to {expected}.",
                key=key,
                source=source,
            ) from error
        sources[key] = source
    if "data" not in settings:
        raise ConfigError(
            "No data directory is given.",
            hint="Name it with --data DIR, KAFKAMAN_SERVER_DATA, or `data` in the file.",
            key="data",
        )
    return Config(**settings, sources=sources)


def _integer(least: int, most: int) -> tuple[_Read, str]:
    def read(key: str, value: Any) -> dict[str, Any]:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError(key)
        number = int(value)
        if not least <= number <= most:
            raise ValueError(key)
        return {key: number}

    return read, f"a whole number from {least} to {most}"


def _choice(*choices: str) -> tuple[_Read, str]:
    def read(key: str, value: Any) -> dict[str, Any]:
        if value not in choices:
            raise ValueError(key)
        return {key: value}

    return read, f"one of {', '.join(choices)}"


def _flag(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {key: value}
    if value not in ("true", "false"):
        raise ValueError(key)
    return {key: value == "true"}


def _listen(_: str, value: Any) -> dict[str, Any]:
    host, colon, port = _text(value).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not 0 <= int(port) <= 65535:
        raise ValueError(value)
    return {"host": host, "port": int(port)}


def _path(key: str, value: Any) -> dict[str, Any]:
    return {key: Path(_text(value)).expanduser()}


def _networks(key: str, value: Any) -> dict[str, Any]:
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, Sequence):
        raise TypeError(key)
    return {key: tuple(ip_network(_text(text).strip()) for text in texts if text)}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(value)
    return value


_Read = Callable[[str, Any], dict[str, Any]]
_RULES: Final[Mapping[str, tuple[_Read, str]]] = {
    "listen": (_listen, "an address HOST:PORT, like 127.0.0.1:8765"),
    "data": (_path, "a directory"),
    "devices_per_account": _integer(1, 1000),
    "sign_up_open": (_flag, "true or false"),
    "sign_in_attempts_per_minute": _integer(1, 100_000),
    "address_attempts_per_minute": _integer(1, 100_000),
    "password_hashes_at_once": _integer(1, 64),
    "connections_max": _integer(1, 1_000_000),
    "trusted_proxies": (_networks, "a list of addresses or networks, like 127.0.0.1, 10.0.0.0/8"),
    "replay_events_max": _integer(0, 1_000_000),
    "event_retention_days": _integer(0, 36_500),
    "trash_retention_days": _integer(0, 36_500),
    "queue_bytes_max": _integer(64 * 1024, 1024 * MIB),
    "log_format": _choice("auto", "console", "json"),
    "log_level": _choice("debug", "info", "warning", "error"),
}
