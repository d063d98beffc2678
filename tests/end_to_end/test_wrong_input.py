"""Whatever is typed, the answer names the cause and the next step, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.documents import collection, write
from tests.end_to_end.processes import DeviceHome, free_port

Device = Callable[[str], DeviceHome]


def refused(device: DeviceHome, *words: object, stdin: str = "") -> tuple[str, str]:
    """Run a command that must fail; return the error's code and its message with the hint."""
    answer = device.run(*words, stdin=stdin, status=None)
    error = answer["error"]
    assert error["message"]
    return error["code"], f"{error['message']} {error['hint']}"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "format.not_json"),
        (b"hello", "format.not_json"),
        (b'{"info": {"name": "x"', "format.truncated"),
        (b'{"swagger": "2.0"}', "format.unknown"),
        (b'{"id": "1", "name": "old", "order": [], "requests": []}', "format.collection_v1"),
        (b'{"name": "\xff"}', "format.encoding"),
    ],
)
def test_a_file_that_cannot_be_imported_is_explained(
    device: Device, place: Path, content: bytes, code: str
) -> None:
    path = place / "wrong.json"
    path.write_bytes(content)
    laptop = device("laptop")
    found, text = refused(laptop, "import", path)
    assert found == code
    assert "wrong.json" in text
    assert laptop.ids() == {}


def test_nothing_is_imported_when_one_of_the_files_is_wrong(device: Device, place: Path) -> None:
    laptop = device("laptop")
    good = write(place, collection())
    bad = place / "bad.json"
    bad.write_text("{")
    refused(laptop, "import", good, bad)
    assert laptop.ids() == {}


def test_files_and_folders_that_cannot_be_read_are_named(device: Device, place: Path) -> None:
    laptop = device("laptop")
    for path in (place / "absent.json", place):
        _, text = refused(laptop, "import", path)
        assert path.name in text


@pytest.mark.parametrize(
    "words",
    [
        ("show", "nothing/here"),
        ("show", "0" * 32),
        ("set", "nothing", "name=x"),
        ("rm", "nothing"),
        ("mv", "nothing", "--to", "nowhere"),
        ("new", "request", "--parent", "nowhere", "name=x"),
        ("export", "nothing", "-o", "unused.json"),
    ],
)
def test_what_does_not_exist_is_said_to_be_missing(device: Device, words: tuple[str, ...]) -> None:
    code, _ = refused(device("laptop"), *words)
    assert code.endswith("not_found")


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("new", "spaceship", "name=x"),
        ("new", "collection", "name:={broken"),
        ("new", "collection", "nonsense"),
        ("wait", "--until", "tomorrow"),
        ("sign-in", "--server", "http://example", "--user", "x", "--password-stdin"),
    ],
)
def test_wrong_arguments_are_usage_errors(device: Device, words: tuple[str, ...]) -> None:
    answer = device("laptop").run(*words, stdin="password\n", status=2)
    assert answer["error"]["message"]


def test_kinds_that_do_not_fit_their_parent_are_refused_at_once(device: Device) -> None:
    laptop = device("laptop")
    code, text = refused(laptop, "new", "request", "name=stray")
    assert code == "parent.kind"
    assert "collection" in text
    assert laptop.ids() == {}


def test_a_move_into_itself_is_refused_at_once(device: Device) -> None:
    laptop = device("laptop")
    laptop.run("new", "collection", "name=A")
    outer = laptop.run("new", "folder", "--parent", "A", "name=outer")["id"]
    inner = laptop.run("new", "folder", "--parent", outer, "name=inner")["id"]
    assert refused(laptop, "mv", outer, "--to", inner)[0] == "move.cycle"


def test_a_server_that_is_not_there_is_named(device: Device) -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    words = ("sign-in", "--server", url, "--user", "x", "--password-stdin")
    _, text = refused(device("laptop"), *words, stdin="password\n")
    assert url.removeprefix("ws://") in text


def test_waiting_gives_up_after_its_timeout(device: Device) -> None:
    answer = device("laptop").run("wait", "--until", "in-sync", "--timeout", "0.2", status=1)
    assert answer["error"]["code"] == "wait.timeout"


def test_what_is_too_large_is_refused_by_name(device: Device, place: Path) -> None:
    laptop = device("laptop")
    laptop.run("new", "collection", "name=A")
    body = place / "body.txt"
    body.write_text("x" * (9 * 1024 * 1024))
    code, text = refused(laptop, "set", "A", f"description=@{body}")
    assert code == "limit.field"
    assert "description" in text
