"""The library against a real daemon."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from kafkaman_sync import (
    Client,
    ControlError,
    KafkamanError,
    RefusedError,
    Status,
    UsageError,
)
from kafkaman_sync.device.paths import Home
from kafkaman_sync.formats import Draft
from tests.device.world import World

TREE = Draft(
    "collection",
    {"name": "API", "big": 2**100},
    (
        Draft("folder", {"name": "a/b"}, (Draft("request", {"name": "deep", "url": None}),)),
        Draft("request", {"name": "twin"}),
        Draft("request", {"name": "twin"}),
    ),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kfc-") as name:
        yield Path(name)


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        device = await World(folder, stack).device("home")
        yield device.client


async def refusal(work: object) -> KafkamanError:
    with pytest.raises(KafkamanError) as caught:
        await work  # type: ignore[misc]  # whatever coroutine the test gives
    return caught.value


async def test_a_tree_comes_out_as_it_went_in(client: Client) -> None:
    (imported,) = await client.import_drafts([TREE])
    assert imported.counts == {"collection": 1, "folder": 1, "request": 3}
    assert await client.export_draft(imported.root) == TREE
    assert await client.export_draft("API/a\\/b") == TREE.children[0]


async def test_a_large_tree_goes_in_pieces(client: Client) -> None:
    children = tuple(Draft("request", {"name": str(n), "body": "x" * 5000}) for n in range(1500))
    tree = Draft("collection", {"name": "Large"}, children)
    (imported,) = await client.import_drafts([tree])
    assert await client.export_draft(imported.root) == tree


async def test_an_import_is_all_or_nothing(client: Client) -> None:
    stray = Draft("request", {"name": "stray"})
    error = await refusal(client.import_drafts([TREE, stray]))
    assert error.code == "parent.kind"
    assert await client.ls() == []


async def test_an_import_may_go_into_something(client: Client) -> None:
    (outer,) = await client.import_drafts([TREE])
    (inner,) = await client.import_drafts([Draft("folder", {"name": "new"})], parent="API")
    assert (await client.show(inner.root)).parent == outer.root


async def test_entities_are_named_by_id_prefix_or_path(client: Client) -> None:
    (imported,) = await client.import_drafts([TREE])
    for text in (imported.root, imported.root[:12], "API"):
        assert (await client.find(text)).id == imported.root
    assert (await client.find("API/a\\/b/deep")).kind == "request"


async def test_a_name_that_fits_twice_is_refused_with_the_candidates(client: Client) -> None:
    await client.import_drafts([TREE])
    error = await refusal(client.find("API/twin"))
    assert error.code == "entity.ambiguous"
    assert len(error.details["candidates"]) == 2


@pytest.mark.parametrize("text", ["nothing", "API/nothing", "f" * 32, "ffff", "", "/"])
async def test_a_name_that_fits_nothing_is_not_found(client: Client, text: str) -> None:
    await client.import_drafts([TREE])
    assert (await refusal(client.show(text))).code == "entity.not_found"


async def test_lists_are_flat_and_depth_first(client: Client) -> None:
    await client.import_drafts([TREE])
    names = [entity.name for entity in await client.ls()]
    assert names == ["API", "a/b", "deep", "twin", "twin"]
    assert [entity.name for entity in await client.ls("API/a\\/b")] == ["deep"]
    assert [entity.name for entity in await client.ls(recursive=False)] == ["API"]


async def test_fields_are_set_and_removed(client: Client) -> None:
    made = await client.create("collection", fields={"name": "A", "gone": 1})
    await client.update("A", {"list": [1, {"deep": None}]}, removed=["gone"])
    assert (await client.show(made)).fields == {"name": "A", "list": [1, {"deep": None}]}


async def test_siblings_are_ordered_and_moved_by_name(client: Client) -> None:
    await client.import_drafts([TREE])
    await client.create("request", "API", {"name": "first"}, before="API/a\\/b")
    await client.move("API/a\\/b/deep", "API", after="API/first")
    names = [entity.name for entity in await client.ls("API")]
    assert names == ["first", "deep", "a/b", "twin", "twin"]


async def test_what_is_deleted_is_gone_with_what_is_below(client: Client) -> None:
    await client.import_drafts([TREE])
    await client.delete("API/a\\/b")
    assert (await refusal(client.show("API/a\\/b/deep"))).code == "entity.not_found"


async def test_several_edits_are_one_step(client: Client) -> None:
    root = "a" * 32
    create = {"action": "create", "kind": "collection", "id": root, "fields": {"name": "A"}}
    inside = {"action": "create", "kind": "request", "parent": root, "fields": {"name": "r"}}
    wrong = {"action": "create", "kind": "request", "parent": "nowhere"}
    assert (await refusal(client.edit([create, wrong]))).code == "entity.not_found"
    assert await client.ls() == []
    assert (await client.edit([create, inside]))[0] == root
    assert len(await client.ls()) == 2


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        ({"action": "dance", "id": "A"}, "control.invalid_params"),
        ({"action": "create", "kind": "spaceship"}, "kind.unknown"),
        ({"action": "create", "kind": "collection", "id": "short"}, "control.invalid_params"),
        ({"action": "create", "kind": "collection", "fields": []}, "control.invalid_params"),
        (
            {"action": "create", "kind": "collection", "fields": {"x": "y" * 9_000_000}},
            "limit.field",
        ),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_by_name(
    client: Client, edit: dict[str, object], code: str
) -> None:
    await client.create("collection", fields={"name": "A"})
    assert (await refusal(client.edit([edit]))).code == code


async def test_an_unknown_workspace_is_named(client: Client) -> None:
    error = await refusal(client.ls(workspace="nowhere"))
    assert error.code == "workspace.not_found"


@pytest.mark.parametrize("call", ["devices", "sign_out", "reload", "prove", "retry"])
async def test_what_needs_an_account_says_so(client: Client, call: str) -> None:
    error = await refusal(getattr(client, call)())
    assert error.code == "account.signed_out"
    assert "sign-in" in error.hint


async def test_a_resolution_without_a_conflict_is_not_found(client: Client) -> None:
    assert await client.conflicts() == []
    assert (await refusal(client.resolve("x", mine=True))).code == "conflict.not_found"


async def test_the_errors_of_calls_can_be_told_apart(client: Client) -> None:
    assert isinstance(await refusal(client.show("nothing")), RefusedError)
    assert isinstance(await refusal(client.wait("in-sync", 0.01)), ControlError)
    assert isinstance(await refusal(client.wait("tomorrow", 1)), UsageError)


async def test_the_status_is_whole_and_becomes_json(client: Client) -> None:
    status = await client.status()
    assert isinstance(status, Status)
    assert status.as_dict().keys() >= {
        *("state", "online", "signed_in", "account", "device", "since", "cause", "message"),
        *("hint", "pending", "conflicts", "retry_at", "progress", "workspaces"),
    }


async def test_a_daemon_that_dies_while_it_is_written_to_is_told_of_once(folder: Path) -> None:
    home = Home.find(folder)
    dies = asyncio.Event()

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await dies.wait()
        writer.transport.abort()

    async def ask() -> None:
        async with Client.open(folder, start=False) as client:
            call = asyncio.create_task(client.find("x" * 8_000_000))
            await asyncio.sleep(0.01)  # the socket is full by then; if not, this holds as well
            dies.set()
            assert (await refusal(call)).code == "daemon.gone"

    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    async with await asyncio.start_unix_server(meet, home.socket):
        await ask()
    for _ in range(5):
        await asyncio.sleep(0)  # the loop lets go of the connection
    gc.collect()
    assert complaints == []
