"""The rare steps: backups brought back, disks copied, people who sign in and out.

Some of these lose something by a person's own doing: a disk that is set back forgets what only it
held. The witness is told of that, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from kafkaman_server.storage.schema import MIGRATIONS as SERVER_MIGRATIONS
from kafkaman_sync.engine.states import State
from kafkaman_sync.model.changes import Action, Event
from kafkaman_sync.protocol.records import decode_change, decode_event
from kafkaman_sync.store.rows import ENTITY_COLUMNS, entity_from_row
from kafkaman_sync.store.schema import MIGRATIONS as DEVICE_MIGRATIONS
from tests.simulation.disk import Content, File
from tests.simulation.machines import DEVICES_MAX, Device
from tests.simulation.stage import NOTHING, Held, Stage
from tests.simulation.witness import tokens_of


def _rows_of(file: File, query: str) -> Held:
    rows = file.connection.execute(query).fetchall()
    return Held(
        tokens_of(b" ".join(fields for _, _, fields in rows)),
        frozenset(entity for entity, _, _ in rows),
        frozenset(entity for entity, deleted, _ in rows if deleted),
    )


def _server_holds(stage: Stage) -> Held:
    server = stage.world.server
    return _rows_of(server.disk.files[server.path], "SELECT id, deleted, fields FROM entities")


def _confirmed_on(device: Device) -> Held:
    """Return what a device holds of the server's state."""
    held = NOTHING
    for path in device.databases():
        held |= _rows_of(
            device.disk.files[path],
            "SELECT entities.id, deleted, fields FROM entities JOIN workspaces USING (copy)",
        )
    return held


def _waiting_on(device: Device) -> Held:
    """Return what only a device has, for the server has not decided it or did not accept it."""
    held = NOTHING
    for path in device.databases():
        file = device.disk.files[path]
        held |= _rows_of(file, "SELECT entity, action = 'delete', change FROM outbox")
        for entity, data in file.connection.execute("SELECT entity, change FROM conflicts"):
            change = decode_change(data)
            deleted = {entity} if change.action is Action.DELETE else ()
            held |= Held(tokens_of(data), frozenset({entity}), frozenset(deleted))
    sealed = b"".join(path.read_bytes() for path in device.home.sealed.glob("*"))
    return held | Held(tokens_of(sealed), frozenset(), frozenset())


def _to_be_queued_on(stage: Stage, device: Device) -> frozenset[bytes]:
    """Return what a device holds of a server that has forgotten it since, and will write once more.

    It cannot tell what others have taken out of that meanwhile: the merge has no common base, so it
    keeps both. What comes back that way is not lost, at least.
    """
    known = {(event.seq, event.entity): event.fields for event in _log(stage)}
    query = f"SELECT {ENTITY_COLUMNS} FROM entities WHERE copy IN (SELECT copy FROM workspaces)"
    tokens: frozenset[bytes] = frozenset()
    for path in device.databases():
        for row in device.disk.files[path].connection.execute(query):
            entity = entity_from_row(row)
            for name, field in entity.fields.items():
                if known.get((field.version, entity.id), {}).get(name) != field.value:
                    tokens |= tokens_of(field.value)
    return tokens


def _log(stage: Stage) -> list[Event]:
    server = stage.world.server
    rows = server.disk.files[server.path].connection.execute("SELECT body FROM events ORDER BY seq")
    return [decode_event(body) for (body,) in rows]


def _queued_on(device: Device) -> Iterator[bytes]:
    """Yield what a copy of the device writes once more, as often as the outbox has it."""
    queued: list[bytes] = []
    for path in device.databases():
        rows = device.disk.files[path].connection.execute("SELECT change FROM outbox")
        for (change,) in rows.fetchall():
            queued += sorted(tokens_of(change))
    yield from queued
    yield from sorted(_waiting_on(device).tokens - set(queued))


def _held_elsewhere(stage: Stage, but: Device) -> Held:
    held = _server_holds(stage)
    for device in stage.world.devices:
        if device is not but:
            held |= _confirmed_on(device) | _waiting_on(device)
    return held


def back_up_server(stage: Stage, chance: Random) -> str:
    del chance
    server = stage.world.server
    file = server.disk.files[server.path]
    if file.connection.in_transaction:
        return ""
    stage.server_backup = file.dump()
    return "the server is backed up"


