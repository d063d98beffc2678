"""The library's names: what `kafkaman_sync` promises, no more and no less."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import kafkaman_sync


@pytest.mark.parametrize("name", kafkaman_sync.__all__)
def test_each_exported_name_can_be_imported_and_is_documented(name: str) -> None:
    exported = getattr(kafkaman_sync, name)
    if inspect.isclass(exported):
        assert inspect.getdoc(exported)


def test_the_names_are_listed_once() -> None:
    assert len(set(kafkaman_sync.__all__)) == len(kafkaman_sync.__all__)
    assert dir(kafkaman_sync) == sorted(kafkaman_sync.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = kafkaman_sync.no_such_name


def test_the_daemon_does_not_load_what_only_the_command_line_needs() -> None:
    code = "import sys, kafkaman_sync.device.daemon; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    unwanted = ("click", "kafkaman_sync.cli", "kafkaman_sync.formats", "kafkaman_sync.client")
    assert not loaded.intersection(unwanted)
