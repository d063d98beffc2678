"""The demo's acts, in order: each does one thing a person would do, and checks that it held."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from kafkaman_sync import KafkamanError, ViewChange
from kafkaman_sync.formats import Draft, parse, render
from scripts.demonstration.stage import Device, Stage, expect

LIVE_EDITS = 20
ACCEPT: dict[str, Any] = {"key": "Accept", "value": "application/json"}
READING_SECONDS = 2.5
EXAMPLES = Path(__file__).parent.parent / "examples"
console = Console(highlight=False)


def scene(title: str) -> None:
    """Announce what comes next, once a person had time to read what was before."""
    if console.is_terminal:
        time.sleep(READING_SECONDS)
    console.print()
    console.rule(f"[bold]{title}", align="left", style="cyan")


def say(text: str) -> None:
    """Tell what is going on."""
    console.print(f"  {text}")


async def sign_up(stage: Stage) -> None:
    """Start the server and sign three devices in."""
    scene("1  A server, an account, three devices")
    await stage.start_server()
    say(f"[green]kafkaman-server[/] listens on {stage.url}")
    laptop = await stage.add_device("laptop")
    await laptop.client.sign_up(
        server=stage.url,
        email="dana@example.com",
        username="dana",
        password=stage.password,
        device_name="laptop",
    )
    say("[bold]laptop[/]   signed up as dana")
    for name in ("desktop", "tablet"):
        await stage.sign_in(await stage.add_device(name))
        say(f"[bold]{name:8}[/] signed in")
    await stage.settle()
    say("all three: [green]IN SYNC[/]")


def load(file: Path) -> tuple[Path, bytes, Draft]:
    """Read and parse a file; what is wrong with it should show before anything starts."""
    data = file.read_bytes()
    return file, data, parse(data, filename=file.name).root


async def import_files(stage: Stage, files: list[tuple[Path, bytes, Draft]]) -> str:
    """Import files on the laptop, and compare what the desktop exports with them."""
    scene("2  Import on one device, have it on the others")
    laptop, desktop = stage.devices["laptop"], stage.devices["desktop"]
    table = Table("", "everywhere after", "desktop's export", box=None, header_style="dim")
    roots = []
    for file, data, draft in files:
        begun = time.perf_counter()
        (imported,) = await laptop.client.import_drafts([draft])
        await stage.settle()
        elapsed = time.perf_counter() - begun
        exported = render(await desktop.client.export_draft(imported.root))
        same = json.loads(exported) == json.loads(data)
        expect(same, f"the desktop's export of {file.name} differs from the file")
        say(f"[bold]{file.name}[/]: {_counted(imported.counts)}")
        table.add_row(file.name, f"{elapsed:.2f} s", "[green]equals the file[/]")
        roots.append(imported.root)
    console.print(table)
    await _draw(desktop, roots[0])
    return roots[0]


async def edit_live(stage: Stage, root: str) -> None:
    """Edit on the laptop and watch the desktop."""
    scene("3  Live: an edit on the laptop, read on the desktop")
    laptop, desktop = stage.devices["laptop"], stage.devices["desktop"]
    arrivals: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(desktop, arrivals))
        note = await laptop.client.create("header_preset", fields={"name": "Demo"})
        while (await arrivals.get())[0] != note:
            pass
        latencies = []
        for number in range(LIVE_EDITS):
            begun = time.perf_counter()
            await laptop.client.update(root, {"description": f"Edited live, {number + 1}"})
            while True:
                entity, arrived = await arrivals.get()
                if entity == root:
                    break
            latencies.append((arrived - begun) * 1000)
        watching.cancel()
    shown = await desktop.client.show(root)
    expect(shown.fields["description"] == f"Edited live, {LIVE_EDITS}", "an edit did not arrive")
    say(
        f"{LIVE_EDITS} edits, durable on both devices and the server: median "
        f"[bold]{statistics.median(latencies):.1f} ms[/], slowest {max(latencies):.1f} ms"
    )


async def work_apart(stage: Stage, root: str) -> None:
    """Take the tablet offline, edit on both sides, and watch it catch up."""
    scene("4  Offline, edits on both sides, and back")
    laptop, tablet = stage.devices["laptop"], stage.devices["tablet"]
    shared = await laptop.client.create("request", root, {"name": "Shared", "header": [ACCEPT]})
    await stage.settle()
    await tablet.client.sync(False)
    await tablet.client.wait("offline", timeout=10)
    say("[bold]tablet[/] goes offline")
    await tablet.client.update(root, {"name": "Named on the tablet"})
    await tablet.client.update(shared, {"header": [ACCEPT, {"key": "X-Tablet", "value": "1"}]})
    plan = await tablet.client.create("collection", fields={"name": "Written on a train"})
    say("[bold]tablet[/] renames the collection, creates another, adds a header: 3 edits wait")
    await laptop.client.update(root, {"name": "Named on the laptop"})
    await laptop.client.update(shared, {"header": [ACCEPT, {"key": "X-Laptop", "value": "1"}]})
    fields = {"name": "Added meanwhile", "method": "GET", "url": "https://example.com/new"}
    request = await laptop.client.create("request", root, fields)
    await laptop.client.wait("in-sync", timeout=10)
    say("[bold]laptop[/] renames it too, adds a request, and another header to the same request")
    begun = time.perf_counter()
    arrivals: asyncio.Queue[ViewChange] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_collect(tablet, arrivals))
        states = tasks.create_task(_transitions_until_in_sync(tablet))
        await tablet.client.sync(True)
        for line in await states:
            say(f"  {line}")
        await stage.settle()
        say(f"caught up in {(time.perf_counter() - begun) * 1000:.0f} ms; the tablet's replay:")
        watching.cancel()
    while not arrivals.empty():
        change = arrivals.get_nowait()
        where = f"seq {change.seq}" if change.seq else "clash "
        say(f"  {where}: {change.action} {change.kind} [dim]{' '.join(change.fields)}[/]")
    expect((await tablet.client.show(request)).name == "Added meanwhile", "the replay lost an edit")
    expect((await laptop.client.show(plan)).name == "Written on a train", "an offline edit is gone")
    headers: Any = (await laptop.client.show(shared)).fields["header"]
    merged = [header["key"] for header in headers]
    expect(set(merged) == {"Accept", "X-Tablet", "X-Laptop"}, f"the headers are {merged}")
    say(f"both added a header to one request, and no conflict: [green]{', '.join(merged)}[/]")
    await _resolve(stage, root)


async def go_back(stage: Stage, root: str) -> None:
    """Delete on one device and restore on another; then tell who renamed the collection."""
    scene("5  Trash and history")
    laptop, desktop = stage.devices["laptop"].client, stage.devices["desktop"].client
    below = {entity.id for entity in await laptop.ls(root)}
    await laptop.delete(root)
    await stage.settle()
    expect(root not in {entity.id for entity in await desktop.ls()}, "the deletion did not arrive")
    say("[bold]laptop[/] deletes the whole collection; it is gone from every device")
    await desktop.restore(root)
    await stage.settle()
    restored = {entity.id for entity in await laptop.ls(root)}
    expect(restored == below, "the restore is not complete")
    say(f"[bold]desktop[/] restores it from the trash, with the {len(below)} entities below it")
    say("who named it what:")
    table = Table("seq", "on", "name", box=None, header_style="dim")
    for event in reversed((await desktop.history(root, field="name")).events):
        (change,) = event.changes
        table.add_row(str(event.seq), event.by["device_name"], str(change["after"]))
    console.print(table)
    expect(table.row_count == 3, f"the history tells of {table.row_count} names")


async def refuse_the_fourth(stage: Stage) -> None:
    """Sign a fourth device in, and see it refused with the three."""
    scene("6  A fourth device")
    phone = await stage.add_device("phone")
    try:
        await stage.sign_in(phone)
    except KafkamanError as error:
        expect(error.code == "auth.device_limit", f"refused for another reason: {error.code}")
        say(f"[red]refused[/] ({error.code}): {error.message}")
        for device in error.details["devices"]:
            state = "connected" if device["connected"] else "away"
            say(f"  {device['name']:8} {device['platform']:20} {state}")
        expect(len(error.details["devices"]) == 3, "the answer does not list three devices")
        return
    expect(False, "a fourth device was let in")


async def leave_and_return(stage: Stage, root: str) -> None:
    """Sign the tablet out, look for traces, and sign it in again."""
    scene("7  Sign out and in again")
    tablet = stage.devices["tablet"]
    account = (await tablet.client.status()).account
    assert account is not None
    await tablet.client.sign_out()
    traces = await asyncio.to_thread(_files_naming, tablet.home, account["id"])
    expect(not traces, f"sign-out left {traces}")
    say("[bold]tablet[/] signed out: nothing of the account is left on it")
    begun = time.perf_counter()
    await stage.sign_in(tablet)
    await tablet.client.wait("in-sync", timeout=60)
    count = len(await tablet.client.ls())
    say(f"signed in again: {count} entities restored in {time.perf_counter() - begun:.2f} s")
    expect((await tablet.client.show(root)).id == root, "the restore is not complete")


async def prove(stage: Stage) -> None:
    """Recompute every digest on every device and on the server."""
    scene("8  Proof: digests recomputed from the rows, on each device and on the server")
    table = Table("device", "seq", "device digest", "server digest", "", box=None)
    for device in stage.devices.values():
        if not (await device.client.status()).signed_in:
            continue
        for proof in await device.client.prove():
            verdict = "[green]equal[/]" if proof.equal else "[red]different[/]"
            mine, theirs = proof.device_digest[:16], proof.server_digest[:16]
            table.add_row(device.name, str(proof.seq), mine, theirs, verdict)
            expect(proof.equal, f"{device.name} differs from the server")
    console.print(table)


async def _watch(device: Device, arrivals: asyncio.Queue[tuple[str, float]]) -> None:
    async with aclosing(device.client.changes()) as changes:
        async for change in changes:
            arrivals.put_nowait((change.entity, time.perf_counter()))


async def _collect(device: Device, arrivals: asyncio.Queue[ViewChange]) -> None:
    async with aclosing(device.client.changes()) as changes:
        async for change in changes:
            arrivals.put_nowait(change)


def _counted(counts: Mapping[str, int]) -> str:
    """Return counts by kind as a person says them."""
    return ", ".join(
        f"{count} {kind.replace('_', ' ')}{'' if count == 1 else 's'}"
        for kind, count in counts.items()
    )


async def _transitions_until_in_sync(device: Device) -> list[str]:
    lines: list[str] = []
    left = False
    async with aclosing(device.client.transitions()) as transitions:
        async for transition in transitions:
            lines.append(f"{transition.after.value:10} [dim]{transition.cause.message}[/]")
            left = left or transition.after.value != "OFFLINE"
            if left and transition.after.value == "IN_SYNC":
                return lines
    return lines


async def _resolve(stage: Stage, root: str) -> None:
    tablet, laptop = stage.devices["tablet"].client, stage.devices["laptop"].client
    conflicts = await tablet.conflicts()
    expect(len(conflicts) == 1, f"one conflict was expected, there are {len(conflicts)}")
    (conflict,) = conflicts
    say("both renamed the collection, so the tablet keeps a conflict and goes on:")
    say(f"  mine   [yellow]{conflict.mine!s}[/]")
    say(f"  theirs [yellow]{conflict.theirs!s}[/]")
    await tablet.resolve(conflict.id, mine=True)
    await stage.settle()
    name = (await laptop.show(root)).name
    expect(name == "Named on the tablet", "the resolution did not arrive")
    say(f"resolved with mine; on the laptop it is now [bold]{name}[/]")


async def _draw(device: Device, root: str) -> None:
    """Draw the first levels of a collection as this device has it."""
    shown = await device.client.show(root)
    tree = Tree(f"[bold]{shown.name}[/]  [dim]on the {device.name}[/]")
    branches: dict[str, Tree] = {root: tree}
    hidden = 0
    for entity in await device.client.ls(root):
        parent = branches.get(entity.parent)
        if parent is None or len(parent.children) >= 4:
            hidden += 1
            continue
        colour = {"folder": "blue", "request": "green"}.get(entity.kind, "dim")
        branches[entity.id] = parent.add(f"[{colour}]{entity.name[:60]}[/]")
    if hidden:
        tree.add(f"[dim]and {hidden} more[/]")
    console.print(tree)


def _files_naming(home: Path, text: str) -> list[str]:
    """Return the files of a home, its log apart, that contain `text`."""
    files: list[Any] = [file for file in home.rglob("*") if file.is_file()]
    return [
        file.name for file in files if file.suffix != ".log" and text.encode() in file.read_bytes()
    ]
