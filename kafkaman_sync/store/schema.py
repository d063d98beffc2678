"""The tables of a device's store, as numbered migrations."""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x6B6D7364  # "kmsd"

MIGRATIONS: Final = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

    -- The rows of a workspace are a numbered copy in `entities`. A full state arrives in a second
    -- copy, `staged`, which takes the place of the first in one step. `whole` says that one must
    -- come; `fork` is set while what a restored server forgot waits to be queued.
    CREATE TABLE workspaces (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        cursor INTEGER NOT NULL DEFAULT 0,
        mark INTEGER NOT NULL DEFAULT 0,
        digest BLOB NOT NULL,
        epochs BLOB NOT NULL,
        copy INTEGER NOT NULL UNIQUE,
        staged INTEGER UNIQUE,
        staged_digest BLOB,
        fork INTEGER,
        whole INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;

    CREATE TABLE entities (
        copy INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        parent TEXT NOT NULL,
        position TEXT NOT NULL,
        place_version INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        deleted_version INTEGER NOT NULL,
        version INTEGER NOT NULL,
        fields BLOB NOT NULL,
        PRIMARY KEY (copy, id)
    );
    CREATE INDEX entities_by_parent ON entities (copy, parent, position);

    -- `seen` holds the field values that the person saw; `verdict` waits there when it accepts
    -- at a seq that the cursor has not reached; `lowest_base` is the least of all its bases.
    -- `covered_by` is a later update that writes all fields of this one: the view does without it,
    -- so that a thousand edits of one field cost no more to read than one.
    CREATE TABLE outbox (
        op INTEGER PRIMARY KEY,
        workspace TEXT NOT NULL,
        entity TEXT NOT NULL,
        action TEXT NOT NULL,
        parent TEXT,
        position TEXT,
        base INTEGER NOT NULL,
        lowest_base INTEGER NOT NULL,
        change BLOB NOT NULL,
        seen BLOB NOT NULL,
        verdict BLOB,
        covered_by INTEGER
    );
    CREATE INDEX outbox_by_entity ON outbox (workspace, entity);
    CREATE INDEX outbox_shown ON outbox (workspace, entity) WHERE covered_by IS NULL;
    CREATE INDEX outbox_covered ON outbox (covered_by) WHERE covered_by IS NOT NULL;
    CREATE INDEX outbox_by_parent ON outbox (workspace, parent, position) WHERE parent IS NOT NULL;
    CREATE INDEX outbox_decided ON outbox (op) WHERE verdict IS NOT NULL;

    -- A record is never deleted by the sync: `state` says that it is open, or how it was closed.
    CREATE TABLE conflicts (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        workspace TEXT NOT NULL,
        entity TEXT NOT NULL,
        kind TEXT NOT NULL,
        code TEXT NOT NULL,
        field TEXT NOT NULL,
        refusal TEXT NOT NULL,
        message TEXT NOT NULL,
        device TEXT NOT NULL,
        op INTEGER NOT NULL,
        base BLOB,
        mine BLOB,
        theirs BLOB,
        theirs_version INTEGER NOT NULL,
        change BLOB NOT NULL,
        seen BLOB NOT NULL,
        path BLOB NOT NULL,
        snapshot BLOB
    );
    CREATE INDEX conflicts_open ON conflicts (workspace, entity) WHERE state = 'open';

    CREATE TABLE stages (
        id INTEGER PRIMARY KEY,
        workspace TEXT NOT NULL
    );
    CREATE TABLE staged (
        stage INTEGER NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        entity TEXT NOT NULL,
        change BLOB NOT NULL,
        PRIMARY KEY (stage, number)
    ) WITHOUT ROWID;
    """,
    """
    -- `at` is this device's clock in milliseconds when the person edited (0: not known), shown to
    -- people and never judged by; `resolves` the conflict whose resolution the change is part of.
    ALTER TABLE outbox ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN resolves TEXT;
    CREATE INDEX outbox_resolving ON outbox (resolves) WHERE resolves IS NOT NULL;

    -- `head` is the record of the refused create that this one depends on, and is resolved with;
    -- `writer` says who wrote theirs, once the server was asked; `resolved_ops` is how many changes
    -- the resolution made.
    ALTER TABLE conflicts ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE conflicts ADD COLUMN head TEXT NOT NULL DEFAULT '';
    ALTER TABLE conflicts ADD COLUMN writer BLOB;
    ALTER TABLE conflicts ADD COLUMN resolved_ops INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX conflicts_by_head ON conflicts (head) WHERE head <> '';
    """,
    """
    -- The last rows of entities that were purged while own changes of them waited for a verdict,
    -- and the names of the paths that they had.
    CREATE TABLE graves (
        workspace TEXT NOT NULL,
        entity TEXT NOT NULL,
        body BLOB NOT NULL,
        path BLOB NOT NULL,
        PRIMARY KEY (workspace, entity)
    );
    """,
    """
    -- One index for an entity's changes, those that are shown first; ids are never used in two
    -- workspaces, so that they find the rows alone.
    DROP INDEX outbox_by_entity;
    DROP INDEX outbox_shown;
    CREATE INDEX outbox_by_entity ON outbox (entity, covered_by);
    """,
)