def restore_server(stage: Stage, chance: Random) -> str:
    """Kill the server and bring a backup back; what no device holds either is gone."""
    del chance
    world, server = stage.world, stage.world.server
    backup = stage.server_backup
    if backup is None:
        return ""
    for device in world.devices:
        world.meet("server restored", device)
    server.die()
    file = server.disk.open(server.path, SERVER_MIGRATIONS)
    lost, log = _server_holds(stage), _log(stage)
    file.load(backup)
    held = _server_holds(stage)
    forgotten = log[len(_log(stage)) :]
    for device in world.devices:
        again = _to_be_queued_on(stage, device)
        if device.running:  # some of what was forgotten may have arrived, and be taken yet
            again |= tokens_of(
                b" ".join(value for each in forgotten for value in each.fields.values())
            )
        stage.witness.repeat(again)
    stage.forgotten |= lost - held
    for device in world.devices:
        # What a device is about to delete will not come back from it, nor what waits there: the
        # verdict of a change that was forgotten may have been sent before. To delete it for having
        # been signed out elsewhere takes a server that said so before it was set back.
        if device.name not in stage.leaving and not device.told_to_leave:
            held |= _waiting_on(device) | _confirmed_on(device)
    lost -= held
    stage.witness.restored = True
    stage.witness.excuse(lost.tokens, lost.there, lost.deleted)
    server.start()
    return "the server is restored from its backup"


def back_up_device(stage: Stage, chance: Random) -> str:
    device = chance.choice(stage.world.devices)
    content = _dump(device)
    if content is None:
        return ""
    stage.device_backups[device.name] = content
    return f"{device.name} is backed up"


def restore_device(stage: Stage, chance: Random) -> str:
    """Set a device back to its backup; what was done there since is lost by the person's doing."""
    device = chance.choice(stage.world.devices)
    backup = stage.device_backups.get(device.name)
    if backup is None:
        return ""
    device.die()
    lost = _waiting_on(device) | _confirmed_on(device)
    for path in device.databases():
        path.unlink()
        device.disk.forget(path)
    _load(device, backup)
    lost -= _held_elsewhere(stage, device) | _waiting_on(device)
    stage.witness.excuse(lost.tokens, lost.there, lost.deleted)
    stage.witness.excuse_moves()
    stage.witness.repeat(_queued_on(device))
    stage.witness.repeat(_to_be_queued_on(stage, device))
    device.start()
    return f"{device.name} is restored from its backup"


def copy_device(stage: Stage, chance: Random) -> str:
    """Copy a device's files to another machine, and use both."""
    if len(stage.world.devices) >= min(DEVICES_MAX, stage.world.traits.devices + 2):
        return ""
    device = chance.choice(stage.world.devices)
    content = _dump(device)
    if not content:
        return ""
    fresh = stage.world.add_device()
    _load(fresh, content)
    stage.witness.repeat(_queued_on(fresh))
    stage.witness.repeat(_to_be_queued_on(stage, fresh))
    fresh.start()
    return f"{device.name} is copied to {fresh.name}"


def _dump(device: Device) -> dict[str, Content] | None:
    """Return the databases of a device; None while one of them is being written."""
    files = {path.name: device.disk.files[path] for path in device.databases()}
    if any(file.connection.in_transaction for file in files.values()):
        return None
    return {name: file.dump() for name, file in files.items()}


def _load(device: Device, content: dict[str, Content]) -> None:
    for name, rows in content.items():
        path: Path = device.home.accounts / name
        device.disk.open(path, DEVICE_MIGRATIONS).load(rows)


def sign_out(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if device is None or device.busy or device.account is None:
        return ""
    stage.leaving.add(device.name)
    if stage.witness.restored:
        # Here the person may not have heard of the backup when they sign out. What was acknowledged
        # leaves with the account, and the verdict of a change that was forgotten may be under way
        # still: the device takes it for acknowledged then, and leaves without sealing it.
        waiting = _waiting_on(device) - stage.forgotten
        lost = _confirmed_on(device) | (_waiting_on(device) & stage.forgotten)
        lost -= _held_elsewhere(stage, device) | waiting
        stage.witness.excuse(lost.tokens, lost.there, lost.deleted)
    device.begin(lambda: device.signing.sign_out(discard=False))
    return f"{device.name} signs out"


def sign_in(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if device is None or device.busy or not device.ready:
        return ""
    if device.account is not None and device.state is not State.ERROR:
        return ""
    stage.leaving.discard(device.name)
    device.told_to_leave = False
    device.begin(device.sign_in)
    return f"{device.name} signs in"


def sign_out_other(stage: Stage, chance: Random) -> str:
    """Sign another device out from one that is online."""
    found = stage.worker(chance)
    other = chance.choice(stage.world.devices)
    if found is None or found[0] is other or not found[0].state.online:
        return ""
    identities = sorted(other.identities())
    account = found[0].account
    if not identities or account is None:
        return ""
    sync = account.sync
    found[0].begin(lambda: sync.call("devices_sign_out", {"device": identities[0]}))
    return f"{found[0].name} signs {other.name} out"


def reload(stage: Stage, chance: Random) -> str:
    device = stage.device(chance)
    if device is None or device.busy or device.account is None:
        return ""
    full = chance.random() < 0.6
    device.begin(lambda: device.signing.reconnect(full=full))
    return f"{device.name} reloads{' everything' if full else ''}"
