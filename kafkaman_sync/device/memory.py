"""What a daemon remembers between its runs, and the settings that a person may write."""

from __future__ import annotations

import json
import os
import platform
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from kafkaman_sync.errors import UsageError
from kafkaman_sync.faults import file_error

_DEVICE_NAME_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Memory:
    """`sync` is whether a person wants this device to use the network."""

    sync: bool = True

    @classmethod
    def load(cls, path: Path) -> Memory:
        """Return what was saved; the defaults when there is nothing, or nothing legible."""
        try:
            values = json.loads(path.read_bytes())
            return cls(sync=bool(values.get("sync", True)))
        except (OSError, ValueError, AttributeError):
            return cls()

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_durably(path, json.dumps(asdict(self)).encode())


@dataclass(frozen=True, slots=True)
class Settings:
    """`device_name` is how this device is called where `--device-name` does not say it."""

    device_name: str

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Return the settings of config.toml; UsageError `config.invalid` names what is wrong."""
        values = _read_toml(path)
        unknown = sorted(set(values) - {"device_name"})
        if unknown:
            raise _invalid(path, f"unknown setting {unknown[0]!r}")
        name = values.get("device_name", platform.node() or "this device")
        if not isinstance(name, str) or not 0 < len(name) <= _DEVICE_NAME_MAX:
            raise _invalid(path, f"device_name must be 1 to {_DEVICE_NAME_MAX} characters")
        return cls(name)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file's content so that a crash leaves the old or the new one, owner-only.

    Raises StoreError with what the disk's fault means.
    """
    try:
        _replace(path, data)
    except OSError as error:
        raise file_error(error, path) from error


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        rest = memoryview(data)
        while rest:  # a disk that is nearly full takes a part
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or deleted in `folder` survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _invalid(path, str(error)) from error


def _invalid(path: Path, what: str) -> UsageError:
    return UsageError(
        f"{path}: {what}.", code="config.invalid", hint="Correct the file, or remove it."
    )
