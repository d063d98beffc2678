"""Passwords: hashed with Argon2id, in threads, a bounded number at once."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from kafkaman_sync.errors import KafkamanError

T = TypeVar("T")

HASHER = PasswordHasher()
"""Argon2id with the library's parameters, which follow RFC 9106 for servers of modest memory."""

# A hash takes a tenth of a second and 64 MiB; whoever would wait longer than this may come back.
WAITING_MAX: Final = 50


class Passwords:
    """Hashes and verifies. The work is the same for an account that is not there."""

    def __init__(self, at_once: int) -> None:
        self._hasher = HASHER
        self._turn = asyncio.Semaphore(at_once)
        self._waiting = 0
        # Verified for unknown users; nobody knows its password.
        self._decoy = self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """Return the hash to store. Raises KafkamanError `server.busy`."""
        return await self._run(lambda: self._hasher.hash(_normal(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether `password` is the stored one; None, for no account, is never.

        Raises KafkamanError `server.busy`.
        """
        right = await self._run(lambda: self._matches(stored or self._decoy, _normal(password)))
        return right and stored is not None

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise KafkamanError(
                "Too many people are signing in just now.",
                code="server.busy",
                hint="Try again in a few seconds.",
                retry_after=5,
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _normal(password: str) -> str:
    """Return one spelling for what looks the same, whatever keyboard it was typed on."""
    return unicodedata.normalize("NFKC", password)
