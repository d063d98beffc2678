"""Being sure: reload and prove. Both compare digests at one seq, never at two."""

from __future__ import annotations

from typing import Any, Final

from kafkaman_sync.device.account import Account
from kafkaman_sync.device.signing import Signing
from kafkaman_sync.engine.states import State
from kafkaman_sync.errors import WireError
from kafkaman_sync.protocol.messages import Reply

# What is under way is given this long to settle, so that a proof covers it too.
SETTLE_SECONDS_MAX: Final = 30.0


async def reload(signing: Signing, *, full: bool) -> list[dict[str, Any]]:
    """Connect anew, catch up and compare; return {id, seq, equal} of each workspace.

    Takes as long as the catch-up does; raises LinkError `link.offline` with the cause when there
    is no connection to wait for any more.
    """
    account = await signing.reconnect(full=full)
    sync = account.sync
    if not await sync.settle(lambda: sync.caught_up, None):
        raise sync.offline()
    return [
        {"id": workspace, "seq": seq, "equal": equal}
        for workspace, (seq, equal) in sorted(sync.checked.items())
    ]


async def prove(account: Account) -> list[dict[str, Any]]:
    """Recompute each workspace's digest from its rows, here and on the server, at the same seq.

    Where they differ, the device's copy is rebuilt from the server after the answer.
    """
    sync, life = account.sync, account.sync.life
    await sync.settle(lambda: life.state is State.IN_SYNC, SETTLE_SECONDS_MAX)
    if not sync.caught_up:
        raise sync.offline()
    workspaces = [state.id for state in await account.store.workspaces() if state.role]

    async def compare(reply: Reply) -> list[dict[str, Any]]:
        stated = dict(reply.result or {}).get("workspaces")
        if not isinstance(stated, list):
            raise _incomplete()
        return [await _compare(account, each) for each in stated]

    proofs: list[dict[str, Any]] = await sync.call("prove", {"workspaces": workspaces}, compare)
    return proofs


async def _compare(account: Account, stated: Any) -> dict[str, Any]:
    try:
        workspace, seq, sound = str(stated["id"]), int(stated["seq"]), bool(stated["sound"])
        digest = stated["digest"]
        server = digest.hex() if isinstance(digest, bytes) else str(digest)
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete() from error
    cursor, own = await account.store.digest_from_rows(workspace)
    if sound and cursor == seq and own.hex() != server:
        account.sync.doubt(workspace, seq)
    return {
        "id": workspace,
        "seq": cursor,
        "device_digest": own.hex(),
        "server_digest": server,
        # The server's own recomputation must bear its digest out as well.
        "equal": sound and cursor == seq and own.hex() == server,
    }


def _incomplete() -> WireError:
    return WireError("The server's proof is not complete.")
