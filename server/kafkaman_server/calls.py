"""What devices ask for by name, before and after their hello."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from kafkaman_server.accounts import Accounts, SignedIn, checked_device_id
from kafkaman_server.hub import REVOKED, Hub
from kafkaman_server.logs import Logs
from kafkaman_server.params import Params
from kafkaman_server.past import Past
from kafkaman_server.proof import is_sound
from kafkaman_server.storage.interface import Storage
from kafkaman_sync.errors import KafkamanError, StoreError
from kafkaman_sync.protocol.messages import Call, Reply

_log = structlog.get_logger("calls")

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the rows of each workspace gave the stored digest; answers the call of that id."""

    call: int
    sound: dict[str, bool]


class Calls:
    """Answers calls; whatever goes wrong is an error in the reply."""

    def __init__(self, accounts: Accounts, storage: Storage, hub: Hub) -> None:
        self._accounts = accounts
        self._storage = storage
        self._hub = hub
        # A proof reads a whole workspace; the others may wait for it.
        self._one_proof = asyncio.Semaphore(1)
        self._anonymous: Mapping[str, Callable[[Params, str], Awaitable[Result]]] = {
            "sign_up": self._sign_up,
            "sign_in": self._sign_in,
            "register": self._register,
        }
        self._signed_in: Mapping[str, Callable[[Params, str, str], Awaitable[Result]]] = {
            "sign_out": self._sign_out,
            "devices": self._devices,
            "devices_sign_out": self._devices_sign_out,
            "workspaces": self._workspaces,
            "ping": self._ping,
            **Past(storage).methods(),
            **Logs(storage).methods(),
        }

    async def answer_anonymous(self, call: Call, address: str) -> Reply:
        """Answer a call of somebody who has not said hello."""
        method = self._anonymous.get(call.method)
        if method is None:
            return _refusal(call, _unknown_method())
        return await _reply(call, lambda: method(Params(call.params), address))

    async def answer(self, account: str, device: str, call: Call) -> Reply:
        """Answer a call of a connected device."""
        method = self._signed_in.get(call.method)
        if method is None:
            return _refusal(call, _unknown_method())
        return await _reply(call, lambda: method(Params(call.params), account, device))

    async def prove(self, account: str, call: Call) -> Proof | Reply:
        """Recompute the digests of the named workspaces, of all if none is named."""
        try:
            wanted = await self._own_workspaces(account, call.params.get("workspaces"))
            async with self._one_proof:
                return Proof(
                    call.id,
                    {workspace: await is_sound(self._storage, workspace) for workspace in wanted},
                )
        except KafkamanError as error:
            return _refusal(call, error)

    async def _own_workspaces(self, account: str, wanted: Any) -> list[str]:
        memberships = await self._storage.read(lambda snapshot: snapshot.memberships(account))
        own = [one.workspace for one in memberships]
        if not wanted:
            return own
        if not isinstance(wanted, list) or not all(one in own for one in wanted):
            raise KafkamanError("This is no workspace of yours.", code="workspace.unknown")
        return list(dict.fromkeys(wanted))

    async def _sign_up(self, params: Params, address: str) -> Result:
        return self._signed_in_result(
            await self._accounts.sign_up(
                email=params.text("email"),
                username=params.text("username"),
                password=params.text("password"),
                device_name=params.text("device_name", ""),
                platform=params.text("platform", ""),
                address=address,
            )
        )

    async def _sign_in(self, params: Params, address: str) -> Result:
        replaced = params.text("replace", "")
        signed_in = await self._accounts.sign_in(
            user=params.text("user"),
            password=params.text("password"),
            device_name=params.text("device_name", ""),
            platform=params.text("platform", ""),
            address=address,
            replaced=checked_device_id(replaced) if replaced else None,
        )
        if signed_in.signed_out is not None:
            self._hub.close_device(signed_in.signed_out, REVOKED)
        return self._signed_in_result(signed_in)

    async def _register(self, params: Params, address: str) -> Result:
        old = checked_device_id(params.text("device"))
        registered = await self._accounts.register(device=old, token=params.text("token"))
        # If that is not this installation, its next hello shows it by the lease.
        self._hub.close_device(old, None)
        return {"device": registered.device.id, "token": registered.token}

    def _signed_in_result(self, signed_in: SignedIn) -> Result:
        account = signed_in.account
        return {
            "account": account.id,
            "username": account.username,
            "email": account.email,
            "device": signed_in.device.id,
            "token": signed_in.token,
            "server": self._storage.server,
        }

    async def _sign_out(self, params: Params, account: str, device: str) -> Result:
        await self._accounts.sign_out(account, device)
        return {}

    async def _devices(self, params: Params, account: str, device: str) -> Result:
        devices = await self._accounts.devices(account)
        return {"devices": [{**one, "current": one["id"] == device} for one in devices]}

    async def _devices_sign_out(self, params: Params, account: str, device: str) -> Result:
        other = checked_device_id(params.text("device"))
        await self._accounts.sign_out(account, other)
        self._hub.close_device(other, REVOKED)
        return {}

    async def _workspaces(self, params: Params, account: str, device: str) -> Result:
        memberships = await self._storage.read(lambda snapshot: snapshot.memberships(account))
        return {
            "workspaces": [
                {"id": one.workspace, "name": one.name, "role": one.role, "head": one.head}
                for one in memberships
            ]
        }

    async def _ping(self, params: Params, account: str, device: str) -> Result:
        return {}


async def _reply(call: Call, work: Callable[[], Awaitable[Result]]) -> Reply:
    try:
        return Reply(call.id, result=await work())
    except StoreError as error:
        _log.error("call failed", method=call.method, code=error.code, reason=error.message)
        return _refusal(
            call,
            KafkamanError(
                "The server could not read or write its data.",
                code="server.failed",
                hint="Try again later.",
                retry_after=5,
            ),
        )
    except KafkamanError as error:
        return _refusal(call, error)


def _refusal(call: Call, error: KafkamanError) -> Reply:
    return Reply(call.id, error=error.as_dict())


def _unknown_method() -> KafkamanError:
    return KafkamanError(
        "The server does not answer this call here.",
        code="call.unknown",
        hint="Sign in first, or update the server.",
    )
