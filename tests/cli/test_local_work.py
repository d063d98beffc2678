"""Work on one device, without any server: each command's JSON, and what a pipe gets."""

from __future__ import annotations

import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.documents import SCHEMA, collection, write
from tests.end_to_end.processes import BIN, DeviceHome

LISTED = {"id", "kind", "name", "parent", "position", "workspace", "pending"}
STATUS = {
    "state", "online", "signed_in", "account", "device", "server", "since", "cause", "message",
    "hint", "pending", "conflicts", "retry_at", "progress", "workspaces", "version", "pid", "home",
}  # fmt: skip


def plain(device: DeviceHome, *words: str, stdin: str = "") -> str:
    """Run a command without --json and return its standard output."""
    finished = subprocess.run(
        [BIN / "kafkaman", *words],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, "KAFKAMAN_HOME": str(device.home)},
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def error_of(device: DeviceHome, *words: object, status: int = 1) -> dict[str, Any]:
    error: dict[str, Any] = device.run(*words, status=status)["error"]
    return error


@pytest.fixture
def shop(laptop: DeviceHome, place: Path) -> DeviceHome:
    """A device that holds a collection of two folders with three requests each."""
    laptop.run("import", write(place, collection()))
    return laptop


def test_up_and_down_may_be_said_twice(laptop: DeviceHome) -> None:
    assert laptop.run("down") == {"running": False, "pid": None}
    first = laptop.run("up")
    assert first == {"running": True, "pid": laptop.run("status")["pid"]}
    assert laptop.run("up") == first
    assert laptop.run("down") == {"running": False, "pid": first["pid"]}
    assert laptop.run("down") == {"running": False, "pid": None}


def test_the_home_can_be_an_option(laptop: DeviceHome, place: Path) -> None:
    other = place / "other"
    try:
        assert laptop.run("--home", other, "up")["running"]
        assert laptop.run("status", "--home", other)["home"] == str(other)
        assert not laptop.home.exists()
    finally:
        laptop.run("down", "--home", other)


def test_status_has_every_promised_key(laptop: DeviceHome) -> None:
    status = laptop.run("status")
    assert set(status) >= STATUS
    assert (status["state"], status["signed_in"], status["online"]) == ("OFFLINE", False, False)
    assert status["hint"]


def test_a_kind_may_be_spelt_with_hyphens(laptop: DeviceHome) -> None:
    laptop.run("new", "environment", "name=Local")
    laptop.run("new", "environment-variable", "--parent", "Local", "key=host", "value=here")
    kinds = [entity["kind"] for entity in laptop.run("ls")]
    assert kinds == ["environment", "environment_variable"]


def test_what_is_written_is_what_is_shown(laptop: DeviceHome) -> None:
    made = laptop.run("new", "collection", "name=A", "n:=1.10", "big:=123456789012345678901234")
    assert set(made) == {"id"}
    finished = laptop.start("show", made["id"][:8])
    shown = json.loads(finished.communicate()[0], parse_float=Decimal)
    assert shown["fields"] == {"name": "A", "n": Decimal("1.1"), "big": 123456789012345678901234}
    assert (shown["id"], shown["kind"], shown["name"], shown["parent"]) == (
        made["id"], "collection", "A", "",
    )  # fmt: skip
    assert {"position", "version"} <= set(shown)


def test_fields_are_set_and_unset(laptop: DeviceHome) -> None:
    made = laptop.run("new", "collection", "name=A", "description=old", "empty=")
    assert laptop.run("set", "A", "name=B", "--unset", "description") == made
    assert laptop.run("show", "B")["fields"] == {"name": "B", "empty": ""}
    assert error_of(laptop, "show", "A", status=5)["code"] == "entity.not_found"


def test_an_ambiguous_name_lists_what_it_could_be(laptop: DeviceHome) -> None:
    ids = {laptop.run("new", "collection", "name=Same")["id"] for _ in range(2)}
    error = error_of(laptop, "show", "Same", status=5)
    assert error["code"] == "entity.ambiguous"
    assert ids == {each["id"] if isinstance(each, dict) else each for each in error["candidates"]}


