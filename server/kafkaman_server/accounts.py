"""Accounts and their devices: signing up, in and out."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from kafkaman_server.attempts import Attempts
from kafkaman_server.passwords import Passwords
from kafkaman_server.storage.interface import Storage, Transaction
from kafkaman_server.storage.records import Account, Device
from kafkaman_sync.errors import KafkamanError
from kafkaman_sync.model.entities import is_id

PASSWORD_CHARACTERS_MIN: Final = 8
# Hashing costs the same for any length; this only bounds what is looked at.
PASSWORD_CHARACTERS_MAX: Final = 1024
_EMAIL_CHARACTERS_MAX: Final = 254
_NAME_CHARACTERS_MAX: Final = 128
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")
_USERNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class AccountRules:
    """The settings that accounts obey."""

    devices_per_account: int
    sign_up_open: bool
    user_attempts_per_minute: int
    address_attempts_per_minute: int


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new device of an account, with its token, and the device that was signed out for it."""

    account: Account
    device: Device
    token: str
    signed_out: str | None = None


class Accounts:
    """Signs people up and in. All its errors are KafkamanErrors for the peer."""

    def __init__(
        self,
        storage: Storage,
        passwords: Passwords,
        rules: AccountRules,
        *,
        connected: Callable[[str], bool],
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._passwords = passwords
        self._rules = rules
        self._connected = connected
        self._clock = clock
        self._by_user = Attempts(rules.user_attempts_per_minute, monotonic=monotonic)
        self._by_address = Attempts(rules.address_attempts_per_minute, monotonic=monotonic)

    async def sign_up(
        self, *, email: str, username: str, password: str, device_name: str, platform: str,
        address: str,
    ) -> SignedIn:  # fmt: skip
        """Create an account with its personal workspace and its first device."""
        if not self._rules.sign_up_open:
            raise KafkamanError(
                "This server takes no new accounts.",
                code="auth.sign_up_closed",
                hint="Ask its administrator.",
            )
        email = _checked_email(email)
        username = _checked_username(username)
        _check_password(password)
        self._check_attempts(self._by_address, address)
        account = Account(secrets.token_hex(16), email, username,
                          await self._passwords.hash(password))  # fmt: skip
        device, token = self._new_device(account.id, device_name, platform)

        async def work(transaction: Transaction) -> bool:
            added = await transaction.add_account(account, secrets.token_hex(16), self._clock())
            if added:
                await transaction.add_device(device)
            return added

        if not await self._storage.transact(work):
            raise KafkamanError(
                "An account with this e-mail or username exists already.",
                code="account.exists",
                hint="Sign in, or choose another e-mail and username.",
            )
        return SignedIn(account, device, token)

    async def sign_in(
        self, *, user: str, password: str, device_name: str, platform: str, address: str,
        replaced: str | None,
    ) -> SignedIn:  # fmt: skip
        """Sign in a new device; `replaced` names a device to sign out for it."""
        key = user.casefold()
        self._check_attempts(self._by_address, address)
        self._check_attempts(self._by_user, key)
        account = await self._storage.read(lambda snapshot: snapshot.account(user))
        stored = account.password if account else None
        if not await self._passwords.verify(stored, password) or account is None:
            raise KafkamanError(
                "The user or the password is wrong.",
                code="auth.failed",
                hint="Check both; the e-mail or the username will do.",
            )
        self._by_user.give_back(key)
        self._by_address.give_back(address)
        device, token = self._new_device(account.id, device_name, platform)
        await self._storage.transact(partial(self._take_place, device, replaced))
        return SignedIn(account, device, token, signed_out=replaced)

    async def register(self, *, device: str, token: str) -> SignedIn:
        """Give an installation, whose store was copied or restored, a device id of its own.

        The old id gives its place to the first that registers; a copy that registers as well needs
        a place of its own. So does a store that shows the old id's latest lease, see `take_back`.
        Once a device that had the place was signed out, an old copy's token gives no way back in.
        """

        async def work(transaction: Transaction) -> tuple[Account, Device, str]:
            old = await transaction.device(device)
            if old is None or not has_token(old, token):
                raise KafkamanError("This server does not know the device.", code="device.unknown")
            if old.revoked_at is not None:
                raise KafkamanError("This device was signed out.", code="device.revoked")
            if await _successor_signed_out(transaction, old):
                raise KafkamanError(
                    "The device that took this one's place was signed out.", code="device.unknown"
                )
            account = await transaction.account_by_id(old.account)
            assert account is not None
            fresh, fresh_token = self._new_device(old.account, old.name, old.platform)
            await self._replace(transaction, old, fresh)
            return account, fresh, fresh_token

        account, fresh, fresh_token = await self._storage.transact(work)
        return SignedIn(account, fresh, fresh_token, signed_out=device)

    async def sign_out(self, account: str, device: str) -> None:
        """Sign out a device of the account. Raises KafkamanError `device.unknown`."""

        async def work(transaction: Transaction) -> None:
            found = await transaction.device(device)
            if found is None or found.account != account or not found.signed_in:
                raise KafkamanError(
                    "The account has no such device signed in.",
                    code="device.unknown",
                    hint="`kafkaman devices` lists them.",
                )
            await transaction.update_device(replace(found, revoked_at=self._clock()))

        await self._storage.transact(work)

    async def devices(self, account: str) -> list[dict[str, Any]]:
        """Return the signed-in devices of the account as people see them."""
        devices = await self._storage.read(lambda snapshot: snapshot.devices_of(account))
        return self._listed(devices)

    def _listed(self, devices: list[Device]) -> list[dict[str, Any]]:
        return [
            {
                "id": device.id,
                "name": device.name,
                "platform": device.platform,
                "last_seen": device.seen_at or device.created_at,
                "connected": self._connected(device.id),
            }
            for device in devices
        ]

    async def _take_place(
        self, device: Device, replaced: str | None, transaction: Transaction
    ) -> None:
        devices = await transaction.devices_of(device.account)
        if replaced is not None:
            old = next((one for one in devices if one.id == replaced), None)
            if old is None:
                raise KafkamanError(
                    "The device to sign out is not one of the account's.",
                    code="auth.replace_unknown",
                    hint="Choose one of the listed devices.",
                    devices=self._listed(devices),
                )
            await transaction.update_device(replace(old, revoked_at=self._clock()))
            devices.remove(old)
        self._check_limit(devices)
        await transaction.add_device(device)

    async def _replace(self, transaction: Transaction, old: Device, fresh: Device) -> None:
        """Let `fresh` stand for `old`'s installation."""
        given_up = old
        if old.replaced_by is not None:
            # The answer to an earlier registration may have been lost: nobody has used its device.
            earlier = await transaction.device(old.replaced_by)
            if earlier is not None and earlier.signed_in and earlier.seen_at is None:
                given_up = earlier
            else:
                self._check_limit(await transaction.devices_of(old.account))
        await transaction.add_device(fresh)
        for device in {old.id: old, given_up.id: given_up}.values():
            await transaction.update_device(replace(device, replaced_by=fresh.id))

    def _check_limit(self, devices: list[Device]) -> None:
        most = self._rules.devices_per_account
        if len(devices) >= most:
            raise KafkamanError(
                f"This account is signed in on {len(devices)} devices; allowed are {most}.",
                code="auth.device_limit",
                hint="Choose one of them to sign out, with --replace DEVICE-ID.",
                devices=self._listed(devices),
            )

    def _check_attempts(self, attempts: Attempts, key: str) -> None:
        wait = attempts.take(key)
        if wait:
            raise KafkamanError(
                "Too many attempts to sign in.",
                code="auth.too_many_attempts",
                hint=f"Try again in {wait:.0f} seconds.",
                retry_after=round(wait, 1),
            )

    def _new_device(self, account: str, name: str, platform: str) -> tuple[Device, str]:
        token = secrets.token_hex(32)
        device = Device(
            id=secrets.token_hex(16),
            account=account,
            name=_checked_name(name),
            platform=_checked_name(platform),
            token_hash=hash_token(token),
            created_at=self._clock(),
        )
        return device, token


async def _successor_signed_out(transaction: Transaction, device: Device) -> bool:
    """Tell whether a device that took this one's place, or its successor's, was signed out."""
    passed = {device.id}
    while device.replaced_by is not None and device.replaced_by not in passed:
        successor = await transaction.device(device.replaced_by)
        if successor is None:
            return False
        if successor.revoked_at is not None:
            return True
        passed.add(successor.id)
        device = successor
    return False


async def take_back(transaction: Transaction, device: Device, devices_max: int) -> bool:
    """Let a device keep its id that a copy of its store gave up; False when there is no place.

    The copy registered, as it had to, and could not know whether it was the only one. Who shows the
    latest lease is the one whose changes were decided under the id: under another id it would push
    again those of which it has not heard, and they would take effect twice.
    """
    copy = await transaction.device(device.replaced_by) if device.replaced_by else None
    if copy is not None and copy.signed_in and copy.seen_at is None:
        # Nobody has used what the registration gave; its answer may have been lost.
        await transaction.update_device(replace(copy, replaced_by=device.id))
        return True
    return len(await transaction.devices_of(device.account)) < devices_max


def has_token(device: Device, token: str) -> bool:
    """Tell whether `token` is the device's, in constant time."""
    return hmac.compare_digest(device.token_hash, hash_token(token))


def hash_token(token: str) -> bytes:
    """Return what is stored of a token."""
    # The token is 32 random bytes: a plain hash of it cannot be guessed back.
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def _checked_email(email: str) -> str:
    if len(email) > _EMAIL_CHARACTERS_MAX or not _EMAIL.fullmatch(email):
        raise KafkamanError("This is not an e-mail address.", code="account.invalid_email")
    return email


def _checked_username(username: str) -> str:
    if not _USERNAME.fullmatch(username):
        raise KafkamanError(
            "This username is not possible.",
            code="account.invalid_username",
            hint="Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    return username


def _check_password(password: str) -> None:
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise KafkamanError(
            f"A password has at least {PASSWORD_CHARACTERS_MIN} characters.",
            code="account.weak_password",
            hint="Use a longer one.",
        )


def _checked_name(name: str) -> str:
    """Return a name fit for lists: printable and not too long."""
    text = "".join(character for character in name if character.isprintable()).strip()
    return text[:_NAME_CHARACTERS_MAX] or "unnamed"


def checked_device_id(text: object) -> str:
    """Return a device id that a peer gave. Raises KafkamanError `call.invalid`."""
    if not isinstance(text, str) or not is_id(text):
        raise KafkamanError("This is not a device id.", code="call.invalid")
    return text
