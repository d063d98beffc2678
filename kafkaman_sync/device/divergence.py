"""When digests differ: say so, rebuild the confirmed copy once, and report what was different.

The report holds ids, kinds, versions and fingerprints of rows, never a value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from kafkaman_sync.device.memory import write_durably
from kafkaman_sync.errors import LinkError, StoreError
from kafkaman_sync.model.entities import ROOT
from kafkaman_sync.model.values import hash_value
from kafkaman_sync.store import Store

_log: Final = structlog.get_logger(__name__)

REPORTED_ROWS_MAX: Final = 10_000

Fingerprints = dict[str, list[Any]]


class Divergence:
    """Remembers which workspaces were found different, until their rebuilt copy proves equal."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._found: dict[str, int] = {}
        self._before: dict[str, Fingerprints] = {}
        self._rebuilt: set[str] = set()

    async def error(self, diverged: Sequence[tuple[str, int]]) -> LinkError:
        """Note that these (workspace, seq) differ, and return the error that says so."""
        self._found = dict(diverged)
        again = self._rebuilt.intersection(self._found)
        hint = (
            "It differed again after a rebuild. Run `kafkaman reload --full`."
            if again
            else f"It is rebuilt from the server now; a report comes into {self._folder}."
        )
        return LinkError(
            "This device's copy differs from the server's.",
            code="diverged",
            hint=hint,
            workspaces=sorted(self._found),
        )

    async def rebuild(self) -> bool:
        """Let the next hello ask for full copies; False when that was tried without success.

        The outbox and the conflicts stay.
        """
        if not self._rebuilt.isdisjoint(self._found):
            return False
        for workspace in self._found:
            try:
                self._before[workspace] = await self._fingerprints(workspace)
            except StoreError:
                _log.warning("the damaged copy cannot be read", workspace=workspace)
            await self._store.drop_position(workspace)
            self._rebuilt.add(workspace)
        return True

    async def settle(self) -> None:
        """Everything proved equal: write the report of what had been different."""
        if not self._before and not self._rebuilt:
            return
        workspaces = {}
        for workspace, before in self._before.items():
            workspaces[workspace] = self._differences(
                before, await self._fingerprints(workspace), self._found.get(workspace, 0)
            )
        self.forgive()
        if workspaces:
            self._write(workspaces)

    def forgive(self) -> None:
        """Forget; the next difference is rebuilt again."""
        self._rebuilt.clear()
        self._before.clear()
        self._found = {}

    async def _fingerprints(self, workspace: str) -> Fingerprints:
        rows = await self._store.subtree(workspace, ROOT, with_fields=True)
        return {
            row.id: [
                row.kind.value,
                row.version,
                row.parent,
                row.position,
                {name: hash_value(value).hex() for name, value in sorted(row.fields.items())},
            ]
            for row in rows
        }

    def _differences(
        self, before: Fingerprints, after: Fingerprints, seq: int
    ) -> dict[str, object]:
        different = sorted(
            entity
            for entity in before.keys() | after.keys()
            if before.get(entity) != after.get(entity)
        )
        return {
            "seq": seq,
            "rows": len(different),
            "differing": [
                {"id": entity, "device": before.get(entity), "server": after.get(entity)}
                for entity in different[:REPORTED_ROWS_MAX]
            ],
        }

    def _write(self, workspaces: dict[str, dict[str, object]]) -> None:
        now = datetime.now(UTC)
        path = self._folder / f"diverged-{now:%Y%m%dT%H%M%S%f}.json"
        report = {"at": now.isoformat(), "workspaces": workspaces}
        write_durably(path, json.dumps(report, indent=2).encode())
        _log.warning("diverged and rebuilt", report=path.name)