def test_a_list_is_flat_and_depth_first(shop: DeviceHome) -> None:
    listed = shop.run("ls")
    assert all(set(entity) >= LISTED for entity in listed)
    assert len(listed) == 1 + 2 + 2 * 3 * 2
    seen = {""}
    for entity in listed:
        assert entity["parent"] in seen
        seen.add(entity["id"])
    names = [entity["name"] for entity in listed]
    assert names[:4] == ["Shop", "Folder 0", "r0-0", "r0-0 works"]


def test_a_list_can_begin_anywhere_and_end_at_a_depth(shop: DeviceHome) -> None:
    below = shop.run("ls", "Shop/Folder 1")
    assert [entity["name"] for entity in below][::2] == ["r1-0", "r1-1", "r1-2"]
    assert [entity["kind"] for entity in shop.run("ls", "--depth", "2")] == [
        "collection", "folder", "folder",
    ]  # fmt: skip
    assert [entity["name"] for entity in shop.run("ls", "/", "--depth", "1")] == ["Shop"]


def test_a_pipe_gets_paths_that_name_their_entities(shop: DeviceHome) -> None:
    shop.run("set", "Shop/Folder 0/r0-0", "name=GET /orders\tall")
    for top in ([], ["Shop/Folder 0"]):
        lines = plain(shop, "ls", *top).splitlines()
        rows = [line.split("\t") for line in lines]
        assert all(len(row) == 3 for row in rows)
        clean = [row for row in rows if "orders" not in row[2]]
        assert clean
        for id, kind, path in clean[:3]:
            shown = shop.run("show", path)
            assert (shown["id"], shown["kind"]) == (id, kind)
        assert any(row[2].endswith("Shop/Folder 0/GET \\/orders\\tall") for row in rows)


def test_a_move_says_where(shop: DeviceHome) -> None:
    moved = shop.run("mv", "Shop/Folder 0/r0-0", "--after", "Shop/Folder 1/r1-0")
    shown = shop.run("show", "Shop/Folder 1/r0-0")
    assert moved == {"id": shown["id"]}
    requests = [each for each in shop.run("ls", "Shop/Folder 1") if each["kind"] == "request"]
    assert [each["name"] for each in requests] == ["r1-0", "r0-0", "r1-1", "r1-2"]
    shop.run("new", "collection", "--parent", "/", "name=Before")
    shop.run("mv", "Before", "--to", "/", "--before", "Shop")
    assert [each["name"] for each in shop.run("ls", "--depth", "1")] == ["Before", "Shop"]


def test_what_is_removed_is_gone_with_what_is_below_it(shop: DeviceHome) -> None:
    removed = shop.run("rm", "Shop/Folder 0")
    assert set(removed) == {"id"}
    assert [each["name"] for each in shop.run("ls") if each["kind"] == "folder"] == ["Folder 1"]


def test_an_import_tells_roots_counts_and_files(laptop: DeviceHome, place: Path) -> None:
    first, second = write(place, collection()), write(place, collection(1, 1), "second.json")
    result = laptop.run("import", first, second)
    assert [row["file"] for row in result["imported"]] == [str(first), str(second)]
    assert result["imported"][1]["counts"] == {
        "collection": 1, "folder": 1, "request": 1, "response": 1,
    }  # fmt: skip
    roots = [each["id"] for each in laptop.run("ls", "--depth", "1")]
    assert [row["root"] for row in result["imported"]] == roots
    again = laptop.run("import", first)
    assert len(laptop.run("ls", "--depth", "1")) == 3
    assert again["imported"][0]["root"] not in roots


def test_an_import_reads_standard_input(laptop: DeviceHome) -> None:
    document = json.dumps(collection())
    (row,) = laptop.run("import", "-", stdin=document)["imported"]
    assert row["file"] == "-"
    assert laptop.run("show", row["root"])["name"] == "Shop"


