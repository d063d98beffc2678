"""The answer to a hello: who may sync, from where, and with which lease."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kafkaman_server.accounts import has_token, take_back
from kafkaman_server.catch_up import Start, knows, start_at
from kafkaman_server.hub import REVOKED, UNKNOWN
from kafkaman_server.storage.interface import Storage, Transaction
from kafkaman_server.storage.records import Commit, Device, Membership
from kafkaman_sync.model.limits import (
    PUSH_BYTES_MAX,
    PUSH_CHANGES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_CHANGES_MAX,
)
from kafkaman_sync.protocol.messages import (
    EpochStart,
    Goodbye,
    Hello,
    Position,
    Welcome,
    WorkspaceHead,
)

# Epochs that a welcome lists; a device that was away for longer is compared by its own one.
EPOCHS_LISTED_MAX: Final = 100
_LIMITS: Final = {
    "push_changes": PUSH_CHANGES_MAX,
    "push_bytes": PUSH_BYTES_MAX,
    "window_changes": WINDOW_CHANGES_MAX,
    "window_bytes": WINDOW_BYTES_MAX,
}
# To be told that it was signed out makes a device delete its data. A server that was set back says
# it only to a device whose data it has: what nobody else has comes back when the person signs in
# again, and is sealed when they sign out there.
_AHEAD: Final = Goodbye(
    "device.unknown",
    "This device was signed out, but it has what this server, which was set back, does not know.",
)


_NO_PLACE: Final = Goodbye(
    "auth.device_limit",
    "A copy of this device has taken its place, and the account has no other one.",
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """A welcome, the start of each catch-up, and the op up to which the device has all verdicts."""

    welcome: Welcome
    starts: tuple[Start, ...]
    confirmed_op: int


async def greet(
    storage: Storage,
    hello: Hello,
    *,
    epoch: str,
    devices_max: int,
    clock: Callable[[], int],
    replaced: Callable[[str], None],
) -> Greeting | Goodbye:
    """Judge a hello. Raises StoreError.

    `replaced` ends the older connection of a device that may sync, and drops what that one had
    pushed undecided. It is called inside the transaction: the last op of the welcome stays the last
    one until this connection pushes.
    """

    async def work(transaction: Transaction) -> Greeting | Goodbye:
        device = await _admit(transaction, hello)
        if isinstance(device, Goodbye):
            return device
        if not device.signed_in and not await take_back(transaction, device, devices_max):
            return _NO_PLACE
        replaced(device.id)
        lease = secrets.token_hex(16)
        await transaction.update_device(
            replace(device, lease=hello.lease, next_lease=lease, seen_at=clock(), replaced_by=None)
        )
        await transaction.begin_epoch(epoch, device.account)
        confirmed_op = min(hello.confirmed_op, device.last_op)
        last = (device.id, device.last_op)
        stored = (await transaction.stored_verdicts([last])).get(last)
        await transaction.write(Commit(epoch, confirmed_ops={device.id: confirmed_op}))
        memberships = await transaction.memberships(device.account)
        epochs = await transaction.epochs(device.account)
        positions = {position.workspace: position for position in hello.positions}
        welcome = Welcome(
            server=storage.server,
            epoch=epoch,
            lease=lease,
            account=device.account,
            device=device.id,
            last_op=device.last_op,
            last_change=stored.change_hash if stored is not None else b"",
            workspaces=tuple(
                _workspace_head(one, epochs[one.workspace], positions.get(one.workspace))
                for one in memberships
            ),
            limits=_LIMITS | {"devices": devices_max},
        )
        starts = tuple(
            start_at(
                positions.get(one.workspace, Position(one.workspace)),
                epochs[one.workspace],
                one.head,
            )
            for one in memberships
        )
        return Greeting(welcome, starts, confirmed_op)

    return await storage.transact(work)


async def _admit(transaction: Transaction, hello: Hello) -> Device | Goodbye:
    """Return the device that may sync, or why it may not."""
    device = await transaction.device(hello.device)
    if device is None or not has_token(device, hello.token):
        return UNKNOWN
    if device.revoked_at is not None:
        return _AHEAD if await _is_ahead(transaction, device, hello) else REVOKED
    # The lease of the last welcome may have been lost on the way: the one before counts until the
    # device has used the new one.
    if hello.lease not in (device.lease, device.next_lease):
        return Goodbye("lease.stale", "Another copy of this device's store has been here since.")
    return device


async def _is_ahead(transaction: Transaction, device: Device, hello: Hello) -> bool:
    """Tell whether a device has been where this server has not: it was set back since."""
    epochs = await transaction.epochs(device.account)
    heads = {one.workspace: one.head for one in await transaction.memberships(device.account)}
    return any(
        position.epoch
        and not knows(position, epochs.get(position.workspace, ()), heads[position.workspace])
        for position in hello.positions
        if position.workspace in heads
    )


def _workspace_head(
    one: Membership, epochs: Sequence[EpochStart], position: Position | None
) -> WorkspaceHead:
    """List the latest epochs that wrote something, the device's own, and the running one."""
    ends = [following.first_seq for following in epochs[1:]]
    wrote = [start for start, end in zip(epochs, ends, strict=False) if start.first_seq < end]
    listed = {start.epoch for start in wrote[-EPOCHS_LISTED_MAX:]} | {epochs[-1].epoch}
    if position is not None:
        listed.add(position.epoch)
    return WorkspaceHead(
        id=one.workspace,
        name=one.name,
        role=one.role,
        head=one.head,
        epochs=tuple(start for start in epochs if start.epoch in listed),
    )
