"""The numbered migrations of the SQLite storage. A released one is never edited, only followed."""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x6B6D7376
"""`kmsv` in ASCII."""

_FIRST: Final = """
CREATE TABLE server (
  id TEXT NOT NULL
);
INSERT INTO server VALUES (lower(hex(randomblob(16))));

CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL,
  email_key TEXT NOT NULL UNIQUE,
  username TEXT NOT NULL,
  username_key TEXT NOT NULL UNIQUE,
  password TEXT NOT NULL,
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE devices (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts(id),
  name TEXT NOT NULL,
  platform TEXT NOT NULL,
  token_hash BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  lease TEXT NOT NULL,
  next_lease TEXT NOT NULL,
  last_op INTEGER NOT NULL,
  seen_at INTEGER,
  revoked_at INTEGER,
  replaced_by TEXT
) WITHOUT ROWID;
CREATE INDEX devices_by_account ON devices(account) WHERE revoked_at IS NULL;

CREATE TABLE workspaces (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  head INTEGER NOT NULL,
  digest BLOB NOT NULL
);

CREATE TABLE members (
  account TEXT NOT NULL REFERENCES accounts(id),
  workspace INTEGER NOT NULL REFERENCES workspaces(number),
  role TEXT NOT NULL,
  PRIMARY KEY (account, workspace)
) WITHOUT ROWID;

CREATE TABLE epochs (
  number INTEGER PRIMARY KEY,
  workspace INTEGER NOT NULL,
  epoch TEXT NOT NULL,
  first_seq INTEGER NOT NULL,
  UNIQUE (workspace, epoch)
);

CREATE TABLE entities (
  number INTEGER PRIMARY KEY,
  workspace INTEGER NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  parent TEXT NOT NULL,
  position TEXT NOT NULL,
  place_version INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  deleted_version INTEGER NOT NULL,
  version INTEGER NOT NULL,
  writer TEXT NOT NULL,
  foreign_version INTEGER NOT NULL,
  fields BLOB NOT NULL,
  UNIQUE (workspace, id)
);
CREATE INDEX entities_by_parent ON entities(workspace, parent);
CREATE INDEX entities_by_version ON entities(workspace, version);

CREATE TABLE events (
  number INTEGER PRIMARY KEY,
  workspace INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  entity TEXT NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (workspace, seq)
);

CREATE TABLE verdicts (
  device TEXT NOT NULL,
  op INTEGER NOT NULL,
  change_hash BLOB NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (device, op)
) WITHOUT ROWID;
"""

_PAST: Final = """
CREATE INDEX events_by_entity ON events(workspace, entity, seq);
CREATE INDEX entities_deleted ON entities(workspace, deleted_version) WHERE deleted = 1;

-- Events at or below the horizon are folded into `bases` and gone; `horizon_at` is the latest
-- time that any of them had.
ALTER TABLE workspaces ADD COLUMN horizon INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workspaces ADD COLUMN horizon_at INTEGER NOT NULL DEFAULT 0;
CREATE TABLE bases (
  number INTEGER PRIMARY KEY,
  workspace INTEGER NOT NULL,
  entity TEXT NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (workspace, entity)
);

-- The purges above the horizon, for devices that catch up by state.
CREATE TABLE purges (
  workspace INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  entity TEXT NOT NULL,
  PRIMARY KEY (workspace, seq)
) WITHOUT ROWID;

-- How long the server has run, all its runs together, and when that was last written down.
CREATE TABLE age (
  running_ms INTEGER NOT NULL,
  saved_at INTEGER NOT NULL
);
-- How far a workspace's log had come at which age.
CREATE TABLE samples (
  workspace INTEGER NOT NULL,
  running_ms INTEGER NOT NULL,
  head INTEGER NOT NULL,
  PRIMARY KEY (workspace, running_ms)
) WITHOUT ROWID;
"""

_WHY: Final = """
-- What the change was judged by (null: a purge, or older than this column), and, where a commit
-- ends, the digest of the workspace there.
ALTER TABLE events ADD COLUMN basis BLOB;
ALTER TABLE events ADD COLUMN digest BLOB;

-- Changes, and parts of changes, that were not accepted; without values, for who asks why.
CREATE TABLE disputes (
  number INTEGER PRIMARY KEY,
  workspace INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  entity TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX disputes_by_workspace ON disputes(workspace, number);
CREATE INDEX disputes_by_entity ON disputes(workspace, entity, number);
"""

_BLOCKS: Final = """
-- Ids are random: in their order alone, each commit would write all over the index. In blocks of
-- 16,384 seqs it writes one place of it, and whoever asks for one entity looks into each block.
DROP INDEX events_by_entity;
CREATE INDEX events_by_block ON events(workspace, seq >> 14, entity, seq);
"""

MIGRATIONS: Final = (_FIRST, _PAST, _WHY, _BLOCKS)


def seqs_of(workspace: str, first: str, last: str, entity: str) -> str:
    """Return the query of an entity's seqs from `first` to `last`; all four are SQL.

    It steps from block to block by what is there: a forged seq may be as far away as it likes.
    """
    return f"""
WITH RECURSIVE block(number) AS (
  SELECT min(seq) >> 14 FROM events WHERE workspace = {workspace} AND seq BETWEEN {first} AND {last}
  UNION ALL
  SELECT (
    SELECT min(seq) >> 14 FROM events
      WHERE workspace = {workspace} AND seq BETWEEN (block.number + 1) << 14 AND {last}
  ) FROM block WHERE block.number < {last} >> 14
)
SELECT e.seq FROM block CROSS JOIN events e INDEXED BY events_by_block
  ON e.workspace = {workspace} AND e.seq >> 14 = block.number AND e.entity = {entity}
    AND e.seq BETWEEN {first} AND {last}
"""  # noqa: S608 - words of ours