def test_a_wrong_file_among_good_ones_is_named_with_its_place(
    laptop: DeviceHome, place: Path
) -> None:
    good, bad = write(place, collection()), place / "bad.json"
    bad.write_text('{"info": {"name": "x",}\n}')
    error = error_of(laptop, "import", good, bad)
    assert error["code"] == "format.not_json"
    assert (error["file"], error["line"]) == (str(bad), 1)
    assert error["message"].startswith(str(bad))
    assert laptop.run("ls") == []


def test_an_export_equals_the_import(shop: DeviceHome, place: Path) -> None:
    target = place / "out.json"
    target.write_text("old")
    result = shop.run("export", "Shop", "-o", target)
    assert json.loads(target.read_text()) == collection()
    counts = {"collection": 1, "folder": 2, "request": 6, "response": 6}
    assert result == {
        "file": str(target), "format": "collection.v2.1", "counts": counts,
        "bytes": target.stat().st_size,
    }  # fmt: skip
    assert json.loads(plain(shop, "export", "Shop")) == collection()
    assert shop.run("export", "Shop", "-o", "-") == collection()


@pytest.mark.parametrize("path", ["Shop/Folder 1", "Shop/Folder 1/r1-0"])
def test_a_part_is_exported_in_a_collection_of_its_own(shop: DeviceHome, path: str) -> None:
    document = shop.run("export", path)
    assert document["info"]["name"] == path.rpartition("/")[2]
    assert document["info"]["schema"] == SCHEMA


def test_another_format_can_be_asked_for(shop: DeviceHome, place: Path) -> None:
    target = place / "out.json"
    result = shop.run("export", "Shop", "-o", target, "--format", "collection.v2.0")
    assert result["format"] == "collection.v2.0"
    assert "v2.0.0" in json.loads(target.read_text())["info"]["schema"]
    error = error_of(shop, "export", "Shop", "-o", place / "no.json", "--format", "run")
    assert error["code"] == "format.unknown"
    assert not (place / "no.json").exists()


def test_a_watch_begins_with_the_current_state(laptop: DeviceHome) -> None:
    laptop.run("up")
    watch = laptop.start("status", "--watch")
    assert watch.stdout is not None
    first = json.loads(watch.stdout.readline())
    assert (first["to"], first["online"]) == ("OFFLINE", False)
    assert {"from", "cause", "message", "hint", "since", "pending", "conflicts"} <= set(first)
    watch.terminate()
    watch.communicate(timeout=30)


def test_waiting_for_what_already_is_returns_the_status(laptop: DeviceHome) -> None:
    assert laptop.run("wait", "--until", "offline")["state"] == "OFFLINE"
    error = error_of(laptop, "wait", "--until", "in_sync", "--timeout", "0.1")
    assert (error["code"], error["state"]) == ("wait.timeout", "OFFLINE")


def test_what_needs_an_account_says_so(laptop: DeviceHome) -> None:
    for words in (["prove"], ["reload"], ["devices"], ["sign-out"]):
        error = laptop.run(*words, status=None)["error"]
        assert error["message"]
        assert error["hint"], words


def test_lists_are_empty_and_not_errors(laptop: DeviceHome) -> None:
    assert laptop.run("ls") == []
    assert laptop.run("conflicts") == {"conflicts": []}
    (scratch,) = laptop.run("workspaces")["workspaces"]
    assert scratch["name"] == "Scratch Pad"
    assert plain(laptop, "ls") == ""


def test_names_of_entities_are_completed(shop: DeviceHome) -> None:
    def completed(typed: str) -> list[str]:
        finished = subprocess.run(
            [BIN / "kafkaman"],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "KAFKAMAN_HOME": str(shop.home),
                "_KAFKAMAN_COMPLETE": "bash_complete",
                "COMP_WORDS": f"kafkaman show {typed}",
                "COMP_CWORD": "2",
            },
            timeout=60,
            check=True,
        )
        return finished.stdout.split("\n")

    assert "read -r type" in plain(shop, "completion", "bash")
    assert "plain,Shop" in completed("sh")
    assert "plain,Shop/Folder\\ 1" in completed("Shop/f")
    assert "plain,Shop/Folder\\ 1/r1-2" in completed("Shop/Folder\\ 1/r")
